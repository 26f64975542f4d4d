//! Limits as requests carry them, and what they may say. What NetBird's clients do not know is kept when
//! they leave it out.

use serde::Deserialize;
use serde_json::Number;
use utoipa::ToSchema;

use super::error::ApiError;
use crate::control_plane::{
    catalog::rate,
    resource::{
        BudgetLimitDoc, LimitMode, LimitsDoc, ProviderRateLimitDoc, RateLimitDoc, TokenLimitDoc,
    },
};

/// NetBird's.
const WINDOW_SECONDS_MIN: u64 = 60;
/// Ten years; more is a mistake.
const WINDOW_SECONDS_MAX: u64 = 10 * 366 * 24 * 3600;
/// Dollars are counted in billionths. So many of them are below 2^53: whatever a client's JSON makes of
/// a cap, it is still exact.
const USD_MAX: u64 = 4_000_000;
const NANO_USD_MAX: u64 = USD_MAX * 1_000_000_000;
/// Of tokens, requests and whatever else is counted; exact in JSON as well.
const COUNT_MAX: u64 = NANO_USD_MAX;

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LimitsRequest {
    token_limit: TokenLimitDoc,
    budget_limit: BudgetLimitDoc,
    /// Kept when omitted.
    rate_limit: Option<RateLimitDoc>,
    /// Kept when omitted.
    mode: Option<LimitMode>,
}

impl LimitsRequest {
    /// What it makes of `base`.
    pub(super) fn over(self, base: LimitsDoc) -> Result<LimitsDoc, ApiError> {
        let limits = LimitsDoc {
            token_limit: self.token_limit,
            budget_limit: self.budget_limit,
            rate_limit: self.rate_limit.unwrap_or(base.rate_limit),
            mode: self.mode.unwrap_or(base.mode),
        };
        token_limit(&limits.token_limit)?;
        budget_limit(&limits.budget_limit)?;
        rate_limit(&limits.rate_limit)?;
        Ok(limits)
    }
}

/// A provider's, of which `rate_limit` is the field.
pub(super) fn provider_rate_limit(limit: &ProviderRateLimitDoc) -> Result<(), ApiError> {
    counts(
        "rate_limit",
        limit.enabled,
        &[
            ("requests_per_minute", limit.requests_per_minute),
            ("tokens_per_minute", limit.tokens_per_minute),
            ("concurrency", limit.concurrency),
        ],
    )
}

fn token_limit(limit: &TokenLimitDoc) -> Result<(), ApiError> {
    const FIELD: &str = "limits.token_limit";
    counts(
        FIELD,
        limit.enabled,
        &[("group_cap", limit.group_cap), ("user_cap", limit.user_cap)],
    )?;
    window(FIELD, limit.enabled, limit.window_seconds)
}

fn budget_limit(limit: &BudgetLimitDoc) -> Result<(), ApiError> {
    const FIELD: &str = "limits.budget_limit";
    let group_cap = dollars(&format!("{FIELD}.group_cap_usd"), &limit.group_cap_usd)?;
    let user_cap = dollars(&format!("{FIELD}.user_cap_usd"), &limit.user_cap_usd)?;
    if limit.enabled && group_cap == 0 && user_cap == 0 {
        return Err(nothing_capped(FIELD));
    }
    window(FIELD, limit.enabled, limit.window_seconds)
}

fn rate_limit(limit: &RateLimitDoc) -> Result<(), ApiError> {
    counts(
        "limits.rate_limit",
        limit.enabled,
        &[
            ("group_requests_per_minute", limit.group_requests_per_minute),
            ("user_requests_per_minute", limit.user_requests_per_minute),
            ("group_tokens_per_minute", limit.group_tokens_per_minute),
            ("user_tokens_per_minute", limit.user_tokens_per_minute),
            ("group_concurrency", limit.group_concurrency),
            ("user_concurrency", limit.user_concurrency),
        ],
    )
}

/// Caps by their name below `field`.
fn counts(field: &str, enabled: bool, caps: &[(&str, u64)]) -> Result<(), ApiError> {
    if let Some((name, _)) = caps.iter().find(|(_, cap)| *cap > COUNT_MAX) {
        return Err(ApiError::invalid(
            format!("{field}.{name}"),
            format!("must be at most {COUNT_MAX}"),
        ));
    }
    if enabled && caps.iter().all(|(_, cap)| *cap == 0) {
        return Err(nothing_capped(field));
    }
    Ok(())
}

fn window(field: &str, enabled: bool, seconds: u64) -> Result<(), ApiError> {
    let is_too_short = enabled && seconds < WINDOW_SECONDS_MIN;
    if is_too_short || seconds > WINDOW_SECONDS_MAX {
        return Err(ApiError::invalid(
            format!("{field}.window_seconds"),
            format!("must be {WINDOW_SECONDS_MIN} to {WINDOW_SECONDS_MAX}"),
        ));
    }
    Ok(())
}

/// In billionths.
fn dollars(field: &str, cap: &Number) -> Result<u64, ApiError> {
    match rate::per_piece(&cap.to_string()) {
        Ok(cap) if cap.0 <= NANO_USD_MAX => Ok(cap.0),
        Ok(_) | Err(rate::RateError::TooLarge) => {
            let message = format!("must be at most {USD_MAX}");
            Err(ApiError::invalid(field, message))
        }
        Err(error) => Err(ApiError::invalid(field, format!("is {error}"))),
    }
}

fn nothing_capped(field: &str) -> ApiError {
    ApiError::invalid(field, "is enabled but caps nothing: set one cap above 0")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_exact_to_the_billionth() {
        for (text, expected) in [
            ("0", Some(0)),
            ("50", Some(50_000_000_000)),
            ("0.1", Some(100_000_000)),
            ("12.50", Some(12_500_000_000)),
            ("1e-9", Some(1)),
            ("3999999.999999999", Some(3_999_999_999_999_999)),
            ("4000000", Some(4_000_000_000_000_000)),
            ("4000000.1", None),
            ("1e300", None),
            ("0.0000000001", None),
            ("-1", None),
        ] {
            let number: Number = serde_json::from_str(text).unwrap();
            assert_eq!(dollars("f", &number).ok(), expected, "{text}");
        }
    }
}
