//! What a caller may ask for, in NetBird's query parameters: a page of the access log or of its sessions,
//! or usage over time.

use jiff::{SignedDuration, Timestamp};

use super::{
    filter::LogFilter,
    parameter::{self, QueryError},
};

const PAGE_SIZE_DEFAULT: u32 = 50;
const PAGE_SIZE_MAX: u32 = 100;
const OVERVIEW_DAYS_DEFAULT: i64 = 90;
const OVERVIEW_DAYS_MAX: i64 = 366;

/// One page of a listing that can be sorted by `S`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery<S> {
    pub filter: LogFilter,
    /// From 1 on.
    pub page: u32,
    pub page_size: u32,
    pub sort: S,
    pub order: SortOrder,
    /// Begin behind this place, whatever `page` is.
    pub cursor: Option<Cursor>,
}

/// A place in the order of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    pub started_at_us: i64,
    /// Of several that began at once.
    pub sequence: i64,
}

/// `GET …/access-logs`.
pub type AccessLogQuery = PageQuery<LogSort>;

/// `GET …/access-log-sessions`.
pub type SessionQuery = PageQuery<SessionSort>;

/// What a listing can be sorted by.
pub trait SortKey: Copy + Default + 'static {
    /// Values of `sort_by`.
    const CODES: &'static [(&'static str, Self)];

    /// In this order a place can be named by a [`Cursor`].
    fn takes_cursor(self) -> bool;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortOrder {
    Ascending,
    #[default]
    Descending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogSort {
    #[default]
    Timestamp,
    Model,
    Provider,
    StatusCode,
    Duration,
    CostUsd,
    TotalTokens,
    UserId,
    Decision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionSort {
    /// The last activity.
    #[default]
    Timestamp,
    StartedAt,
    CostUsd,
    TotalTokens,
    /// From the first request's start to the last one's.
    Duration,
    RequestCount,
    /// The highest one.
    StatusCode,
    UserId,
    Decision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Granularity {
    #[default]
    Day,
    /// From Monday on.
    Week,
    Month,
}

/// `GET …/usage/overview`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverviewQuery {
    /// `from_us` and `to_us` are set; see [`OverviewQuery::from_pairs`].
    pub filter: LogFilter,
    pub granularity: Granularity,
}

impl<S: SortKey> PageQuery<S> {
    /// Reads decoded query parameters; unknown ones are ignored.
    ///
    /// # Errors
    /// For the first parameter that cannot be used.
    pub fn from_pairs(pairs: &[(String, String)]) -> Result<Self, QueryError> {
        let (page, page_size) = paging(pairs)?;
        let sort = parameter::choice(pairs, "sort_by", S::CODES)?.unwrap_or_default();
        let cursor = cursor(pairs)?;
        if cursor.is_some() && !sort.takes_cursor() {
            return Err(parameter::error("cursor", "does not go with this order"));
        }
        Ok(Self {
            filter: LogFilter::from_pairs(pairs)?,
            page,
            page_size,
            sort,
            order: order(pairs)?,
            cursor,
        })
    }
}

impl SortKey for LogSort {
    const CODES: &'static [(&'static str, Self)] = &[
        ("timestamp", Self::Timestamp),
        ("model", Self::Model),
        ("provider", Self::Provider),
        ("status_code", Self::StatusCode),
        ("duration", Self::Duration),
        ("cost_usd", Self::CostUsd),
        ("total_tokens", Self::TotalTokens),
        ("user_id", Self::UserId),
        ("decision", Self::Decision),
    ];

    fn takes_cursor(self) -> bool {
        self == Self::Timestamp
    }
}

impl SortKey for SessionSort {
    const CODES: &'static [(&'static str, Self)] = &[
        ("timestamp", Self::Timestamp),
        ("started_at", Self::StartedAt),
        ("cost_usd", Self::CostUsd),
        ("total_tokens", Self::TotalTokens),
        ("duration", Self::Duration),
        ("request_count", Self::RequestCount),
        ("status_code", Self::StatusCode),
        ("user_id", Self::UserId),
        ("decision", Self::Decision),
    ];

    fn takes_cursor(self) -> bool {
        false
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.started_at_us, self.sequence)
    }
}

impl OverviewQuery {
    /// See [`PageQuery::from_pairs`]. The range is the last 90 days unless given, and 366 days at
    /// most.
    pub fn from_pairs(pairs: &[(String, String)], now: Timestamp) -> Result<Self, QueryError> {
        let mut filter = LogFilter::from_pairs(pairs)?;
        let to_us = filter.to_us.unwrap_or(now.as_microsecond());
        let days = |days| SignedDuration::from_hours(24 * days).as_micros() as i64;
        let default_from_us = to_us.saturating_sub(days(OVERVIEW_DAYS_DEFAULT));
        let from_us = filter.from_us.unwrap_or(default_from_us);
        if from_us > to_us {
            return Err(parameter::error("start_date", "is after end_date"));
        }
        if to_us.saturating_sub(from_us) > days(OVERVIEW_DAYS_MAX) {
            return Err(parameter::error(
                "start_date",
                "more than 366 days before end_date",
            ));
        }
        filter.from_us = Some(from_us);
        filter.to_us = Some(to_us);
        Ok(Self {
            filter,
            granularity: parameter::choice(
                pairs,
                "granularity",
                &[
                    ("day", Granularity::Day),
                    ("week", Granularity::Week),
                    ("month", Granularity::Month),
                ],
            )?
            .unwrap_or_default(),
        })
    }
}

