//! `cargo xtask catalog`: README's table of providers, from the catalog and from what the tests run.

mod clients;

use std::{fmt::Write, fs};

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::command::root;
use clients::Clients;

const README: &str = "README.md";
const CATALOG: &str = "config/catalog.toml";
const BEGIN: &str = "<!-- begin: cargo xtask catalog -->\n";
const END: &str = "<!-- end: cargo xtask catalog -->\n";

/// Writes the table.
pub(crate) fn run() -> Result<()> {
    let old = fs::read_to_string(root().join(README))?;
    let new = updated(&old, &table()?)?;
    if new != old {
        fs::write(root().join(README), new)?;
        println!("{README} has the new table");
    }
    Ok(())
}

/// What is wrong with the table in the tree, if anything.
pub(crate) fn problem() -> Result<Option<String>> {
    let old = fs::read_to_string(root().join(README))?;
    let is_new = updated(&old, &table()?)? == old;
    Ok((!is_new).then(|| format!("{README}: its table is old (cargo xtask catalog)")))
}

fn updated(readme: &str, table: &str) -> Result<String> {
    let parts = readme
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        bail!("{README} has no place for the table: {BEGIN}");
    };
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

fn table() -> Result<String> {
    let text = fs::read_to_string(root().join(CATALOG))?;
    render(&text, &Clients::load()?)
}

fn render(catalog: &str, clients: &Clients) -> Result<String> {
    let catalog: Table = catalog.parse().context(CATALOG)?;
    let entries = catalog.get("entry").and_then(Value::as_array);
    let entries = entries.with_context(|| format!("{CATALOG} has no [[entry]]"))?;
    let mut table = "\
| provider | id | request shapes | key goes into | told who calls | models imported | run against it |\n\
|---|---|---|---|---|---|---|\n"
        .to_owned();
    let mut ids = Vec::new();
    for entry in entries {
        let id = text(entry, "id");
        writeln!(
            table,
            "| {} | `{id}` | {} | {} | {} | {} | {} |",
            text(entry, "name"),
            shapes(entry),
            key(entry),
            identity(entry),
            listing(entry),
            match clients.of(id).as_str() {
                "" => "—",
                run => run,
            },
        )?;
        ids.push(id);
    }
    clients.refuse_unknown(&ids)?;
    Ok(table)
}

fn shapes(entry: &Value) -> String {
    let shapes = entry.get("dialects").and_then(Value::as_array);
    let shapes: Vec<&str> = shapes
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match shapes.as_slice() {
        [] => "any".to_owned(),
        some => some.join(", "),
    }
}

fn key(entry: &Value) -> String {
    let auth = entry.get("auth");
    let part = |name| auth.map_or("", |auth| text(auth, name));
    let prefix = part("value").split("${").next().unwrap_or_default().trim();
    match (part("header"), prefix) {
        (header, "") => format!("`{header}`"),
        (header, prefix) => format!("`{header}: {prefix}`"),
    }
}

fn identity(entry: &Value) -> String {
    let Some(identity) = entry.get("identity") else {
        return "no".to_owned();
    };
    let mut ways: Vec<String> = ["user_header", "groups_header", "header"]
        .iter()
        .map(|name| text(identity, name))
        .filter(|header| !header.is_empty())
        .map(|header| format!("`{}`", header.to_ascii_lowercase()))
        .collect();
    let body = identity.get("body").and_then(Value::as_array);
    if body.is_some_and(|fields| !fields.is_empty()) {
        ways.push("body".to_owned());
    }
    ways.join(", ")
}

fn listing(entry: &Value) -> &'static str {
    if entry.get("listing").is_some() && entry.get("unlisted").is_none() {
        "yes"
    } else {
        "no"
    }
}

fn text<'a>(table: &'a Value, key: &str) -> &'a str {
    table.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENTS: &str = r#"
[[client]]
entries = ["b"]
name = "sdk"
package = "sdk"
lock = "l"
test = "t"
"#;

    #[test]
    fn a_row_says_what_the_catalog_does() {
        let catalog = r#"
[[entry]]
id = "a"
name = "A"
auth = { header = "authorization", value = "Bearer ${API_KEY}" }
dialects = []
listing = { path = "/v1/models", shape = "openai" }

[[entry]]
id = "b"
name = "B"
auth = { header = "x-key", value = "${API_KEY}" }
dialects = ["openai", "azure"]
[entry.identity]
user_header = "X-U"
body = ["user"]
"#;
        let read = |file: &str| {
            let lines = [("l", "sdk==1.2.3 \\\n"), ("t", "import sdk")];
            let found = lines.iter().find(|(name, _)| *name == file);
            Ok(found
                .map(|(_, text)| (*text).to_owned())
                .unwrap_or_default())
        };
        let clients = Clients::parse(CLIENTS, read).unwrap();
        let table = render(catalog, &clients).unwrap();
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| A | `a` | any | `authorization: Bearer` | no | yes | — |",
                "| B | `b` | openai, azure | `x-key` | `x-u`, body | no | sdk 1.2.3 |",
            ]
        );
        assert!(render(&catalog.replace("\"b\"", "\"c\""), &clients).is_err());
    }

    #[test]
    fn only_what_stands_between_the_marks_changes() {
        let readme = format!("before\n{BEGIN}old\n{END}after\n");
        let new = updated(&readme, "new\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}new\n{END}after\n"));
        assert!(updated("no marks", "new").is_err());
    }
}
