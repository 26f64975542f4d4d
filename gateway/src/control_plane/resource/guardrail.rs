//! Guardrails: what a policy lets through, keeps of prompts, and bounds.
//!
//! As with limits, a field that is not known is refused: a check that is not understood must not be
//! dropped.

use serde::{Deserialize, Serialize};

/// What is kept of a prompt, and of its answer, where nobody says otherwise.
pub const CAPTURE_BYTES_DEFAULT: u64 = 3500;

/// `/api/agent-network/guardrails`. Policies name it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuardrailDoc {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub description: String,
    pub checks: ChecksDoc,
    pub created_at: jiff::Timestamp,
    pub updated_at: jiff::Timestamp,
}

/// `output_limit` is added to NetBird's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChecksDoc {
    pub model_allowlist: ModelAllowlistDoc,
    pub prompt_capture: PromptCaptureDoc,
    pub output_limit: OutputLimitDoc,
}

/// Only these models.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelAllowlistDoc {
    pub enabled: bool,
    /// Ids, compared without case. A `*` in one matches any text, none included.
    pub models: Vec<String>,
}

/// Keeps prompts and answers with the access log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PromptCaptureDoc {
    pub enabled: bool,
    /// Personal data and keys are replaced in what is kept.
    pub redact_pii: bool,
    /// Kept of a prompt, and of its answer; added to NetBird's.
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutputLimitDoc {
    pub enabled: bool,
    pub max_tokens: u64,
}
