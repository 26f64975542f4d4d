//! Guardrails: what a policy lets through, keeps of prompts, and bounds.
//!
//! As with limits, a field that is not known is refused: a check that is not understood must not be
//! dropped.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is kept of a prompt, and of its answer, where nobody says otherwise.
pub const CAPTURE_BYTES_DEFAULT: u64 = 3500;

/// `/api/agent-network/guardrails`. Policies name it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Guardrail)]
pub struct GuardrailDoc {
    pub id: String,
    pub name: String,
    #[serde(default)]
    #[schema(required)]
    pub description: String,
    pub checks: ChecksDoc,
    pub created_at: jiff::Timestamp,
    pub updated_at: jiff::Timestamp,
}

/// `output_limit` is added to NetBird's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = GuardrailChecks)]
pub struct ChecksDoc {
    #[schema(required)]
    pub model_allowlist: ModelAllowlistDoc,
    #[schema(required)]
    pub prompt_capture: PromptCaptureDoc,
    #[schema(required)]
    pub output_limit: OutputLimitDoc,
}

/// Only these models.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = ModelAllowlist)]
pub struct ModelAllowlistDoc {
    #[schema(required)]
    pub enabled: bool,
    /// Ids, compared without case. A `*` in one matches any text, none included.
    #[schema(required)]
    pub models: Vec<String>,
}

/// Keeps prompts and answers with the access log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = PromptCapture)]
pub struct PromptCaptureDoc {
    #[schema(required)]
    pub enabled: bool,
    /// Personal data and keys are replaced in what is kept.
    #[schema(required)]
    pub redact_pii: bool,
    /// Kept of a prompt, and of its answer; added to NetBird's.
    #[schema(required)]
    pub max_bytes: u64,
}

impl Default for PromptCaptureDoc {
    fn default() -> Self {
        Self {
            enabled: false,
            redact_pii: false,
            max_bytes: CAPTURE_BYTES_DEFAULT,
        }
    }
}

/// Bounds the output of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = OutputLimit)]
pub struct OutputLimitDoc {
    #[schema(required)]
    pub enabled: bool,
    #[schema(required)]
    pub max_tokens: u64,
}
