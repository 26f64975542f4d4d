//! Which client the tests run against which catalog entry (`tests/clients.toml`). A claim holds only with a
//! test that names the package, and a lock file that pins its version.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::command::root;

const FILE: &str = "tests/clients.toml";

pub(super) struct Clients(Vec<Run>);

/// One client, as the table shows it.
struct Run {
    entries: Vec<String>,
    shown: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    client: Vec<Client>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    /// Catalog ids.
    entries: Vec<String>,
    /// What the table calls it.
    name: String,
    package: String,
    /// `requirements.txt` or `package-lock.json`.
    lock: String,
    test: String,
    /// What stands behind the node where it is the real thing.
    server: Option<Server>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    name: String,
    package: String,
    lock: String,
}

impl Clients {
    pub(super) fn load() -> Result<Self> {
        let read = |path: &str| fs::read_to_string(root().join(path)).context(path.to_owned());
        Self::parse(&read(FILE)?, read)
    }

    pub(super) fn parse(text: &str, read: impl Fn(&str) -> Result<String>) -> Result<Self> {
        let file: File = toml::from_str(text).context(FILE)?;
        let run = |client: Client| {
            let test = read(&client.test)?;
            let module = client.package.rsplit('/').next().unwrap_or_default();
            ensure!(
                test.contains(module),
                "{} does not name {}",
                client.test,
                client.package
            );
            let version = version(&client.lock, &client.package, &read)?;
            let mut shown = match client.name.split_once(" (") {
                Some((name, rest)) => format!("{name} {version} ({rest}"),
                None => format!("{} {version}", client.name),
            };
            if let Some(server) = &client.server {
                let of_server = self::version(&server.lock, &server.package, &read)?;
                shown += &format!(", before {} {of_server}", server.name);
            }
            Ok(Run {
                entries: client.entries,
                shown,
            })
        };
        let runs: Result<Vec<Run>> = file.client.into_iter().map(run).collect();
        runs.map(Self)
    }

    /// Everything that is run against an entry.
    pub(super) fn of(&self, id: &str) -> String {
        let runs = self
            .0
            .iter()
            .filter(|run| run.entries.iter().any(|entry| entry == id));
        runs.map(|run| run.shown.as_str())
            .collect::<Vec<_>>()
            .join("; ")
    }

    pub(super) fn refuse_unknown(&self, ids: &[&str]) -> Result<()> {
        for entry in self.0.iter().flat_map(|run| &run.entries) {
            ensure!(
                ids.contains(&entry.as_str()),
                "{FILE}: the catalog has no {entry}"
            );
        }
        Ok(())
    }
}

/// The version that a lock file pins.
fn version(lock: &str, package: &str, read: impl Fn(&str) -> Result<String>) -> Result<String> {
    let text = read(lock)?;
    let found = if lock.ends_with(".json") {
        let lock: Value = serde_json::from_str(&text).context(lock.to_owned())?;
        let pinned = &lock["packages"][format!("node_modules/{package}")]["version"];
        pinned.as_str().map(str::to_owned)
    } else {
        // `name[extra]==1.2.3 \`
        text.lines().find_map(|line| {
            let (name, version) = line.split_once("==")?;
            let name = name.split('[').next()?;
            let version = version.split([' ', ';']).next()?;
            (name == package).then(|| version.to_owned())
        })
    };
    found.with_context(|| format!("{lock} does not pin {package}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_lock_files() {
        let read = |path: &str| {
            Ok(match path {
                "r.txt" => "a-b==1.0.0 \\\n    --hash=x\na==2.0.0 \\\nc[d]==3.0.0 ; x\n".to_owned(),
                _ => r#"{"packages":{"node_modules/@s/a":{"version":"4.0.0"}}}"#.to_owned(),
            })
        };
        for (lock, package, expected) in [
            ("r.txt", "a", Some("2.0.0")),
            ("r.txt", "a-b", Some("1.0.0")),
            ("r.txt", "c", Some("3.0.0")),
            ("r.txt", "none", None),
            ("package-lock.json", "@s/a", Some("4.0.0")),
            ("package-lock.json", "@s", None),
        ] {
            assert_eq!(
                version(lock, package, read).ok().as_deref(),
                expected,
                "{package}"
            );
        }
    }

    #[test]
    fn a_claim_needs_its_test() {
        let text = "[[client]]\nentries = [\"e\"]\nname = \"n\"\npackage = \"sdk\"\nlock = \"l\"\ntest = \"t\"\n";
        let read = |test: &'static str| {
            move |path: &str| Ok(if path == "l" { "sdk==1\n" } else { test }.to_owned())
        };
        assert_eq!(
            Clients::parse(text, read("import sdk")).unwrap().of("e"),
            "n 1"
        );
        assert!(Clients::parse(text, read("import other")).is_err());
    }
}
