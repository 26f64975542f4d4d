//! Providers and their keys.

use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn a_provider_lives_and_its_key_is_never_shown() {
    let api = Api::new().await;
    let created = api.post("/providers", openai()).await.ok();
    let id = created["id"].as_str().unwrap();
    assert!(id.starts_with("ainp_") && id.len() == 25, "{id}");
    assert_eq!(created["upstream_url"], "https://api.openai.com");
    assert_eq!(created["enabled"], true);
    assert_eq!(created["identity_header_user_id"], "");
    assert_eq!(created["models"][0]["input_per_1k"], 0.00015);
    assert_eq!(created["api_key"], Value::Null);

    let path = format!("/providers/{id}");
    let shown = api.get(&path).await;
    assert!(shown.headers.contains_key(header::ETAG));
    assert_eq!(shown.ok(), created);
    assert_eq!(api.get("/providers").await.ok(), json!([created]));

    let keys = api.get(&format!("{path}/keys")).await.ok();
    let renamed = with(without(openai(), "api_key"), "name", json!("Renamed"));
    let updated = api
        .put(&path, with(renamed, "models", json!([])))
        .await
        .ok();
    assert_eq!(updated["name"], "Renamed");
    assert_eq!(
        updated["models"],
        json!([]),
        "PUT replaces the whole object"
    );
    assert_eq!(updated["created_at"], created["created_at"]);
    let same = api.get(&format!("{path}/keys")).await.ok();
    assert_eq!(same, keys, "an omitted key is kept");

    let with_key = with(openai(), "api_key", json!(format!("{MARKER}-2")));
    api.put(&path, with_key).await.ok();
    let new = api.get(&format!("{path}/keys")).await.ok();
    assert_eq!(new.as_array().unwrap().len(), 1);
    assert_ne!(new[0]["fingerprint"], keys[0]["fingerprint"]);

    assert!(
        api.store
            .values()
            .iter()
            .all(|value| !value.contains(MARKER))
    );
    api.get("/store/export").await;

    assert_eq!(api.delete(&path).await.ok(), json!({}));
    api.get(&path).await.refused(404, "");
    let logged = api.logged();
    assert!(logged.contains("management change"), "{logged}");
    assert!(!logged.contains(MARKER), "{logged}");
    let left = api.store.keys();
    assert!(
        left.iter().all(|key| !key.starts_with("credentials/")),
        "{left:?}"
    );
}

#[tokio::test]
async fn catalog_prices_stay_the_catalogs() {
    let api = Api::new().await;
    let unpriced = with(
        openai(),
        "models",
        json!([{"id": "gpt-4o-mini"}, {"id": "other"}]),
    );
    let mut shown = api.post("/providers", unpriced).await.ok();
    assert_eq!(shown["models"][0]["input_per_1k"], 0.00015);
    assert!(shown["models"][0].get("unpriced").is_none());
    assert_eq!(shown["models"][1]["input_per_1k"], 0);
    assert_eq!(shown["models"][1]["unpriced"], true);
    let path = format!("/providers/{}", shown["id"].as_str().unwrap());
    api.put(&path, shown.clone()).await.ok();
    let stored = || {
        let values = api.store.values();
        values
            .into_iter()
            .find(|value| value.contains("gpt-4o-mini") && !value.contains("\"event\""))
            .unwrap()
    };
    assert!(!stored().contains("0.00015"), "{}", stored());
    shown["models"][0]["input_per_1k"] = json!(0.5);
    let changed = api.put(&path, shown).await.ok();
    assert!(stored().contains("0.5"), "{}", stored());
    assert_eq!(changed["models"][1]["unpriced"], true);
}

#[tokio::test]
async fn keys_rotate_without_a_moment_without_one() {
    let api = Api::new().await;
    let path = format!("/providers/{}/keys", api.connect().await);
    let first = api.get(&path).await.ok();
    let only = first[0]["id"].as_str().unwrap();
    api.delete(&format!("{path}/{only}")).await.refused(412, "");

    let both = json!({"api_key": format!("{MARKER}-2"), "keep_others": true});
    let both = api.post(&path, both).await.ok();
    assert_eq!(both.as_array().unwrap().len(), 2);
    api.delete(&format!("{path}/{only}")).await.ok();

    let rotated = api
        .post(&path, json!({"api_key": format!("{MARKER}-3")}))
        .await
        .ok();
    assert_eq!(rotated.as_array().unwrap().len(), 1);
    api.post(&path, json!({})).await.refused(422, "api_key");

    let report = api.post("/keys/rotate-master", json!({})).await.ok();
    assert_eq!(report["resealed"], 2, "{report}");
    api.post(&path, json!({"api_key": format!("{MARKER}-4")}))
        .await
        .ok();
    let again = api.post("/keys/rotate-master", json!({})).await.ok();
    assert_ne!(again["key_id"], report["key_id"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_provider_is_named() {
    let api = Api::new().await;
    for (body, field) in [
        (without(openai(), "api_key"), "api_key"),
        (with(openai(), "api_key", json!("")), "api_key"),
        (
            with(openai(), "api_key", json!(format!("{MARKER}\n{MARKER}"))),
            "api_key",
        ),
        (without(openai(), "name"), "name"),
        (with(openai(), "name", json!("  ")), "name"),
        (without(openai(), "provider_id"), "provider_id"),
        (with(openai(), "provider_id", json!(MARKER)), "provider_id"),
        (without(openai(), "upstream_url"), "upstream_url"),
        (
            with(openai(), "upstream_url", json!(MARKER)),
            "upstream_url",
        ),
        (
            with(openai(), "models", json!([{"id": ""}])),
            "models[0].id",
        ),
        (
            with(openai(), "models", json!([{"id": "a"}, {"id": "a"}])),
            "models[1].id",
        ),
        (
            with(openai(), "models", json!([{"id": "a", "input_per_1k": -1}])),
            "models[0].input_per_1k",
        ),
        (
            with(openai(), "extra_values", json!({"x-evil": MARKER})),
            "extra_values",
        ),
        (
            with(openai(), "identity_header_user_id", json!("no header")),
            "identity_header_user_id",
        ),
        (with(openai(), "ca_pem", json!(MARKER)), "ca_pem"),
    ] {
        api.post("/providers", body).await.refused(422, field);
    }
    let wrong_type = with(openai(), "enabled", json!(MARKER));
    api.post("/providers", wrong_type).await.refused(400, "");
    let left = api.store.keys();
    assert!(left.iter().all(|key| key.starts_with("seal/")), "{left:?}");

    assert!(!api.logged().contains(MARKER));

    let keyless = json!({
        "provider_id": "custom", "name": "local", "upstream_url": "http://127.0.0.1:11434",
    });
    let created = api.post("/providers", keyless).await.ok();
    assert_eq!(created["allow_private_addresses"], true);

    let portkey = json!({
        "provider_id": "portkey", "name": "p", "upstream_url": "https://api.portkey.ai",
        "api_key": MARKER, "extra_values": {"X-Portkey-Config": "pc-1"},
    });
    let created = api.post("/providers", portkey).await.ok();
    assert_eq!(created["extra_values"], json!({"x-portkey-config": "pc-1"}));
}
