//! The cheapest call of a model that a provider can be tried with: one of those that it serves, so that the
//! answer also says whether the key may use it, and in this place.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::{
    control_plane::catalog::{Probe, ProbeForm},
    dialect::{Dialect, google::host},
    handoff::snapshot::{Provider, Target},
};

/// Asks of a model.
pub(super) struct Call {
    pub(super) model: String,
    pub(super) form: ProbeForm,
    /// No model of the provider's own is known, so that nothing is asked which could cost something.
    pub(super) is_empty: bool,
}

/// A `POST`.
pub(super) struct Asked {
    pub(super) dialect: Dialect,
    pub(super) path: String,
    pub(super) body: String,
}

/// What may stand in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Names of models that hold no conversation.
const NO_CHAT: [&str; 2] = ["embed", "rerank"];

/// As anthropic's SDK for Vertex AI has it.
const ANTHROPIC_VERSION: &str = "vertex-2023-10-16";

/// Whether the host has the calls; Bedrock's mantle has not.
pub(super) fn fits(provider: &Provider) -> bool {
    [Dialect::Bedrock, Dialect::Vertex]
        .iter()
        .any(|dialect| provider.dialects.contains(*dialect))
}

/// Of the models that the provider names, the one with the cheapest input.
pub(super) fn call(probe: &Probe, provider: &Provider) -> Call {
    let named = provider.models.listed.iter();
    let chats = named.filter(|(id, _)| probe.form.takes(id));
    let cheapest = chats.min_by_key(|(id, listed)| {
        let input = listed
            .price
            .as_ref()
            .map(|price| price.standard.rates.input);
        // Without a price it may be any.
        (input.is_none(), input, *id)
    });
    Call {
        model: cheapest.map_or_else(|| probe.model.clone(), |(id, _)| id.to_string()),
        form: probe.form,
        is_empty: cheapest.is_none() && probe.form == ProbeForm::Converse,
    }
}

impl ProbeForm {
    fn takes(self, model: &str) -> bool {
        let is_chat = !NO_CHAT.iter().any(|part| model.contains(part));
        match self {
            Self::Converse => is_chat,
            // Other publishers' models count nothing.
            Self::CountTokens => {
                is_chat && (model.starts_with("gemini-") || model.starts_with("claude-"))
            }
        }
    }
}

impl Call {
    pub(super) fn asked(&self, target: &Target) -> Asked {
        match self.form {
            ProbeForm::Converse => self.converse(),
            ProbeForm::CountTokens => self.count_tokens(target),
        }
    }

    fn converse(&self) -> Asked {
        let model = utf8_percent_encode(&self.model, SEGMENT);
        let body = match self.is_empty {
            true => json!({}),
            false => json!({
                "messages": [{"role": "user", "content": [{"text": "hi"}]}],
                "inferenceConfig": {"maxTokens": 1},
            }),
        };
        Asked {
            dialect: Dialect::Bedrock,
            path: format!("/model/{model}/converse"),
            body: body.to_string(),
        }
    }

    fn count_tokens(&self, target: &Target) -> Asked {
        let authority = target.authority.split(':').next().unwrap_or_default();
        let location = host::location(authority).unwrap_or(host::GLOBAL);
        let credential = target.credential.as_ref();
        let project = credential.and_then(|credential| credential.minted.as_ref());
        let project = utf8_percent_encode(project.map_or("", |minted| &minted.project), SEGMENT);
        let (resource, body) = if self.model.starts_with("claude-") {
            let body = json!({
                "anthropic_version": ANTHROPIC_VERSION,
                "model": self.model,
                "messages": [{"role": "user", "content": "hi"}],
            });
            ("anthropic/models/count-tokens:rawPredict".to_owned(), body)
        } else {
            let model = utf8_percent_encode(&self.model, SEGMENT);
            let body = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
            (format!("google/models/{model}:countTokens"), body)
        };
        Asked {
            dialect: Dialect::Vertex,
            path: format!("/v1/projects/{project}/locations/{location}/publishers/{resource}"),
            body: body.to_string(),
        }
    }
}
