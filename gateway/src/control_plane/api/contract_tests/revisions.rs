//! `ETag` and `If-Match`: who read something before changes what was read, or nothing.

use serde_json::json;

use super::*;

impl Api {
    async fn matching(&self, method: Method, path: &str, etag: &str, body: Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("{BASE}{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::IF_MATCH, etag)
            .body(Body::from(body.to_string()))
            .unwrap();
        self.send(request).await
    }
}

#[tokio::test]
async fn a_change_of_something_else_is_refused_and_says_what_it_is_at() {
    let api = Api::new().await;
    let id = api.connect().await;
    let policy_body = policy(&id);
    let made = |answer: Answer| answer.ok()["id"].as_str().unwrap().to_owned();
    let policy = api.allow(&id).await;
    let rule = json!({"name": "r", "limits": {}});
    let rule_id = made(api.post("/budget-rules", rule.clone()).await);
    let guardrail = json!({"name": "g", "checks": {}});
    let guardrail_id = made(api.post("/guardrails", guardrail.clone()).await);
    let peer = json!({"name": "p", "addresses": ["100.64.0.9"]});
    let peer_id = made(api.post("/peers", peer.clone()).await);
    let settings = api.get("/settings").await.ok();
    let renamed = without(openai(), "api_key");
    for (path, body) in [
        (format!("/policies/{policy}"), policy_body),
        (format!("/budget-rules/{rule_id}"), rule),
        (format!("/guardrails/{guardrail_id}"), guardrail),
        (format!("/peers/{peer_id}"), peer),
        (format!("/providers/{id}"), renamed),
        ("/settings".to_owned(), settings),
    ] {
        let etag = api.get(&path).await.headers[header::ETAG]
            .to_str()
            .unwrap()
            .to_owned();
        for method in [Method::PUT, Method::DELETE] {
            let refused = api
                .matching(method, &path, "\"1000000\"", body.clone())
                .await;
            refused.refused(412, "");
            assert!(
                refused.json()["message"].as_str().unwrap().contains(&etag),
                "{path}"
            );
        }
        let changed = api.matching(Method::PUT, &path, &etag, body.clone()).await;
        changed.ok();
        let new = changed.headers[header::ETAG].to_str().unwrap();
        assert_ne!(new, etag);
        api.matching(Method::PUT, &path, &etag, body)
            .await
            .refused(412, "");
    }
    let token = made(api.post("/tokens", json!({"name": "t"})).await);
    let two = json!({"api_key": "sk-2", "keep_others": true});
    let keys = api.post(&format!("/providers/{id}/keys"), two).await.ok();
    let key = keys[0]["id"].as_str().unwrap().to_owned();
    for path in [
        format!("/tokens/{token}"),
        format!("/providers/{id}/keys/{key}"),
    ] {
        api.matching(Method::DELETE, &path, "\"1\"", json!({}))
            .await
            .refused(412, "");
        api.matching(Method::DELETE, &path, "*", json!({}))
            .await
            .ok();
    }
    let prices = json!({"source": "s", "prices": ""});
    let none = api.matching(Method::PUT, "/catalog/prices", "\"1\"", prices);
    none.await.refused(412, "");
}

#[tokio::test]
async fn health_says_what_it_waits_for() {
    let api = Api::new().await;
    assert_eq!(
        api.get("/health").await.ok(),
        json!({"status": "ok", "not_ready": []})
    );
}
