//! Reads usage from a response while it passes: incremental, in constant memory, over any chunking.

use super::{Dialect, Operation};
use crate::handoff::record::Usage;

/// What a finished (or abandoned) meter knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metered {
    /// `None` when the response reported none.
    pub usage: Option<Usage>,
    /// The dialect's own end was seen (`[DONE]`, `message_stop`, the JSON object's end…): an agent that
    /// leaves after this point has its answer.
    pub complete: bool,
    /// The stream carried the dialect's error event.
    pub error_event: bool,
    /// A content byte (token) was seen.
    pub content_started: bool,
}

/// One per response.
pub struct Meter {}

impl Meter {
    /// `hide_usage_chunk`: the node asked for OpenAI's usage chunk, the agent did not; drop it on the way.
    pub fn new(
        dialect: Dialect,
        operation: Operation,
        status: u16,
        content_type: &[u8],
        content_encoding: &[u8],
        hide_usage_chunk: bool,
    ) -> Self {
        let _ = (
            dialect,
            operation,
            status,
            content_type,
            content_encoding,
            hide_usage_chunk,
        );
        todo!()
    }

    /// Looks at the next bytes of the body. `forward` is called with what the agent shall get, in order;
    /// without `hide_usage_chunk` that is `input` itself, in one call.
    pub fn feed(&mut self, input: &[u8], forward: &mut dyn FnMut(&[u8])) {
        let _ = (input, forward);
        todo!()
    }

    /// The body ended; forwards what was held back.
    pub fn finish(&mut self, forward: &mut dyn FnMut(&[u8])) {
        let _ = forward;
        todo!()
    }

    /// See [`Metered::content_started`]; cheap.
    pub fn content_started(&self) -> bool {
        todo!()
    }

    /// What is known so far; valid at any time, also after a cut.
    pub fn metered(&self) -> Metered {
        todo!()
    }
}

