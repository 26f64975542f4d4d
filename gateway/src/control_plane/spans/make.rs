//! A record as spans: one for the exchange (SERVER), below it one for each attempt (CLIENT). Of what was said
//! they hold nothing: a record holds nothing of it.

use opentelemetry_proto::tonic::trace::v1::{
    Span, SpanFlags, Status, span::SpanKind, status::StatusCode,
};

use super::attribute::Attributes;
use crate::{
    control_plane::semantics,
    dialect::Operation,
    handoff::{
        record::{Attempt, ExchangeRecord, Outcome},
        snapshot::{Provider, Snapshot},
    },
};

/// `error.type` of what has no better one.
const OTHER: &str = "_OTHER";

#[derive(Clone, Copy)]
pub(super) struct SpanMaker {
    /// Spans tell whose request it was.
    pub(super) identity: bool,
}

impl SpanMaker {
    /// Nothing for what is not sampled.
    pub(super) fn spans(self, record: &ExchangeRecord<'_>, snapshot: &Snapshot) -> Vec<Span> {
        if record.trace.is_none() || !record.trace.sampled {
            return Vec::new();
        }
        let provider =
            (snapshot.providers.iter()).find(|provider| *provider.id == *record.provider_id);
        let exchange = Exchange {
            record,
            provider: provider.map(|provider| &**provider),
            operation: Operation::from_code(record.operation).and_then(semantics::operation),
        };
        let mut spans = Vec::with_capacity(1 + record.attempts.len());
        spans.push(exchange.server(self.identity));
        for (number, attempt) in record.attempts.iter().enumerate() {
            spans.push(exchange.client(number, attempt));
        }
        spans
    }
}

struct Exchange<'r> {
    record: &'r ExchangeRecord<'r>,
    /// As it is by now; it may be gone.
    provider: Option<&'r Provider>,
    operation: Option<&'static str>,
}

