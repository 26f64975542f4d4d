//! Google's lists of publishers' models (aiplatform v1beta1, `publishers.models.list`).

use serde::Deserialize;

use super::{ListedModel, Page};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    publisher_models: Option<Vec<Model>>,
    next_page_token: Option<String>,
    #[serde(flatten)]
    other: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Model {
    /// `publishers/{publisher}/models/{id}`.
    name: String,
}

pub(super) fn read(body: &[u8]) -> Option<Page> {
    let body: Body = serde_json::from_slice(body).ok()?;
    // Google leaves an empty list out.
    if body.publisher_models.is_none() && !body.other.is_empty() {
        return None;
    }
    let models = body.publisher_models.unwrap_or_default();
    let ids = models.iter().filter_map(Model::served);
    Some(Page {
        models: ids
            .map(|id| ListedModel {
                id: id.to_owned(),
                label: None,
                base_model: None,
                price: None,
            })
            .collect(),
        next: body
            .next_page_token
            .filter(|token| !token.is_empty())
            .map(|token| ("pageToken", token)),
    })
}

impl Model {
    /// The id that agents name. Google's list also has models to deploy, and such as make images and video.
    fn served(&self) -> Option<&str> {
        let (publisher, model) = self
            .name
            .strip_prefix("publishers/")?
            .split_once("/models/")?;
        let is_served = match publisher {
            "google" => model.starts_with("gemini-") || model.contains("embedding"),
            _ => true,
        };
        is_served.then_some(model)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn models_that_are_served_as_they_are_are_listed() {
        let body = br#"{"publisherModels":[
            {"name":"publishers/google/models/gemini-3.8-flash","versionId":"default","launchStage":"GA"},
            {"name":"publishers/google/models/gemini-embedding-2","versionId":"default"},
            {"name":"publishers/google/models/imagen-4.0-generate-001"},
            {"name":"publishers/google/models/bert-base-uncased"},
            {"name":"publishers/anthropic/models/claude-sonnet-5"},
            {"name":"another"}],"nextPageToken":"t"}"#;
        let page = read(body).unwrap();
        let ids: Vec<_> = page.models.iter().map(|model| &*model.id).collect();
        assert_eq!(
            ids,
            ["gemini-3.8-flash", "gemini-embedding-2", "claude-sonnet-5"]
        );
        assert_eq!(page.next, Some(("pageToken", "t".to_owned())));
        assert_eq!(read(b"{}").unwrap().models, []);
    }
}
