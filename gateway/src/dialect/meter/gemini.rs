//! Gemini's answers, of Vertex AI and of the Gemini API: one object, or a stream of such, as events or as
//! the elements of one array. Each may carry usage so far; the last one counts.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    Metered,
    count::Count,
    least::Least,
    report::{Reported, service_tier},
};
use crate::{
    dialect::{
        json::{
            capture::{Capture, Wanted, plain_text},
            grounding::Grounding,
        },
        sse::{Event, parse},
    },
    handoff::record::{MediaUsage, Terms, Usage},
};

/// What is wanted of an answer that is read as it comes.
pub(super) const USAGE_AND_MODEL: Wanted = Wanted {
    parent: &[],
    keys: &["usageMetadata", "modelVersion"],
    types: None,
};
const USAGE_METADATA: usize = 0;
pub(super) const MODEL_VERSION: usize = 1;

/// Of most of a stream's objects, only the last one has it.
static GROUNDING_KEY: LazyLock<Finder<'static>> =
    LazyLock::new(|| Finder::new("\"groundingMetadata\""));

const AUDIO: &str = "AUDIO";
const IMAGE: &str = "IMAGE";

/// Reads a stream's objects.
#[derive(Debug, Default)]
pub(super) struct GeminiEvents {
    /// Reads an object that is over the limit. Boxed, as only pictures and sound are so long.
    long: Option<Box<Capture>>,
    grounding: Grounding,
}

impl GeminiEvents {
    pub(super) fn event(&mut self, event: &Event<'_>, metered: &mut Metered) {
        self.object(&event.data, metered);
    }

    /// One object, whole.
    pub(super) fn object(&mut self, json: &[u8], metered: &mut Metered) {
        object(json, metered);
        if GROUNDING_KEY.find(json).is_some() {
            self.grounding.next_object();
            self.grounding.feed(json);
        }
        self.note_calls(metered);
    }

    /// Each report of usage replaces the last one, calls and all.
    fn note_calls(&self, metered: &mut Metered) {
        if let Some(usage) = &mut metered.usage {
            usage.tool_calls = self.grounding.calls();
        }
    }

    /// A piece of an event over the limit.
    pub(super) fn part(&mut self, bytes: &[u8], first: bool, last: bool, metered: &mut Metered) {
        if first {
            let event = parse(bytes);
            self.long_object(&event.data, first, last, metered);
        } else {
            self.long_object(bytes, first, last, metered);
        }
    }

    /// A piece of an object over the limit. Its end is not looked for; the stream's own tells.
    pub(super) fn long_object(
        &mut self,
        json: &[u8],
        first: bool,
        last: bool,
        metered: &mut Metered,
    ) {
        metered.content_started = true;
        if first {
            self.long = Some(Box::new(Capture::new(&USAGE_AND_MODEL)));
            self.grounding.next_object();
        }
        self.grounding.feed(json);
        if let Some(capture) = &mut self.long {
            capture.feed(json);
        }
        if last && let Some(capture) = self.long.take() {
            metered.name_model(capture.plain_text(MODEL_VERSION));
            if let Some(reported) = capture.value(USAGE_METADATA).and_then(read) {
                reported.add_to(metered);
            }
        }
        self.note_calls(metered);
    }
}

fn object(json: &[u8], metered: &mut Metered) {
    let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(json) else {
        return;
    };
    metered.error_event |= chunk.error.is_some();
    let model = chunk.model_version.map(RawValue::get);
    metered.name_model(model.and_then(plain_text));
    let mut has_content = false;
    for candidate in chunk.candidates.iter().flatten() {
        has_content |= candidate.has_content();
        metered.complete |= candidate.is_finished();
    }
    metered.content_started |= has_content;
    // A prompt that is refused has no candidates.
    let feedback = chunk.prompt_feedback;
    metered.complete |= feedback.is_some_and(|feedback| feedback.block_reason.is_some());
    let usage = chunk.usage_metadata.map(RawValue::get);
    if let Some(reported) = usage.and_then(|usage| read(usage.as_bytes())) {
        reported.add_to(metered);
    }
    if let Some(least) = &mut metered.least
        && has_content
    {
        least.more();
        let candidates = chunk.candidates.iter().flatten();
        candidates.for_each(|candidate| candidate.read_text(least));
    }
}

