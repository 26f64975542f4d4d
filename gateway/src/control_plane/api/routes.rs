//! Every route of the management API: who serves it, who may call it, and how the OpenAPI document describes
//! it.

mod parameters;

use serde_json::json;

use super::{
    access::Access, admission, agent_config, audit, catalog, docs, explain, export, keys, levels,
    log_export, log_stream, logs, node, openapi, peers, prices, providers, resources, route::Route,
    session, settings, setup, state, tokens, usage,
};
use crate::control_plane::{
    admission::{AdmissionHistory, AdmissionStatus, PeerTraffic},
    audit::{Entry, Verified},
    catalog::CatalogEntry,
    resource::{BudgetRuleDoc, GroupDoc, GuardrailDoc, PolicyDoc},
    usage::{AccessLogEntry, SessionEntry, UsageBucket, UsageTotal},
};
use parameters::{
    changes, dry_run, export_format, filtered, grouped, limits, overview, paged, table_format,
};

/// By the document's tag, in its order.
pub(super) fn all() -> Vec<(&'static str, Vec<Route>)> {
    vec![
        ("Session", sessions()),
        ("Catalog", catalog()),
        ("Providers", providers()),
        ("Policies", policies()),
        ("Settings", settings()),
        ("Usage", usage()),
        ("Peers", peers()),
        ("Node", node()),
        ("Access", access()),
        ("Audit", audit()),
        ("Document", document()),
    ]
}

fn sessions() -> Vec<Route> {
    const PATH: &str = "/agent-network/session";
    vec![
        Route::post(PATH, "createSession", session::create)
            .access(Access::Open)
            .says(
                "Log a browser in",
                "Takes either a one-time `code` (`keyway dashboard`) or a `token`, and sets the cookie \
                 `keyway_session`. Failures are bounded per address and in all.",
            )
            .takes::<session::LoginRequest>()
            .answers::<session::SessionView>()
            .refuses(401, "The code or token is none that holds.")
            .refuses(429, "Too many failures; `Retry-After` says when to try again."),
        Route::get(PATH, "getSession", session::show)
            .access(Access::Known)
            .says("Who calls", "")
            .answers::<session::SessionView>(),
        Route::delete(PATH, "deleteSession", session::end)
            .access(Access::Known)
            .says("Log out", "Ends the browser's session, if it is one that calls.")
            .answers_object(),
        Route::post("/agent-network/session/codes", "createSessionCode", session::create_code)
            .access(Access::Own)
            .says(
                "A one-time code to log in with",
                "For one login within five minutes, and only over the unix socket.",
            )
            .takes::<session::CodeRequest>()
            .answers::<session::CodeView>()
            .refuses(412, "No admin listener is configured that a browser could reach."),
    ]
}

fn catalog() -> Vec<Route> {
    const PRICES: &str = "/agent-network/catalog/prices";
    vec![
        Route::get(
            "/agent-network/catalog/providers",
            "listCatalog",
            catalog::list,
        )
        .says("What can be connected", "")
        .answers_list::<CatalogEntry>(),
        Route::post(
            "/agent-network/catalog/providers/models",
            "discoverModels",
            providers::discover,
        )
        .says(
            "Ask a vendor which models a key may use",
            "`provider_id` names a stored provider, whose key is used unless another is given.",
        )
        .takes::<providers::DiscoverRequest>()
        .answers::<providers::Discovered>()
        .refuses(404, "There is no provider of that id.")
        .refuses(502, "The vendor did not list them; the message says why."),
        Route::get(PRICES, "getPrices", prices::show)
            .says("Where list prices are from", "")
            .answers::<prices::PricesView>()
            .versioned(),
        dry_run(
            Route::put(PRICES, "updatePrices", prices::update)
                .says(
                    "Newer list prices",
                    "What the file does not have stays as it was.",
                )
                .takes::<prices::UpdateRequest>()
                .answers::<prices::Changes>()
                .conditional(),
        ),
        Route::delete(PRICES, "deletePrices", prices::remove)
            .says("Back to the node's own prices", "")
            .answers_object()
            .refuses(404, "There was no update.")
            .conditional(),
    ]
}

