//! Finding what an operator means: documents by id or name, and reading fields of JSON answers.

use serde_json::Value;

use super::{Failure, client::Client, output::Output};

/// The one document of a listing whose id or name is `wanted`.
pub(super) async fn find(client: &Client, path: &str, wanted: &str) -> Result<Value, Failure> {
    let listing = client.get(path).await?;
    pick(items(&listing), wanted)
        .cloned()
        .map_err(|problem| Failure::Failed(format!("{problem} (see `keyway {} list`)", &path[1..])))
}

/// Deletes the one document of a listing whose id or name is `wanted`, and says what was `done` to it.
pub(super) async fn remove(
    client: &Client,
    path: &str,
    wanted: &str,
    done: &'static str,
    output: &mut Output,
) -> Result<(), Failure> {
    let document = find(client, path, wanted).await?;
    let answer = client
        .delete(&format!("{path}/{}", text(&document, "id")))
        .await?;
    output.show_fields(&answer, || vec![(done, text(&document, "name").to_owned())])
}

/// Ids for ids or names; what is not known is passed on for the node to judge or to make.
pub(super) async fn group_ids(client: &Client, wanted: &[String]) -> Result<Vec<String>, Failure> {
    let groups = client.get("/groups").await?;
    Ok(wanted
        .iter()
        .map(|name| match pick(items(&groups), name) {
            Ok(group) => text(group, "id").to_owned(),
            Err(_) => name.clone(),
        })
        .collect())
}

/// Ids of documents of a listing given by id or name.
pub(super) async fn ids(
    client: &Client,
    path: &str,
    wanted: &[String],
) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::with_capacity(wanted.len());
    for name in wanted {
        let document = find(client, path, name).await?;
        ids.push(text(&document, "id").to_owned());
    }
    Ok(ids)
}

/// Ids of users given by id, by e-mail address, or by the id or name of a peer; what no peer tells is
/// passed on: users need not have one yet.
pub(super) async fn user_ids(client: &Client, wanted: &[String]) -> Result<Vec<String>, Failure> {
    let peers = client.get("/peers").await?;
    Ok(wanted
        .iter()
        .map(|user| user_id(items(&peers), user).to_owned())
        .collect())
}

fn user_id<'a>(peers: &'a [Value], wanted: &'a str) -> &'a str {
    if peers.iter().any(|peer| text(peer, "user_id") == wanted) {
        return wanted;
    }
    let emailed = peers
        .iter()
        .find(|peer| text(peer, "user_email").eq_ignore_ascii_case(wanted));
    match emailed.or_else(|| pick(peers, wanted).ok()) {
        Some(peer) => principal(peer),
        None => wanted,
    }
}

/// The name that goes with a user's id, or the id.
pub(super) fn user_name_of<'a>(peers: &'a Value, id: &'a str) -> &'a str {
    let peer = items(peers).iter().find(|peer| principal(peer) == id);
    match peer {
        Some(peer) if text(peer, "user_id").is_empty() => text(peer, "name"),
        Some(peer) if !text(peer, "user_email").is_empty() => text(peer, "user_email"),
        Some(_) | None => id,
    }
}

/// Whom a peer's requests count for: its owner, or a machine without one itself.
fn principal(peer: &Value) -> &str {
    match text(peer, "user_id") {
        "" => text(peer, "id"),
        user_id => user_id,
    }
}

/// The names that go with a document's list of ids, joined.
pub(super) fn names(document: &Value, field: &str, listing: &Value) -> String {
    let names: Vec<&str> = items(&document[field])
        .iter()
        .filter_map(Value::as_str)
        .map(|id| name_of(listing, id))
        .collect();
    names.join(", ")
}

/// The name that goes with an id, or the id.
pub(super) fn name_of<'a>(listing: &'a Value, id: &'a str) -> &'a str {
    items(listing)
        .iter()
        .find(|item| text(item, "id") == id)
        .map_or(id, |item| text(item, "name"))
}

pub(super) fn items(listing: &Value) -> &[Value] {
    listing.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or("")
}

/// A list of strings, joined.
pub(super) fn joined(value: &Value, field: &str) -> String {
    let texts: Vec<&str> = items(&value[field])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    texts.join(", ")
}

pub(super) fn yes_no(value: &Value, field: &str) -> String {
    if value[field].as_bool().unwrap_or(false) {
        "yes".to_owned()
    } else {
        "no".to_owned()
    }
}

/// `2026-11-23 06:45` of an RFC 3339 time.
pub(super) fn minute(value: &Value, field: &str) -> String {
    let time = text(value, field);
    match (time.get(..10), time.get(11..16)) {
        (Some(day), Some(minute)) => format!("{day} {minute}"),
        _ => time.to_owned(),
    }
}

/// Query text of the given pairs.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let mut query = String::new();
    for (name, value) in pairs {
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(name);
        query.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                query.push(char::from(byte));
            } else {
                query.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    query
}

fn pick<'a>(items: &'a [Value], wanted: &str) -> Result<&'a Value, String> {
    if let Some(found) = items.iter().find(|item| text(item, "id") == wanted) {
        return Ok(found);
    }
    let mut named = items
        .iter()
        .filter(|item| text(item, "name").eq_ignore_ascii_case(wanted));
    match (named.next(), named.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => Err(format!("{wanted} is the name of several; use the id")),
        (None, _) => Err(format!("nothing here has the id or name {wanted}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_found_by_id_or_a_name_of_their_own() {
        let items = [
            json!({"id": "1", "name": "OpenAI"}),
            json!({"id": "2", "name": "twin"}),
            json!({"id": "3", "name": "twin"}),
            json!({"id": "4", "name": "1"}),
        ];
        let id = |wanted| pick(&items, wanted).map(|item| text(item, "id"));
        assert_eq!(id("openai"), Ok("1"));
        assert_eq!(id("1"), Ok("1"));
        assert_eq!(id("3"), Ok("3"));
        assert!(id("twin").is_err());
        assert!(id("none").is_err());
    }

    #[test]
    fn users_are_known_by_their_peers() {
        let peers = json!([
            {"id": "peer_1", "name": "laptop", "user_id": "u-ada", "user_email": "ada@example.com"},
            {"id": "peer_2", "name": "build-1", "user_id": null, "user_email": null},
        ]);
        for (wanted, id, shown) in [
            ("u-ada", "u-ada", "ada@example.com"),
            ("Ada@example.com", "u-ada", "ada@example.com"),
            ("laptop", "u-ada", "ada@example.com"),
            ("build-1", "peer_2", "build-1"),
            ("peer_2", "peer_2", "build-1"),
            ("u-bob", "u-bob", "u-bob"),
            ("", "", ""),
        ] {
            assert_eq!(user_id(items(&peers), wanted), id, "{wanted}");
            assert_eq!(user_name_of(&peers, id), shown, "{wanted}");
        }
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(
            query(&[("a", "x y"), ("b", "ä&=")]),
            "?a=x%20y&b=%C3%A4%26%3D"
        );
        assert_eq!(query(&[]), "");
    }
}
