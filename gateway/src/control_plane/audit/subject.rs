//! What of the store is recorded, under which name, and what an entry shows of it. Secrets are in the store
//! sealed or hashed; an entry has neither, only fingerprints.

use serde_json::{Map, Value, json};

use super::{Target, hash};
use crate::control_plane::{resource::key, seal};

/// Longer texts are shown by their hash.
const TEXT_BYTES_MAX: usize = 1024;
/// As the whole of what it was, or became; fields that are too large are shown by their hash.
const SHOWN_BYTES_MAX: usize = 32 << 10;
const FIELD_BYTES_MAX: usize = 2048;
/// Sealed keys, and hashes of tokens.
const SECRET_FIELDS: [&str; 2] = ["sealed", "hash"];

/// Kinds by key prefix. Groups are not among them: they come with what names them.
const KINDS: [(&str, &str); 10] = [
    (key::PROVIDERS, "provider"),
    (key::CREDENTIALS, "provider_key"),
    (key::POLICIES, "policy"),
    (key::GUARDRAILS, "guardrail"),
    (key::BUDGETS, "budget_rule"),
    (key::PEERS, "peer"),
    (key::TOKENS, "token"),
    (key::PRICES, "prices"),
    (key::SETTINGS, "settings"),
    (seal::key::CHECK, "master_key"),
];

/// A key of the store whose changes are recorded.
pub(super) struct Subject<'k> {
    kind: &'static str,
    id: &'k str,
}

impl<'k> Subject<'k> {
    pub(super) fn of(key: &'k str) -> Option<Self> {
        KINDS.iter().find_map(|(prefix, kind)| {
            let id = key.strip_prefix(prefix)?;
            // A prefix is a directory, or the one key.
            (prefix.ends_with('/') || id.is_empty()).then_some(Self { kind, id })
        })
    }
}

/// What an entry says besides who and when.
pub(super) struct Change {
    pub(super) event: String,
    pub(super) target: Target,
    pub(super) before: Option<Map<String, Value>>,
    pub(super) after: Option<Map<String, Value>>,
}

/// `None` when nothing was there, nor is.
pub(super) fn change(
    subject: &Subject<'_>,
    before: Option<&[u8]>,
    after: Option<&[u8]>,
) -> Option<Change> {
    let what = match (before, after) {
        (None, None) => return None,
        (None, Some(_)) => "create",
        (Some(_), Some(_)) => "update",
        (Some(_), None) => "delete",
    };
    let (mut before, mut after) = (before.map(object), after.map(object));
    let named = after.as_ref().or(before.as_ref());
    let name = named.map(name).unwrap_or_default();
    if let (Some(before), Some(after)) = (&mut before, &mut after) {
        let same: Vec<String> = before
            .iter()
            .filter(|(field, value)| after.get(*field) == Some(*value))
            .map(|(field, _)| field.clone())
            .collect();
        for field in same {
            before.remove(&field);
            after.remove(&field);
        }
    }
    Some(Change {
        event: format!("agent_network.{}.{what}", subject.kind),
        target: Target {
            kind: subject.kind.to_owned(),
            id: subject.id.to_owned(),
            name,
        },
        before: before.map(shown),
        after: after.map(shown),
    })
}

fn object(value: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(value).unwrap_or_default()
}

fn name(document: &Map<String, Value>) -> String {
    let names = ["name", "endpoint", "fingerprint", "source", "key_id"];
    let name = names
        .iter()
        .find_map(|field| document.get(*field)?.as_str());
    name.unwrap_or_default().to_owned()
}

fn shown(mut document: Map<String, Value>) -> Map<String, Value> {
    for field in SECRET_FIELDS {
        document.remove(field);
    }
    for value in document.values_mut() {
        if value
            .as_str()
            .is_some_and(|text| text.len() > TEXT_BYTES_MAX)
        {
            *value = by_hash(value);
        }
    }
    let size = |document: &Map<String, Value>| json!(document).to_string().len();
    if size(&document) > SHOWN_BYTES_MAX {
        for value in document.values_mut() {
            if value.to_string().len() > FIELD_BYTES_MAX {
                *value = by_hash(value);
            }
        }
    }
    document
}

fn by_hash(value: &Value) -> Value {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    };
    json!({"bytes": text.len(), "sha256": hash(text.as_bytes())})
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_kind() {
        for (key, wanted) in [
            ("providers/ainp_1", Some(("provider", "ainp_1"))),
            (
                "credentials/ainp_1/aink_1",
                Some(("provider_key", "ainp_1/aink_1")),
            ),
            ("settings", Some(("settings", ""))),
            ("settings2", None),
            ("groups/agents", None),
            ("guards/peers", None),
            ("audit/head", None),
        ] {
            let subject = Subject::of(key);
            let found = subject.map(|subject| (subject.kind, subject.id));
            assert_eq!(found, wanted, "{key}");
        }
    }

    #[test]
    fn an_update_shows_what_differs_and_nothing_secret() {
        let subject = Subject::of("tokens/t").unwrap();
        let bytes = |value: Value| value.to_string().into_bytes();
        let before = bytes(json!({"name": "a", "hash": "marker", "same": 1}));
        let after =
            bytes(json!({"name": "b", "hash": "marker2", "same": 1, "new": "x".repeat(2000)}));
        let change = change(&subject, Some(&before), Some(&after)).unwrap();
        assert_eq!(change.event, "agent_network.token.update");
        assert_eq!(change.target.name, "b");
        assert_eq!(json!(change.before), json!({"name": "a"}));
        let after = json!(change.after);
        assert_eq!(
            (&after["name"], &after["new"]["bytes"]),
            (&json!("b"), &json!(2000))
        );
        assert!(!after.to_string().contains("marker"));
    }

    #[test]
    fn what_is_too_large_is_shown_by_its_hash() {
        let models: Vec<_> = (0..2000)
            .map(|i| json!({"id": format!("model-{i}"), "x": "y"}))
            .collect();
        let document = json!({"name": "big", "models": models}).to_string();
        let subject = Subject::of("providers/p").unwrap();
        let change = change(&subject, None, Some(document.as_bytes())).unwrap();
        let after = json!(change.after);
        assert!(after["models"]["sha256"].is_string() && after["name"] == "big");
    }
}
