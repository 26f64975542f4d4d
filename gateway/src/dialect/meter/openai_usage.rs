//! OpenAI's usage object, in the words of chat (`prompt_tokens`) and of Responses (`input_tokens`).
//! Input includes what was read from and written to the cache. Fields of other servers are passed over.

use serde::Deserialize;

use super::count::Count;
use crate::handoff::record::Usage;

/// `None`: not an object, or one without counts (audio is billed by the second).
pub(super) fn read(json: &[u8]) -> Option<Usage> {
    if !json.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let usage: UsageObject = serde_json::from_slice(json).ok()?;
    let input = usage.prompt_tokens.or(usage.input_tokens);
    let output = usage.completion_tokens.or(usage.output_tokens);
    if input.get().is_none() && output.get().is_none() {
        return None;
    }
    let input_details = usage
        .prompt_tokens_details
        .or(usage.input_tokens_details)
        .unwrap_or_default();
    let output_details = usage
        .completion_tokens_details
        .or(usage.output_tokens_details)
        .unwrap_or_default();
    let lifetimes = input_details.cache_write_tokens_details.unwrap_or_default();

    let (input, output) = (input.or_zero(), output.or_zero());
    // Parts are never larger than the whole: a wrong report must not bill more than was reported in all.
    let read = input_details.cached_tokens.or(usage.cached_tokens);
    let read = read.or_zero().min(input);
    let long = lifetimes.ttl_12h_tokens.or_zero();
    let written = input_details
        .cache_write_tokens
        .or_zero()
        .max(long.saturating_add(lifetimes.ttl_30m_tokens.or_zero()))
        .min(input - read);
    let long = long.min(written);
    Some(Usage {
        input_tokens: input,
        output_tokens: output,
        cache_read_input_tokens: read,
        cache_creation_input_tokens: written - long,
        cache_creation_long_input_tokens: long,
        reasoning_tokens: output_details.reasoning_tokens.or_zero().min(output),
    })
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
    prompt_tokens_details: Option<InputDetails>,
    input_tokens_details: Option<InputDetails>,
    completion_tokens_details: Option<OutputDetails>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InputDetails {
    cached_tokens: Count,
    cache_write_tokens: Count,
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
                r#"{"prompt_tokens":8,"total_tokens":8}"#,
                Some([8, 0, 0, 0, 0, 0]),
            ),
            (r#"{"type":"duration","seconds":3}"#, None),
            (r#"{}"#, None),
            (r#"null"#, None),
            (r#"[1,2]"#, None),
        ] {
            let usage = read(json.as_bytes()).map(|usage| {
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
}
