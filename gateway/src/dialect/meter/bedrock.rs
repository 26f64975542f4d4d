//! Usage at Bedrock: Converse's own words, what each vendor's model answers InvokeModel with, and counts
//! in headers for those whose body has none. Input excludes the cache, but in OpenAI's shape.

use serde::Deserialize;
use serde_json::Value;

use super::{
    Metered, anthropic,
    count::Count,
    openai_usage,
    report::{Reported, add_tier, plain, service_tier},
};
use crate::{
    dialect::json::capture::{Capture, Wanted},
    handoff::record::{ServiceTier, Terms, Usage},
};

/// An answer to Converse.
pub(super) const CONVERSE: Wanted = Wanted {
    parent: &[],
    keys: &["usage", "serviceTier", "performanceConfig"],
    types: None,
};

const USAGE: usize = 0;
const SERVICE_TIER: usize = 1;
const PERFORMANCE: usize = 2;

/// A vendor's answer to InvokeModel: most have `usage`; Llama and Titan have counts at the top.
pub(super) const INVOKE: Wanted = Wanted {
    parent: &[],
    keys: &[
        "usage",
        "prompt_token_count",
        "generation_token_count",
        "inputTextTokenCount",
        "model",
    ],
    types: None,
};

const PROMPT_TOKENS: usize = 1;
const GENERATED_TOKENS: usize = 2;
const TITANS_TOKENS: usize = 3;
const MODEL: usize = 4;

/// Adds what an answer to Converse says.
pub(super) fn read_converse(capture: &Capture, metered: &mut Metered) {
    let Some(usage) = capture.value(USAGE).and_then(in_converse) else {
        return;
    };
    metered.usage = Some(usage);
    let object = |index| serde_json::from_slice(capture.value(index)?).ok();
    let (tier, performance) = (object(SERVICE_TIER), object(PERFORMANCE));
    let tier = served_in(&tier.unwrap_or_default(), &performance.unwrap_or_default());
    add_tier(&mut metered.terms, tier);
}

/// Adds what a vendor's answer says.
pub(super) fn read_invoke(capture: &Capture, metered: &mut Metered) {
    metered.name_model(capture.plain_text(MODEL));
    if let Some(reported) = capture.value(USAGE).and_then(in_any) {
        reported.add_to(metered);
        return;
    }
    let count = |index| capture.value(index).map(Count::parse).unwrap_or_default();
    // Titan counts its output elsewhere; the head has both.
    let input = count(PROMPT_TOKENS).or(count(TITANS_TOKENS));
    let counted = || plain(input, count(GENERATED_TOKENS));
    metered.usage = metered.usage.or_else(counted);
}

/// `usage` in whatever shape a vendor has it.
pub(super) fn in_any(json: &[u8]) -> Option<Reported> {
    #[derive(Deserialize)]
    struct Shape {
        #[serde(default)]
        input_tokens: Count,
        #[serde(default, rename = "inputTokens")]
        converse: Count,
    }
    let shape: Shape = serde_json::from_slice(json).ok()?;
    if shape.converse.get().is_some() {
        return in_converse(json).map(|usage| Reported {
            usage,
            ..Reported::default()
        });
    }
    if shape.input_tokens.get().is_some() {
        return anthropic::read(json);
    }
    openai_usage::read(json)
}

/// `usage` of Converse, and of Nova, which says `…TokenCount` of the cache.
pub(super) fn in_converse(json: &[u8]) -> Option<Usage> {
    let usage: ConverseUsage = serde_json::from_slice(json).ok()?;
    let long = usage
        .cache_details
        .iter()
        .filter(|part| part.ttl == "1h")
        .fold(0, |sum: u64, part| {
            sum.saturating_add(part.input_tokens.or_zero())
        });
    exclusive(
        usage.input_tokens,
        usage.output_tokens,
        usage
            .cache_read_input_tokens
            .or(usage.cache_read_input_token_count),
        usage
            .cache_write_input_tokens
            .or(usage.cache_write_input_token_count),
        long,
    )
}

/// Counts of which the input lies beside the cached ones; `long` of `written` are long-lived.
fn exclusive(input: Count, output: Count, read: Count, written: Count, long: u64) -> Option<Usage> {
    input.or(output).get()?;
    let written = written.or_zero().max(long);
    Some(Usage {
        input_tokens: input
            .or_zero()
            .saturating_add(read.or_zero())
            .saturating_add(written),
        output_tokens: output.or_zero(),
        cache_read_input_tokens: read.or_zero(),
        cache_creation_input_tokens: written - long,
        cache_creation_long_input_tokens: long,
        ..Usage::default()
    })
}

