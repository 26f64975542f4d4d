//! Every change has its entry, and no entry has a secret.

use serde_json::json;

use super::*;

async fn events(api: &Api) -> Vec<String> {
    let page = api.get("/audit?page_size=100").await.ok();
    let entries = page["data"].as_array().unwrap();
    let events = entries
        .iter()
        .map(|entry| entry["event"].as_str().unwrap().to_owned());
    let mut events: Vec<_> = events.collect();
    events.reverse();
    events
}

#[tokio::test]
async fn every_change_is_recorded_with_who_made_it() {
    let api = Api::new().await;
    let provider = api.connect().await;
    let path = format!("/providers/{provider}");
    let renamed = without(with(openai(), "name", json!("Renamed")), "api_key");
    api.put(&path, renamed).await.ok();
    api.post(&format!("{path}/keys"), json!({"api_key": MARKER}))
        .await
        .ok();
    let policy = api.allow(&provider).await;
    api.delete(&format!("/policies/{policy}")).await.ok();
    let peer = json!({"name": "p", "addresses": ["100.64.0.9"], "groups": ["new"]});
    api.post("/peers", peer).await.ok();
    let token = api
        .post("/tokens", json!({"name": "ci", "role": "metrics"}))
        .await
        .ok();
    api.delete(&format!("/tokens/{}", token["id"].as_str().unwrap()))
        .await
        .ok();
    let mut settings = api.get("/settings").await.ok();
    settings["redact_pii"] = json!(true);
    api.put("/settings", settings).await.ok();
    api.delete(&path).await.ok();
    assert_eq!(
        events(&api).await,
        [
            "provider.create",
            "provider_key.create",
            "settings.create",
            "provider.update",
            "provider_key.create",
            "provider_key.delete",
            "policy.create",
            "policy.delete",
            "peer.create",
            "token.create",
            "token.delete",
            "settings.update",
            "provider.delete",
            "provider_key.delete",
        ]
        .map(|event| format!("agent_network.{event}"))
    );
    let uid = nix::unistd::geteuid().as_raw();
    let entry = api.get("/audit/4").await.ok();
    assert_eq!(entry["actor"]["id"], format!("uid:{uid}"));
    assert_eq!(entry["actor"]["via"], "socket");
    assert_eq!(entry["target"]["name"], "Renamed");
    assert_eq!(entry["before"]["name"], "OpenAI");
    assert_eq!(entry["after"]["name"], "Renamed");
    assert!(entry["after"].get("upstream_url").is_none(), "{entry}");
    let key = api.get("/audit/2").await.ok();
    assert!(key["after"]["fingerprint"].is_string());
    for secret in ["sealed", "hash"] {
        assert!(key["after"].get(secret).is_none());
        assert!(
            api.get("/audit/10").await.ok()["after"]
                .get(secret)
                .is_none()
        );
    }
    assert_eq!(api.get("/audit/verify").await.ok()["intact"], true);
    let kept = api.store.values();
    assert!(kept.iter().all(|value| !value.contains(MARKER)));
}

#[tokio::test]
async fn what_is_refused_or_read_leaves_no_entry() {
    let api = Api::new().await;
    api.post("/providers", without(openai(), "api_key"))
        .await
        .refused(422, "api_key");
    api.post("/policies", policy("nothing"))
        .await
        .refused(422, "destination_provider_ids");
    api.delete("/peers/nobody").await.refused(404, "");
    api.get("/providers").await.ok();
    assert!(events(&api).await.is_empty());
    api.get("/audit/1").await.refused(404, "");
    api.get("/audit/x").await.refused(404, "");
    api.get("/audit?start_date=yesterday")
        .await
        .refused(422, "start_date");
    api.get("/audit?page=0").await.refused(422, "page");
}

#[tokio::test]
async fn a_page_of_what_a_filter_leaves() {
    let api = Api::new().await;
    for i in 0..5 {
        let peer = json!({"name": format!("p{i}"), "addresses": [format!("100.64.0.{i}")]});
        api.post("/peers", peer).await.ok();
    }
    let page = api
        .get("/audit?event=agent_network.peer.*&page=2&page_size=2")
        .await
        .ok();
    assert_eq!(
        (&page["total_records"], &page["total_pages"]),
        (&json!(5), &json!(3))
    );
    assert_eq!(page["data"][0]["target"]["name"], "p2");
    let one = api.get("/audit?target=p3").await.ok();
    assert_eq!(one["total_records"], 1);
}
