//! Settings that are tried before they are stored.

use serde_json::json;

use super::*;
use crate::control_plane::api::testing::REFUSED_KEY;

#[tokio::test]
async fn settings_are_tried_and_not_stored() {
    let api = Api::new().await;
    let report = api.post("/providers/test", openai()).await.ok();
    assert_eq!(report["ok"], true);
    let unnamed = without(openai(), "name");
    assert_eq!(api.post("/providers/test", unnamed).await.ok()["ok"], true);
    let refused = with(openai(), "api_key", json!(REFUSED_KEY));
    let report = api.post("/providers/test", refused).await.ok();
    assert_eq!(report["ok"], false);
    assert_eq!(report["status"], 401);
    assert_eq!(report["problem"], "bad_key");
    assert_eq!(report["remedy"], "Give another key");
    let stored = api.store.keys();
    assert!(
        !stored.iter().any(|key| key.starts_with("providers/")),
        "{stored:?}"
    );

    api.post("/providers/test", without(openai(), "api_key"))
        .await
        .refused(422, "api_key");
    api.post(
        "/providers/test",
        with(openai(), "upstream_url", json!("x")),
    )
    .await
    .refused(422, "upstream_url");
    api.post("/providers/test", with(openai(), "provider_id", json!("x")))
        .await
        .refused(422, "provider_id");
}

#[tokio::test]
async fn a_stored_key_serves_until_another_is_given() {
    let api = Api::new().await;
    let id = api.connect().await;
    let changed = with(without(openai(), "api_key"), "id", json!(id));
    let report = api.post("/providers/test", changed.clone()).await.ok();
    assert_eq!(report["ok"], true);
    let refused = with(changed, "api_key", json!(REFUSED_KEY));
    let report = api.post("/providers/test", refused).await.ok();
    assert_eq!(report["ok"], false);
    let unknown = with(openai(), "id", json!("ainp_none"));
    api.post("/providers/test", unknown).await.refused(404, "");
}

#[tokio::test]
async fn a_vendors_models_come_with_prices() {
    let api = Api::new().await;
    let path = "/catalog/providers/models";
    let request = json!({"catalog_provider_id": "openai_api", "api_key": MARKER});
    let found = api.post(path, request.clone()).await.ok();
    assert_eq!(
        found["models"],
        json!([
            {
                "id": "gpt-4o-mini", "pricing_known": true, "pricing_source": "catalog",
                "input_per_1k": 0.00015, "output_per_1k": 0.0006, "cache_read_per_1k": 0.000075,
            },
            {"id": "brand-new", "pricing_known": false, "input_per_1k": 0, "output_per_1k": 0},
            {
                "id": "resold", "pricing_known": true, "pricing_source": "vendor",
                "input_per_1k": 0.001, "output_per_1k": 0.002,
            },
        ])
    );
    let id = api.connect().await;
    let stored = json!({"catalog_provider_id": "openai_api", "provider_id": id});
    assert_eq!(api.post(path, stored).await.ok(), found);

    let refused = api
        .post(path, with(request.clone(), "api_key", json!(REFUSED_KEY)))
        .await;
    refused.refused(502, "");
    assert_eq!(
        refused.json()["message"],
        "refuses the key (401). Give another key"
    );
    let unlisted = with(
        request.clone(),
        "catalog_provider_id",
        json!("azure_openai_api"),
    );
    api.post(path, unlisted)
        .await
        .refused(422, "catalog_provider_id");
    let unknown = with(request, "catalog_provider_id", json!("none"));
    api.post(path, unknown)
        .await
        .refused(422, "catalog_provider_id");
}
