//! How full limits are, and what would become of a request.

use super::*;
use crate::handoff::{
    ledger::{Bucket, Grant, Unit},
    snapshot::{ProviderSlot, access::Buckets},
};

const ADDRESS: &str = "100.64.0.7";

/// A provider, a peer of Ada's in group `agents`, and a policy for them with `limits`.
async fn ready(limits: Value) -> Api {
    let api = Api::new().await;
    let provider = api
        .post(
            "/providers",
            json!({
                "provider_id": "openai_api", "name": "OpenAI", "api_key": MARKER,
                "upstream_url": "https://api.openai.com",
                "models": [{"id": "gpt-4o-mini", "input_per_1k": 0.00015, "output_per_1k": 0.0006}],
            }),
        )
        .await
        .ok();
    let peer = json!({
        "name": "laptop", "addresses": [ADDRESS], "user_id": "u-ada",
        "user_email": "ada@example.com", "groups": ["agents"],
    });
    api.post("/peers", peer).await.ok();
    let policy = json!({
        "name": "Team", "source_groups": ["agents"],
        "destination_provider_ids": [provider["id"]], "limits": limits,
    });
    api.post("/policies", policy).await.ok();
    api
}

/// Counts `amount` as spent in every bucket of `unit` that `bucket` finds in the first policy.
fn spend(api: &Api, unit: Unit, amount: u64) {
    let snapshot = api.node.snapshot();
    let principal = &snapshot.peers[&ADDRESS.parse().unwrap()];
    let spend = |bucket: &Bucket| {
        let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap();
        bucket.recover(Grant {
            window: bucket.window_at(now),
            amount,
        });
    };
    let caps = snapshot.policies[0].limits.caps.iter();
    for cap in caps.filter(|cap| cap.unit == unit) {
        match &cap.buckets {
            Buckets::One(bucket) => spend(bucket),
            Buckets::Groups(meter) => {
                let buckets = &snapshot.group_buckets;
                let groups = snapshot.policies[0].groups.iter();
                let own = groups.filter_map(|group| buckets.get(*group, *meter));
                own.for_each(spend);
            }
            Buckets::User(place) => spend(&principal.buckets[*place as usize]),
        }
    }
}

fn both(window_seconds: u64) -> Value {
    json!({
        "token_limit": {"enabled": true, "group_cap": 100_000, "user_cap": 10_000,
            "window_seconds": window_seconds},
        "budget_limit": {"enabled": true, "group_cap_usd": 50, "user_cap_usd": 0,
            "window_seconds": window_seconds},
    })
}

#[tokio::test]
async fn levels_say_how_full_every_bucket_is() {
    let api = ready(both(86_400)).await;
    let rows = async |query: &str| {
        let answer = api.get(&format!("/limits{query}")).await.ok();
        assert_eq!(answer["left_out"], 0);
        answer["limits"].as_array().unwrap().clone()
    };
    let groups = rows("").await;
    assert_eq!(groups.len(), 2, "a user who spent nothing is left out");
    let asked = rows("?user=ada@example.com").await;
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["counts_for"]["id"], "u-ada");
    assert_eq!(asked[0]["spent"], 0);

    spend(&api, Unit::Tokens, 2500);
    spend(&api, Unit::NanoUsd, 12_345_678_901);
    let all = rows("").await;
    let seen: Vec<_> = all
        .iter()
        .map(|row| {
            (
                row["counts_for"]["kind"].as_str().unwrap(),
                row["unit"].as_str().unwrap(),
            )
        })
        .collect();
    // The fullest first.
    assert_eq!(
        seen,
        [("user", "tokens"), ("group", "usd"), ("group", "tokens")]
    );
    let [user, dollars, tokens] = &*all else {
        panic!()
    };
    assert_eq!(user["used_percent"], 25.0);
    assert_eq!(user["caps"][0]["name"], "Team");
    assert_eq!(user["caps"][0]["cap"], 10_000);
    assert_eq!(user["caps"][0]["left"], 7_500);
    assert_eq!(dollars["spent_usd"].to_string(), "12.345678901");
    assert_eq!(dollars["caps"][0]["left_usd"].to_string(), "37.654321099");
    assert_eq!(tokens["used_percent"], 2.5);
    let start: jiff::Timestamp = text(tokens, "window_start_utc").parse().unwrap();
    let end: jiff::Timestamp = text(tokens, "resets_at").parse().unwrap();
    assert_eq!(start.as_second() % 86_400, 0);
    assert_eq!(end.as_second() - start.as_second(), 86_400);
    assert_eq!(rows("?policy=team&group=agents").await.len(), 2);
    assert!(rows("?policy=other").await.is_empty());
    assert!(rows("?rule=Team").await.is_empty());
    api.get("/limits?polcy=Team").await.refused(422, "polcy");

    // NetBird's shape has tokens and money of a window in one row.
    let consumption = api.get("/consumption").await.ok();
    let user = |row: &Value| row["dimension_kind"] == "user";
    let rows = consumption.as_array().unwrap();
    assert_eq!(rows.len(), 2);
    let group = rows.iter().find(|row| !user(row)).unwrap();
    assert_eq!(group["window_seconds"], 86_400);
    assert_eq!(group["tokens_input"], 2500);
    assert_eq!(group["tokens_output"], 0);
    assert_eq!(group["cost_usd"].to_string(), "12.345678901");
    assert_eq!(
        rows.iter().find(|row| user(row)).unwrap()["dimension_id"],
        "u-ada"
    );
}

