//! OpenAI's usage object, in the words of chat (`prompt_tokens`) and of Responses (`input_tokens`).
//! Input includes what was read from and written to the cache. Fields of other servers are passed over.

use serde::Deserialize;
use serde_json::Value;

use super::{
    count::Count,
    left_out::{Reported, service_tier},
};
use crate::handoff::record::{LeftOut, Usage};

/// `None`: not an object, or one without counts (audio is billed by the second).
pub(super) fn read(json: &[u8]) -> Option<Reported> {
    if !json.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let report: UsageObject = serde_json::from_slice(json).ok()?;
    let input = report.prompt_tokens.or(report.input_tokens);
    let output = report.completion_tokens.or(report.output_tokens);
    if input.get().is_none() && output.get().is_none() {
        return None;
    }
    let input_details = report
        .prompt_tokens_details
        .or(report.input_tokens_details)
        .unwrap_or_default();
    let output_details = report
        .completion_tokens_details
        .or(report.output_tokens_details)
        .unwrap_or_default();
    let lifetimes = input_details.cache_write_tokens_details.unwrap_or_default();

    let (input, output) = (input.or_zero(), output.or_zero());
    // Parts are never larger than the whole: a wrong report must not bill more than was reported in all.
    let read = input_details.cached_tokens.or(report.cached_tokens);
    let read = read.or_zero().min(input);
    let long = lifetimes.ttl_12h_tokens.or_zero();
    let written = input_details
        .cache_write_tokens
        .or_zero()
        .max(long.saturating_add(lifetimes.ttl_30m_tokens.or_zero()))
        .min(input - read);
    let long = long.min(written);
    let usage = Usage {
        input_tokens: input,
        output_tokens: output,
        cache_read_input_tokens: read,
        cache_creation_input_tokens: written - long,
        cache_creation_long_input_tokens: long,
        reasoning_tokens: output_details.reasoning_tokens.or_zero().min(output),
    };
    let mut left_out = service_tier(report.service_tier.as_str());
    let audio = [
        input_details.audio_tokens,
        output_details.audio_tokens,
        report.prompt_audio_seconds,
    ];
    if audio.into_iter().any(|count| count.or_zero() > 0) {
        left_out.add(LeftOut::AUDIO);
    }
    Some(Reported { usage, left_out })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UsageObject {
    prompt_tokens: Count,
    input_tokens: Count,
    completion_tokens: Count,
    output_tokens: Count,
    /// Moonshot's place for it.
    cached_tokens: Count,
    /// Mistral's.
    prompt_audio_seconds: Count,
    /// Mistral's place for it.
    service_tier: Value,
    prompt_tokens_details: Option<InputDetails>,
    /// Realtime writes `token`.
    #[serde(alias = "input_token_details")]
    input_tokens_details: Option<InputDetails>,
    completion_tokens_details: Option<OutputDetails>,
    #[serde(alias = "output_token_details")]
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InputDetails {
    cached_tokens: Count,
    cache_write_tokens: Count,
    audio_tokens: Count,
    cache_write_tokens_details: Option<Lifetimes>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Lifetimes {
    ttl_30m_tokens: Count,
    ttl_12h_tokens: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    reasoning_tokens: Count,
    audio_tokens: Count,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_usage() {
        // input, output, read, written short, written long, reasoning
        for (json, expected) in [
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}"#,
                Some([10, 5, 0, 0, 0, 0]),
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":3,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":2}}"#,
                Some([10, 5, 4, 3, 0, 2]),
            ),
            (
                r#"{"input_tokens":100,"output_tokens":5,"input_tokens_details":{"cached_tokens":40,"cache_write_tokens":50,"cache_write_tokens_details":{"ttl_30m_tokens":20,"ttl_12h_tokens":30}}}"#,
                Some([100, 5, 40, 20, 30, 0]),
            ),
            // The split covers less than the total: the rest is short-lived.
            (
                r#"{"input_tokens":100,"output_tokens":5,"input_tokens_details":{"cache_write_tokens":50,"cache_write_tokens_details":{"ttl_30m_tokens":5,"ttl_12h_tokens":30}}}"#,
                Some([100, 5, 0, 20, 30, 0]),
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null,"cost":0.00014,"cost_details":{"upstream_inference_cost":null},"is_byok":false}"#,
                Some([10, 5, 0, 0, 0, 0]),
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":7}"#,
                Some([10, 5, 7, 0, 0, 0]),
            ),
            // Parts larger than the whole are cut.
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":8,"cache_write_tokens":8},"completion_tokens_details":{"reasoning_tokens":9}}"#,
                Some([10, 5, 8, 2, 0, 5]),
            ),
            (
                r#"{"input_tokens":10,"output_tokens":5,"input_token_details":{"text_tokens":8,"cached_tokens":4,"cached_tokens_details":{"text_tokens":4}},"output_token_details":{"text_tokens":5}}"#,
                Some([10, 5, 4, 0, 0, 0]),
            ),
            (
                r#"{"prompt_tokens":8,"total_tokens":8}"#,
                Some([8, 0, 0, 0, 0, 0]),
            ),
            (r#"{"type":"duration","seconds":3}"#, None),
            (r#"{}"#, None),
            (r#"null"#, None),
            (r#"[1,2]"#, None),
        ] {
            let usage = read(json.as_bytes()).map(|Reported { usage, .. }| {
                [
                    usage.input_tokens,
                    usage.output_tokens,
                    usage.cache_read_input_tokens,
                    usage.cache_creation_input_tokens,
                    usage.cache_creation_long_input_tokens,
                    usage.reasoning_tokens,
                ]
            });
            assert_eq!(usage, expected, "{json}");
        }
    }

    #[test]
    fn what_the_price_leaves_out() {
        for (json, expected) in [
            (r#"{"prompt_tokens":1,"service_tier":"default"}"#, &[][..]),
            (r#"{"prompt_tokens":1,"service_tier":{"x":1}}"#, &[]),
            (
                r#"{"prompt_tokens":1,"service_tier":"batch","prompt_audio_seconds":3}"#,
                &["service_tier", "audio"],
            ),
            (
                r#"{"prompt_tokens":1,"prompt_tokens_details":{"audio_tokens":0}}"#,
                &[],
            ),
            (
                r#"{"prompt_tokens":1,"completion_tokens_details":{"audio_tokens":7}}"#,
                &["audio"],
            ),
            (
                r#"{"input_tokens":1,"output_token_details":{"audio_tokens":7}}"#,
                &["audio"],
            ),
        ] {
            let left_out = read(json.as_bytes()).unwrap().left_out;
            assert_eq!(left_out.codes().collect::<Vec<_>>(), expected, "{json}");
        }
    }
}
