//! `AccessLogEntry`: one exchange as the access log shows it, in answers, exports and files. What can be
//! derived from what is kept is derived here, and never stored.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{UsageError, amounts::Amounts, database::Row, flag, query::Cursor};
use crate::handoff::{
    reason::Reason,
    record::{
        Attempt, CaptureState, CostSource, ExchangeRecord, LeftOut, Marks, MediaUsage, Outcome,
        ServiceTier, ToolCalls, Usage,
    },
};

/// What `service_id` says: the node is one service.
const SERVICE_ID: &str = "keyway";
/// Columns of `access_log` that [`AccessLogEntry::read`] reads, in its order.
pub(super) const COLUMNS: &str =
    "id, started_at_us, status, duration_us, user_id, source_ip, method, host, path,
     dialect, model, session_id, provider_id, policy_id, outcome, reason, input_tokens,
     output_tokens, cache_read_tokens, cache_creation_tokens + cache_creation_long_tokens,
     input_cost, cache_read_cost, cache_creation_cost, output_cost, other_cost, stream,
     (SELECT group_ids FROM group_set WHERE group_set.id = access_log.group_set), sequence,
     display_name, peer_id, catalog_id, operation, http_version, time_to_first_token_us,
     overhead_us, reasoning_tokens, unpriced, request_bytes, response_bytes, attempts, left_out,
     cost_source, service_tier, regional, beyond_text, agent_id, parent_agent_id,
     received_us, reserved_us, sent_us, first_byte_us, capture, trace_id, response_model";

/// One exchange: NetBird's fields first, then what this node adds.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AccessLogEntry {
    pub id: String,
    pub service_id: &'static str,
    /// Start of the exchange, RFC 3339 with microseconds.
    pub timestamp: String,
    /// Sent to the agent; 0 when it was gone before.
    pub status_code: u16,
    pub duration_ms: u64,
    pub user_id: String,
    pub source_ip: String,
    pub method: String,
    /// As the agent addressed the endpoint.
    pub host: String,
    pub path: String,
    /// The vendor dialect of the request.
    pub provider: String,
    pub model: String,
    pub session_id: String,
    pub resolved_provider_id: String,
    pub selected_policy_id: String,
    /// `deny` when policy refused, else `allow`.
    pub decision: &'static str,
    /// NetBird's code when `decision` is `deny`, else empty.
    pub deny_reason: String,
    #[serde(flatten)]
    pub amounts: Amounts,
    pub stream: bool,
    /// All groups of the caller at that time.
    pub group_ids: Vec<String>,

    /// Order in which rows became visible; absent where the entry comes from no row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sequence: Option<i64>,
    /// Its place in the order of time.
    #[serde(skip)]
    pub cursor: Cursor,
    pub display_name: String,
    pub peer_id: String,
    pub catalog_id: String,
    pub dialect: String,
    pub operation: String,
    /// How the exchange ended; see [`Outcome`].
    pub outcome: &'static str,
    /// Why it did not end well; empty when it did.
    pub reason: String,
    /// Short codes of why the node answered by itself or what became of the answer; see [`flag`].
    pub response_flags: Vec<&'static str>,
    /// 10, 11 or 20.
    pub http_version: u8,
    /// `null` when no content came.
    #[schema(required)]
    pub time_to_first_token_ms: Option<f64>,
    /// From the first token of a stream to its end, of another answer from the request's end; `null`
    /// when nothing was written.
    #[schema(required)]
    pub output_tokens_per_second: Option<f64>,
    /// Spent on connecting, all attempts together; `null` when pooled connections were used.
    #[schema(required)]
    pub upstream_connect_ms: Option<f64>,
    /// The node's own share of the time before the first byte went upstream.
    pub overhead_us: u64,
    pub timeline: Timeline,
    /// Part of `output_tokens`.
    pub reasoning_tokens: u64,
    /// No price was known for the model; the cost is zero for that reason.
    pub unpriced: bool,
    /// Parts that the cost leaves out: `service_tier`, `tools`, `audio`, `region`.
    pub left_out: Vec<&'static str>,
    /// Where the cost comes from; see [`CostSource`].
    pub cost_source: &'static str,
    /// See [`ServiceTier`].
    pub service_tier: &'static str,
    /// Bound to a region.
    pub regional: bool,
    /// `null` when there was only text.
    #[schema(required)]
    pub beyond_text: Option<BeyondText>,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub attempts: Vec<AttemptEntry>,
    /// Which of the session's agents asked, and which one started it; empty when not told.
    pub agent_id: String,
    pub parent_agent_id: String,
    /// Whether its texts were kept; see [`CaptureState`].
    pub capture: &'static str,
    /// 32 hexadecimal digits; empty where requests are not traced.
    pub trace_id: String,
    /// What the answer calls the model, where that is not `model`; else empty.
    pub response_model: String,
}

