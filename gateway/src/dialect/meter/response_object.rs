//! A response of the Responses API, by itself or inside an event: its id, whether it is kept, and once
//! it is over what it used.

use super::{Metered, left_out::service_tier, openai_usage};
use crate::{
    dialect::json::capture::{Capture, Wanted},
    handoff::record::{LeftOut, MODEL_BYTES_LIMIT},
};

const KEYS: &[&str] = &["usage", "id", "store", "status", "model", "service_tier"];
const USAGE: usize = 0;
const ID: usize = 1;
const STORE: usize = 2;
const STATUS: usize = 3;
const MODEL: usize = 4;
const SERVICE_TIER: usize = 5;

/// Items of the output that are billed per call (facts: web search $0.01, the others alike).
const BILLED_CALLS: &[&str] = &[
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
];

/// A body that is a response.
pub(super) const IN_BODY: Wanted = Wanted {
    parent: &[],
    keys: KEYS,
    types: Some(("output", BILLED_CALLS)),
};

/// An event's data that has a response inside.
pub(super) const IN_EVENT: Wanted = Wanted {
    parent: &["response"],
    ..IN_BODY
};

/// Id of a response that the provider keeps.
pub(super) fn id(capture: &Capture) -> Option<&str> {
    let is_kept = capture.value(STORE) != Some(b"false");
    capture.plain_text(ID).filter(|_| is_kept)
}

/// Adds what `capture` has read.
pub(super) fn read(capture: &Capture, metered: &mut Metered) {
    if let Some(id) = id(capture) {
        metered.object = Some(id.into());
    }
    if let Some(model) = capture.plain_text(MODEL)
        && model.len() <= MODEL_BYTES_LIMIT
    {
        metered.model = Some(model.into());
    }
    // What a job used so far is no bill.
    if matches!(
        capture.plain_text(STATUS),
        Some("queued" | "in_progress" | "cancelling")
    ) {
        return;
    }
    let Some(reported) = capture.value(USAGE).and_then(openai_usage::read) else {
        return;
    };
    reported.add_to(metered);
    let tier = capture.plain_text(SERVICE_TIER);
    metered.left_out.add(service_tier(tier));
    if (0..BILLED_CALLS.len()).any(|call| capture.has_type(call)) {
        metered.left_out.add(LeftOut::TOOLS);
    }
}
