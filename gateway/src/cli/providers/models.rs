//! `keyway providers models`: what a provider's vendor lists for its key, and what of it the provider serves.

use serde_json::Value;

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
    let listed = discovery::listed(provider, None, client).await?;
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
