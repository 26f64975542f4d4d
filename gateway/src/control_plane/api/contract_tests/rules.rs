//! Guardrails, budget rules and limits.

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn a_guardrail_lives_until_no_policy_names_it() {
    let api = Api::new().await;
    let created = api.post("/guardrails", guardrail()).await.ok();
    let id = created["id"].as_str().unwrap();
    assert!(id.starts_with("ainguard_") && id.len() == 29, "{id}");
    assert_eq!(created["description"], "");
    assert_eq!(
        created["checks"],
        json!({
            "model_allowlist": {"enabled": true, "models": ["gpt-4o-mini", "claude-*"]},
            "prompt_capture": {"enabled": true, "redact_pii": true, "max_bytes": 3500},
            "output_limit": {"enabled": false, "max_tokens": 0},
        })
    );
    let path = format!("/guardrails/{id}");
    let shown = api.get(&path).await;
    let etag = shown.headers[header::ETAG].clone();
    assert_eq!(shown.ok(), created);
    assert_eq!(api.get("/guardrails").await.ok(), json!([created]));

    let mut ours = created.clone();
    ours["checks"]["output_limit"] = json!({"enabled": true, "max_tokens": 4096});
    ours["checks"]["prompt_capture"]["max_bytes"] = json!(100);
    let bounded = api.put(&path, ours).await.ok();
    assert_eq!(bounded["checks"]["output_limit"]["max_tokens"], 4096);
    assert_eq!(bounded["created_at"], created["created_at"]);
    // As a client of NetBird's sends it back.
    let kept = api.put(&path, guardrail()).await.ok();
    assert_eq!(kept["checks"], bounded["checks"]);
    let stale = Request::builder()
        .method(Method::PUT)
        .uri(format!("{BASE}{path}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::IF_MATCH, etag)
        .body(Body::from(guardrail().to_string()))
        .unwrap();
    api.send(stale).await.refused(412, "");

    let provider = api.connect().await;
    let strict = with(policy(&provider), "guardrail_ids", json!([id]));
    let policy_id = api.post("/policies", strict.clone()).await.ok()["id"].clone();
    let in_use = api.delete(&path).await;
    in_use.refused(412, "");
    assert!(in_use.text.contains("Everyone"), "{}", in_use.text);
    let policy_path = format!("/policies/{}", policy_id.as_str().unwrap());
    api.delete(&policy_path).await.ok();

    // A policy that came between the look for policies and the deletion wins, and the other way round.
    api.store
        .before_next_transaction(|keys| keys.touch("guards/policies"));
    api.delete(&path).await.refused(409, "");
    api.store
        .before_next_transaction(|keys| keys.touch("guardrails/"));
    let made = api.post("/policies", strict.clone()).await.ok();
    api.delete(&format!("/policies/{}", made["id"].as_str().unwrap()))
        .await
        .ok();
    assert_eq!(api.delete(&path).await.ok(), json!({}));
    api.get(&path).await.refused(404, "");
    api.post("/policies", strict)
        .await
        .refused(422, "guardrail_ids");
}

#[tokio::test]
async fn checks_that_mean_nothing_are_refused() {
    let api = Api::new().await;
    let models = |models: Value| json!({"model_allowlist": {"enabled": true, "models": models}});
    for (checks, field) in [
        (models(json!([])), "model_allowlist.models"),
        (models(json!(vec!["x"; 1001])), "model_allowlist.models"),
        (models(json!([" "])), "model_allowlist.models[0]"),
        (models(json!(["a", "A "])), "model_allowlist.models[1]"),
        (models(json!(["*".repeat(9)])), "model_allowlist.models[0]"),
        (
            models(json!(["x".repeat(300)])),
            "model_allowlist.models[0]",
        ),
        (
            json!({"prompt_capture": {"enabled": true, "max_bytes": 0}}),
            "prompt_capture.max_bytes",
        ),
        (
            json!({"prompt_capture": {"enabled": true, "max_bytes": 65_537}}),
            "prompt_capture.max_bytes",
        ),
        (
            json!({"output_limit": {"enabled": true}}),
            "output_limit.max_tokens",
        ),
        (
            json!({"output_limit": {"enabled": true, "max_tokens": 1_u64 << 31}}),
            "output_limit.max_tokens",
        ),
    ] {
        api.post("/guardrails", with(guardrail(), "checks", checks))
            .await
            .refused(422, &format!("checks.{field}"));
    }
    api.post("/guardrails", without(guardrail(), "checks"))
        .await
        .refused(422, "checks");
    api.post("/guardrails", without(guardrail(), "name"))
        .await
        .refused(422, "name");
    let unknown = with(guardrail(), "checks", json!({"tool_allowlist": {}}));
    api.post("/guardrails", unknown).await.refused(400, "");
}

#[tokio::test]
async fn a_budget_rule_lives() {
    let api = Api::new().await;
    let created = api.post("/budget-rules", budget_rule()).await.ok();
    let id = created["id"].as_str().unwrap();
    assert!(id.starts_with("ainbud_") && id.len() == 27, "{id}");
    assert_eq!(created["enabled"], true);
    assert_eq!(created["target_users"], json!([]));
    assert_eq!(created["limits"]["budget_limit"]["group_cap_usd"], 1000.5);
    assert_eq!(created["limits"]["mode"], "soft");
    assert_eq!(api.get("/groups").await.ok()[0]["id"], "agents");

    let path = format!("/budget-rules/{id}");
    let mut ours = created.clone();
    ours["enabled"] = json!(false);
    ours["limits"]["mode"] = json!("hard");
    ours["limits"]["rate_limit"] = json!({"enabled": true, "user_concurrency": 4});
    let changed = api.put(&path, ours).await.ok();
    assert_eq!(changed["limits"]["rate_limit"]["user_concurrency"], 4);
    // As a client of NetBird's sends it back.
    let everyone = with(budget_rule(), "target_groups", json!([]));
    let kept = api.put(&path, everyone).await.ok();
    assert_eq!(kept["limits"], changed["limits"]);
    assert_eq!(kept["enabled"], false);
    assert_eq!(kept["target_groups"], json!([]));
    assert_eq!(api.get("/budget-rules").await.ok(), json!([kept]));
    for (body, field) in [
        (without(budget_rule(), "limits"), "limits"),
        (without(budget_rule(), "name"), "name"),
        (
            with(budget_rule(), "target_users", json!(["a", "a"])),
            "target_users",
        ),
        (
            with(budget_rule(), "target_groups", json!(["a b"])),
            "target_groups",
        ),
        (
            with(budget_rule(), "target_users", json!(vec!["a"; 101])),
            "target_users",
        ),
    ] {
        api.post("/budget-rules", body).await.refused(422, field);
    }
    assert_eq!(api.delete(&path).await.ok(), json!({}));
    api.get(&path).await.refused(404, "");
}

#[tokio::test]
async fn limits_that_mean_nothing_are_refused() {
    let api = Api::new().await;
    let token = |cap: u64, seconds: u64| json!({"token_limit": {"enabled": true, "user_cap": cap, "window_seconds": seconds}});
    let budget = |cap: Value| json!({"budget_limit": {"enabled": true, "user_cap_usd": cap, "window_seconds": 60}});
    for (limits, field) in [
        (token(1, 59), "token_limit.window_seconds"),
        (token(1, 1 << 40), "token_limit.window_seconds"),
        (token(0, 60), "token_limit"),
        (token(1 << 53, 60), "token_limit.user_cap"),
        (budget(json!(0)), "budget_limit"),
        (budget(json!(-1)), "budget_limit.user_cap_usd"),
        (budget(json!(4_000_000.5)), "budget_limit.user_cap_usd"),
        (budget(json!(1e-10)), "budget_limit.user_cap_usd"),
        (json!({"rate_limit": {"enabled": true}}), "rate_limit"),
        (
            json!({"rate_limit": {"group_concurrency": u64::MAX}}),
            "rate_limit.group_concurrency",
        ),
    ] {
        let field = format!("limits.{field}");
        api.post(
            "/budget-rules",
            with(budget_rule(), "limits", limits.clone()),
        )
        .await
        .refused(422, &field);
        let policy = with(policy("ainp_missing"), "limits", limits);
        api.post("/policies", policy).await.refused(422, &field);
    }
    for limits in [token(1, 60), budget(json!(4_000_000)), budget(json!(1e-9))] {
        let body = with(budget_rule(), "limits", limits);
        api.post("/budget-rules", body).await.ok();
    }
}

#[tokio::test]
async fn a_provider_takes_so_much() {
    let api = Api::new().await;
    let path = format!("/providers/{}", api.connect().await);
    let created = api.get(&path).await.ok();
    assert_eq!(
        created["rate_limit"],
        json!({"enabled": false, "requests_per_minute": 0, "tokens_per_minute": 0, "concurrency": 0})
    );
    let limit = json!({"enabled": true, "requests_per_minute": 60});
    let limited = with(created, "rate_limit", limit);
    let limited = api.put(&path, limited).await.ok();
    assert_eq!(limited["rate_limit"]["requests_per_minute"], 60);
    let kept = api.put(&path, openai()).await.ok();
    assert_eq!(kept["rate_limit"], limited["rate_limit"]);
    let nothing = with(openai(), "rate_limit", json!({"enabled": true}));
    api.put(&path, nothing).await.refused(422, "rate_limit");
}

/// As NetBird's clients send one.
fn guardrail() -> Value {
    json!({
        "name": "Strict",
        "checks": {
            "model_allowlist": {"enabled": true, "models": ["gpt-4o-mini", " claude-* "]},
            "prompt_capture": {"enabled": true, "redact_pii": true},
        },
    })
}

fn budget_rule() -> Value {
    json!({
        "name": "Monthly",
        "target_groups": ["agents"],
        "limits": {
            "token_limit": {"enabled": false, "group_cap": 0, "user_cap": 0, "window_seconds": 0},
            "budget_limit": {
                "enabled": true, "group_cap_usd": 1000.5, "user_cap_usd": 0,
                "window_seconds": 2_592_000,
            },
        },
    })
}
