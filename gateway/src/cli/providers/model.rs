//! Arguments that describe a provider's models and headers, and a request body with a key beside.

use std::{num::NonZeroU64, str::FromStr};

use serde::Serialize;
use serde_json::{Number, Value};
use zeroize::Zeroizing;

/// `ID`, `ID=INPUT,OUTPUT[,CONTEXT]` or `ID=BASE_MODEL`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ModelArgument {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_per_1k: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_per_1k: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<NonZeroU64>,
}

impl FromStr for ModelArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (id, price) = match text.split_once('=') {
            Some((id, price)) => (id, Some(price)),
            None => (text, None),
        };
        let mut model = Self {
            id: id.to_owned(),
            base_model: None,
            input_per_1k: None,
            output_per_1k: None,
            context: None,
        };
        match price.map(|price| (price, price.split_once(','))) {
            None => {}
            Some((_, Some((input, rest)))) => {
                let (output, context) = match rest.split_once(',') {
                    Some((output, context)) => (output, Some(context)),
                    None => (rest, None),
                };
                model.context = context.map(tokens).transpose()?;
                model.input_per_1k = Some(rate(input)?);
                model.output_per_1k = Some(rate(output)?);
            }
            Some((single, None)) if single.is_empty() || rate(single).is_ok() => {
                return Err("prices are INPUT,OUTPUT in dollars per 1000 tokens".into());
            }
            Some((base, None)) => model.base_model = Some(base.to_owned()),
        }
        Ok(model)
    }
}

/// `NAME=VALUE`.
pub(super) fn header_argument(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .ok_or_else(|| "a header is NAME=VALUE".to_owned())
}

/// A body with the key beside its fields, so that the key is copied only into the request.
#[derive(Serialize)]
pub(super) struct WithKey<'a> {
    #[serde(flatten)]
    body: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<&'a str>,
}

impl<'a> WithKey<'a> {
    pub(super) fn new(body: &'a Value, key: Option<&'a Zeroizing<String>>) -> Self {
        Self {
            body,
            api_key: key.map(|key| key.as_str()),
        }
    }
}

fn tokens(text: &str) -> Result<NonZeroU64, String> {
    text.trim()
        .parse()
        .map_err(|_| "a context window is a number of tokens such as 128000".to_owned())
}

fn rate(text: &str) -> Result<Number, String> {
    text.trim()
        .parse()
        .map_err(|_| "a price is a decimal such as 0.00015".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn models_come_with_or_without_prices() {
        let model = |text: &str| text.parse::<ModelArgument>().map(|model| json!(model));
        assert_eq!(model("gpt-4o"), Ok(json!({"id": "gpt-4o"})));
        assert_eq!(
            model("gpt-4o=0.0025, 0.01"),
            Ok(json!({"id": "gpt-4o", "input_per_1k": 0.0025, "output_per_1k": 0.01}))
        );
        assert_eq!(
            model("own=0,0,32000"),
            Ok(json!({"id": "own", "input_per_1k": 0, "output_per_1k": 0, "context": 32000}))
        );
        assert!(model("own=0,0,big").is_err());
        assert_eq!(
            model("my-deployment=gpt-4o"),
            Ok(json!({"id": "my-deployment", "base_model": "gpt-4o"}))
        );
        assert!(model("gpt-4o=").is_err());
        assert!(model("gpt-4o=0.1").is_err());
        assert!(model("gpt-4o=a,b").is_err());
    }

    #[test]
    fn a_key_stands_beside_the_body() {
        let key = Zeroizing::new("k".to_owned());
        let body = json!({"name": "x"});
        assert_eq!(
            json!(WithKey::new(&body, Some(&key))),
            json!({"name": "x", "api_key": "k"})
        );
        assert_eq!(json!(WithKey::new(&body, None)), body);
    }
}