impl Exchange<'_> {
    fn server(&self, identity: bool) -> Span {
        let record = self.record;
        let mut attributes = Attributes::default();
        attributes.text("http.request.method", record.method);
        attributes.text("url.path", record.path);
        attributes.text("server.address", record.host);
        attributes.text("network.protocol.name", "http");
        let version = semantics::http_version(record.http_version);
        attributes.text("network.protocol.version", version);
        attributes.number_if_any("http.response.status_code", record.status.into());
        attributes.number("http.request.body.size", record.request_bytes);
        attributes.number("http.response.body.size", record.response_bytes);
        self.model(&mut attributes);
        if record.attempts.is_empty() {
            self.usage(&mut attributes);
        }
        attributes.text("error.type", self.error_type());
        attributes.text("keyway.request.id", format!("req_{:032x}", record.id));
        attributes.text("keyway.outcome", record.outcome.code());
        attributes.text("keyway.policy.id", record.policy_id);
        attributes.text("keyway.cost.source", record.cost_source.code());
        attributes.float("keyway.cost.usd", record.cost.total() as f64 / 1e9);
        attributes.float(
            "keyway.overhead.duration",
            seconds(record.overhead_us.into()),
        );
        if identity {
            attributes.text("enduser.id", record.principal_id);
            attributes.text("user.name", record.display_name);
            attributes.text(
                "client.address",
                record.source_ip.to_canonical().to_string(),
            );
            attributes.text("keyway.peer.id", record.peer_id);
            attributes.text("gen_ai.conversation.id", record.session_id);
        }
        let remote = match record.trace.parent_span_id {
            0 => SpanFlags::ContextHasIsRemoteMask as u32,
            _ => SpanFlags::ContextHasIsRemoteMask as u32 | SpanFlags::ContextIsRemoteMask as u32,
        };
        let failed = match record.outcome {
            Outcome::ProviderError | Outcome::Cut | Outcome::GatewayError => true,
            // Whatever the agent did is no fault of the server's.
            Outcome::Answered | Outcome::Denied | Outcome::ClientError | Outcome::Cancelled => {
                record.status >= 500
            }
        };
        Span {
            span_id: record.trace.span_id.to_be_bytes().to_vec(),
            parent_span_id: parent(record.trace.parent_span_id),
            flags: remote | 1,
            kind: SpanKind::Server.into(),
            end_time_unix_nano: self.nanoseconds_at(record.duration_us),
            status: status(failed),
            ..self.span(0, attributes)
        }
    }

    fn client(&self, number: usize, attempt: &Attempt) -> Span {
        let record = self.record;
        let next = record.attempts.get(number + 1);
        // The next try begins where one ends.
        let end_us = next.map_or(record.duration_us, |next| next.begun_us);
        let mut attributes = Attributes::default();
        attributes.text("http.request.method", record.method);
        if let Some((host, port)) = self.authority(attempt) {
            attributes.text("server.address", host);
            attributes.number_if_any("server.port", port.into());
        }
        attributes.number_if_any("http.response.status_code", attempt.status.into());
        attributes.number_if_any("http.request.resend_count", number as u64);
        if attempt.connect_us > 0 {
            let connect = seconds(attempt.connect_us.into());
            attributes.float("keyway.connect.duration", connect);
        }
        self.model(&mut attributes);
        let is_last = next.is_none();
        if is_last {
            self.usage(&mut attributes);
        }
        let error = match attempt.status {
            0 if is_last && !record.reason.is_empty() => record.reason.to_owned(),
            0 => OTHER.to_owned(),
            status @ 400.. => status.to_string(),
            // It began well.
            _ if is_last && matches!(record.outcome, Outcome::ProviderError | Outcome::Cut) => {
                record.reason.to_owned()
            }
            _ => String::new(),
        };
        let failed = !error.is_empty();
        attributes.text("error.type", error);
        Span {
            span_id: record.trace.attempt_span_id(number).to_be_bytes().to_vec(),
            parent_span_id: parent(record.trace.span_id),
            flags: SpanFlags::ContextHasIsRemoteMask as u32 | 1,
            kind: SpanKind::Client.into(),
            end_time_unix_nano: self.nanoseconds_at(end_us.max(attempt.begun_us)),
            status: status(failed),
            ..self.span(attempt.begun_us, attributes)
        }
    }

    /// What both kinds have in common.
    fn span(&self, begun_us: u64, attributes: Attributes) -> Span {
        let record = self.record;
        let name = match self.operation {
            Some(operation) if record.model.is_empty() => operation.to_owned(),
            Some(operation) => format!("{operation} {}", record.model),
            None => format!("{} {}", record.method, record.operation)
                .trim_end()
                .to_owned(),
        };
        Span {
            trace_id: record.trace.trace_id.to_be_bytes().to_vec(),
            name,
            start_time_unix_nano: self.nanoseconds_at(begun_us),
            attributes: attributes.into_inner(),
            ..Span::default()
        }
    }

    fn model(&self, attributes: &mut Attributes) {
        let record = self.record;
        attributes.text("keyway.provider.id", record.provider_id);
        if let Some(provider) = self.provider {
            attributes.text("keyway.provider.name", &*provider.name);
        }
        let Some(operation) = self.operation else {
            return;
        };
        attributes.text("gen_ai.operation.name", operation);
        attributes.text(
            "gen_ai.provider.name",
            semantics::provider(record.catalog_id),
        );
        attributes.text("gen_ai.request.model", record.model);
        attributes.flag("gen_ai.request.stream", record.stream);
    }

    /// On one span of an exchange, as backends add it up: the attempt that the provider answered.
    fn usage(&self, attributes: &mut Attributes) {
        let record = self.record;
        if record.time_to_first_token_us > 0 {
            let waited = seconds(record.time_to_first_token_us);
            attributes.float("gen_ai.response.time_to_first_chunk", waited);
        }
        attributes.text("gen_ai.response.model", record.response_model);
        let usage = &record.usage;
        if usage.is_zero() {
            return;
        }
        attributes.number("gen_ai.usage.input_tokens", usage.input_tokens);
        attributes.number("gen_ai.usage.output_tokens", usage.output_tokens);
        for (key, tokens) in [
            (
                "gen_ai.usage.cache_read.input_tokens",
                usage.cache_read_input_tokens,
            ),
            (
                "gen_ai.usage.cache_creation.input_tokens",
                usage.cache_creation_tokens(),
            ),
            (
                "gen_ai.usage.reasoning.output_tokens",
                usage.reasoning_tokens,
            ),
        ] {
            attributes.number_if_any(key, tokens);
        }
    }

    fn error_type(&self) -> String {
        match (self.record.reason, self.record.status) {
            ("", status @ 500..) => status.to_string(),
            (reason, _) => reason.to_owned(),
        }
    }

    /// Host and port that an attempt went to, while its target is known; the port is 0 where it is the scheme's.
    fn authority(&self, attempt: &Attempt) -> Option<(&str, u16)> {
        let targets = &self.provider?.targets;
        let target = targets
            .iter()
            .find(|target| target.id.0 == attempt.target_id)?;
        let authority = &*target.authority;
        let port = authority
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)));
        Some(port.unwrap_or((authority, 0)))
    }

    fn nanoseconds_at(&self, offset_us: u64) -> u64 {
        let started_us = self.record.started_at_us.max(0) as u64;
        started_us.saturating_add(offset_us).saturating_mul(1_000)
    }
}

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// Without one, the field is empty.
fn parent(span_id: u64) -> Vec<u8> {
    match span_id {
        0 => Vec::new(),
        id => id.to_be_bytes().to_vec(),
    }
}

fn status(failed: bool) -> Option<Status> {
    failed.then(|| Status {
        code: StatusCode::Error.into(),
        message: String::new(),
    })
}

#[cfg(test)]
mod tests;