fn providers() -> Vec<Route> {
    const ALL: &str = "/agent-network/providers";
    const ONE: &str = "/agent-network/providers/{id}";
    const KEYS: &str = "/agent-network/providers/{id}/keys";
    vec![
        Route::get(ALL, "listProviders", providers::list)
            .says("Connected providers", "The oldest first.")
            .answers_list::<providers::ProviderView<'_>>(),
        Route::post(ALL, "createProvider", providers::create)
            .says(
                "Connect a provider",
                "The key is sealed and never shown. With the first one the endpoint gets its name.",
            )
            .takes::<providers::ProviderRequest>()
            .answers::<providers::ProviderView<'_>>()
            .versioned()
            .contended(),
        Route::post("/agent-network/providers/test", "testProviderDraft", providers::test_draft)
            .says(
                "Try settings before they are stored",
                "With `id` they are tried over the stored provider, and with its key unless one is given.",
            )
            .takes::<providers::ProviderRequest>()
            .answers::<state::TestReport>()
            .refuses(404, "There is no provider of that id."),
        Route::get(ONE, "getProvider", providers::show)
            .says("One provider", "")
            .answers::<providers::ProviderView<'_>>()
            .versioned(),
        Route::put(ONE, "updateProvider", providers::update)
            .says("Replace a provider", "Without `api_key` it keeps its keys.")
            .takes::<providers::ProviderRequest>()
            .answers::<providers::ProviderView<'_>>()
            .versioned()
            .conditional()
            .refuses(502, "The vendor gave no token for the new key; the old ones stay."),
        Route::delete(ONE, "deleteProvider", providers::remove)
            .says("Remove a provider and its keys", "Policies must not name it any more.")
            .answers_object()
            .conditional(),
        Route::post(
            "/agent-network/providers/{id}/test",
            "testProvider",
            node::test_provider,
        )
        .says("Try a stored provider", "")
        .answers::<state::TestReport>(),
        Route::get(KEYS, "listProviderKeys", keys::list)
            .says("A provider's keys, by fingerprint", "")
            .answers_list::<keys::KeyView>(),
        Route::post(KEYS, "rotateProviderKey", keys::rotate)
            .says("A new key", "In place of the others, unless `keep_others`.")
            .takes::<keys::RotateRequest>()
            .answers_list::<keys::KeyView>()
            .contended()
            .refuses(412, "There are as many keys as there may be.")
            .refuses(502, "The vendor gave no token for the new key; the old ones stay."),
        Route::delete(
            "/agent-network/providers/{id}/keys/{key_id}",
            "deleteProviderKey",
            keys::remove,
        )
        .says("Remove a key", "The last one stays, where the provider needs one.")
        .answers_object()
        .conditional()
        .refuses(412, "It is the only key."),
    ]
}

fn policies() -> Vec<Route> {
    let mut routes = Vec::new();
    routes.extend(resources::routes::<PolicyDoc>(
        ["/agent-network/policies", "/agent-network/policies/{id}"],
        [
            "listPolicies",
            "createPolicy",
            "getPolicy",
            "updatePolicy",
            "deletePolicy",
        ],
    ));
    routes.push(
        Route::post(
            "/agent-network/policies/explain",
            "explainRequest",
            explain::answer,
        )
        .access(Access::Read)
        .says(
            "What would become of a request, and why",
            "By what the workers decide by; nothing is spent.",
        )
        .takes::<explain::ExplainRequest>()
        .answers::<explain::ExplainAnswer>()
        .refuses(404, "There is no such peer.")
        .refuses(412, "The peer is not let in."),
    );
    routes.extend(resources::routes::<GuardrailDoc>(
        [
            "/agent-network/guardrails",
            "/agent-network/guardrails/{id}",
        ],
        [
            "listGuardrails",
            "createGuardrail",
            "getGuardrail",
            "updateGuardrail",
            "deleteGuardrail",
        ],
    ));
    routes.extend(resources::routes::<BudgetRuleDoc>(
        [
            "/agent-network/budget-rules",
            "/agent-network/budget-rules/{id}",
        ],
        [
            "listBudgetRules",
            "createBudgetRule",
            "getBudgetRule",
            "updateBudgetRule",
            "deleteBudgetRule",
        ],
    ));
    routes.push(
        Route::get(
            "/agent-network/consumption",
            "listConsumption",
            levels::consumption,
        )
        .says("What users and groups spent of their limits", "")
        .answers_list::<levels::Consumption>(),
    );
    routes.push(limits(
        Route::get("/agent-network/limits", "listLimits", levels::limits)
            .says(
                "How full every limit is",
                "The fullest first, a thousand at most.",
            )
            .answers::<levels::LevelsAnswer>(),
    ));
    routes
}

