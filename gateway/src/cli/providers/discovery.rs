//! Models as a vendor lists them, and as they are written into a provider.

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::model::WithKey;
use crate::cli::{
    Failure,
    client::Client,
    lookup::{items, text},
};

/// Where the node asks a vendor.
const PATH: &str = "/catalog/providers/models";

/// What a vendor lists for a provider as it is stored, or as it is about to be. Without a `key` it is asked with
/// the stored one.
pub(super) async fn listed(
    provider: &Value,
    key: Option<&Zeroizing<String>>,
    client: &Client,
) -> Result<Value, Failure> {
    let mut body = json!({"catalog_provider_id": provider["provider_id"]});
    for (field, name) in [
        ("id", "provider_id"),
        ("upstream_url", "upstream_url"),
        ("extra_values", "extra_values"),
        ("ca_pem", "ca_pem"),
        ("skip_tls_verification", "skip_tls_verification"),
        ("allow_private_addresses", "allow_private_addresses"),
    ] {
        if let Some(value) = provider.get(field) {
            body[name] = value.clone();
        }
    }
    client.post(PATH, &WithKey::new(&body, key)).await
}

/// Adds models to a provider's body, but those that it names already. Prices that the catalog knows stay
/// with it; the vendor's own are written down.
pub(super) fn add<'a>(body: &mut Value, listed: impl Iterator<Item = &'a Value>) {
    let mut models = items(&body["models"]).to_vec();
    for found in listed {
        if models.iter().any(|model| model["id"] == found["id"]) {
            continue;
        }
        let mut model = json!({"id": found["id"]});
        if let Some(base_model) = found.get("base_model") {
            model["base_model"] = base_model.clone();
        }
        if found["pricing_source"] == "vendor" {
            for rate in [
                "input_per_1k",
                "output_per_1k",
                "cache_read_per_1k",
                "cache_creation_per_1k",
            ] {
                if let Some(value) = found.get(rate) {
                    model[rate] = value.clone();
                }
            }
        }
        models.push(model);
    }
    body["models"] = json!(models);
}

/// One line per model: its id, and what it costs.
pub(super) fn rows(models: &[Value]) -> Vec<String> {
    let width = models.iter().map(|model| text(model, "id").len()).max();
    let width = width.unwrap_or(0);
    models
        .iter()
        .map(|model| format!("{:width$}  {}", text(model, "id"), price(model)))
        .collect()
}

/// Input and output, in dollars per thousand tokens.
pub(super) fn price(model: &Value) -> String {
    if model["pricing_known"] == true {
        format!("{} / {}", model["input_per_1k"], model["output_per_1k"])
    } else {
        "no price known".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_stay_where_they_are_known() {
        let listed = [
            json!({"id": "a", "pricing_known": true, "pricing_source": "catalog", "input_per_1k": 1, "output_per_1k": 2}),
            json!({"id": "b", "pricing_known": true, "pricing_source": "vendor", "input_per_1k": 1, "output_per_1k": 2}),
            json!({"id": "c", "pricing_known": false, "input_per_1k": 0, "output_per_1k": 0}),
            json!({"id": "d", "base_model": "e", "pricing_known": true, "pricing_source": "catalog", "input_per_1k": 1, "output_per_1k": 2}),
        ];
        let mut body = json!({"models": [{"id": "c", "input_per_1k": 5, "output_per_1k": 5}]});
        add(&mut body, listed.iter());
        assert_eq!(
            body["models"],
            json!([
                {"id": "c", "input_per_1k": 5, "output_per_1k": 5},
                {"id": "a"},
                {"id": "b", "input_per_1k": 1, "output_per_1k": 2},
                {"id": "d", "base_model": "e"},
            ])
        );
        assert_eq!(
            rows(&listed),
            ["a  1 / 2", "b  1 / 2", "c  no price known", "d  1 / 2"]
        );
    }
}
