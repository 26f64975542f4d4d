//! A key asked for at the terminal, in the parts that its vendor gives it out in.

use http::Uri;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    cli::{Failure, prompt::Ask, secret_input},
    control_plane::catalog::KeyKind,
    dialect::bedrock::host,
};

/// Asks until there is a key; an empty one is for whoever called to judge. `url` is where it is for.
pub(super) fn ask(
    kind: KeyKind,
    help: &str,
    url: &str,
    ask: &mut dyn Ask,
) -> Result<Zeroizing<String>, Failure> {
    match kind {
        KeyKind::Text => plain(help, ask),
        KeyKind::Aws => {
            let kinds = ["A Bedrock API key", "IAM access keys"].map(str::to_owned);
            match ask.choose("Which kind of key?", "", &kinds)? {
                0 => plain(help, ask),
                _ => access_keys(url, ask),
            }
        }
        KeyKind::GoogleServiceAccount => service_account(help, ask),
    }
}

fn plain(help: &str, ask: &mut dyn Ask) -> Result<Zeroizing<String>, Failure> {
    let key = ask.secret("Key", help)?;
    Ok(Zeroizing::new(key.trim().to_owned()))
}

/// In the form that they are stored in.
fn access_keys(url: &str, ask: &mut dyn Ask) -> Result<Zeroizing<String>, Failure> {
    let id = loop {
        let id = ask.text("Access key id", "AKIA…, or ASIA… of temporary keys", "")?;
        if is_part(&id) {
            break id;
        }
        ask.say("  It has letters and digits only.");
    };
    let secret = secret_part("Secret access key", "", Blank::Refused, ask)?;
    let help = "of temporary keys; empty for keys that last";
    let token = secret_part("Session token", help, Blank::Taken, ask)?;
    let scheme = match url_region(url) {
        Some(_) => "iam".to_owned(),
        None => format!("iam@{}", region(ask)?),
    };
    let session = if token.is_empty() { "" } else { ":" };
    Ok(Zeroizing::new(
        [&scheme, "::", &id, ":", &secret, session, &token].concat(),
    ))
}

/// Whether nothing is an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blank {
    Taken,
    Refused,
}

fn secret_part(
    question: &str,
    help: &str,
    blank: Blank,
    ask: &mut dyn Ask,
) -> Result<Zeroizing<String>, Failure> {
    loop {
        let answer = ask.secret(question, help)?;
        let answer = Zeroizing::new(answer.trim().to_owned());
        if is_part(&answer) || (answer.is_empty() && blank == Blank::Taken) {
            return Ok(answer);
        }
        ask.say("  That is no part of access keys.");
    }
}

/// Cannot be taken for two parts.
fn is_part(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b':')
}

/// The region that a host of AWS' own tells.
fn url_region(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host()?.to_ascii_lowercase();
    host::endpoint(&host).map(|endpoint| endpoint.region.to_owned())
}

fn region(ask: &mut dyn Ask) -> Result<String, Failure> {
    let help = "that requests are signed for, such as us-east-1; the host tells none";
    loop {
        let region = ask.text("Region", help, "")?;
        if host::is_region(&region) {
            return Ok(region);
        }
        ask.say("  A region is like us-east-1.");
    }
}

/// The file's JSON, with the project where the file names none.
fn service_account(help: &str, ask: &mut dyn Ask) -> Result<Zeroizing<String>, Failure> {
    loop {
        let path = ask.text("Path of the key file", help, "")?;
        let text = match secret_input::read_file(path.as_ref()) {
            Ok(text) => text,
            Err(failure) => {
                ask.say(&format!("  {}", failure.message()));
                continue;
            }
        };
        let mut account = match serde_json::from_str(&text) {
            Ok(Value::Object(account)) => account,
            Ok(_) | Err(_) => {
                ask.say("  That file is not the JSON of a service account.");
                continue;
            }
        };
        if account.get("project_id").is_some_and(Value::is_string) {
            return Ok(Zeroizing::new(text.trim().to_owned()));
        }
        let project = ask.text("Project", "the file names none", "")?;
        account.insert("project_id".to_owned(), json!(project));
        return Ok(Zeroizing::new(Value::Object(account).to_string()));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::prompt::tests::Script;

    const OF_AWS: &str = "https://bedrock-runtime.us-east-1.amazonaws.com";

    fn asked(kind: KeyKind, url: &str, answers: &[(&'static str, &'static str)]) -> String {
        let mut script = Script::new(answers);
        let key = ask(kind, "", url, &mut script).unwrap();
        assert!(script.is_over());
        (*key).clone()
    }

    #[test]
    fn access_keys_are_put_together() {
        let choice = ("kind of key", "IAM");
        for (url, answers, expected) in [
            (
                OF_AWS,
                &[
                    choice,
                    ("Access key id", "AKIA1"),
                    ("Secret", "a/b+c"),
                    ("Session", ""),
                ][..],
                "iam::AKIA1:a/b+c",
            ),
            (
                OF_AWS,
                &[
                    choice,
                    ("Access key id", "ASIA1:x"),
                    ("Access key id", "ASIA1"),
                    ("Secret", ""),
                    ("Secret", " s "),
                    ("Session", "t=="),
                ],
                "iam::ASIA1:s:t==",
            ),
            (
                "https://proxy.example.com",
                &[
                    choice,
                    ("Access key id", "AKIA1"),
                    ("Secret", "s"),
                    ("Session", ""),
                    ("Region", "here"),
                    ("Region", "eu-central-1"),
                ],
                "iam@eu-central-1::AKIA1:s",
            ),
            (
                OF_AWS,
                &[("kind of key", "API key"), ("Key", " abc ")],
                "abc",
            ),
        ] {
            assert_eq!(asked(KeyKind::Aws, url, answers), expected);
        }
    }

    #[test]
    fn a_service_account_gets_its_project() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| -> &'static str {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string().leak()
        };
        let whole = file("whole", "{\"project_id\": \"p\", \"x\": 1}\n");
        let without = file("without", r#"{"x":1}"#);
        let (other, none) = (file("other", "[]"), directory.path().join("none"));
        let none = none.display().to_string().leak();
        let kind = KeyKind::GoogleServiceAccount;
        let answers = [
            ("key file", &*none),
            ("key file", other),
            ("key file", whole),
        ];
        let key = asked(kind, "", &answers);
        assert_eq!(key, r#"{"project_id": "p", "x": 1}"#);
        let key = asked(kind, "", &[("key file", without), ("Project", "mine")]);
        assert_eq!(key, r#"{"project_id":"mine","x":1}"#);
    }
}