fn settings() -> Vec<Route> {
    const PATH: &str = "/agent-network/settings";
    vec![
        Route::get(PATH, "getSettings", settings::show)
            .says(
                "The endpoint's name, and what is collected",
                "Defaults before there is a name.",
            )
            .answers::<settings::SettingsView>()
            .versioned(),
        Route::post(PATH, "createSettings", settings::create)
            .says(
                "Name the endpoint",
                "Exactly one of `proxy_address` and `endpoint`.",
            )
            .takes::<settings::CreateRequest>()
            .answers::<settings::SettingsView>()
            .versioned()
            .contended(),
        Route::put(PATH, "updateSettings", settings::update)
            .says("Change what is collected", "The name stays.")
            .takes::<settings::UpdateRequest>()
            .answers::<settings::SettingsView>()
            .versioned()
            .refuses(404, "The endpoint has no name yet.")
            .conditional(),
        Route::delete(PATH, "deleteSettings", settings::remove)
            .says("Give the endpoint's name up", "Providers have to be gone.")
            .answers_object()
            .refuses(404, "The endpoint has no name.")
            .conditional(),
    ]
}

fn usage() -> Vec<Route> {
    vec![
        paged(
            Route::get("/agent-network/access-logs", "listAccessLogs", logs::list)
                .says("Exchanges", "")
                .answers_page::<AccessLogEntry>("AccessLogPage"),
            &["timestamp", "model", "provider", "status_code", "duration", "cost_usd", "total_tokens",
              "user_id", "decision"],
        ),
        export_format(filtered(
            Route::get("/agent-network/access-logs/export", "exportAccessLogs", log_export::export)
                .says("All exchanges that match, the oldest first", "")
                .answers_text("application/jsonl")
                .answers_text("text/csv"),
        )),
        filtered(
            Route::get("/agent-network/access-logs/stream", "streamAccessLogs", log_stream::stream)
                .says(
                    "Exchanges as they become visible",
                    "Server-sent events: `entry` with an AccessLogEntry as `data` and its sequence as `id`, \
                     at last `end` with a `reason`.",
                )
                .answers_text("text/event-stream")
                .refuses(429, "There are too many readers."),
        )
        .query("after", json!({"type": "integer", "format": "int64"}), "Begin behind this sequence."),
        Route::get("/agent-network/access-logs/{id}", "getAccessLog", logs::show)
            .says("One exchange", "With its captured texts, for those who may read them.")
            .answers::<logs::Exchange>(),
        paged(
            Route::get("/agent-network/access-log-sessions", "listAccessLogSessions", logs::sessions)
                .says("Exchanges by session", "")
                .answers_page::<SessionEntry>("AccessLogSessionPage"),
            &["timestamp", "started_at", "cost_usd", "total_tokens", "duration", "request_count",
              "status_code", "user_id", "decision"],
        ),
        table_format(overview(
            Route::get("/agent-network/usage/overview", "getUsageOverview", usage::overview)
                .says("Sums per period", "")
                .answers_list::<UsageBucket>()
                .answers_text("text/csv"),
        )),
        grouped(table_format(overview(
            Route::get("/agent-network/usage/breakdown", "getUsageBreakdown", usage::breakdown)
                .says("Sums per provider, model, user or group", "")
                .answers_list::<UsageTotal>()
                .answers_text("text/csv"),
        ))),
    ]
}

fn peers() -> Vec<Route> {
    const ALL: &str = "/agent-network/peers";
    const ONE: &str = "/agent-network/peers/{id}";
    vec![
        Route::get(ALL, "listPeers", peers::list)
            .says("Peers of every source", "")
            .answers_list::<peers::PeerView>(),
        Route::post(ALL, "createPeer", peers::create)
            .says(
                "Add a peer",
                "By its overlay addresses, or by its WireGuard key.",
            )
            .takes::<peers::PeerRequest>()
            .answers::<peers::PeerView>()
            .versioned()
            .contended(),
        Route::get(ONE, "getPeer", peers::show)
            .says("One peer", "")
            .answers::<peers::PeerView>()
            .versioned(),
        Route::put(ONE, "updatePeer", peers::update)
            .says("Replace a peer", "One of the node's own, that is.")
            .takes::<peers::PeerRequest>()
            .answers::<peers::PeerView>()
            .versioned()
            .conditional(),
        Route::delete(ONE, "deletePeer", peers::remove)
            .says("Remove a peer", "")
            .answers_object()
            .conditional(),
        Route::get("/agent-network/groups", "listGroups", peers::groups)
            .says("Groups of every source", "")
            .answers_list::<GroupDoc>(),
    ]
}

