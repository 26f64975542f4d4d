//! `Trace`: where an exchange stands in a distributed trace (W3C Trace Context,
//! <https://www.w3.org/TR/trace-context-1/>). Zero is no id, there as here.

use std::fmt;

use serde::Deserialize;

/// The trace of one exchange, and its own span in it. The default is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Trace {
    pub trace_id: u128,
    /// Of the exchange.
    pub span_id: u64,
    /// The agent's span; zero when the trace begins here.
    pub parent_span_id: u64,
    /// Spans are to be kept.
    pub sampled: bool,
}

/// Odd, so that multiplying by it loses nothing; far from any pattern (2⁶⁴ divided by the golden ratio).
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

impl Trace {
    pub fn is_none(&self) -> bool {
        self.trace_id == 0
    }

    /// As operators look for it; `None` without a trace.
    pub fn id(&self) -> Option<TraceId> {
        (!self.is_none()).then_some(TraceId(self.trace_id))
    }

    /// [`Self::id`] as rows and answers have it: empty without a trace.
    pub fn text(&self) -> String {
        self.id().map(|id| id.to_string()).unwrap_or_default()
    }

    /// The span of the exchange's `number`-th attempt, counted from 0. It follows from the exchange's own, so
    /// that a provider can be told before there is a record, and the record need not keep it.
    pub fn attempt_span_id(&self, number: usize) -> u64 {
        let id = self
            .span_id
            .wrapping_add(STRIDE.wrapping_mul(number as u64 + 1));
        // No small multiple of the stride is one, so no other attempt has it.
        id.max(1)
    }
}

/// A trace's id as text: 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attempt_has_a_span_of_its_own() {
        for span_id in [1, STRIDE.wrapping_neg(), u64::MAX] {
            let trace = Trace {
                trace_id: 0xab,
                span_id,
                ..Trace::default()
            };
            let mut ids: Vec<u64> = (0..8).map(|n| trace.attempt_span_id(n)).collect();
            ids.push(span_id);
            assert!(!ids.contains(&0));
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), 9, "{span_id:x}");
        }
    }

    #[test]
    fn ids_are_padded() {
        let trace = Trace {
            trace_id: 0xab,
            ..Trace::default()
        };
        let id = trace.id().map(|id| id.to_string());
        assert_eq!(id.as_deref(), Some("000000000000000000000000000000ab"));
        assert_eq!(Trace::default().id(), None);
        assert_eq!(Trace::default().text(), "");
    }
}