/// What the echoes of `serviceTier` and `performanceConfig` say of the price.
pub(super) fn served_in(tier: &Value, performance: &Value) -> ServiceTier {
    tier_of(tier["type"].as_str(), performance["latency"].as_str())
}

/// `optimized` latency has prices of its own.
fn tier_of(tier: Option<&str>, latency: Option<&str>) -> ServiceTier {
    Some(service_tier(tier))
        .filter(|tier| *tier != ServiceTier::Standard)
        .unwrap_or_else(|| service_tier(latency))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConverseUsage {
    input_tokens: Count,
    output_tokens: Count,
    cache_read_input_tokens: Count,
    cache_write_input_tokens: Count,
    cache_read_input_token_count: Count,
    cache_write_input_token_count: Count,
    cache_details: Vec<CacheDetail>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CacheDetail {
    ttl: String,
    input_tokens: Count,
}

/// `amazon-bedrock-invocationMetrics`, in the last event of a vendor's stream.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct InvocationMetrics {
    input_token_count: Count,
    output_token_count: Count,
    cache_read_input_token_count: Count,
    cache_write_input_token_count: Count,
}

impl InvocationMetrics {
    pub(super) fn usage(&self) -> Option<Usage> {
        exclusive(
            self.input_token_count,
            self.output_token_count,
            self.cache_read_input_token_count,
            self.cache_write_input_token_count,
            0,
        )
    }
}

/// Counts in the head of an answer to InvokeModel; no vendor's model leaves them out.
pub(super) fn in_headers<'h>(header: impl Fn(&str) -> Option<&'h [u8]>) -> Metered {
    let count = |name| header(name).map(Count::parse).unwrap_or_default();
    let text = |name| std::str::from_utf8(header(name)?).ok();
    let tier = tier_of(
        text("x-amzn-bedrock-service-tier"),
        text("x-amzn-bedrock-performanceconfig-latency"),
    );
    Metered {
        usage: exclusive(
            count("x-amzn-bedrock-input-token-count"),
            count("x-amzn-bedrock-output-token-count"),
            count("x-amzn-bedrock-cache-read-input-token-count"),
            count("x-amzn-bedrock-cache-write-input-token-count"),
            0,
        ),
        terms: Terms {
            tier,
            ..Terms::default()
        },
        ..Metered::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn usage_in_every_vendors_shape() {
        // input, output, read, written short, written long
        for (json, expected) in [
            (
                r#"{"inputTokens":10,"outputTokens":5,"totalTokens":15}"#,
                Some([10, 5, 0, 0, 0]),
            ),
            (
                r#"{"inputTokens":10,"outputTokens":5,"cacheReadInputTokens":100,"cacheWriteInputTokens":30,
                    "cacheDetails":[{"ttl":"5m","inputTokens":10},{"ttl":"1h","inputTokens":20}]}"#,
                Some([140, 5, 100, 10, 20]),
            ),
            (
                r#"{"inputTokens":1,"outputTokens":2,"cacheReadInputTokenCount":3,"cacheWriteInputTokenCount":4}"#,
                Some([8, 2, 3, 4, 0]),
            ),
            (
                r#"{"input_tokens":10,"output_tokens":5,"cache_read_input_tokens":7}"#,
                Some([17, 5, 7, 0, 0]),
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}"#,
                Some([10, 5, 4, 0, 0]),
            ),
            ("{}", None),
            ("[]", None),
            ("7", None),
        ] {
            let usage = in_any(json.as_bytes()).map(|reported| {
                let usage = reported.usage;
                [
                    usage.input_tokens,
                    usage.output_tokens,
                    usage.cache_read_input_tokens,
                    usage.cache_creation_input_tokens,
                    usage.cache_creation_long_input_tokens,
                ]
            });
            assert_eq!(usage, expected, "{json}");
        }
    }

    #[test]
    fn headers_count_what_the_body_does_not() {
        let metered = in_headers(|name| match name {
            "x-amzn-bedrock-input-token-count" => Some(b"12"),
            "x-amzn-bedrock-output-token-count" => Some(b"3"),
            "x-amzn-bedrock-cache-read-input-token-count" => Some(b"5"),
            "x-amzn-bedrock-service-tier" => Some(b"priority"),
            _ => None,
        });
        let usage = metered.usage.unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens), (17, 3));
        assert_eq!(metered.terms.tier, ServiceTier::Priority);
        assert_eq!(in_headers(|_| None), Metered::default());
    }
}