/// Reads `usageMetadata`. `None`: it has no counts, as in the middle of a stream.
pub(super) fn read(json: &[u8]) -> Option<Reported> {
    let report: UsageMetadata = serde_json::from_slice(json).ok()?;
    let total = report.total_token_count;
    if report.prompt_token_count.get().is_none() && total.get().is_none() {
        return None;
    }
    let tool_use = report.tool_use_prompt_token_count.or_zero();
    let input = report.prompt_token_count.or_zero().saturating_add(tool_use);
    let candidates = report.candidates_token_count.or_zero();
    let thoughts = report.thoughts_token_count.or_zero();
    // `candidatesTokenCount` has the thoughts in it or beside it, by model and version; the total is sure.
    let output = match total.get() {
        Some(total) if total > 0 => total.saturating_sub(input).max(candidates),
        Some(_) | None => candidates.saturating_add(thoughts),
    };
    let read = report.cached_content_token_count.or_zero().min(input);
    let audio_input = tokens_of(&report.prompt_tokens_details, AUDIO).min(input);
    let audio_output = tokens_of(&report.candidates_tokens_details, AUDIO).min(output);
    let usage = Usage {
        input_tokens: input,
        output_tokens: output,
        cache_read_input_tokens: read,
        reasoning_tokens: thoughts.min(output),
        media: MediaUsage {
            audio_input_tokens: audio_input,
            audio_cache_read_tokens: tokens_of(&report.cache_tokens_details, AUDIO)
                .min(audio_input)
                .min(read),
            audio_output_tokens: audio_output,
            // Cached pictures are billed as what is cached.
            image_input_tokens: tokens_of(&report.prompt_tokens_details, IMAGE)
                .saturating_sub(tokens_of(&report.cache_tokens_details, IMAGE))
                .min(input - audio_input),
            image_output_tokens: tokens_of(&report.candidates_tokens_details, IMAGE)
                .min(output - audio_output),
            ..MediaUsage::default()
        },
        ..Usage::default()
    };
    Some(Reported {
        usage,
        terms: Terms {
            tier: service_tier(Some(&report.tier())),
            // The provider's address tells.
            regional: false,
        },
        cost: None,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk<'a> {
    #[serde(borrow)]
    candidates: Option<Vec<Candidate<'a>>>,
    prompt_feedback: Option<PromptFeedback>,
    #[serde(borrow)]
    usage_metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    model_version: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback {
    block_reason: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(default)]
    index: Count,
    #[serde(borrow)]
    content: Option<Content<'a>>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    parts: Vec<&'a RawValue>,
}

impl Candidate<'_> {
    fn has_content(&self) -> bool {
        let says_something =
            |part: &&RawValue| !matches!(part.get(), "{}" | r#"{"text":""}"# | r#"{"text": ""}"#);
        let parts = self.content.iter().flat_map(|content| &content.parts);
        parts.copied().any(|part| says_something(&part))
    }

    /// Reads what it says. Its thoughts are a summary of those that are billed.
    fn read_text(&self, least: &mut Least) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Part<'a> {
            #[serde(borrow)]
            text: Option<&'a RawValue>,
            #[serde(default)]
            thought: bool,
            #[serde(borrow)]
            function_call: Option<FunctionCall<'a>>,
            #[serde(borrow)]
            executable_code: Option<ExecutableCode<'a>>,
        }
        #[derive(Deserialize)]
        struct FunctionCall<'a> {
            #[serde(borrow)]
            args: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct ExecutableCode<'a> {
            #[serde(borrow)]
            code: Option<&'a RawValue>,
        }
        let parts = self.content.iter().flat_map(|content| &content.parts);
        let parts = parts.filter_map(|part| serde_json::from_str::<Part<'_>>(part.get()).ok());
        for part in parts.filter(|part| !part.thought) {
            let index = self.index.or_zero();
            least.read(index, part.text);
            least.read_arguments(index, part.function_call.and_then(|call| call.args));
            least.read(index, part.executable_code.and_then(|code| code.code));
        }
    }

    fn is_finished(&self) -> bool {
        let unspecified = r#""FINISH_REASON_UNSPECIFIED""#;
        (self.finish_reason).is_some_and(|reason| reason.get() != unspecified)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct UsageMetadata {
    /// Cached tokens included.
    prompt_token_count: Count,
    cached_content_token_count: Count,
    candidates_token_count: Count,
    thoughts_token_count: Count,
    /// What tools that Google runs fed into the prompt.
    tool_use_prompt_token_count: Count,
    total_token_count: Count,
    prompt_tokens_details: Value,
    cache_tokens_details: Value,
    candidates_tokens_details: Value,
    /// Vertex AI's.
    traffic_type: Value,
    /// The Gemini API's.
    service_tier: Value,
}

impl UsageMetadata {
    /// In the words of the other vendors. Provisioned throughput is paid by the hour.
    fn tier(&self) -> String {
        let told = |value: &Value| value.as_str().unwrap_or_default().to_ascii_lowercase();
        let traffic = told(&self.traffic_type);
        match traffic.strip_prefix("on_demand").unwrap_or(&traffic) {
            "" | "traffic_type_unspecified" => match told(&self.service_tier) {
                tier if tier == "unspecified" => String::new(),
                tier => tier,
            },
            tier => tier.trim_start_matches('_').to_owned(),
        }
    }
}

/// Of `[{"modality": "AUDIO", "tokenCount": 12}]`.
fn tokens_of(details: &Value, modality: &str) -> u64 {
    let parts = details.as_array().into_iter().flatten();
    parts
        .filter(|part| part["modality"] == modality)
        .filter_map(|part| part["tokenCount"].as_u64())
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_usage() {
        // input, output, cached, reasoning
        for (json, expected) in [
            // Thoughts beside the candidates, and inside of them.
            (
                r#"{"promptTokenCount":10,"candidatesTokenCount":5,"thoughtsTokenCount":7,"totalTokenCount":22}"#,
                Some([10, 12, 0, 7]),
            ),
            (
                r#"{"promptTokenCount":10,"candidatesTokenCount":12,"thoughtsTokenCount":7,"totalTokenCount":22}"#,
                Some([10, 12, 0, 7]),
            ),
            (
                r#"{"promptTokenCount":10,"toolUsePromptTokenCount":90,"cachedContentTokenCount":4,"candidatesTokenCount":5,"totalTokenCount":105}"#,
                Some([100, 5, 4, 0]),
            ),
            // No total: the sum of what there is.
            (
                r#"{"promptTokenCount":10,"candidatesTokenCount":5,"thoughtsTokenCount":7}"#,
                Some([10, 12, 0, 7]),
            ),
            // A total that leaves something out.
            (
                r#"{"promptTokenCount":10,"candidatesTokenCount":5,"totalTokenCount":10}"#,
                Some([10, 5, 0, 0]),
            ),
            (
                r#"{"promptTokenCount":10,"cachedContentTokenCount":99,"thoughtsTokenCount":99,"totalTokenCount":12}"#,
                Some([10, 2, 10, 2]),
            ),
            (r#"{"promptTokenCount":8}"#, Some([8, 0, 0, 0])),
            (r#"{"totalTokenCount":8}"#, Some([0, 8, 0, 0])),
            (
                r#"{"promptTokenCount":8,"promptTokensDetails":null,"totalTokenCount":null}"#,
                Some([8, 0, 0, 0]),
            ),
            (r#"{"trafficType":"ON_DEMAND"}"#, None),
            ("{}", None),
            ("null", None),
            ("7", None),
        ] {
            let usage = read(json.as_bytes()).map(|Reported { usage, .. }| {
                [
                    usage.input_tokens,
                    usage.output_tokens,
                    usage.cache_read_input_tokens,
                    usage.reasoning_tokens,
                ]
            });
            assert_eq!(usage, expected, "{json}");
        }
    }

    #[test]
    fn media_and_tiers() {
        // audio in, audio cached, audio out, image in, image out, tier
        for (fields, expected) in [
            (r#""trafficType":"ON_DEMAND""#, ([0; 5], "standard")),
            (
                r#""trafficType":"TRAFFIC_TYPE_UNSPECIFIED""#,
                ([0; 5], "standard"),
            ),
            (
                r#""trafficType":"PROVISIONED_THROUGHPUT""#,
                ([0; 5], "other"),
            ),
            (
                r#""trafficType":"ON_DEMAND_PRIORITY""#,
                ([0; 5], "priority"),
            ),
            (r#""trafficType":"ON_DEMAND_FLEX""#, ([0; 5], "flex")),
            (r#""trafficType":"ON_DEMAND_OFFPEAK""#, ([0; 5], "other")),
            (r#""serviceTier":"standard""#, ([0; 5], "standard")),
            (r#""serviceTier":"unspecified""#, ([0; 5], "standard")),
            (r#""serviceTier":"FLEX""#, ([0; 5], "flex")),
            (
                r#""promptTokensDetails":[{"modality":"TEXT","tokenCount":1},{"modality":"AUDIO","tokenCount":4},{"modality":"IMAGE","tokenCount":3}],
                "cachedContentTokenCount":5,"cacheTokensDetails":[{"modality":"AUDIO","tokenCount":2}]"#,
                ([4, 2, 0, 3, 0], "standard"),
            ),
            (
                r#""candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":1},{"modality":"IMAGE","tokenCount":9}]"#,
                ([0, 0, 1, 0, 5], "standard"),
            ),
            (
                r#""candidatesTokensDetails":{"modality":"AUDIO"},"promptTokensDetails":[{"modality":"AUDIO","tokenCount":"1"}]"#,
                ([0; 5], "standard"),
            ),
        ] {
            let json = format!(r#"{{"promptTokenCount":10,"totalTokenCount":16,{fields}}}"#);
            let Reported { usage, terms, .. } = read(json.as_bytes()).unwrap();
            let media = usage.media;
            let counts = [
                media.audio_input_tokens,
                media.audio_cache_read_tokens,
                media.audio_output_tokens,
                media.image_input_tokens,
                media.image_output_tokens,
            ];
            assert_eq!((counts, terms.tier.code()), expected, "{json}");
        }
    }
}