fn order(pairs: &[(String, String)]) -> Result<SortOrder, QueryError> {
    let order = parameter::choice(
        pairs,
        "sort_order",
        &[
            ("asc", SortOrder::Ascending),
            ("desc", SortOrder::Descending),
        ],
    )?;
    Ok(order.unwrap_or_default())
}

fn cursor(pairs: &[(String, String)]) -> Result<Option<Cursor>, QueryError> {
    let Some(value) = parameter::one(pairs, "cursor")? else {
        return Ok(None);
    };
    let place = value.split_once('.').and_then(|(started_at_us, sequence)| {
        Some(Cursor {
            started_at_us: started_at_us.parse().ok()?,
            sequence: sequence.parse().ok()?,
        })
    });
    place
        .map(Some)
        .ok_or_else(|| parameter::error("cursor", "is none that a page gave"))
}

/// Which page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageNumber {
    /// From 1 on.
    pub page: u32,
    pub size: u32,
}

impl PageNumber {
    /// Reads `page` and `page_size`.
    ///
    /// # Errors
    /// For the first of them that cannot be used.
    pub fn from_pairs(pairs: &[(String, String)]) -> Result<Self, QueryError> {
        let (page, size) = paging(pairs)?;
        Ok(Self { page, size })
    }
}

fn paging(pairs: &[(String, String)]) -> Result<(u32, u32), QueryError> {
    let number = |name: &str, default: u32| match parameter::one(pairs, name)? {
        None => Ok(default),
        Some(value) => match value.parse::<u32>() {
            Ok(number) if number > 0 => Ok(number),
            Ok(_) | Err(_) => Err(parameter::error(name, "must be a whole number from 1 on")),
        },
    };
    let page = number("page", 1)?;
    Ok((
        page,
        number("page_size", PAGE_SIZE_DEFAULT)?.min(PAGE_SIZE_MAX),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::control_plane::usage::{
        Decision,
        parameter::{VALUE_BYTES_MAX, VALUES_MAX},
    };

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    }

    #[test]
    fn parameters_are_read() {
        let query = AccessLogQuery::from_pairs(&pairs(&[
            ("page", "3"),
            ("page_size", "1000"),
            ("sort_by", "cost_usd"),
            ("sort_order", "asc"),
            ("model", "a"),
            ("model", "b"),
            ("decision", "deny"),
            ("start_date", "1970-01-01T00:00:01Z"),
            ("search", ""),
            ("unknown", "x"),
        ]))
        .unwrap();
        assert_eq!(query.cursor, None);
        assert_eq!((query.page, query.page_size), (3, PAGE_SIZE_MAX));
        assert_eq!(
            (query.sort, query.order),
            (LogSort::CostUsd, SortOrder::Ascending)
        );
        assert_eq!(query.filter.models, ["a", "b"]);
        assert_eq!(query.filter.decision, Some(Decision::Deny));
        assert_eq!(query.filter.from_us, Some(1_000_000));
        assert_eq!(query.filter.search, None);
    }

    #[test]
    fn bad_parameters_are_named() {
        for (name, value) in [
            ("page", "0"),
            ("cursor", "1"),
            ("page_size", "x"),
            ("sort_by", "id"),
            ("sort_order", "up"),
            ("decision", "maybe"),
            ("end_date", "yesterday"),
        ] {
            let error = AccessLogQuery::from_pairs(&pairs(&[(name, value)])).unwrap_err();
            assert_eq!(error.parameter, name);
        }
        let by_cost = pairs(&[("cursor", "1.2"), ("sort_by", "cost_usd")]);
        assert!(AccessLogQuery::from_pairs(&by_cost).is_err());
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        assert!(AccessLogQuery::from_pairs(&pairs(&[("search", &long)])).is_err());
        assert!(AccessLogQuery::from_pairs(&pairs(&[("model", "m"); VALUES_MAX + 1])).is_err());
    }

    #[test]
    fn an_overview_has_a_bounded_range() {
        let now: Timestamp = "2026-05-31T00:00:00Z".parse().unwrap();
        let query = OverviewQuery::from_pairs(&[], now).unwrap();
        let days = (query.filter.to_us.unwrap() - query.filter.from_us.unwrap()) / 86_400_000_000;
        assert_eq!(days, 90);
        let too_long = pairs(&[("start_date", "2025-05-01T00:00:00Z")]);
        assert!(OverviewQuery::from_pairs(&too_long, now).is_err());
        let backwards = pairs(&[("start_date", "2027-01-01T00:00:00Z")]);
        assert!(OverviewQuery::from_pairs(&backwards, now).is_err());
    }
}
