//! `/guardrails`: what policies let through, keep of prompts, and bound.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};
use utoipa::ToSchema;

use super::{error::ApiError, policies, resources::Resource, validate};
use crate::{
    control_plane::{
        resource::{
            ChecksDoc, GuardrailDoc, ModelAllowlistDoc, OutputLimitDoc, PolicyDoc,
            PromptCaptureDoc, key,
        },
        store::{Compare, Store, Transaction},
    },
    handoff::record::MODEL_BYTES_LIMIT,
};

/// Models of one guardrail.
const MODELS_LIMIT: usize = 1000;
/// Keeps the comparison of a name with a pattern short.
const WILDCARDS_LIMIT: usize = 8;
const CAPTURE_BYTES_MAX: u64 = 64 << 10;
/// Vendors read the bound of an output as a 32 bit number.
const OUTPUT_TOKENS_MAX: u64 = i32::MAX as u64;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GuardrailRequest {
    #[schema(required, nullable = false)]
    name: Option<String>,
    #[serde(default)]
    description: String,
    #[schema(required, nullable = false)]
    checks: Option<ChecksRequest>,
    // Answers have these, and may be sent back.
    #[serde(default, rename = "id")]
    #[schema(value_type = Option<String>, read_only)]
    _id: IgnoredAny,
    #[serde(default, rename = "created_at")]
    #[schema(value_type = Option<String>, read_only)]
    _created_at: IgnoredAny,
    #[serde(default, rename = "updated_at")]
    #[schema(value_type = Option<String>, read_only)]
    _updated_at: IgnoredAny,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GuardrailChecksRequest)]
struct ChecksRequest {
    #[serde(default)]
    model_allowlist: ModelAllowlistDoc,
    #[serde(default)]
    prompt_capture: PromptCaptureRequest,
    /// Kept when omitted: NetBird's clients do not know it.
    output_limit: Option<OutputLimitDoc>,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct PromptCaptureRequest {
    enabled: bool,
    redact_pii: bool,
    /// Kept when omitted.
    max_bytes: Option<u64>,
}

impl Resource for GuardrailDoc {
    type Request = GuardrailRequest;
    const STORE_PREFIX: &'static str = key::GUARDRAILS;
    const ID_PREFIX: &'static str = "ainguard_";
    const NAME: &'static str = "guardrail";
    const HELP: &'static str = "It has no effect until a policy names it.";

    fn empty(id: String, now: Timestamp) -> Self {
        Self {
            id,
            name: String::new(),
            description: String::new(),
            checks: ChecksDoc::default(),
            created_at: now,
            updated_at: now,
        }
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }

    fn replaced(self, request: GuardrailRequest, now: Timestamp) -> Result<Self, ApiError> {
        let checks = request
            .checks
            .ok_or_else(|| ApiError::invalid("checks", "is required"))?;
        Ok(Self {
            name: validate::required_name(request.name.as_deref())?,
            description: validate::description(request.description)?,
            checks: checks.over(self.checks)?,
            updated_at: now,
            ..self
        })
    }

    async fn accompany(&self, _: &dyn Store, _: &mut Transaction) -> Result<(), ApiError> {
        Ok(())
    }

    async fn removal(store: &dyn Store, id: &str) -> Result<Vec<Compare>, ApiError> {
        let names_it = |policy: &PolicyDoc| policy.guardrail_ids.iter().any(|used| used == id);
        let unused = policies::unused(store, Self::NAME, names_it).await?;
        Ok(vec![unused])
    }
}

impl ChecksRequest {
    /// What it makes of `base`.
    fn over(self, base: ChecksDoc) -> Result<ChecksDoc, ApiError> {
        let capture = self.prompt_capture;
        Ok(ChecksDoc {
            model_allowlist: model_allowlist(self.model_allowlist)?,
            prompt_capture: prompt_capture(PromptCaptureDoc {
                enabled: capture.enabled,
                redact_pii: capture.redact_pii,
                max_bytes: capture.max_bytes.unwrap_or(base.prompt_capture.max_bytes),
            })?,
            output_limit: output_limit(self.output_limit.unwrap_or(base.output_limit))?,
        })
    }
}

fn model_allowlist(list: ModelAllowlistDoc) -> Result<ModelAllowlistDoc, ApiError> {
    const FIELD: &str = "checks.model_allowlist.models";
    if list.enabled && list.models.is_empty() {
        return Err(ApiError::invalid(FIELD, "must name at least one"));
    }
    if list.models.len() > MODELS_LIMIT {
        let message = format!("must be at most {MODELS_LIMIT}");
        return Err(ApiError::invalid(FIELD, message));
    }
    let mut seen = HashSet::new();
    let mut models = Vec::with_capacity(list.models.len());
    for (i, sent) in list.models.iter().enumerate() {
        let refused = |message| ApiError::invalid(format!("{FIELD}[{i}]"), message);
        let model = sent.trim();
        let fits = !model.is_empty()
            && model.len() <= MODEL_BYTES_LIMIT
            && !model.chars().any(char::is_control);
        if !fits {
            return Err(refused("is not a model id or pattern".to_owned()));
        }
        if model.matches('*').count() > WILDCARDS_LIMIT {
            return Err(refused(format!("may have at most {WILDCARDS_LIMIT} *")));
        }
        if !seen.insert(model.to_lowercase()) {
            return Err(refused("is listed twice".to_owned()));
        }
        models.push(model.to_owned());
    }
    Ok(ModelAllowlistDoc { models, ..list })
}

fn prompt_capture(capture: PromptCaptureDoc) -> Result<PromptCaptureDoc, ApiError> {
    if (1..=CAPTURE_BYTES_MAX).contains(&capture.max_bytes) {
        Ok(capture)
    } else {
        Err(ApiError::invalid(
            "checks.prompt_capture.max_bytes",
            format!("must be 1 to {CAPTURE_BYTES_MAX}"),
        ))
    }
}

fn output_limit(limit: OutputLimitDoc) -> Result<OutputLimitDoc, ApiError> {
    let is_missing = limit.enabled && limit.max_tokens == 0;
    if is_missing || limit.max_tokens > OUTPUT_TOKENS_MAX {
        return Err(ApiError::invalid(
            "checks.output_limit.max_tokens",
            format!("must be 1 to {OUTPUT_TOKENS_MAX}"),
        ));
    }
    Ok(limit)
}
