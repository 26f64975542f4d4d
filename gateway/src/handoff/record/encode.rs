//! Writes a record in postcard's encoding (<https://postcard.jamesmunns.com/wire-format>). By hand, since
//! serde's way through all fields takes four times the instructions; serde reads it back.

use std::net::IpAddr;

use super::{
    Attempt, CostNanoUsd, ExchangeRecord, LENGTH_BYTES_LIMIT, LeftOut, Marks, MediaUsage, Terms,
    ToolCalls, Usage,
};
use crate::handoff::trace::Trace;

/// More than all fields of fixed size take.
const NUMBERS_BYTES: usize = 512;

impl ExchangeRecord<'_> {
    /// Appends the record to `out`: its length as a varint of [`LENGTH_BYTES_LIMIT`] bytes, then its fields.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.reserve(NUMBERS_BYTES);
        out.extend_from_slice(&[0; LENGTH_BYTES_LIMIT]);
        let fields_start = out.len();
        self.write(&mut Writer(out));
        let length = out.len() - fields_start;
        debug_assert!(length < 1 << (7 * LENGTH_BYTES_LIMIT));
        for (i, byte) in out[start..fields_start].iter_mut().enumerate() {
            let follows = if i + 1 < LENGTH_BYTES_LIMIT { 0x80 } else { 0 };
            *byte = (length >> (7 * i)) as u8 & 0x7f | follows;
        }
    }

    fn write(&self, out: &mut Writer<'_>) {
        // A new field does not compile until it is written too.
        let Self {
            id,
            started_at_us,
            duration_us,
            time_to_first_token_us,
            overhead_us,
            principal_id,
            display_name,
            peer_id,
            group_ids,
            source_ip,
            method,
            host,
            path,
            http_version,
            status,
            outcome,
            reason,
            dialect,
            operation,
            model,
            session_id,
            agent_id,
            parent_agent_id,
            provider_id,
            catalog_id,
            policy_id,
            stream,
            usage,
            cost,
            unpriced,
            left_out: LeftOut(left_out),
            cost_source,
            terms: Terms { tier, regional },
            object_id,
            request_bytes,
            response_bytes,
            attempts,
            capture,
            marks,
            trace,
            response_model,
        } = self;
        out.wide(*id);
        // Zigzag: small negative numbers are short too.
        out.number((started_at_us << 1 ^ started_at_us >> 63) as u64);
        out.number(*duration_us);
        out.number(*time_to_first_token_us);
        out.number(*overhead_us);
        out.text(principal_id);
        out.text(display_name);
        out.text(peer_id);
        out.number(group_ids.len() as u64);
        for group in group_ids {
            out.text(group);
        }
        match source_ip {
            IpAddr::V4(address) => {
                out.byte(0);
                out.0.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                out.byte(1);
                out.0.extend_from_slice(&address.octets());
            }
        }
        out.text(method);
        out.text(host);
        out.text(path);
        out.byte(*http_version);
        out.number(*status);
        out.byte(*outcome as u8);
        for text in [reason, dialect, operation, model, session_id] {
            out.text(text);
        }
        for text in [agent_id, parent_agent_id] {
            out.text(text);
        }
        for text in [provider_id, catalog_id, policy_id] {
            out.text(text);
        }
        out.byte(u8::from(*stream));
        let Usage {
            input_tokens,
            output_tokens,
            cache_read_input_tokens,
            cache_creation_input_tokens,
            cache_creation_long_input_tokens,
            reasoning_tokens,
            media,
            tool_calls,
        } = usage;
        out.number(*input_tokens);
        out.number(*output_tokens);
        out.number(*cache_read_input_tokens);
        out.number(*cache_creation_input_tokens);
        out.number(*cache_creation_long_input_tokens);
        out.number(*reasoning_tokens);
        let MediaUsage {
            audio_input_tokens,
            audio_cache_read_tokens,
            audio_output_tokens,
            image_input_tokens,
            image_output_tokens,
            audio_ms,
        } = media;
        let ToolCalls {
            web_search,
            maps,
            file_search,
            code_interpreter,
            other: other_calls,
        } = tool_calls;
        for number in [
            audio_input_tokens,
            audio_cache_read_tokens,
            audio_output_tokens,
            image_input_tokens,
            image_output_tokens,
            audio_ms,
            web_search,
            maps,
            file_search,
            code_interpreter,
            other_calls,
        ] {
            out.number(*number);
        }
        let CostNanoUsd {
            input,
            cache_read,
            cache_creation,
            output,
            other,
        } = cost;
        out.number(*input);
        out.number(*cache_read);
        out.number(*cache_creation);
        out.number(*output);
        out.number(*other);
        out.byte(u8::from(*unpriced));
        out.byte(*left_out);
        out.byte(*cost_source as u8);
        out.byte(*tier as u8);
        out.byte(u8::from(*regional));
        out.text(object_id);
        out.number(*request_bytes);
        out.number(*response_bytes);
        out.number(attempts.len() as u64);
        for attempt in attempts {
            let Attempt {
                target_id,
                begun_us: _,
                connect_us,
                status,
            } = attempt;
            out.number(*target_id);
            out.number(*connect_us);
            out.number(*status);
        }
        out.byte(*capture as u8);
        let Marks {
            received_us,
            reserved_us,
            sent_us,
            first_byte_us,
        } = marks;
        for number in [received_us, reserved_us, sent_us, first_byte_us] {
            out.number(*number);
        }
        for attempt in attempts {
            out.number(attempt.begun_us);
        }
        let Trace {
            trace_id,
            span_id,
            parent_span_id,
            sampled,
        } = trace;
        out.wide(*trace_id);
        out.number(*span_id);
        out.number(*parent_span_id);
        out.byte(u8::from(*sampled));
        out.text(response_model);
    }
}

struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Seven bits at a time, the low ones first; all but the last byte have the high bit.
    fn number(&mut self, number: impl Into<u64>) {
        let mut number = number.into();
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn wide(&mut self, mut number: u128) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}
