//! The endpoint's name.

use serde_json::json;

use super::*;

#[tokio::test]
async fn the_first_provider_names_the_endpoint() {
    let api = Api::new().await;
    assert_eq!(api.get("/settings").await.ok()["endpoint"], "");
    api.put("/settings", json!({})).await.refused(404, "");
    let id = api.connect().await;
    let settings = api.get("/settings").await.ok();
    let endpoint = settings["endpoint"].as_str().unwrap().to_owned();
    let label = endpoint.strip_suffix(".agents.example").unwrap();
    assert_eq!(label.split('-').count(), 2);
    assert_eq!(settings["proxy_address"], "agents.example");
    assert_eq!(settings["dedicated"], false);
    api.connect().await;
    assert_eq!(api.get("/settings").await.ok()["endpoint"], endpoint);

    let create = json!({"endpoint": "other.example"});
    api.post("/settings", create).await.refused(409, "");
    let moved = with(settings.clone(), "endpoint", json!("other.example"));
    api.put("/settings", moved).await.refused(422, "endpoint");
    let prompts = with(settings.clone(), "enable_prompt_collection", json!(true));
    let prompts = with(prompts, "prompt_retention_days", json!(3));
    let updated = api.put("/settings", prompts).await.ok();
    assert_eq!(updated["enable_prompt_collection"], true);
    assert_eq!(updated["prompt_retention_days"], 3);
    // As NetBird's clients send it.
    let shorter = with(settings.clone(), "access_log_retention_days", json!(7));
    let shorter = without(shorter, "prompt_retention_days");
    let updated = api.put("/settings", shorter).await.ok();
    assert_eq!(updated["access_log_retention_days"], 7);
    assert_eq!(updated["enable_prompt_collection"], false);
    assert_eq!(updated["prompt_retention_days"], 3);
    let endless = with(settings.clone(), "prompt_retention_days", json!(36_501));
    api.put("/settings", endless)
        .await
        .refused(422, "prompt_retention_days");

    api.delete("/settings").await.refused(412, "");
    for provider in api.get("/providers").await.ok().as_array().unwrap() {
        let id = provider["id"].as_str().unwrap();
        api.delete(&format!("/providers/{id}")).await.ok();
    }
    api.get(&format!("/providers/{id}")).await.refused(404, "");
    api.delete("/settings").await.ok();

    let both = json!({"endpoint": "a.example", "proxy_address": "example"});
    api.post("/settings", both).await.refused(422, "endpoint");
    let claimed = api
        .post("/settings", json!({"endpoint": "LLM.example"}))
        .await
        .ok();
    assert_eq!(claimed["endpoint"], "llm.example");
    assert_eq!(claimed["dedicated"], true);
    assert_eq!(claimed["proxy_address"], "llm.example");
}
