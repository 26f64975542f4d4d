//! Error bodies in the shape that the calling SDK understands, with NetBird's `code` beside it.

use super::Dialect;
use crate::handoff::reason::Reason;

/// JSON body for a failure. `message` is for the agent: no provider host, no secret, no internals.
pub fn render(
    dialect: Option<Dialect>,
    reason: Reason,
    message: &str,
    request_id: &str,
) -> Vec<u8> {
    let _ = (dialect, reason, message, request_id);
    todo!()
}

/// The dialect's own error event for a stream that ends before its time (SSE frame, both newlines included).
pub fn render_event(dialect: Dialect, reason: Reason, message: &str) -> Vec<u8> {
    let _ = (dialect, reason, message);
    todo!()
}
