//! `Usage`, what a meter counted, and what it costs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Token counts in OpenTelemetry's meaning: `input_tokens` includes cached ones. A meter converts
/// whatever the vendor reports (`facts`: inclusive for OpenAI, exclusive for Anthropic) into this.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// All input tokens: uncached + cache read + cache written.
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cache_read_input_tokens: u64,
    /// Written with the short lifetime (Anthropic 5 min, OpenAI 30 min) or of unstated lifetime.
    pub cache_creation_input_tokens: u64,
    /// Written with the long lifetime (Anthropic 1 h, OpenAI 12 h).
    pub cache_creation_long_input_tokens: u64,
    /// Part of `output_tokens`.
    pub reasoning_tokens: u64,
    /// What is not text, or not counted in tokens.
    pub media: MediaUsage,
    /// The provider's own tools.
    pub tool_calls: ToolCalls,
}

/// Usage with rates of its own: parts of the token counts, and what is billed by the second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct MediaUsage {
    /// Part of `input_tokens`, cached ones included.
    #[schema(required)]
    pub audio_input_tokens: u64,
    /// Part of both `audio_input_tokens` and `cache_read_input_tokens`.
    #[schema(required)]
    pub audio_cache_read_tokens: u64,
    /// Part of `output_tokens`.
    #[schema(required)]
    pub audio_output_tokens: u64,
    /// Part of `input_tokens`.
    #[schema(required)]
    pub image_input_tokens: u64,
    /// Part of `output_tokens`.
    #[schema(required)]
    pub image_output_tokens: u64,
    /// Audio that has no tokens, in milliseconds.
    #[schema(required)]
    pub audio_ms: u64,
}

/// Calls of tools that the provider runs and bills one by one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ToolCalls {
    #[schema(required)]
    pub web_search: u64,
    /// Look-ups in maps.
    #[schema(required)]
    pub maps: u64,
    #[schema(required)]
    pub file_search: u64,
    /// Sessions of a code interpreter.
    #[schema(required)]
    pub code_interpreter: u64,
    /// Tools that no price list has by the call.
    #[schema(required)]
    pub other: u64,
}

/// The class of service that an answer was given in; each has prices of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ServiceTier {
    #[default]
    Standard = 0,
    Batch = 1,
    Flex = 2,
    Priority = 3,
    /// Anthropic's `speed`.
    Fast = 4,
    Ultrafast = 5,
    /// One that no price list has.
    Other = 6,
}

impl ServiceTier {
    pub const ALL: [Self; 7] = [
        Self::Standard,
        Self::Batch,
        Self::Flex,
        Self::Priority,
        Self::Fast,
        Self::Ultrafast,
        Self::Other,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Batch => "batch",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Fast => "fast",
            Self::Ultrafast => "ultrafast",
            Self::Other => "other",
        }
    }
}

/// How an answer was served, where its price depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    pub tier: ServiceTier,
    /// Bound to a region, which some vendors charge more for.
    pub regional: bool,
}

/// Where a cost comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum CostSource {
    /// There is none: nothing was used, or nobody knows the price.
    #[default]
    None = 0,
    /// The catalog's list price.
    Catalog = 1,
    /// The operator's own price.
    Operator = 2,
    /// The provider said what it charges.
    Reported = 3,
}

impl CostSource {
    pub const ALL: [Self; 4] = [Self::None, Self::Catalog, Self::Operator, Self::Reported];

    pub fn code(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Catalog => "catalog",
            Self::Operator => "operator",
            Self::Reported => "reported",
        }
    }
}

impl Usage {
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// Written to the provider's cache, of either lifetime.
    pub fn cache_creation_tokens(&self) -> u64 {
        self.cache_creation_input_tokens
            .saturating_add(self.cache_creation_long_input_tokens)
    }

    /// Input tokens billed at the full input rate.
    pub fn uncached_input_tokens(&self) -> u64 {
        self.input_tokens
            .saturating_sub(self.cache_read_input_tokens)
            .saturating_sub(self.cache_creation_input_tokens)
            .saturating_sub(self.cache_creation_long_input_tokens)
    }
}

/// Cost of one exchange in dollars × 10⁻⁹, by component; each is rounded half up once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CostNanoUsd {
    /// Uncached input.
    pub input: u64,
    pub cache_read: u64,
    /// Both lifetimes.
    pub cache_creation: u64,
    pub output: u64,
    /// Tools by the call, audio by the second, and the whole cost where a provider reports only one sum.
    pub other: u64,
}

impl CostNanoUsd {
    pub fn total(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_creation)
            .saturating_add(self.output)
            .saturating_add(self.other)
    }
}

/// What an exchange's cost leaves out, because nobody knows its price; empty when the cost is whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut(pub(super) u8);

impl LeftOut {
    /// A service tier that the price list does not have for the model: the tokens are priced as standard
    /// ones.
    pub const SERVICE_TIER: Self = Self(1);
    /// Tools of the provider's that are billed per call, such as web search.
    pub const TOOLS: Self = Self(1 << 1);
    /// Audio, whose tokens or seconds have prices of their own.
    pub const AUDIO: Self = Self(1 << 2);
    /// Processing in a region that costs more.
    pub const REGION: Self = Self(1 << 3);

    const CODES: [(Self, &str); 4] = [
        (Self::SERVICE_TIER, "service_tier"),
        (Self::TOOLS, "tools"),
        (Self::AUDIO, "audio"),
        (Self::REGION, "region"),
    ];

    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub fn codes(self) -> impl Iterator<Item = &'static str> {
        let held = move |(one, _): &(Self, &str)| self.0 & one.0 != 0;
        Self::CODES.into_iter().filter(held).map(|(_, code)| code)
    }

    /// As stored in the index.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Unknown bits, which a newer version may have written, are dropped.
    pub fn from_bits(bits: u8) -> Self {
        let known = Self::CODES.iter().fold(0, |all, (one, _)| all | one.0);
        Self(bits & known)
    }
}
