//! Where a request stands in a distributed trace: W3C Trace Context, level 1
//! (<https://www.w3.org/TR/trace-context-1/>). `parent.rs` reads what agents say, `state.rs` judges what else
//! goes with it. Nothing here allocates.

mod parent;
mod random;
mod state;

use super::message::{Fields, RequestHead};
use crate::{config::TracingConfig, handoff::trace::Trace};
use parent::Parent;

pub use parent::{TRACEPARENT_BYTES, TraceParent};

const TRACEPARENT: &[u8] = b"traceparent";
const TRACESTATE: &[u8] = b"tracestate";

/// The trace of a request: the agent's, if it has one and may, else one that begins here, if anybody is to
/// hear of it.
pub fn of(config: &TracingConfig, head: Option<&RequestHead>) -> Trace {
    let parent = head
        .filter(|_| config.accept)
        .and_then(|head| parent_of(&head.fields));
    if let Some(Parent {
        trace_id,
        span_id,
        sampled,
    }) = parent
    {
        return Trace {
            trace_id,
            span_id: random::id(),
            parent_span_id: span_id,
            sampled,
        };
    }
    if !config.is_on() {
        return Trace::default();
    }
    let (high, low) = (random::id(), random::id());
    let sampled = config.sample_ratio.takes(low);
    Trace {
        trace_id: u128::from(high) << 64 | u128::from(low),
        span_id: random::id(),
        parent_span_id: 0,
        sampled,
    }
}

/// What a provider is told of the trace.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    pub parent: TraceParent,
    /// The agent's `tracestate` and `baggage` go along.
    pub with_state: bool,
}

impl Told {
    /// What goes with the exchange's `attempt`-th attempt; `None` without a trace.
    pub fn new(trace: &Trace, attempt: usize, fields: &Fields) -> Option<Self> {
        (!trace.is_none()).then(|| Self {
            parent: TraceParent::new(
                trace.trace_id,
                trace.attempt_span_id(attempt),
                trace.sampled,
            ),
            // Of another trace, it would say something about this one that nobody meant.
            with_state: trace.parent_span_id != 0 && state::is_valid(values(fields, TRACESTATE)),
        })
    }
}

/// A second field makes both worthless, as nobody knows which was meant.
fn parent_of(fields: &Fields) -> Option<Parent> {
    let mut values = values(fields, TRACEPARENT);
    let value = values.next()?;
    match values.next() {
        None => Parent::parse(value),
        Some(_) => None,
    }
}

fn values<'f>(fields: &'f Fields, wanted: &'static [u8]) -> impl Iterator<Item = &'f [u8]> {
    (fields.iter())
        .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
