//! What the rest of the node has to tell.

use axum::http::StatusCode;
use serde_json::json;

use super::*;
use crate::control_plane::store::{self, ImportMode};

#[tokio::test]
async fn the_rest_answers_in_its_shape() {
    let api = Api::new().await;
    assert_eq!(api.get("/consumption").await.ok(), json!([]));
    assert_eq!(api.get("/status").await.ok()["driver"], "epoll");
    assert!(api.get("/ca").await.text.starts_with("-----BEGIN"));
    let catalog = api.get("/catalog/providers").await.ok();
    let openai = catalog
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["id"] == "openai_api")
        .unwrap();
    assert_eq!(openai["kind"], "provider");
    let models = openai["models"].as_array().unwrap();
    let mini = models.iter().find(|model| model["id"] == "gpt-4o-mini");
    assert_eq!(mini.unwrap()["input_per_1k"], 0.00015);
    let logs = api.get("/access-logs?page_size=1").await.ok();
    assert_eq!(logs["total_pages"], 1);
    assert_eq!(logs["data"][0]["input_tokens"], 1200);
    let id = logs["data"][0]["id"].as_str().unwrap();
    for id in [id, &format!("req_{id}")] {
        let shown = api.get(&format!("/access-logs/{id}")).await.ok();
        assert_eq!(shown["input_tokens"], 1200);
        assert_eq!(shown["capture"], "kept");
        assert_eq!(shown["request_prompt"], "Once upon a time");
        assert!(shown.get("response_completion").is_none());
    }
    assert!(logs["data"][0].get("request_prompt").is_none());
    for absent in [
        "0",
        "req_0",
        "x",
        &"0".repeat(32),
        &"f".repeat(32),
        &"f".repeat(33),
    ] {
        let path = format!("/access-logs/{absent}");
        api.get(&path).await.refused(404, "");
    }
    api.get("/access-logs?page_size=0")
        .await
        .refused(422, "page_size");
    let none = api
        .get("/access-logs?model=gpt-4o-mini&model=other")
        .await
        .ok();
    assert_eq!(none["total_records"], 0);
    let lines = api.get("/access-logs/export").await;
    assert_eq!(lines.ok_text().lines().count(), 1);
    assert_eq!(lines.ok(), logs["data"][0]);
    let table = api
        .get("/access-logs/export?format=csv&decision=deny")
        .await;
    assert!(table.ok_text().starts_with("id,timestamp,"));
    assert_eq!(table.ok_text().lines().count(), 1);
    api.get("/access-logs/export?format=xlsx")
        .await
        .refused(422, "format");
    api.get("/access-logs/stream?after=x")
        .await
        .refused(422, "after");
    let sessions = api.get("/access-log-sessions").await.ok();
    assert_eq!(sessions["data"][0]["session_id"], "session-1");
    let buckets = api.get("/usage/overview?granularity=week").await.ok();
    assert_eq!(buckets[0]["output_tokens"], 640);
    api.get("/usage/overview?granularity=year")
        .await
        .refused(422, "granularity");
    let by_model = api.get("/usage/breakdown?by=model").await.ok();
    assert_eq!(by_model[0]["key"], "gpt-4o");
    let by_group = api.get("/usage/breakdown?by=group&format=csv").await;
    assert!(by_group.ok_text().contains("\nengineers,,1,0,0,"));
    let by_day = api.get("/usage/overview?format=csv").await;
    assert!(by_day.ok_text().starts_with("period_start,request_count,"));
    api.get("/usage/breakdown").await.refused(422, "by");
    let id = api.connect().await;
    let report = api
        .post(&format!("/providers/{id}/test"), json!({}))
        .await
        .ok();
    assert_eq!(report["ok"], true);
    api.post("/providers/ainp_none/test", json!({}))
        .await
        .refused(404, "");
}

#[tokio::test]
async fn an_export_can_be_read_again() {
    let api = Api::new().await;
    api.connect().await;
    let export = api.get("/store/export").await;
    assert_eq!(export.status, StatusCode::OK);
    let other = MemoryStore::default();
    store::import(&other, export.text.as_bytes(), ImportMode::IntoEmpty)
        .await
        .unwrap();
    assert_eq!(other.values(), api.store.values());
}