/// Media, and the provider's own tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BeyondText {
    pub media: MediaUsage,
    pub tool_calls: ToolCalls,
}

/// One try on one target.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptEntry {
    pub target_id: u64,
    /// 0 when a pooled connection was used.
    pub connect_us: u64,
    /// 0 when no answer came.
    pub status_code: u16,
}

/// When the steps of an exchange were done, in milliseconds since the request's first byte; `null` for what
/// it did not reach. The upstream's are those of the last attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
pub struct Timeline {
    #[schema(required)]
    pub received_ms: Option<f64>,
    /// Permitted, and within its limits.
    #[schema(required)]
    pub reserved_ms: Option<f64>,
    /// The request went out whole.
    #[schema(required)]
    pub sent_ms: Option<f64>,
    /// The head of the provider's answer.
    #[schema(required)]
    pub first_byte_ms: Option<f64>,
    #[schema(required)]
    pub first_token_ms: Option<f64>,
    pub end_ms: f64,
}

/// What entries from rows and from records are derived from.
struct Times {
    duration_us: u64,
    /// From the request's end on.
    time_to_first_token_us: u64,
    marks: Marks,
}

impl AccessLogEntry {
    /// Reads one row of [`COLUMNS`].
    pub(super) fn read(row: &Row<'_>) -> Result<Self, UsageError> {
        let outcome = Outcome::ALL.get(row.get::<usize>(14)?).copied();
        let reason: String = row.get(15)?;
        let dialect: String = row.get(9)?;
        let attempts: Vec<AttemptEntry> = from_json::<(u64, u64, u16)>(row.get(39)?)
            .into_iter()
            .map(|(target_id, connect_us, status_code)| AttemptEntry {
                target_id,
                connect_us,
                status_code,
            })
            .collect();
        let times = Times {
            duration_us: row.get(3)?,
            time_to_first_token_us: row.get(33)?,
            marks: Marks {
                received_us: row.get(47)?,
                reserved_us: row.get(48)?,
                sent_us: row.get(49)?,
                first_byte_us: row.get(50)?,
            },
        };
        let amounts = Amounts::read(row, 16)?;
        let stream = row.get(25)?;
        Ok(Self {
            id: row.get(0)?,
            service_id: SERVICE_ID,
            timestamp: timestamp(row.get(1)?),
            status_code: row.get(2)?,
            duration_ms: times.duration_us / 1000,
            user_id: row.get(4)?,
            source_ip: row.get(5)?,
            method: row.get(6)?,
            host: row.get(7)?,
            path: row.get(8)?,
            provider: dialect.clone(),
            model: row.get(10)?,
            session_id: row.get(11)?,
            resolved_provider_id: row.get(12)?,
            selected_policy_id: row.get(13)?,
            decision: decision(outcome),
            deny_reason: deny_reason(outcome, &reason),
            amounts,
            stream,
            group_ids: from_json(row.get(26)?),
            sequence: row.get(27)?,
            cursor: Cursor {
                started_at_us: row.get(1)?,
                sequence: row.get(27)?,
            },
            display_name: row.get(28)?,
            peer_id: row.get(29)?,
            catalog_id: row.get(30)?,
            dialect,
            operation: row.get(31)?,
            outcome: outcome.map_or("", Outcome::code),
            response_flags: flag::flags(outcome, &reason, attempts.len()),
            reason,
            http_version: row.get(32)?,
            time_to_first_token_ms: times.to_first_token(),
            output_tokens_per_second: times.tokens_per_second(amounts.output_tokens, stream),
            upstream_connect_ms: connect_ms(&attempts),
            overhead_us: row.get(34)?,
            timeline: times.timeline(),
            reasoning_tokens: row.get(35)?,
            unpriced: row.get(36)?,
            left_out: LeftOut::from_bits(row.get(40)?).codes().collect(),
            cost_source: CostSource::ALL
                .get(row.get::<usize>(41)?)
                .map_or("", |source| source.code()),
            service_tier: ServiceTier::ALL
                .get(row.get::<usize>(42)?)
                .map_or("", |tier| tier.code()),
            regional: row.get(43)?,
            beyond_text: row
                .get::<Option<String>>(44)?
                .and_then(|json| serde_json::from_str(&json).ok()),
            agent_id: row.get(45)?,
            parent_agent_id: row.get(46)?,
            capture: CaptureState::ALL
                .get(row.get::<usize>(51)?)
                .map_or("", |state| state.code()),
            trace_id: row.get(52)?,
            response_model: row.get(53)?,
            request_bytes: row.get(37)?,
            response_bytes: row.get(38)?,
            attempts,
        })
    }

