//! Policies, peers of the store, and changes at the same time.

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use serde_json::json;

use super::*;

#[tokio::test]
async fn policies_hold_their_providers() {
    let api = Api::new().await;
    let provider = api.connect().await;
    let created = api.post("/policies", policy(&provider)).await.ok();
    let id = created["id"].as_str().unwrap();
    assert!(id.starts_with("ainpol_") && id.len() == 27, "{id}");
    assert_eq!(created["guardrail_ids"], json!([]));
    assert_eq!(created["limits"]["token_limit"]["enabled"], false);
    assert_eq!(created["allowed_paths"], json!([]));
    assert_eq!(
        api.get("/groups").await.ok(),
        json!([{"id": "agents", "name": "agents"}])
    );
    let path = format!("/policies/{id}");
    assert_eq!(api.get(&path).await.ok(), created);

    api.delete(&format!("/providers/{provider}"))
        .await
        .refused(412, "");

    let off = with(policy(&provider), "enabled", json!(false));
    assert_eq!(api.put(&path, off).await.ok()["enabled"], false);
    for (body, field) in [
        (
            with(policy(&provider), "source_groups", json!([])),
            "source_groups",
        ),
        (
            with(policy(&provider), "source_groups", json!(["a/b"])),
            "source_groups",
        ),
        (policy("ainp_missing"), "destination_provider_ids"),
        (
            with(policy(&provider), "guardrail_ids", json!(["x"])),
            "guardrail_ids",
        ),
    ] {
        api.post("/policies", body).await.refused(422, field);
    }
    api.delete(&path).await.ok();
    api.delete(&format!("/providers/{provider}")).await.ok();
}

#[tokio::test]
async fn policies_name_the_paths_they_let_through() {
    let api = Api::new().await;
    let policy = policy(&api.connect().await);
    let paths = json!(["/v1/chat/completions", "/v1/messages*", "/*"]);
    let body = with(policy.clone(), "allowed_paths", paths.clone());
    let created = api.post("/policies", body).await.ok();
    assert_eq!(created["allowed_paths"], paths);
    let path = format!("/policies/{}", created["id"].as_str().unwrap());
    // NetBird's clients do not know of them.
    assert_eq!(
        api.put(&path, policy.clone()).await.ok()["allowed_paths"],
        paths
    );
    let none = with(created, "allowed_paths", json!([]));
    assert_eq!(api.put(&path, none).await.ok()["allowed_paths"], json!([]));
    for (paths, field) in [
        (json!(["v1/x"]), "allowed_paths[0]"),
        (json!(["/v1/*/x"]), "allowed_paths[0]"),
        (json!(["/v1**"]), "allowed_paths[0]"),
        (json!(["/a", "/v1?x=1"]), "allowed_paths[1]"),
        (json!(["/a b"]), "allowed_paths[0]"),
        (json!(["/a", "/a"]), "allowed_paths[1]"),
        (json!([format!("/{}", "a".repeat(512))]), "allowed_paths[0]"),
        (json!(vec!["/a"; 65]), "allowed_paths"),
    ] {
        api.post("/policies", with(policy.clone(), "allowed_paths", paths))
            .await
            .refused(422, field);
    }
}

#[tokio::test]
async fn a_misspelt_field_is_not_ignored() {
    let api = Api::new().await;
    let policy = policy(&api.connect().await);
    for (field, value) in [
        ("limit", json!({})),
        ("limits", json!({"day_limit": {}})),
        ("limits", json!({"token_limit": {"user_capp": 1}})),
        ("limits", json!({"mode": "harder"})),
    ] {
        let refused = api
            .post("/policies", with(policy.clone(), field, value))
            .await;
        refused.refused(400, "");
        assert!(refused.text.contains("unknown name"), "{}", refused.text);
    }
}

#[tokio::test]
async fn changes_made_meanwhile_are_not_overwritten() {
    let api = Api::new().await;
    let path = format!("/providers/{}", api.connect().await);
    let etag = api.get(&path).await.headers[header::ETAG].clone();

    api.store
        .before_next_transaction(|keys| keys.touch("providers/"));
    api.put(&path, openai()).await.refused(409, "");

    let stale = Request::builder()
        .method(Method::PUT)
        .uri(format!("{BASE}{path}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::IF_MATCH, etag)
        .body(Body::from(openai().to_string()))
        .unwrap();
    api.send(stale).await.refused(412, "");

    // A policy that came between the look for policies and the deletion wins.
    let id = path.rsplit('/').next().unwrap().to_owned();
    let policy = api.allow(&id).await;
    api.delete(&format!("/policies/{policy}")).await.ok();
    api.store
        .before_next_transaction(|keys| keys.touch("guards/policies"));
    api.delete(&path).await.refused(409, "");

    // What merely depends on other documents is tried again.
    api.store
        .before_next_transaction(|keys| keys.touch("providers/"));
    api.allow(&id).await;
}

#[tokio::test]
async fn peers_have_their_addresses_alone() {
    let api = Api::new().await;
    let peer = json!({
        "name": "build-1", "addresses": ["100.64.0.7", "::ffff:100.64.0.8"],
        "groups": ["agents", "agents"], "user_email": "",
    });
    let created = api.post("/peers", peer.clone()).await.ok();
    assert!(created["id"].as_str().unwrap().starts_with("peer_"));
    assert_eq!(created["addresses"], json!(["100.64.0.7", "100.64.0.8"]));
    assert_eq!(created["groups"], json!(["agents"]));
    api.post("/peers", peer.clone())
        .await
        .refused(422, "addresses");
    let path = format!("/peers/{}", created["id"].as_str().unwrap());
    let blocked = with(peer.clone(), "blocked", json!(true));
    assert_eq!(api.put(&path, blocked).await.ok()["blocked"], true);
    for (field, value) in [
        ("addresses", json!([])),
        ("addresses", json!(["nonsense"])),
        ("addresses", json!(["0.0.0.0"])),
        ("groups", json!(["a b"])),
        ("name", json!("")),
    ] {
        api.post("/peers", with(peer.clone(), field, value))
            .await
            .refused(422, field);
    }
    api.delete(&path).await.ok();
    assert_eq!(api.get("/peers").await.ok(), json!([]));
}
