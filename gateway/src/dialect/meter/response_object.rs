//! A response of the Responses API, by itself or inside an event: its id, whether it is kept, and once
//! it is over what it used.

use serde::Deserialize;

use super::{
    Metered,
    count::Count,
    openai_usage,
    report::{add_tier, service_tier},
};
use crate::{
    dialect::json::capture::{Capture, Wanted},
    handoff::record::ToolCalls,
};

const KEYS: &[&str] = &[
    "usage",
    "id",
    "store",
    "status",
    "model",
    "service_tier",
    "tool_usage",
];
const USAGE: usize = 0;
const ID: usize = 1;
const STORE: usize = 2;
const STATUS: usize = 3;
const MODEL: usize = 4;
const SERVICE_TIER: usize = 5;
const TOOL_USAGE: usize = 6;

/// Items of the output that are billed per call.
const BILLED_CALLS: &[&str] = &[
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
];
const WEB_SEARCH: usize = 0;
const FILE_SEARCH: usize = 1;
const CODE_INTERPRETER: usize = 2;
const IMAGE_GENERATION: usize = 3;

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
    metered.name_model(capture.plain_text(MODEL));
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
    let mut reported = reported;
    reported.usage.tool_calls = tool_calls(capture);
    reported.add_to(metered);
    let tier = capture.plain_text(SERVICE_TIER);
    add_tier(&mut metered.terms, service_tier(tier));
}

/// A response that counts its searches leaves out those that are not billed, such as opening a page; an
/// item of the output says no more than that there was one.
fn tool_calls(capture: &Capture) -> ToolCalls {
    let told = capture
        .value(TOOL_USAGE)
        .and_then(|json| serde_json::from_slice::<ToolUsage>(json).ok())
        .and_then(|usage| usage.web_search?.num_requests.get());
    ToolCalls {
        web_search: told.unwrap_or_else(|| capture.count_of_type(WEB_SEARCH)),
        maps: 0,
        file_search: capture.count_of_type(FILE_SEARCH),
        // One container serves all calls of a response.
        code_interpreter: capture.count_of_type(CODE_INTERPRETER).min(1),
        other: capture.count_of_type(IMAGE_GENERATION),
    }
}

#[derive(Deserialize)]
struct ToolUsage {
    web_search: Option<WebSearchUsage>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WebSearchUsage {
    num_requests: Count,
}
