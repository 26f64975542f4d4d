//! `/usage/overview`: sums per period; `/usage/breakdown` beside it: sums per provider, model or user;
//! `/consumption`: counters of limits.

use axum::{
    Json,
    extract::{Query, State},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{error::ApiError, state::AppState};

const SECONDS_PER_DAY: i64 = 86_400;
const DAYS_DEFAULT: i64 = 90;
const DAYS_MAX: i64 = 366;

/// Which exchanges count; all given conditions hold, a list matches any of its members.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UsageFilter {
    pub user_id: Option<String>,
    pub session_id: Option<String>,
    pub group_ids: Vec<String>,
    pub provider_ids: Vec<String>,
    pub models: Vec<String>,
    /// Inclusive.
    pub start: Option<Timestamp>,
    /// Inclusive.
    pub end: Option<Timestamp>,
}

/// Sums per period; `filter.start` and `filter.end` are set.
#[derive(Debug, Clone, PartialEq)]
pub struct OverviewQuery {
    pub filter: UsageFilter,
    pub granularity: Granularity,
}

/// Width of a bucket, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    Day,
    /// From Monday.
    Week,
    Month,
}

/// What a breakdown is by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    Provider,
    Model,
    User,
}

/// Tokens and dollars, as entries, sessions and buckets all show them. `input_tokens` includes cached
/// ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UsageSums {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub total_tokens: u64,
    pub cached_input_tokens: u64,
    pub cache_creation_tokens: u64,
    pub input_cost_usd: f64,
    pub cached_input_cost_usd: f64,
    pub cache_creation_cost_usd: f64,
    pub output_cost_usd: f64,
    pub cost_usd: f64,
    /// Cache reads and writes together.
    pub cache_cost_usd: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UsageBucket {
    /// `YYYY-MM-DD`.
    pub period_start: String,
    #[serde(flatten)]
    pub sums: UsageSums,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BreakdownRow {
    /// Provider id, model or user id; empty for what had none.
    pub key: String,
    pub request_count: u64,
    #[serde(flatten)]
    pub sums: UsageSums,
}

pub(super) async fn overview(
    State(state): State<AppState>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Vec<UsageBucket>>, ApiError> {
    let query = OverviewQuery {
        filter: UsageFilter::parse(&pairs)?.bounded(Timestamp::now())?,
        granularity: match last(&pairs, "granularity").unwrap_or("day") {
            "day" => Granularity::Day,
            "week" => Granularity::Week,
            "month" => Granularity::Month,
            _ => {
                return Err(ApiError::invalid(
                    "granularity",
                    "must be day, week or month",
                ));
            }
        },
    };
    let buckets = state.usage.overview(query).await;
    Ok(Json(buckets.map_err(ApiError::internal)?))
}

pub(super) async fn breakdown(
    State(state): State<AppState>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Vec<BreakdownRow>>, ApiError> {
    let dimension = match last(&pairs, "by") {
        Some("provider") => Dimension::Provider,
        Some("model") => Dimension::Model,
        Some("user") => Dimension::User,
        _ => {
            return Err(ApiError::invalid("by", "must be provider, model or user"));
        }
    };
    let filter = UsageFilter::parse(&pairs)?.bounded(Timestamp::now())?;
    let rows = state.usage.breakdown(filter, dimension).await;
    Ok(Json(rows.map_err(ApiError::internal)?))
}

/// No limits, so nothing is consumed from them.
pub(super) async fn consumption() -> Json<[(); 0]> {
    Json([])
}

impl UsageFilter {
    pub(super) fn parse(pairs: &[(String, String)]) -> Result<Self, ApiError> {
        let mut filter = Self::default();
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            match name.as_str() {
                "user_id" => filter.user_id = Some(value.clone()),
                "session_id" => filter.session_id = Some(value.clone()),
                "group_id" => filter.group_ids.push(value.clone()),
                "provider_id" => filter.provider_ids.push(value.clone()),
                "model" => filter.models.push(value.clone()),
                "start_date" => filter.start = Some(timestamp(name, value)?),
                "end_date" => filter.end = Some(timestamp(name, value)?),
                _ => {}
            }
        }
        Ok(filter)
    }

    /// With both ends: 90 days up to `now` by default, 366 at most.
    fn bounded(mut self, now: Timestamp) -> Result<Self, ApiError> {
        let end = self.end.unwrap_or(now);
        let start = match self.start {
            Some(start) => start,
            None => end
                .checked_sub(SignedDuration::from_secs(DAYS_DEFAULT * SECONDS_PER_DAY))
                .map_err(|_| ApiError::invalid("end_date", "is too early"))?,
        };
        if end < start {
            return Err(ApiError::invalid("end_date", "is before start_date"));
        }
        if end.duration_since(start) > SignedDuration::from_secs(DAYS_MAX * SECONDS_PER_DAY) {
            return Err(ApiError::invalid(
                "start_date",
                format!("at most {DAYS_MAX} days can be summed at once"),
            ));
        }
        self.start = Some(start);
        self.end = Some(end);
        Ok(self)
    }
}

fn last<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .rev()
        .find(|(candidate, value)| candidate == name && !value.is_empty())
        .map(|(_, value)| value.as_str())
}

fn timestamp(name: &str, value: &str) -> Result<Timestamp, ApiError> {
    value
        .parse()
        .map_err(|_| ApiError::invalid(name, "must be a time as in RFC 3339"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sums_have_bounded_periods() {
        let now: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
        let filter = UsageFilter::default().bounded(now).unwrap();
        assert_eq!(filter.end, Some(now));
        assert_eq!(
            filter.start,
            Some("2026-08-25T00:00:00Z".parse::<Timestamp>().unwrap())
        );
        let long = UsageFilter {
            start: Some("2025-01-01T00:00:00Z".parse().unwrap()),
            ..UsageFilter::default()
        };
        assert!(long.bounded(now).is_err());
        let backwards = UsageFilter {
            start: Some(now),
            end: Some("2026-11-22T00:00:00Z".parse().unwrap()),
            ..UsageFilter::default()
        };
        assert!(backwards.bounded(now).is_err());
    }
}