    /// The entry of a record that is in no row, or not yet.
    pub(super) fn of(record: &ExchangeRecord<'_>) -> Self {
        let outcome = Some(record.outcome);
        let attempts: Vec<AttemptEntry> = record.attempts.iter().map(AttemptEntry::of).collect();
        let times = Times {
            duration_us: record.duration_us,
            time_to_first_token_us: record.time_to_first_token_us,
            marks: record.marks,
        };
        let mut groups = record.group_ids.clone();
        groups.sort_unstable();
        groups.dedup();
        Self {
            id: format!("{:032x}", record.id),
            service_id: SERVICE_ID,
            timestamp: timestamp(record.started_at_us),
            status_code: record.status,
            duration_ms: times.duration_us / 1000,
            user_id: record.principal_id.to_owned(),
            source_ip: record.source_ip.to_canonical().to_string(),
            method: record.method.to_owned(),
            host: record.host.to_owned(),
            path: record.path.to_owned(),
            provider: record.dialect.to_owned(),
            model: record.model.to_owned(),
            session_id: record.session_id.to_owned(),
            resolved_provider_id: record.provider_id.to_owned(),
            selected_policy_id: record.policy_id.to_owned(),
            decision: decision(outcome),
            deny_reason: deny_reason(outcome, record.reason),
            amounts: Amounts::of(&record.usage, &record.cost),
            stream: record.stream,
            group_ids: groups.into_iter().map(str::to_owned).collect(),
            sequence: None,
            cursor: Cursor {
                started_at_us: record.started_at_us,
                sequence: 0,
            },
            display_name: record.display_name.to_owned(),
            peer_id: record.peer_id.to_owned(),
            catalog_id: record.catalog_id.to_owned(),
            dialect: record.dialect.to_owned(),
            operation: record.operation.to_owned(),
            outcome: record.outcome.code(),
            response_flags: flag::flags(outcome, record.reason, attempts.len()),
            reason: record.reason.to_owned(),
            http_version: record.http_version,
            time_to_first_token_ms: times.to_first_token(),
            output_tokens_per_second: times
                .tokens_per_second(record.usage.output_tokens, record.stream),
            upstream_connect_ms: connect_ms(&attempts),
            overhead_us: record.overhead_us.into(),
            timeline: times.timeline(),
            reasoning_tokens: record.usage.reasoning_tokens,
            unpriced: record.unpriced,
            left_out: record.left_out.codes().collect(),
            cost_source: record.cost_source.code(),
            service_tier: record.terms.tier.code(),
            regional: record.terms.regional,
            beyond_text: BeyondText::of(&record.usage),
            agent_id: record.agent_id.to_owned(),
            parent_agent_id: record.parent_agent_id.to_owned(),
            capture: record.capture.code(),
            trace_id: record.trace.text(),
            response_model: record.other_model().to_owned(),
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
            attempts,
        }
    }
}

