//! `keyway policies explain`: what would become of a request, and why.

use clap::Args;
use serde_json::{Value, json};

use super::{
    Failure,
    client::Client,
    levels,
    limits::count,
    lookup::{items, text},
    output::{Column, Output, grouped},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Who asks: id, name or overlay address of a peer
    #[arg(long)]
    peer: String,
    /// For which model; not needed where the path names it
    #[arg(long, required_unless_present = "path")]
    model: Option<String>,
    /// By which path, as the agent's SDK sends it [default: /v1/chat/completions]
    #[arg(long)]
    path: Option<String>,
    /// By which method, where the path has several
    #[arg(long, requires = "path")]
    method: Option<String>,
    /// Size of the request's body [default: 1024]
    #[arg(long, value_name = "BYTES", value_parser = count)]
    body_bytes: Option<u64>,
    /// The bound on output that the request sets, if it does
    #[arg(long, value_name = "TOKENS", value_parser = count)]
    max_tokens: Option<u64>,
    /// It has images or files, or continues a conversation that the provider keeps
    #[arg(long)]
    fills_window: bool,
}

pub(super) async fn run(
    arguments: Arguments,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let question = json!({
        "peer": arguments.peer,
        "model": arguments.model,
        "path": arguments.path,
        "method": arguments.method,
        "body_bytes": arguments.body_bytes,
        "max_tokens": arguments.max_tokens,
        "fills_window": arguments.fills_window,
    });
    let answer = client.post("/policies/explain", &question).await?;
    output.show_fields(&answer, || summary(&answer))?;
    let providers = rows(&answer["providers"], &answer, "provider");
    section(output, ["PROVIDER", "STATE", "WHY"], providers)?;
    let policies = rows(&answer["policies"], &answer, "policy");
    section(output, ["POLICY", "STATE", "WHY"], policies)?;
    if let Some(more @ 1..) = answer["policies_left_out"].as_u64() {
        output.note(format!("and {} more policies", grouped(more)))?;
    }
    for policy in items(&answer["policies"]) {
        // Of those that were asked to pay.
        if matches!(text(policy, "state"), "pays" | "no_room") {
            limits(policy, output)?;
        }
    }
    Ok(())
}

fn summary(answer: &Value) -> Vec<(&'static str, String)> {
    let named = |field: &str| text(&answer[field], "name").to_owned();
    let denial = &answer["denial"];
    let verdict = match answer["allowed"].as_bool() {
        Some(true) => "allowed".to_owned(),
        Some(false) | None => format!("denied: {} {}", denial["status"], text(denial, "code")),
    };
    let groups: Vec<&str> = items(&answer["groups"])
        .iter()
        .map(|group| text(group, "name"))
        .collect();
    let caller = match (named("peer"), named("user")) {
        (peer, user) if peer == user => peer,
        (peer, user) => format!("{peer}, of {user}"),
    };
    let problem = &answer["provider_problem"];
    let policy = match (named("policy"), named("group")) {
        (policy, group) if group.is_empty() => policy,
        (policy, group) => format!("{policy}, counted for group {group}"),
    };
    vec![
        ("answer", verdict),
        ("peer", caller),
        ("groups", groups.join(", ")),
        (
            "request",
            format!("{} ({})", text(answer, "path"), text(answer, "dialect")),
        ),
        ("model", text(answer, "model").to_owned()),
        ("object", object(&answer["object"])),
        ("size", size(answer)),
        ("provider", named("provider")),
        (
            "but",
            match problem.is_null() || answer["allowed"] != true {
                true => String::new(),
                false => format!(
                    "the provider cannot be asked now: {} {}",
                    problem["status"],
                    text(problem, "code")
                ),
            },
        ),
        ("paid by", policy),
    ]
}

fn object(object: &Value) -> String {
    if object.is_null() {
        return String::new();
    }
    let kept = match text(&object["kept_by"], "name") {
        "" => "not known as the caller's, so that any provider may be asked".to_owned(),
        name => format!("kept by {name} for the caller"),
    };
    let usage = match text(object, "usage") {
        "counted" => "; what it used is counted",
        "open" => "; what it used is counted when it is done",
        _ => "",
    };
    format!("{}: {kept}{usage}", text(object, "id"))
}

fn size(answer: &Value) -> String {
    let bytes = grouped(answer["body_bytes"].as_u64().unwrap_or(0));
    match answer["max_tokens"].as_u64() {
        Some(most) => format!("{bytes} bytes, at most {} output tokens", grouped(most)),
        None => format!("{bytes} bytes, no bound on output"),
    }
}

/// Name, state and reason of each; the one that was taken is marked.
fn rows(list: &Value, answer: &Value, taken: &str) -> Vec<Vec<String>> {
    let taken = text(&answer[taken], "id");
    items(list)
        .iter()
        .map(|row| {
            let mark = if text(row, "id") == taken { "* " } else { "  " };
            vec![
                format!("{mark}{}", text(row, "name")),
                text(row, "state").replace('_', " "),
                text(row, "why").to_owned(),
            ]
        })
        .collect()
}

fn section(
    output: &mut Output,
    headings: [&'static str; 3],
    rows: Vec<Vec<String>>,
) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    output.note("")?;
    output.table_for_people(&headings.map(Column::Left), rows)
}

fn limits(policy: &Value, output: &mut Output) -> Result<(), Failure> {
    let limits = items(&policy["limits"]);
    if limits.is_empty() {
        return Ok(());
    }
    output.note(format!("\nLimits under {}:", text(policy, "name")))?;
    let columns = [
        Column::Left("SET BY"),
        Column::Left("LIMIT"),
        Column::Right("SPENT"),
        Column::Right("THIS TAKES"),
        Column::Right("CAP"),
        Column::Left("MODE"),
        Column::Left("ROOM"),
    ];
    let rows = limits.iter().map(|limit| {
        let unit = text(limit, "unit");
        let takes = match limit["takes"].is_null() {
            true => "any".to_owned(),
            false => levels::amount(unit, &limit["takes"]),
        };
        vec![
            match text(limit, "rule") {
                "" => text(limit, "set_by").to_owned(),
                rule => format!("budget rule {rule}"),
            },
            levels::limit(unit, &limit["window_seconds"]),
            levels::amount(unit, &limit["spent"]),
            takes,
            levels::amount(unit, &limit["cap"]),
            match limit["hard"].as_bool() {
                Some(true) => "hard".to_owned(),
                Some(false) | None => "soft".to_owned(),
            },
            match limit["has_room"].as_bool() {
                Some(true) => "yes".to_owned(),
                Some(false) | None => {
                    let denial = &limit["denial"];
                    format!("no: {} {}", denial["status"], text(denial, "code"))
                }
            },
        ]
    });
    output.table_for_people(&columns, rows.collect())
}
