//! `keyway providers models`: what a provider's vendor lists for its key, and what of it the provider serves.

use serde_json::{Value, json};

use super::discovery;
use crate::cli::{
    Failure,
    client::Client,
    lookup::{items, text},
    output::{Column, Output},
};

const NONE: &str = "The vendor lists no models for this key.";

pub(super) async fn list(
    provider: &Value,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let listed = listed(provider, client).await?;
    let columns = [
        Column::Left("MODEL"),
        Column::Right("INPUT $/1k"),
        Column::Right("OUTPUT $/1k"),
        Column::Left("SERVED"),
    ];
    output.show(&listed, &columns, NONE, || {
        let models = items(&listed["models"]).iter();
        models.map(|model| row(provider, model)).collect()
    })
}

/// Asks the vendor with the provider's stored key.
pub(super) async fn listed(provider: &Value, client: &Client) -> Result<Value, Failure> {
    let request = json!({
        "catalog_provider_id": provider["provider_id"],
        "provider_id": provider["id"],
    });
    client.post(discovery::PATH, &request).await
}

fn row(provider: &Value, model: &Value) -> Vec<String> {
    let id = text(model, "id");
    let price = |field: &str| {
        if model["pricing_known"] == true {
            model[field].to_string()
        } else {
            "unknown".to_owned()
        }
    };
    let serves = items(&provider["models"]);
    let is_served = serves.is_empty() || serves.iter().any(|served| text(served, "id") == id);
    vec![
        id.to_owned(),
        price("input_per_1k"),
        price("output_per_1k"),
        if is_served { "yes" } else { "no" }.to_owned(),
    ]
}
