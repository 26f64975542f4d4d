//! Chat completions and completions as a stream: chunks without names, `[DONE]` at the end. Usage comes
//! on request in a chunk of its own with no choices; other servers put it on the last chunk, or on each.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Metered,
    least::Least,
    openai_usage,
    report::{add_tier, service_tier},
};
use crate::dialect::{json::capture::plain_text, sse::Event};

/// Nearly all chunks have neither key with a value, and are not parsed once content has begun.
static USAGE_KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"usage\""));
static ERROR_KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"error\""));

/// Reads one event. True: the chunk that carries nothing but usage.
pub(super) fn event(event: &Event<'_>, metered: &mut Metered) -> bool {
    let is_usage_chunk = note(event, metered);
    if let Some(least) = &mut metered.least {
        read_text(&event.data, least);
    }
    is_usage_chunk
}

fn note(event: &Event<'_>, metered: &mut Metered) -> bool {
    let data = event.data.trim_ascii();
    if data == b"[DONE]" {
        metered.complete = true;
        return false;
    }
    metered.error_event |= event.name == b"error";
    // A comment by itself is no event.
    if !metered.content_started && !data.is_empty() {
        metered.content_started = has_content(data, metered);
    }
    if !has_value(data, &USAGE_KEY) && !has_value(data, &ERROR_KEY) {
        return false;
    }
    let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else {
        return false;
    };
    metered.error_event |= chunk.error.is_some();
    let Some(reported) = chunk
        .usage
        .and_then(|usage| openai_usage::read(usage.get().as_bytes()))
    else {
        return false;
    };
    reported.add_to(metered);
    let tier = chunk.service_tier.map(RawValue::get);
    let tier = service_tier(tier.and_then(|tier| serde_json::from_str(tier).ok()));
    add_tier(&mut metered.terms, tier);
    chunk.choices.is_some_and(is_empty_array)
}

/// Whether `key` stands in `data` before a value other than null: the official API writes `"usage":null`
/// on all chunks but the last. A key inside a string has backslashes around it and is not found.
fn has_value(data: &[u8], key: &Finder<'_>) -> bool {
    key.find_iter(data).any(|at| {
        let rest = data[at + key.needle().len()..].trim_ascii_start();
        rest.strip_prefix(b":")
            .is_some_and(|value| !value.trim_ascii_start().starts_with(b"null"))
    })
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
}

fn is_empty_array(raw: &RawValue) -> bool {
    raw.get()
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inside| inside.trim_ascii().is_empty())
}

/// Reads what a chunk's choices say.
fn read_text(data: &[u8], least: &mut Least) {
    #[derive(Deserialize)]
    struct TextChunk<'a> {
        #[serde(borrow, default)]
        choices: Vec<Choice<'a>>,
    }
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(default)]
        index: u64,
        #[serde(borrow)]
        delta: Option<Delta<'a>>,
        /// Of completions.
        #[serde(borrow)]
        text: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Delta<'a> {
        #[serde(borrow)]
        content: Option<&'a RawValue>,
        #[serde(borrow)]
        refusal: Option<&'a RawValue>,
        /// vLLM's former name is the second; either may be there, or both for one thought.
        #[serde(borrow)]
        reasoning: Option<&'a RawValue>,
        #[serde(borrow)]
        reasoning_content: Option<&'a RawValue>,
        #[serde(borrow)]
        tool_calls: Option<Vec<ToolCall<'a>>>,
        #[serde(borrow)]
        function_call: Option<Function<'a>>,
    }
    #[derive(Deserialize)]
    struct ToolCall<'a> {
        #[serde(borrow)]
        function: Option<Function<'a>>,
    }
    #[derive(Deserialize)]
    struct Function<'a> {
        #[serde(borrow)]
        arguments: Option<&'a RawValue>,
    }
    let Ok(chunk) = serde_json::from_slice::<TextChunk<'_>>(data) else {
        return;
    };
    for choice in chunk.choices {
        if choice.text.is_some() {
            least.more();
        }
        let Some(delta) = choice.delta else { continue };
        let thought = delta.reasoning.or(delta.reasoning_content);
        least.read_thought(choice.index, thought);
        least.read(choice.index, delta.content);
        least.read(choice.index, delta.refusal);
        let calls = delta.tool_calls.into_iter().flatten();
        for function in calls
            .filter_map(|call| call.function)
            .chain(delta.function_call)
        {
            least.read(choice.index, function.arguments);
        }
    }
}

/// Whether a chunk has a choice that says something: the first one usually only names the role. What is
/// no chunk at all says something too. All chunks name the model, and so do these first ones.
fn has_content(data: &[u8], metered: &mut Metered) -> bool {
    #[derive(Deserialize)]
    struct ContentChunk<'a> {
        #[serde(borrow)]
        model: Option<&'a RawValue>,
        #[serde(borrow, default)]
        choices: Vec<Choice<'a>>,
    }
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(borrow)]
        delta: Option<Delta<'a>>,
        /// Of completions.
        #[serde(borrow)]
        text: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Delta<'a> {
        #[serde(borrow)]
        content: Option<&'a RawValue>,
        #[serde(borrow)]
        tool_calls: Option<&'a RawValue>,
        #[serde(borrow)]
        function_call: Option<&'a RawValue>,
        #[serde(borrow)]
        refusal: Option<&'a RawValue>,
        #[serde(borrow)]
        audio: Option<&'a RawValue>,
        #[serde(borrow)]
        reasoning: Option<&'a RawValue>,
        #[serde(borrow)]
        reasoning_content: Option<&'a RawValue>,
    }
    let says_something =
        |raw: Option<&RawValue>| raw.is_some_and(|raw| !matches!(raw.get(), "\"\"" | "[]" | "{}"));
    serde_json::from_slice::<ContentChunk<'_>>(data).map_or(true, |chunk| {
        let model = chunk.model.map(RawValue::get);
        metered.name_model(model.and_then(plain_text));
        chunk.choices.into_iter().any(|choice| {
            says_something(choice.text)
                || choice.delta.is_some_and(|delta| {
                    [
                        delta.content,
                        delta.tool_calls,
                        delta.function_call,
                        delta.refusal,
                        delta.audio,
                        delta.reasoning,
                        delta.reasoning_content,
                    ]
                    .into_iter()
                    .any(says_something)
                })
        })
    })
}
