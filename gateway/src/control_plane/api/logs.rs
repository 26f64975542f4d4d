//! `/access-logs` and `/access-log-sessions`: filters, sorting and pages of the access log.

use axum::{
    Json,
    extract::{Query, State},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    error::ApiError,
    state::AppState,
    usage::{UsageFilter, UsageSums},
};

const PAGE_SIZE_DEFAULT: u32 = 50;
const PAGE_SIZE_MAX: u32 = 100;

/// What to list.
#[derive(Debug, Clone, PartialEq)]
pub struct LogQuery {
    pub filter: LogFilter,
    pub sort: LogSort,
    pub descending: bool,
    /// From 1.
    pub page: u32,
    /// 1 to 100.
    pub page_size: u32,
}

/// All given conditions hold; a list matches any of its members.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogFilter {
    pub usage: UsageFilter,
    /// Part of the id, host, path, model or user.
    pub search: Option<String>,
    /// `allow` or `deny`.
    pub decision: Option<String>,
    pub path_prefix: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSort {
    Timestamp,
    Model,
    Provider,
    StatusCode,
    Duration,
    CostUsd,
    TotalTokens,
    UserId,
    Decision,
    /// Sessions only.
    StartedAt,
    /// Sessions only.
    RequestCount,
}

/// One page of a listing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Page<T> {
    pub data: Vec<T>,
    pub page: u32,
    pub page_size: u32,
    pub total_records: u64,
    pub total_pages: u64,
}

impl<T> Page<T> {
    /// Page `query.page` of `total_records`.
    pub fn new(data: Vec<T>, query: &LogQuery, total_records: u64) -> Self {
        Self {
            data,
            page: query.page,
            page_size: query.page_size,
            total_records,
            total_pages: total_records.div_ceil(u64::from(query.page_size)),
        }
    }
}

/// One exchange.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AccessLog {
    pub id: String,
    pub service_id: String,
    pub timestamp: Timestamp,
    pub user_id: String,
    pub source_ip: String,
    pub method: String,
    pub host: String,
    pub path: String,
    pub status_code: u16,
    pub duration_ms: u64,
    pub provider: String,
    pub model: String,
    pub session_id: String,
    pub resolved_provider_id: String,
    pub selected_policy_id: String,
    /// `allow` or `deny`.
    pub decision: String,
    pub deny_reason: String,
    #[serde(flatten)]
    pub sums: UsageSums,
    pub stream: bool,
    #[serde(default)]
    pub group_ids: Vec<String>,
    /// Addition: time from request to first content byte; absent when none came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_first_token_ms: Option<u64>,
    /// Addition: how the exchange ended (`answered`, `cut`, `cancelled`…).
    #[serde(default)]
    pub outcome: String,
}

/// Exchanges that share a session id, or a single one without.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessLogSession {
    pub session_id: String,
    pub user_id: String,
    pub group_ids: Vec<String>,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub request_count: u64,
    #[serde(flatten)]
    pub sums: UsageSums,
    pub providers: Vec<String>,
    pub models: Vec<String>,
    /// `deny` when any exchange was.
    pub decision: String,
    /// Oldest first.
    pub entries: Vec<AccessLog>,
}

pub(super) async fn list(
    State(state): State<AppState>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Page<AccessLog>>, ApiError> {
    let query = parse(&pairs, Listing::Exchanges)?;
    let page = state.usage.access_logs(query).await;
    Ok(Json(page.map_err(ApiError::internal)?))
}

pub(super) async fn sessions(
    State(state): State<AppState>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Page<AccessLogSession>>, ApiError> {
    let query = parse(&pairs, Listing::Sessions)?;
    let page = state.usage.sessions(query).await;
    Ok(Json(page.map_err(ApiError::internal)?))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Listing {
    Exchanges,
    Sessions,
}

/// Unknown parameters are ignored, as the original does.
fn parse(pairs: &[(String, String)], listing: Listing) -> Result<LogQuery, ApiError> {
    let mut query = LogQuery {
        filter: LogFilter {
            usage: UsageFilter::parse(pairs)?,
            ..LogFilter::default()
        },
        sort: LogSort::Timestamp,
        descending: true,
        page: 1,
        page_size: PAGE_SIZE_DEFAULT,
    };
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        match name.as_str() {
            "page" => query.page = number(name, value, u32::MAX)?,
            "page_size" => query.page_size = number(name, value, PAGE_SIZE_MAX)?,
            "sort_by" => query.sort = sort(value, listing)?,
            "sort_order" => query.descending = descending(value)?,
            "search" => query.filter.search = Some(value.clone()),
            "decision" => query.filter.decision = Some(value.clone()),
            "path" => query.filter.path_prefix = Some(value.clone()),
            _ => {}
        }
    }
    Ok(query)
}

fn number(name: &str, value: &str, max: u32) -> Result<u32, ApiError> {
    match value.parse() {
        Ok(number) if (1..=max).contains(&number) => Ok(number),
        _ => Err(ApiError::invalid(name, format!("must be 1 to {max}"))),
    }
}

fn descending(value: &str) -> Result<bool, ApiError> {
    match value {
        "desc" => Ok(true),
        "asc" => Ok(false),
        _ => Err(ApiError::invalid("sort_order", "must be asc or desc")),
    }
}

fn sort(value: &str, listing: Listing) -> Result<LogSort, ApiError> {
    Ok(match value {
        "timestamp" => LogSort::Timestamp,
        "model" => LogSort::Model,
        "provider" => LogSort::Provider,
        "status_code" => LogSort::StatusCode,
        "duration" => LogSort::Duration,
        "cost_usd" => LogSort::CostUsd,
        "total_tokens" => LogSort::TotalTokens,
        "user_id" => LogSort::UserId,
        "decision" => LogSort::Decision,
        "started_at" if listing == Listing::Sessions => LogSort::StartedAt,
        "request_count" if listing == Listing::Sessions => LogSort::RequestCount,
        _ => return Err(ApiError::invalid("sort_by", "is no field to sort by")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn parameters_are_read_and_checked() {
        let query = parse(
            &pairs(&[
                ("page", "2"),
                ("page_size", "100"),
                ("sort_by", "cost_usd"),
                ("sort_order", "asc"),
                ("model", "a"),
                ("model", "b"),
                ("path", "/v1"),
                ("user_id", ""),
                ("unknown", "x"),
            ]),
            Listing::Exchanges,
        )
        .expect("all values are good");
        assert_eq!((query.page, query.page_size), (2, 100));
        assert_eq!(query.sort, LogSort::CostUsd);
        assert!(!query.descending);
        assert_eq!(query.filter.usage.models, ["a", "b"]);
        assert_eq!(query.filter.usage.user_id, None);
        assert_eq!(query.filter.path_prefix.as_deref(), Some("/v1"));

        for bad in [
            ("page", "0"),
            ("page_size", "101"),
            ("page_size", "x"),
            ("sort_by", "password"),
            ("sort_by", "request_count"),
            ("sort_order", "up"),
            ("start_date", "yesterday"),
        ] {
            assert!(
                parse(&pairs(&[bad]), Listing::Exchanges).is_err(),
                "{bad:?}"
            );
        }
        assert!(parse(&pairs(&[("sort_by", "request_count")]), Listing::Sessions).is_ok());
    }
}
