//! AWS' two lists (service model `bedrock/2023-04-20`): models that can be called by their own id, and the
//! inference profiles that newer ones are called by.

use serde::Deserialize;

use super::{ListedModel, Page, label};

/// In front of a model's id in its ARN.
const MODEL_RESOURCE: &str = ":foundation-model/";

/// Kinds of output that are metered.
const MODALITIES: [&str; 2] = ["TEXT", "EMBEDDING"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    model_summaries: Option<Vec<Model>>,
    inference_profile_summaries: Option<Vec<Profile>>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    model_id: String,
    model_name: Option<String>,
    #[serde(default)]
    output_modalities: Vec<String>,
    #[serde(default)]
    inference_types_supported: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    inference_profile_id: String,
    inference_profile_arn: String,
    inference_profile_name: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    models: Vec<ProfileModel>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileModel {
    model_arn: Option<String>,
}

pub(super) fn read(body: &[u8]) -> Option<Page> {
    let body: Body = serde_json::from_slice(body).ok()?;
    if body.model_summaries.is_none() && body.inference_profile_summaries.is_none() {
        return None;
    }
    let models = body.model_summaries.unwrap_or_default().into_iter();
    let models = models
        .filter(Model::can_be_called)
        .map(|model| ListedModel {
            label: label(model.model_name, &model.model_id),
            id: model.model_id,
            base_model: None,
            price: None,
        });
    let profiles = body.inference_profile_summaries.unwrap_or_default();
    Some(Page {
        models: models
            .chain(profiles.into_iter().map(Profile::listed))
            .collect(),
        next: body
            .next_token
            .filter(|token| !token.is_empty())
            .map(|token| ("nextToken", token)),
    })
}

impl Model {
    /// By its own id, without capacity that was bought before.
    fn can_be_called(&self) -> bool {
        let is_metered = |kind: &String| MODALITIES.contains(&kind.as_str());
        self.output_modalities.iter().any(is_metered)
            && self
                .inference_types_supported
                .iter()
                .any(|kind| kind == "ON_DEMAND")
    }
}

impl Profile {
    /// The account's own profiles are called by their ARN, which tells no model.
    fn listed(self) -> ListedModel {
        let is_own = self.kind == "APPLICATION";
        let model_arn = self.models.into_iter().find_map(|model| model.model_arn);
        let model = model_arn.as_deref().and_then(|arn| {
            let (_, model) = arn.split_once(MODEL_RESOURCE)?;
            Some(model.to_owned())
        });
        let id = match is_own {
            true => self.inference_profile_arn,
            false => self.inference_profile_id,
        };
        ListedModel {
            label: label(self.inference_profile_name, &id),
            id,
            base_model: model.filter(|_| is_own),
            price: None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn listed(body: &str) -> Vec<(String, Option<String>)> {
        let page = read(body.as_bytes()).unwrap();
        let models = page.models.into_iter();
        models.map(|model| (model.id, model.base_model)).collect()
    }

    #[test]
    fn only_what_can_be_called_and_metered_is_listed() {
        let body = r#"{"modelSummaries":[
            {"modelId":"amazon.nova-lite-v1:0","modelName":"Nova Lite","outputModalities":["TEXT"],
             "inferenceTypesSupported":["ON_DEMAND","PROVISIONED"],"modelLifecycle":{"status":"ACTIVE"}},
            {"modelId":"amazon.titan-embed-text-v2:0","outputModalities":["EMBEDDING"],
             "inferenceTypesSupported":["ON_DEMAND"]},
            {"modelId":"amazon.nova-canvas-v1:0","outputModalities":["IMAGE"],
             "inferenceTypesSupported":["ON_DEMAND"]},
            {"modelId":"amazon.nova-lite-v1:0:24k","outputModalities":["TEXT"],
             "inferenceTypesSupported":["PROVISIONED"]},
            {"modelId":"anthropic.claude-sonnet-5","outputModalities":["TEXT"],
             "inferenceTypesSupported":["INFERENCE_PROFILE"]},
            {"modelId":"bare"}]}"#;
        assert_eq!(
            listed(body),
            [
                ("amazon.nova-lite-v1:0".to_owned(), None),
                ("amazon.titan-embed-text-v2:0".to_owned(), None),
            ]
        );
    }

    #[test]
    fn profiles_are_named_as_they_are_called() {
        let own = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2";
        let body = format!(
            r#"{{"inferenceProfileSummaries":[
            {{"inferenceProfileId":"us.anthropic.claude-sonnet-5","inferenceProfileName":"US Claude Sonnet 5",
              "inferenceProfileArn":"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-5",
              "models":[{{"modelArn":"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-5"}}],
              "status":"ACTIVE","type":"SYSTEM_DEFINED"}},
            {{"inferenceProfileId":"a1b2","inferenceProfileName":"team","inferenceProfileArn":"{own}",
              "models":[{{"modelArn":"arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"}}],
              "status":"ACTIVE","type":"APPLICATION"}}],"nextToken":"t+/="}}"#
        );
        assert_eq!(
            listed(&body),
            [
                ("us.anthropic.claude-sonnet-5".to_owned(), None),
                (own.to_owned(), Some("amazon.nova-lite-v1:0".to_owned())),
            ]
        );
        let next = read(body.as_bytes()).unwrap().next;
        assert_eq!(next, Some(("nextToken", "t+/=".to_owned())));
    }
}