fn node() -> Vec<Route> {
    vec![
        Route::get("/agent-network/status", "getStatus", node::status)
            .access(Access::Health)
            .says("What the node knows about itself", "")
            .answers::<state::NodeStatus>(),
        Route::get(
            "/agent-network/admission",
            "getAdmission",
            admission::status,
        )
        .access(Access::Health)
        .says("Kernel admission: where it stands, and what it counted", "")
        .answers::<AdmissionStatus>(),
        Route::get(
            "/agent-network/admission/history",
            "getAdmissionHistory",
            admission::history,
        )
        .access(Access::Health)
        .says("What kernel admission counted in the last hour", "")
        .answers::<AdmissionHistory>(),
        Route::get(
            "/agent-network/admission/peers",
            "listAdmissionPeers",
            admission::peers,
        )
        .says("The kernel's counters of every peer", "")
        .answers_list::<PeerTraffic>(),
        Route::get(
            "/agent-network/agent-config",
            "getAgentConfig",
            agent_config::show,
        )
        .says(
            "How to point agents and SDKs at the endpoint",
            "What `keyway agent-config` says, for every tool and every API that it speaks.",
        )
        .answers::<agent_config::AgentConfigs>()
        .refuses(412, "There is no endpoint before the first provider."),
        Route::get("/agent-network/health", "getHealth", node::health)
            .access(Access::Health)
            .says("Whether the node may receive traffic", "")
            .answers::<node::Health>()
            .also::<node::Health>(503, "Not yet, or not any more; `not_ready` says why."),
        Route::get("/agent-network/me/setup", "getMySetup", setup::show)
            .access(Access::Known)
            .says(
                "What the caller may use",
                "For peers over the overlay; who reads the configuration sees all.",
            )
            .answers::<setup::Setup>(),
        Route::get("/agent-network/ca", "getCa", node::ca)
            .says(
                "The certificate of the internal CA",
                "What agents have to trust.",
            )
            .answers_text("application/x-pem-file")
            .refuses(404, "The endpoint's certificate comes from files."),
    ]
}

fn access() -> Vec<Route> {
    const TOKENS: &str = "/agent-network/tokens";
    vec![
        Route::get(TOKENS, "listTokens", tokens::list)
            .access(Access::Own)
            .says("Tokens", "")
            .answers_list::<tokens::TokenView>(),
        Route::post(TOKENS, "createToken", tokens::create)
            .access(Access::Own)
            .says("Make a token", "This answer is the only one that has it.")
            .takes::<tokens::TokenRequest>()
            .answers::<tokens::CreatedView<'_>>()
            .contended()
            .refuses(412, "There are as many tokens as there may be."),
        Route::delete("/agent-network/tokens/{id}", "deleteToken", tokens::revoke)
            .access(Access::Own)
            .says("Revoke a token", "Sessions that began with it end.")
            .answers_object()
            .conditional(),
        Route::post(
            "/agent-network/keys/rotate-master",
            "rotateMasterKey",
            keys::rotate_master,
        )
        .access(Access::Own)
        .says("Seal every secret under a new master key", "")
        .answers::<keys::RotateMasterReport>()
        .refuses(
            412,
            "The next key is not in its place; the message says where that is.",
        ),
        Route::get("/agent-network/store/export", "exportStore", export::export)
            .access(Access::Own)
            .says("The whole store as text", "Keys stay sealed.")
            .answers_text("application/jsonl"),
    ]
}

fn audit() -> Vec<Route> {
    vec![
        changes(
            Route::get("/agent-network/audit", "listAudit", audit::list)
                .says("Who changed what", "The newest first.")
                .answers_page::<Entry>("AuditPage"),
        ),
        Route::get("/agent-network/audit/verify", "verifyAudit", audit::verify)
            .says("Whether every entry is there, and as it was written", "")
            .query(
                "contains",
                json!({"type": "string"}),
                "A hash that was noted: an entry has to have it.",
            )
            .answers::<Verified>(),
        Route::get("/agent-network/audit/{id}", "getAuditEntry", audit::show)
            .says("One change", "")
            .answers::<Entry>(),
    ]
}

fn document() -> Vec<Route> {
    vec![
        Route::get("/openapi.json", "getDocument", openapi::serve)
            .access(Access::Known)
            .says("This document", "")
            .answers_object(),
        Route::get("/docs", "getDocs", docs::index)
            .access(Access::Known)
            .says("A page to read it, and to try it", "")
            .answers_text("text/html; charset=utf-8"),
        Route::get("/docs/{file}", "getDocsFile", docs::file)
            .access(Access::Known)
            .says("What that page is made of", "")
            .answers_text("text/css")
            .answers_text("text/javascript")
            .answers_text("image/png"),
    ]
}