#[tokio::test]
async fn an_explanation_says_what_decides() {
    let api = ready(both(86_400)).await;
    let explain = async |question: Value| api.post("/policies/explain", question).await.ok();
    let ask =
        json!({"peer": "laptop", "model": "gpt-4o-mini", "body_bytes": 3000, "max_tokens": 500});
    let found = explain(ask.clone()).await;
    assert_eq!(found["allowed"], true, "{found:#}");
    assert_eq!(found["provider"]["name"], "OpenAI");
    assert_eq!(found["policy"]["name"], "Team");
    assert_eq!(found["group"]["name"], "agents");
    // Its host has no address here.
    assert_eq!(found["provider_problem"]["status"], 502);
    let limits = found["policies"][0]["limits"].as_array().unwrap();
    let user = limits.iter().find(|limit| limit["cap"] == 10_000).unwrap();
    assert_eq!(user["takes"], 1500);
    assert_eq!(user["left"], 10_000);
    let dollars = limits.iter().find(|limit| limit["unit"] == "usd").unwrap();
    // 1000 × $0.15 + 500 × $0.60, per million.
    assert_eq!(dollars["takes"].to_string(), "0.00045");

    spend(&api, Unit::Tokens, 9000);
    let found = explain(ask).await;
    assert_eq!(found["allowed"], false);
    assert_eq!(found["denial"]["code"], "llm_policy.token_cap_exceeded");
    assert_eq!(found["denial"]["status"], 429);
    assert_eq!(found["policies"][0]["state"], "no_room");
    assert_eq!(found["provider"]["name"], "OpenAI");

    let found = explain(json!({"peer": ADDRESS, "model": "o3"})).await;
    assert_eq!(found["denial"]["code"], "llm_policy.model_not_routable");
    assert_eq!(found["providers"][0]["state"], "without_model");
    let messages = json!({"peer": "laptop", "model": "gpt-4o-mini", "path": "/v1/messages"});
    let found = explain(messages).await;
    assert_eq!(found["dialect"], "anthropic");
    assert_eq!(found["providers"][0]["state"], "other_dialect");
    let found = explain(json!({"peer": "laptop"})).await;
    assert_eq!(found["denial"]["code"], "keyway.model_missing");

    let refused = async |question: Value, status, field| {
        api.post("/policies/explain", question)
            .await
            .refused(status, field);
    };
    refused(json!({"peer": "nobody"}), 404, "").await;
    refused(json!({"peer": "laptop", "path": "/elsewhere"}), 422, "path").await;
    refused(json!({"peer": "laptop", "path": "/v1/models"}), 422, "path").await;
}