impl BeyondText {
    /// `None` when there was only text.
    pub(super) fn of(usage: &Usage) -> Option<Self> {
        let beyond = Self {
            media: usage.media,
            tool_calls: usage.tool_calls,
        };
        (beyond != Self::default()).then_some(beyond)
    }
}

impl AttemptEntry {
    fn of(attempt: &Attempt) -> Self {
        Self {
            target_id: attempt.target_id,
            connect_us: attempt.connect_us.into(),
            status_code: attempt.status,
        }
    }
}

impl Times {
    fn to_first_token(&self) -> Option<f64> {
        reached(self.time_to_first_token_us)
    }

    fn tokens_per_second(&self, tokens: u64, stream: bool) -> Option<f64> {
        let first_token_us = if stream {
            self.time_to_first_token_us
        } else {
            0
        };
        let writing_us = self
            .duration_us
            .saturating_sub(self.marks.sent_us)
            .saturating_sub(first_token_us);
        if tokens == 0 || writing_us == 0 || (stream && first_token_us == 0) {
            return None;
        }
        let per_second = tokens as f64 * 1e6 / writing_us as f64;
        // More digits than the clocks are worth help nobody.
        Some((per_second * 100.0).round() / 100.0)
    }

    fn timeline(&self) -> Timeline {
        let marks = &self.marks;
        let first_token_us = match self.time_to_first_token_us {
            0 => 0,
            waited => marks.sent_us.saturating_add(waited),
        };
        Timeline {
            received_ms: reached(marks.received_us),
            reserved_ms: reached(marks.reserved_us),
            sent_ms: reached(marks.sent_us),
            first_byte_ms: reached(marks.first_byte_us),
            first_token_ms: reached(first_token_us),
            end_ms: ms(self.duration_us),
        }
    }
}

fn reached(us: u64) -> Option<f64> {
    (us > 0).then(|| ms(us))
}

fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

fn connect_ms(attempts: &[AttemptEntry]) -> Option<f64> {
    reached(attempts.iter().map(|attempt| attempt.connect_us).sum())
}

fn decision(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Denied) => "deny",
        Some(
            Outcome::Answered
            | Outcome::ClientError
            | Outcome::Cancelled
            | Outcome::ProviderError
            | Outcome::Cut
            | Outcome::GatewayError,
        )
        | None => "allow",
    }
}

fn deny_reason(outcome: Option<Outcome>, reason: &str) -> String {
    if outcome != Some(Outcome::Denied) {
        return String::new();
    }
    let known = Reason::ALL.iter().find(|known| known.code() == reason);
    known.map_or_else(
        || format!("llm_policy.{reason}"),
        |known| known.public_code().into_owned(),
    )
}

pub(super) fn timestamp(us: i64) -> String {
    Timestamp::from_microsecond(us)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_string()
}

/// A JSON array that the indexer wrote; what cannot be read is left out.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(json: Option<String>) -> Vec<T> {
    json.and_then(|json| serde_json::from_str(&json).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_per_second_count_from_the_first_token_of_a_stream() {
        let times = |duration_us, time_to_first_token_us, sent_us| Times {
            duration_us,
            time_to_first_token_us,
            marks: Marks {
                sent_us,
                ..Marks::default()
            },
        };
        for (times, tokens, stream, expected) in [
            (times(3_000_000, 900_000, 100_000), 100, true, Some(50.0)),
            (times(2_100_000, 0, 100_000), 100, false, Some(50.0)),
            (times(3_000_000, 900_000, 100_000), 0, true, None),
            // Nothing to count from.
            (times(3_000_000, 0, 100_000), 100, true, None),
            (times(1000, 900, 100), 100, true, None),
            (times(3_000_000, 0, 0), 1, false, Some(0.33)),
        ] {
            assert_eq!(times.tokens_per_second(tokens, stream), expected);
        }
    }

    #[test]
    fn what_was_not_reached_is_no_time() {
        let times = Times {
            duration_us: 1500,
            time_to_first_token_us: 0,
            marks: Marks {
                received_us: 250,
                ..Marks::default()
            },
        };
        let expected = Timeline {
            received_ms: Some(0.25),
            end_ms: 1.5,
            ..Timeline::default()
        };
        assert_eq!(times.timeline(), expected);
    }
}
