//! Query parameters that several routes share.

use serde_json::{Value, json};

use crate::control_plane::api::route::Route;

/// What restricts a listing of exchanges.
pub(super) fn filtered(route: Route) -> Route {
    dimensions(route)
        .query(
            "search",
            text(),
            "Part of the id, host, path, model, user id or display name.",
        )
        .query("session_id", text(), "")
        .query("trace_id", text(), "32 hexadecimal digits.")
        .query("decision", one_of(&["allow", "deny"]), "")
        .query("outcome", many(text()), "How it ended; any of these.")
        .query("path", text(), "What the path begins with.")
}

fn dimensions(route: Route) -> Route {
    let time = || json!({"type": "string", "format": "date-time"});
    route
        .query("start_date", time(), "Began at or after.")
        .query("end_date", time(), "Began at or before.")
        .query("user_id", text(), "")
        .query("group_id", many(text()), "Member of any of these.")
        .query("provider_id", many(text()), "")
        .query(
            "model",
            many(text()),
            "Whole names, or prefixes that end in `*`.",
        )
}

/// A page of what is left by a filter.
pub(super) fn paged(route: Route, sorts: &[&str]) -> Route {
    numbered(filtered(route))
        .query("sort_by", one_of(sorts), "")
        .query("sort_order", one_of(&["asc", "desc"]), "")
        .query(
            "cursor",
            text(),
            "A page's `next_cursor`; goes on behind it.",
        )
}

fn numbered(route: Route) -> Route {
    let number = |most: u32| json!({"type": "integer", "minimum": 1, "maximum": most});
    route
        .query("page", number(u32::MAX), "")
        .query("page_size", number(100), "")
}

/// A page of the audit log.
pub(super) fn changes(route: Route) -> Route {
    let time = || json!({"type": "string", "format": "date-time"});
    numbered(route)
        .query("actor", text(), "Id or name of who changed something.")
        .query(
            "event",
            text(),
            "A whole one, or a beginning that ends in `*`.",
        )
        .query("target", text(), "Kind, id or name of what was changed.")
        .query("start_date", time(), "Changed at or after.")
        .query("end_date", time(), "Changed at or before.")
}

pub(super) fn overview(route: Route) -> Route {
    filtered(route).query(
        "granularity",
        one_of(&["day", "week", "month"]),
        "Days unless given.",
    )
}

pub(super) fn grouped(route: Route) -> Route {
    let by = one_of(&["provider", "model", "user", "group"]);
    route.query("by", by, "Has to be given.")
}

pub(super) fn table_format(route: Route) -> Route {
    route.query("format", one_of(&["json", "csv"]), "")
}

pub(super) fn export_format(route: Route) -> Route {
    route.query("format", one_of(&["jsonl", "csv"]), "")
}

pub(super) fn limits(route: Route) -> Route {
    ["policy", "rule", "user", "group"]
        .into_iter()
        .fold(route, |route, name| {
            route.query(name, text(), "An id or a name.")
        })
}

pub(super) fn dry_run(route: Route) -> Route {
    route.query(
        "dry_run",
        json!({"type": "boolean"}),
        "Only say what would change.",
    )
}

fn text() -> Value {
    json!({"type": "string"})
}

fn many(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn one_of(values: &[&str]) -> Value {
    json!({"type": "string", "enum": values})
}
