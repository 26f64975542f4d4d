//! `ExchangeRecord`: the line kept per exchange.

mod encode;
mod marks;
mod usage;

use serde::{Deserialize, Serialize};

pub use marks::Marks;
pub use usage::{
    CostNanoUsd, CostSource, LeftOut, MediaUsage, ServiceTier, Terms, ToolCalls, Usage,
};

use super::trace::Trace;

/// What became of an exchange's texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CaptureState {
    /// They were not to be kept.
    #[default]
    Off = 0,
    /// Handed over to be kept.
    Kept = 1,
    /// There was no room for them, or for one of them.
    Skipped = 2,
}

impl CaptureState {
    pub const ALL: [Self; 3] = [Self::Off, Self::Kept, Self::Skipped];

    pub fn code(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Kept => "kept",
            Self::Skipped => "skipped",
        }
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
    /// Broken off in the middle of its answer, by the provider or because the peer was removed.
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
    /// From the exchange's start; absent before format 2.
    #[serde(skip)]
    pub begun_us: u64,
    /// Zero when a pooled connection was used.
    pub connect_us: u32,
    /// Zero when no response head came.
    pub status: u16,
}

/// Everything known about one exchange once it is over. Borrowed where a worker writes it, owned
/// (`'static`) where the control plane reads it back.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ExchangeRecord<'a> {
    /// Unique, sortable by start: milliseconds (48 bit) ‖ node (16) ‖ worker (8) ‖ sequence (56).
    pub id: u128,
    /// Unix time of the request's first byte, in microseconds.
    pub started_at_us: i64,
    pub duration_us: u64,
    /// Request sent to first content byte from the provider; 0 when none came.
    pub time_to_first_token_us: u64,
    /// What the node added to the time until the answer began: its own work before the request went out, its sending
    /// where the body is held, and passing the first bytes on; without waiting for agent or provider.
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
    /// Which of the session's agents asked, and which one started it; empty when not told.
    #[serde(borrow)]
    pub agent_id: &'a str,
    #[serde(borrow)]
    pub parent_agent_id: &'a str,
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
    /// Parts that `cost` leaves out.
    pub left_out: LeftOut,
    pub cost_source: CostSource,
    pub terms: Terms,
    /// Id of the object that this exchange made at the provider, or whose usage it is billed; else
    /// empty.
    #[serde(borrow)]
    pub object_id: &'a str,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub attempts: Vec<Attempt>,
    /// Absent in batches of format 1.
    #[serde(skip)]
    pub capture: CaptureState,
    /// As `capture`.
    #[serde(skip)]
    pub marks: Marks,
    /// As `capture`.
    #[serde(skip)]
    pub trace: Trace,
    /// What the provider's answer calls the model, cut to [`MODEL_BYTES_LIMIT`]; empty when it says nothing.
    /// Absent before format 3.
    #[serde(skip)]
    pub response_model: &'a str,
}

impl<'a> ExchangeRecord<'a> {
    /// Reads the record at the front of `input`; returns it and what follows it.
    pub fn decode(input: &'a [u8]) -> Result<(Self, &'a [u8]), RecordError> {
        let (length, rest) = take_length(input)?;
        let (bytes, rest) = rest.split_at_checked(length).ok_or(RecordError)?;
        let (mut record, added): (Self, _) =
            postcard::take_from_bytes(bytes).map_err(|_| RecordError)?;
        if !added.is_empty() {
            record.take_added(added)?;
        }
        Ok((record, rest))
    }

    /// The model that answered, where the answer calls it otherwise than the request; else empty.
    pub fn other_model(&self) -> &'a str {
        match self.response_model == self.model {
            true => "",
            false => self.response_model,
        }
    }

    /// What formats 2 and 3 added.
    fn take_added(&mut self, added: &'a [u8]) -> Result<(), RecordError> {
        let (state, added) = take::<u8>(added)?;
        let state = CaptureState::ALL.get(usize::from(state));
        self.capture = *state.ok_or(RecordError)?;
        let (marks, added) = take(added)?;
        self.marks = marks;
        let mut added = added;
        for attempt in &mut self.attempts {
            (attempt.begun_us, added) = take(added)?;
        }
        let (trace, added) = take(added)?;
        self.trace = trace;
        if added.is_empty() {
            return Ok(());
        }
        let (model, left) = take(added)?;
        self.response_model = model;
        match left {
            [] => Ok(()),
            _ => Err(RecordError),
        }
    }
}

fn take<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), RecordError> {
    postcard::take_from_bytes(bytes).map_err(|_| RecordError)
}

/// These bytes are no encoded record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no record")]
pub struct RecordError;

/// At most four bytes of varint: 256 MiB, far beyond any record.
const LENGTH_BYTES_LIMIT: usize = 4;

fn take_length(input: &[u8]) -> Result<(usize, &[u8]), RecordError> {
    let mut length = 0;
    for (i, byte) in input.iter().take(LENGTH_BYTES_LIMIT).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok((length, &input[i + 1..]));
        }
    }
    Err(RecordError)
}

/// `text`, cut to at most `bytes_limit` bytes without breaking a character.
pub fn cut(text: &str, bytes_limit: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_limit)]
}

