//! NetBird's shapes: each answer of its paths has the fields that its OpenAPI document (BSD-3-Clause) requires,
//! and every field that it names has its type. `netbird_shapes.json` has those names and types.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

struct Shapes(BTreeMap<String, Value>);

impl Shapes {
    fn load() -> Self {
        Self(serde_json::from_str(include_str!("netbird_shapes.json")).unwrap())
    }

    /// `shape` is a type, the name of a shape, a list with that of its items, or fields with theirs.
    fn check(&self, shape: &Value, value: &Value, place: &str) {
        match shape {
            Value::String(name) => match (self.0.get(name), name.as_str()) {
                (Some(fields), _) => self.check(fields, value, place),
                (None, "string") => assert!(value.is_string(), "{place}: {value}"),
                (None, "boolean") => assert!(value.is_boolean(), "{place}: {value}"),
                (None, "integer") => {
                    assert!(value.is_i64() || value.is_u64(), "{place}: {value}");
                }
                (None, "number") => assert!(value.is_number(), "{place}: {value}"),
                (None, "object") => assert!(value.is_object(), "{place}: {value}"),
                (None, other) => panic!("{place}: unknown type {other}"),
            },
            Value::Array(items) => {
                let found = value.as_array();
                let found = found.unwrap_or_else(|| panic!("{place}: {value}"));
                for (i, item) in found.iter().enumerate() {
                    self.check(&items[0], item, &format!("{place}[{i}]"));
                }
            }
            Value::Object(fields) => {
                for (field, shape) in fields {
                    let name = field.trim_end_matches('?');
                    let place = format!("{place}.{name}");
                    match value.get(name) {
                        Some(value) => self.check(shape, value, &place),
                        None => assert!(field.ends_with('?'), "{place} is missing"),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => panic!("{place}: {shape}"),
        }
    }
}

fn limits() -> Value {
    json!({
        "token_limit": {"enabled": true, "group_cap": 0, "user_cap": 1000, "window_seconds": 3600},
        "budget_limit": {"enabled": true, "group_cap_usd": 12.5, "user_cap_usd": 0, "window_seconds": 3600},
    })
}

#[tokio::test]
async fn answers_have_the_originals_fields_and_types() {
    let shapes = Shapes::load();
    let api = Api::new().await;
    let check = |path: &str, shape: Value, answer: &Value| {
        assert!(
            answer.as_array().is_none_or(|items| !items.is_empty()),
            "{path}"
        );
        shapes.check(&shape, answer, path);
    };
    let unnamed = api.get("/settings").await.ok();
    check("/settings", json!("AgentNetworkSettings"), &unnamed);
    let provider = api.connect().await;
    let guardrail = json!({
        "name": "g",
        "checks": {
            "model_allowlist": {"enabled": true, "models": ["gpt-4o-mini"]},
            "prompt_capture": {"enabled": true, "redact_pii": true},
        },
    });
    let policy = with(policy(&provider), "limits", limits());
    let rule = json!({"name": "r", "enabled": true, "limits": limits()});
    for (path, shape, body) in [
        ("/guardrails", "AgentNetworkGuardrail", guardrail),
        ("/policies", "AgentNetworkPolicy", policy),
        ("/budget-rules", "AgentNetworkBudgetRule", rule),
    ] {
        let made = api.post(path, body.clone()).await.ok();
        check(path, json!(shape), &made);
        let one = format!("{path}/{}", made["id"].as_str().unwrap());
        check(&one, json!(shape), &api.get(&one).await.ok());
        check(&one, json!(shape), &api.put(&one, body).await.ok());
        check(path, json!([shape]), &api.get(path).await.ok());
    }
    let peer = json!({"name": "p", "addresses": ["100.64.0.9"], "groups": ["agents"]});
    api.post("/peers", peer).await.ok();
    for (path, shape) in [
        ("/providers", json!(["AgentNetworkProvider"])),
        ("/catalog/providers", json!(["AgentNetworkCatalogProvider"])),
        ("/settings", json!("AgentNetworkSettings")),
        ("/consumption", json!(["AgentNetworkConsumption"])),
        ("/access-logs", json!("AgentNetworkAccessLogsResponse")),
        (
            "/access-log-sessions",
            json!("AgentNetworkAccessLogSessionsResponse"),
        ),
        ("/usage/overview", json!(["AgentNetworkUsageBucket"])),
    ] {
        check(path, shape, &api.get(path).await.ok());
    }
    let one = format!("/providers/{provider}");
    check(
        &one,
        json!("AgentNetworkProvider"),
        &api.get(&one).await.ok(),
    );
    // A deletion answers with an empty object there.
    for path in ["/policies", "/guardrails", "/budget-rules", "/providers"] {
        let all = api.get(path).await.ok();
        let id = all[0]["id"].as_str().unwrap();
        assert_eq!(api.delete(&format!("{path}/{id}")).await.ok(), json!({}));
    }
}

#[test]
fn what_does_not_fit_is_noticed() {
    let shapes = Shapes::load();
    for wrong in [
        json!({}),
        json!({"id": 1}),
        json!({"id": "a", "name": "b", "enabled": "yes"}),
    ] {
        let check = || shapes.check(&json!("AgentNetworkPolicy"), &wrong, "");
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_err());
    }
}
