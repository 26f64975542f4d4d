//! Peers of the overlay: admins by their group, everybody else asks what it may use.

use axum::http::HeaderMap;
use serde_json::json;

use super::*;

const LOCAL: &str = "100.64.0.1:9470";

async fn as_peer(api: &mut Api, address: &str, method: Method, path: &str, body: Value) -> Answer {
    as_browser(api, address, method, path, body, &[]).await
}

async fn as_browser(
    api: &mut Api,
    address: &str,
    method: Method,
    path: &str,
    body: Value,
    more: &[(&'static str, &str)],
) -> Answer {
    let held = api.connection.replace(Connection::Tunnel {
        local: LOCAL.parse().unwrap(),
        peer: format!("{address}:40000").parse().unwrap(),
    });
    let mut headers = HeaderMap::new();
    headers.insert("host", LOCAL.parse().unwrap());
    headers.insert("content-type", "application/json".parse().unwrap());
    for (name, value) in more {
        headers.insert(*name, value.parse().unwrap());
    }
    let body = match body.is_null() {
        true => Body::empty(),
        false => Body::from(body.to_string()),
    };
    let uri = format!("{BASE}{path}");
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .body(body)
        .unwrap();
    *request.headers_mut() = headers;
    let answer = api.send(request).await;
    api.connection = held;
    answer
}

async fn two_peers() -> Api {
    let api = Api::new().await;
    for (name, address, group) in [
        ("laptop", "100.64.0.2", "admins"),
        ("build", "100.64.0.3", "agents"),
    ] {
        let peer = json!({"name": name, "addresses": [address], "groups": [group]});
        api.post("/peers", peer).await.ok();
    }
    api
}

#[tokio::test]
async fn members_of_the_group_administer() {
    let mut api = two_peers().await;
    let session = as_peer(&mut api, "100.64.0.2", Method::GET, "/session", Value::Null)
        .await
        .ok();
    assert_eq!(
        (&session["role"], &session["via"]),
        (&json!("admin"), &json!("tunnel"))
    );
    assert_eq!(session["name"], "laptop");
    let answer = as_peer(&mut api, "100.64.0.2", Method::POST, "/providers", openai()).await;
    let id = answer.ok()["id"].as_str().unwrap().to_owned();
    let audit = api.get("/audit?target=provider").await.ok();
    let actor = &audit["data"][0]["actor"];
    assert_eq!(
        (&actor["via"], &actor["address"]),
        (&json!("tunnel"), &json!("100.64.0.2"))
    );
    // An admin is no owner.
    as_peer(&mut api, "100.64.0.2", Method::GET, "/tokens", Value::Null)
        .await
        .refused(403, "");
    // What another site has its browser do is not its own doing.
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let path = format!("/providers/{id}");
        as_browser(
            &mut api,
            "100.64.0.2",
            Method::DELETE,
            &path,
            Value::Null,
            &[(name, value)],
        )
        .await
        .refused(403, "");
    }
}

#[tokio::test]
async fn others_are_told_why_not_and_what_they_may_use() {
    let mut api = two_peers().await;
    let id = api.connect().await;
    let setup = |answer: Answer| answer.ok()["providers"].clone();
    let answer = as_peer(
        &mut api,
        "100.64.0.3",
        Method::GET,
        "/me/setup",
        Value::Null,
    )
    .await;
    assert_eq!(answer.ok()["configured"], false);
    api.allow(&id).await;
    let answer = as_peer(
        &mut api,
        "100.64.0.3",
        Method::GET,
        "/me/setup",
        Value::Null,
    )
    .await;
    assert_eq!(
        setup(answer),
        json!([{
            "name": "OpenAI", "catalog_id": "openai_api", "api_flavor": "openai",
            "all_models_allowed": false, "models": ["gpt-4o-mini"],
        }])
    );
    let admin = as_peer(
        &mut api,
        "100.64.0.2",
        Method::GET,
        "/me/setup",
        Value::Null,
    )
    .await;
    assert_eq!(setup(admin), json!([]));
    let everything = api.get("/me/setup").await.ok();
    assert_eq!(everything["configured"], true);
    assert_eq!(everything["providers"][0]["models"], json!(["gpt-4o-mini"]));
    let refused = as_peer(
        &mut api,
        "100.64.0.3",
        Method::GET,
        "/providers",
        Value::Null,
    )
    .await;
    refused.refused(403, "");
    assert!(refused.text.contains("group"), "{}", refused.text);
    let session = as_peer(&mut api, "100.64.0.3", Method::GET, "/session", Value::Null)
        .await
        .ok();
    assert_eq!(session["role"], json!(null));
    as_peer(
        &mut api,
        "100.64.0.9",
        Method::GET,
        "/me/setup",
        Value::Null,
    )
    .await
    .refused(403, "");
    // A token is none of the tunnel's business.
    let token = [("authorization", "Bearer kwt_x")];
    as_browser(
        &mut api,
        "100.64.0.3",
        Method::GET,
        "/status",
        Value::Null,
        &token,
    )
    .await
    .refused(403, "");
}

#[tokio::test]
async fn a_guardrail_narrows_what_is_shown() {
    let mut api = two_peers().await;
    let all = with(openai(), "models", json!([]));
    let id = api.post("/providers", all).await.ok()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let checks = json!({"model_allowlist": {"enabled": true, "models": ["gpt-4o-mini"]}});
    let guardrail = api
        .post("/guardrails", json!({"name": "g", "checks": checks}))
        .await
        .ok();
    let narrow = with(policy(&id), "guardrail_ids", json!([guardrail["id"]]));
    let made = api.post("/policies", narrow).await.ok();
    let answer = as_peer(
        &mut api,
        "100.64.0.3",
        Method::GET,
        "/me/setup",
        Value::Null,
    )
    .await
    .ok();
    let provider = &answer["providers"][0];
    // The dated name of the same model, too.
    let models = provider["models"].as_array().unwrap();
    let is_mini = |model: &Value| model.as_str().unwrap().starts_with("gpt-4o-mini");
    assert!(!models.is_empty() && models.iter().all(is_mini));
    assert_eq!(provider["all_models_allowed"], false);
    api.put(
        &format!("/policies/{}", made["id"].as_str().unwrap()),
        policy(&id),
    )
    .await
    .ok();
    let answer = as_peer(
        &mut api,
        "100.64.0.3",
        Method::GET,
        "/me/setup",
        Value::Null,
    )
    .await
    .ok();
    assert_eq!(answer["providers"][0]["all_models_allowed"], true);
    assert!(answer["providers"][0]["models"].as_array().unwrap().len() > 1);
}