/// Longest path kept in a record, in bytes.
pub const PATH_BYTES_LIMIT: usize = 256;
/// Longest model name kept in a record, in bytes; longer ones are refused when parsed.
pub const MODEL_BYTES_LIMIT: usize = 256;
/// Longest session id kept in a record, in bytes.
pub const SESSION_BYTES_LIMIT: usize = 128;

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A record with every field set, to vary in tests.
    pub(crate) fn sample() -> ExchangeRecord<'static> {
        ExchangeRecord {
            id: 0x019e_7044_887b_0001_0200_0000_0000_0001,
            started_at_us: 1_780_000_000_123_456,
            duration_us: 850_321,
            time_to_first_token_us: 210_000,
            overhead_us: 31,
            principal_id: "user-1",
            display_name: "ada@example.com",
            peer_id: "peer-1",
            group_ids: vec!["engineers", "everyone"],
            source_ip: "100.90.0.7".parse().unwrap(),
            method: "POST",
            host: "brave-otter.keyway.test",
            path: "/v1/chat/completions",
            http_version: 11,
            status: 200,
            outcome: Outcome::Answered,
            reason: "",
            dialect: "openai",
            operation: "chat_completions",
            model: "gpt-4o",
            session_id: "session-1",
            agent_id: "agent-2",
            parent_agent_id: "agent-1",
            provider_id: "provider-1",
            catalog_id: "openai_api",
            policy_id: "policy-1",
            stream: true,
            usage: Usage {
                input_tokens: 1200,
                output_tokens: 640,
                cache_read_input_tokens: 800,
                cache_creation_input_tokens: 100,
                cache_creation_long_input_tokens: 50,
                reasoning_tokens: 64,
                media: MediaUsage {
                    audio_input_tokens: 9,
                    audio_cache_read_tokens: 8,
                    audio_output_tokens: 7,
                    image_input_tokens: 6,
                    image_output_tokens: 5,
                    audio_ms: 4_000,
                },
                tool_calls: ToolCalls {
                    web_search: 3,
                    maps: 5,
                    file_search: 2,
                    code_interpreter: 1,
                    other: 4,
                },
            },
            cost: CostNanoUsd {
                input: 625_000,
                cache_read: 1_000_000,
                cache_creation: 375_000,
                output: 6_400_000,
                other: 30_000_000,
            },
            unpriced: false,
            left_out: LeftOut::default(),
            cost_source: CostSource::Operator,
            terms: Terms {
                tier: ServiceTier::Priority,
                regional: true,
            },
            object_id: "resp_1",
            request_bytes: 4096,
            response_bytes: 65_536,
            attempts: vec![Attempt {
                target_id: 7,
                begun_us: 40,
                connect_us: 1500,
                status: 200,
            }],
            capture: CaptureState::Kept,
            marks: Marks {
                received_us: 20,
                reserved_us: 31,
                sent_us: 1600,
                first_byte_us: 180_000,
            },
            trace: Trace {
                trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
                span_id: 0x00f0_67aa_0ba9_02b7,
                parent_span_id: 0x53ce_929d_0e0e_4736,
                sampled: true,
            },
            response_model: "gpt-4o-2024-08-06",
        }
    }

    fn encoded(record: &ExchangeRecord<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        record.encode(&mut out);
        out
    }

    #[test]
    fn a_record_survives_encoding() {
        let path = "/p".repeat(PATH_BYTES_LIMIT / 2);
        let model = "m".repeat(MODEL_BYTES_LIMIT);
        let session = "s".repeat(SESSION_BYTES_LIMIT);
        let groups: Vec<String> = (0..500).map(|i| format!("group-{i}")).collect();
        let cases = [
            sample(),
            ExchangeRecord {
                id: u128::MAX,
                started_at_us: i64::MIN,
                duration_us: u64::MAX,
                overhead_us: u32::MAX,
                source_ip: "fd00::7".parse().unwrap(),
                path: &path,
                model: &model,
                response_model: &model,
                session_id: &session,
                group_ids: groups.iter().map(String::as_str).collect(),
                attempts: vec![sample().attempts[0]; 40],
                ..sample()
            },
            ExchangeRecord {
                principal_id: "",
                display_name: "Zoë 🦦",
                group_ids: vec![],
                left_out: LeftOut::TOOLS,
                object_id: "",
                outcome: Outcome::Denied,
                reason: "no_authorised_provider",
                status: 0,
                attempts: vec![],
                trace: Trace::default(),
                response_model: "",
                ..sample()
            },
        ];
        for record in cases {
            let mut bytes = encoded(&record);
            bytes.extend_from_slice(b"next");
            let (decoded, rest) = ExchangeRecord::decode(&bytes).unwrap();
            assert_eq!(decoded, record);
            assert_eq!(rest, b"next");
        }
    }

    #[test]
    fn cut_short_or_damaged_bytes_are_an_error() {
        let bytes = encoded(&sample());
        for end in 0..bytes.len() {
            assert_eq!(ExchangeRecord::decode(&bytes[..end]), Err(RecordError));
        }
        // A length that promises one byte more than the fields take.
        let (length, fields) = take_length(&bytes).unwrap();
        let mut longer = vec![(length + 1) as u8 | 0x80, ((length + 1) >> 7) as u8];
        longer.extend_from_slice(fields);
        longer.push(0);
        assert_eq!(ExchangeRecord::decode(&longer), Err(RecordError));
        assert_eq!(ExchangeRecord::decode(&[0xff; 64]), Err(RecordError));
    }

    #[test]
    fn what_is_left_out_has_codes() {
        let mut parts = LeftOut::default();
        assert!(parts.is_empty());
        parts.add(LeftOut::REGION);
        parts.add(LeftOut::SERVICE_TIER);
        assert_eq!(
            parts.codes().collect::<Vec<_>>(),
            ["service_tier", "region"]
        );
        assert_eq!(LeftOut::from_bits(parts.bits() | 0x80), parts);
    }

    #[test]
    fn text_is_cut_between_characters() {
        for (text, limit, expected) in [
            ("abc", 3, "abc"),
            ("abc", 2, "ab"),
            ("aé", 2, "a"),
            ("🦦🦦", 7, "🦦"),
            ("🦦", 3, ""),
        ] {
            assert_eq!(cut(text, limit), expected);
        }
    }
}
