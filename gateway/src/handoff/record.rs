//! `ExchangeRecord`: the line kept per exchange, and `Usage`, what a meter counted.

use serde::{Deserialize, Serialize};

/// Token counts in OpenTelemetry's meaning: `input_tokens` includes cached ones. A meter converts
/// whatever the vendor reports (`facts`: inclusive for OpenAI, exclusive for Anthropic) into this.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl Usage {
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
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
pub struct CostNanoUsd {
    /// Uncached input.
    pub input: u64,
    pub cache_read: u64,
    /// Both lifetimes.
    pub cache_creation: u64,
    pub output: u64,
}

impl CostNanoUsd {
    pub fn total(&self) -> u64 {
        self.input + self.cache_read + self.cache_creation + self.output
    }
}

/// How an exchange ended. Exactly one per exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Outcome {
    /// The provider's answer reached the agent whole, whatever its status.
    Answered = 0,
    /// Refused by policy, route or identity.
    Denied = 1,
    /// The request itself was unusable (malformed, too large, timed out while arriving).
    ClientError = 2,
    /// The agent went away first.
    Cancelled = 3,
    /// The provider could not be reached, or gave no usable answer.
    ProviderError = 4,
    /// The provider broke off in the middle of its answer.
    Cut = 5,
    /// The node itself refused or failed (overload, drain, full log).
    GatewayError = 6,
}

impl Outcome {
    pub const ALL: [Self; 7] = [
        Self::Answered,
        Self::Denied,
        Self::ClientError,
        Self::Cancelled,
        Self::ProviderError,
        Self::Cut,
        Self::GatewayError,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Denied => "denied",
            Self::ClientError => "client_error",
            Self::Cancelled => "cancelled",
            Self::ProviderError => "provider_error",
            Self::Cut => "cut",
            Self::GatewayError => "gateway_error",
        }
    }
}

/// One try on one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub target_id: u64,
    /// Zero when a pooled connection was used.
    pub connect_us: u32,
    /// Zero when no response head came.
    pub status: u16,
}

/// Everything known about one exchange once it is over. Borrowed where a worker writes it, owned
/// (`'static`) where the control plane reads it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExchangeRecord<'a> {
    /// Unique, sortable by start: milliseconds (48 bit) ‖ node (16) ‖ worker (8) ‖ sequence (56).
    pub id: u128,
    /// Unix time of the request's first byte, in microseconds.
    pub started_at_us: i64,
    pub duration_us: u64,
    /// Request sent to first content byte from the provider; 0 when none came.
    pub time_to_first_token_us: u64,
    /// The node's own share of the time before the first byte went upstream.
    pub overhead_us: u32,
    #[serde(borrow)]
    pub principal_id: &'a str,
    #[serde(borrow)]
    pub display_name: &'a str,
    #[serde(borrow)]
    pub peer_id: &'a str,
    /// Ids of the principal's groups.
    #[serde(borrow)]
    pub group_ids: Vec<&'a str>,
    pub source_ip: std::net::IpAddr,
    #[serde(borrow)]
    pub method: &'a str,
    #[serde(borrow)]
    pub host: &'a str,
    /// Without the query, cut to [`PATH_BYTES_LIMIT`].
    #[serde(borrow)]
    pub path: &'a str,
    /// 10, 11 or 20.
    pub http_version: u8,
    /// Status sent to the agent; 0 when none was.
    pub status: u16,
    pub outcome: Outcome,
    /// Snake-case reason; empty when `outcome` is `Answered`.
    #[serde(borrow)]
    pub reason: &'a str,
    /// `openai`, `anthropic`…; empty when the path named none.
    #[serde(borrow)]
    pub dialect: &'a str,
    #[serde(borrow)]
    pub operation: &'a str,
    /// As asked for, cut to [`MODEL_BYTES_LIMIT`].
    #[serde(borrow)]
    pub model: &'a str,
    #[serde(borrow)]
    pub session_id: &'a str,
    /// Empty when none was chosen.
    #[serde(borrow)]
    pub provider_id: &'a str,
    /// Catalog id of the provider.
    #[serde(borrow)]
    pub catalog_id: &'a str,
    #[serde(borrow)]
    pub policy_id: &'a str,
    pub stream: bool,
    pub usage: Usage,
    pub cost: CostNanoUsd,
    /// No price was known for the model; `cost` is zero for that reason.
    pub unpriced: bool,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub attempts: Vec<Attempt>,
}

/// Longest path kept in a record, in bytes.
pub const PATH_BYTES_LIMIT: usize = 256;
/// Longest model name kept in a record, in bytes; longer ones are refused when parsed.
pub const MODEL_BYTES_LIMIT: usize = 256;
/// Longest session id kept in a record, in bytes.
pub const SESSION_BYTES_LIMIT: usize = 128;
