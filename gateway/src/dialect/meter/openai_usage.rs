//! OpenAI's usage object, in the words of chat (`prompt_tokens`) and of Responses (`input_tokens`).
//! Input includes what was read from and written to the cache. Fields of other servers are passed over.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{
    count::Count,
    report::{Dollars, Reported, service_tier},
};
use crate::handoff::record::{MediaUsage, Terms, Usage};

/// Three hundred years.
const SECONDS_MAX: f64 = 1e10;

/// `None`: not an object, or one without counts.
pub(super) fn read(json: &[u8]) -> Option<Reported> {
    if !json.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let report: UsageObject = serde_json::from_slice(json).ok()?;
    let input = report.prompt_tokens.or(report.input_tokens);
    let output = report.completion_tokens.or(report.output_tokens);
    if input.get().is_none() && output.get().is_none() && report.seconds.0.is_none() {
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
    // Some servers (Google's, xAI's) count reasoning beside the completion; it is in the total only.
    let output = output.max(report.total_tokens.or_zero().saturating_sub(input));
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
    let cached = input_details.cached_tokens_details.unwrap_or_default();
    let audio_input = input_details.audio_tokens.or_zero().min(input);
    let audio_output = output_details.audio_tokens.or_zero().min(output);
    let audio_ms = report.prompt_audio_seconds.0.or(report.seconds.0);
    let usage = Usage {
        input_tokens: input,
        output_tokens: output,
        cache_read_input_tokens: read,
        cache_creation_input_tokens: written - long,
        cache_creation_long_input_tokens: long,
        reasoning_tokens: output_details.reasoning_tokens.or_zero().min(output),
        media: MediaUsage {
            audio_input_tokens: audio_input,
            audio_cache_read_tokens: cached.audio_tokens.or_zero().min(audio_input).min(read),
            audio_output_tokens: audio_output,
            image_input_tokens: input_details
                .image_tokens
                .or_zero()
                .min(input - audio_input),
            image_output_tokens: output_details
                .image_tokens
                .or_zero()
                .min(output - audio_output),
            audio_ms: audio_ms.unwrap_or(0),
        },
        ..Usage::default()
    };
    // With a key of the account's own, the gateway charges a fee and the vendor the rest.
    let upstream = match (report.is_byok == Value::Bool(true), report.cost_details) {
        (true, Some(details)) => details.upstream_inference_cost.0,
        (true | false, _) => None,
    };
    Some(Reported {
        usage,
        terms: Terms {
            tier: service_tier(report.service_tier.as_str()),
            regional: false,
        },
        cost: report
            .cost
            .0
            .map(|cost| cost.saturating_add(upstream.unwrap_or(0))),
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UsageObject {
    prompt_tokens: Count,
    input_tokens: Count,
    completion_tokens: Count,
    output_tokens: Count,
    total_tokens: Count,
    /// Moonshot's place for it.
    cached_tokens: Count,
    /// Mistral's.
    prompt_audio_seconds: Seconds,
    /// Of transcriptions that are billed by their length.
    seconds: Seconds,
    /// OpenRouter's and Vercel's.
    cost: Dollars,
    cost_details: Option<CostDetails>,
    is_byok: Value,
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

/// A length of audio, in milliseconds. Vendors write whole seconds, and may write parts.
#[derive(Debug, Default)]
struct Seconds(Option<u64>);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = Value::deserialize(deserializer)?.as_f64();
        let in_range = seconds.filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds));
        Ok(Self(in_range.map(|seconds| (seconds * 1e3).round() as u64)))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CostDetails {
    upstream_inference_cost: Dollars,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InputDetails {
    cached_tokens: Count,
    cache_write_tokens: Count,
    audio_tokens: Count,
    image_tokens: Count,
    cache_write_tokens_details: Option<Lifetimes>,
    /// Of the realtime API.
    cached_tokens_details: Option<CachedDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CachedDetails {
    audio_tokens: Count,
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
    image_tokens: Count,
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
            // Reasoning beside the completion.
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":22,"completion_tokens_details":{"reasoning_tokens":7}}"#,
                Some([10, 12, 0, 0, 0, 7]),
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
            (
                r#"{"type":"duration","seconds":3}"#,
                Some([0, 0, 0, 0, 0, 0]),
            ),
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
    fn media_and_tiers() {
        // audio in, audio cached, audio out, image in, image out, ms, tier
        for (json, expected) in [
            (
                r#"{"prompt_tokens":1,"service_tier":"default"}"#,
                ([0, 0, 0, 0, 0, 0], "standard"),
            ),
            (
                r#"{"prompt_tokens":1,"service_tier":{"x":1}}"#,
                ([0, 0, 0, 0, 0, 0], "standard"),
            ),
            (
                r#"{"prompt_tokens":1,"service_tier":"batch","prompt_audio_seconds":3}"#,
                ([0, 0, 0, 0, 0, 3_000], "batch"),
            ),
            (
                r#"{"type":"duration","seconds":7}"#,
                ([0, 0, 0, 0, 0, 7_000], "standard"),
            ),
            (
                r#"{"type":"duration","seconds":8.47}"#,
                ([0, 0, 0, 0, 0, 8_470], "standard"),
            ),
            (
                r#"{"prompt_tokens":1,"prompt_audio_seconds":-1,"seconds":1e300}"#,
                ([0, 0, 0, 0, 0, 0], "standard"),
            ),
            (
                r#"{"prompt_tokens":9,"completion_tokens":9,"service_tier":"scale","prompt_tokens_details":{"audio_tokens":4,"image_tokens":3},"completion_tokens_details":{"audio_tokens":7}}"#,
                ([4, 0, 7, 3, 0, 0], "other"),
            ),
            (
                r#"{"input_tokens":90,"output_tokens":50,"input_token_details":{"cached_tokens":30,"text_tokens":40,"audio_tokens":50,"cached_tokens_details":{"text_tokens":10,"audio_tokens":20}},"output_token_details":{"text_tokens":20,"audio_tokens":30}}"#,
                ([50, 20, 30, 0, 0, 0], "standard"),
            ),
            // Parts larger than the whole are cut.
            (
                r#"{"input_tokens":5,"output_tokens":6,"input_tokens_details":{"audio_tokens":9,"image_tokens":9},"output_tokens_details":{"image_tokens":9}}"#,
                ([5, 0, 0, 0, 6, 0], "standard"),
            ),
        ] {
            let Reported { usage, terms, .. } = read(json.as_bytes()).unwrap();
            let media = usage.media;
            let counts = [
                media.audio_input_tokens,
                media.audio_cache_read_tokens,
                media.audio_output_tokens,
                media.image_input_tokens,
                media.image_output_tokens,
                media.audio_ms,
            ];
            assert_eq!((counts, terms.tier.code()), expected, "{json}");
        }
    }

    #[test]
    fn what_a_gateway_says_it_charges() {
        for (json, expected) in [
            (r#"{"prompt_tokens":1}"#, None),
            (r#"{"prompt_tokens":1,"cost":0}"#, Some(0)),
            (
                r#"{"prompt_tokens":1,"cost":0.95,"cost_details":{"upstream_inference_cost":0.95},"is_byok":false}"#,
                Some(950_000_000),
            ),
            (
                r#"{"prompt_tokens":1,"cost":0.05,"cost_details":{"upstream_inference_cost":0.9},"is_byok":true}"#,
                Some(950_000_000),
            ),
            (
                r#"{"prompt_tokens":1,"cost":{"total":1},"is_byok":"yes"}"#,
                None,
            ),
        ] {
            assert_eq!(read(json.as_bytes()).unwrap().cost, expected, "{json}");
        }
    }
}