#[tokio::test]
async fn what_a_provider_keeps_is_explained_by_who_made_it() {
    let api = ready(both(86_400)).await;
    let snapshot = api.node.snapshot();
    let principal = &snapshot.peers[&ADDRESS.parse().unwrap()];
    let slot = snapshot.providers[0].slot;
    api.objects.note(&principal.id, "resp_1", slot);
    api.objects.note("u-bob", "resp_2", slot);
    api.objects.note(&principal.id, "file-1", slot);
    let gone = ProviderSlot(slot.0 + 1);
    api.objects.note(&principal.id, "resp_3", gone);
    let explain = async |path: &str| {
        let question = json!({"peer": "laptop", "path": path, "method": "get"});
        api.post("/policies/explain", question).await.ok()
    };
    for (path, id, kept, usage, allowed) in [
        ("/v1/responses/resp_1", "resp_1", "OpenAI", "open", true),
        (
            "/v1/responses/resp_1/input_items",
            "resp_1",
            "OpenAI",
            "open",
            true,
        ),
        // Another user's.
        ("/v1/responses/resp_2", "resp_2", "", "none", true),
        ("/v1/files/file-1", "file-1", "OpenAI", "none", true),
        ("/v1/files/file-1/content", "file-1", "OpenAI", "none", true),
        ("/v1/batches/batch_1", "batch_1", "", "none", true),
        // Its provider is there no more, and no other is asked.
        ("/v1/responses/resp_3", "resp_3", "", "open", false),
    ] {
        let found = explain(path).await;
        let object = &found["object"];
        assert_eq!(text(object, "id"), id, "{found:#}");
        assert_eq!(text(&object["kept_by"], "name"), kept, "{path}");
        assert_eq!(text(object, "usage"), usage, "{path}");
        assert_eq!(found["allowed"], allowed, "{path}");
        if allowed {
            // No tokens: only what it used, once.
            let limits = found["policies"][0]["limits"].as_array().unwrap();
            assert!(limits.iter().all(|limit| limit["takes"] == 0), "{limits:?}");
        }
    }
    assert!(api.objects.bill_as_maker(&principal.id, "resp_1"));
    assert_eq!(
        explain("/v1/responses/resp_1").await["object"]["usage"],
        "counted"
    );
    let other = explain("/v1/responses/resp_3").await;
    assert_eq!(other["providers"][0]["state"], "other_object");
    let session = json!({"peer": "laptop", "path": "/v1/realtime", "model": "gpt-4o-mini"});
    let found = api.post("/policies/explain", session).await.ok();
    assert_eq!(
        (text(&found, "operation"), &found["allowed"]),
        ("realtime", &json!(true))
    );
    let patch = json!({"peer": "laptop", "path": "/v1/files/file-1", "method": "PATCH"});
    api.post("/policies/explain", patch)
        .await
        .refused(422, "path");
}

#[tokio::test]
async fn an_explanation_names_what_refused() {
    let api = ready(json!({})).await;
    let policy = api.get("/policies").await.ok()[0].clone();
    let guardrail = json!({"name": "Strict", "checks": {
        "model_allowlist": {"enabled": true, "models": ["claude-*"]},
        "prompt_capture": {"enabled": false, "redact_pii": false},
    }});
    let guardrail = api.post("/guardrails", guardrail).await.ok();
    let change = async |id: &Value, changes: Value| {
        let mut body = policy.clone();
        for (name, value) in changes.as_object().unwrap() {
            body[name.as_str()] = value.clone();
        }
        let path = format!("/policies/{}", id.as_str().unwrap());
        api.call(Method::PUT, &path, Some(body)).await.ok();
    };
    let row = async || {
        let question = json!({"peer": "laptop", "model": "gpt-4o-mini"});
        let found = api.post("/policies/explain", question).await.ok();
        let row = &found["policies"][0];
        let told = [
            text(&found["denial"], "code"),
            text(row, "state"),
            text(row, "why"),
        ];
        told.map(str::to_owned)
    };
    for (changes, expected) in [
        (
            json!({"guardrail_ids": [guardrail["id"]]}),
            [
                "llm_policy.model_blocked",
                "model_blocked",
                "guardrail Strict has other models",
            ],
        ),
        (
            json!({"allowed_paths": ["/v1/responses"]}),
            [
                "llm_policy.path_blocked",
                "path_blocked",
                "allows other paths: /v1/responses",
            ],
        ),
        (
            json!({"source_groups": ["others"]}),
            [
                "llm_policy.no_authorised_provider",
                "other_groups",
                "is for other groups",
            ],
        ),
        (
            json!({"enabled": false}),
            [
                "llm_policy.no_authorised_provider",
                "disabled",
                "is disabled",
            ],
        ),
    ] {
        change(&policy["id"], changes).await;
        assert_eq!(row().await, expected);
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or("")
}
