//! What a caller may ask for: NetBird's query parameters, read, checked and turned into SQL conditions
//! whose values are always bound.

use jiff::{SignedDuration, Timestamp};
use rusqlite::types::Value;

use super::rollup::{self, SECONDS_PER_DAY, SECONDS_PER_HOUR};

const PAGE_SIZE_DEFAULT: u32 = 50;
const PAGE_SIZE_MAX: u32 = 100;
/// Values of one repeatable parameter.
const VALUES_MAX: usize = 100;
const VALUE_BYTES_MAX: usize = 512;
const OVERVIEW_DAYS_DEFAULT: i64 = 90;
const OVERVIEW_DAYS_MAX: i64 = 366;

/// A query parameter that cannot be used; the text is for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {problem}")]
pub struct QueryError {
    pub parameter: String,
    pub problem: String,
}

/// Which exchanges are meant. Empty fields do not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Part of the log id, host, path, model, user id or display name; letter case is ignored (ASCII).
    pub search: Option<String>,
    pub user_id: Option<String>,
    pub session_id: Option<String>,
    /// Member of any of these.
    pub group_ids: Vec<String>,
    pub provider_ids: Vec<String>,
    pub models: Vec<String>,
    pub decision: Option<Decision>,
    pub path_prefix: Option<String>,
    /// Started at or after, Unix time in microseconds.
    pub from_us: Option<i64>,
    /// Started at or before.
    pub to_us: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Allow,
    Deny,
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

/// One page of `GET …/access-logs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogQuery {
    pub filter: LogFilter,
    /// From 1 on.
    pub page: u32,
    pub page_size: u32,
    pub sort: LogSort,
    pub order: SortOrder,
}

/// One page of `GET …/access-log-sessions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionQuery {
    pub filter: LogFilter,
    pub page: u32,
    pub page_size: u32,
    pub sort: SessionSort,
    pub order: SortOrder,
}

/// `GET …/usage/overview`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverviewQuery {
    /// `from_us` and `to_us` are set; see [`OverviewQuery::from_pairs`].
    pub filter: LogFilter,
    pub granularity: Granularity,
}

impl AccessLogQuery {
    /// Reads decoded query parameters in NetBird's names; unknown ones are ignored.
    pub fn from_pairs(pairs: &[(String, String)]) -> Result<Self, QueryError> {
        let (page, page_size) = paging(pairs)?;
        Ok(Self {
            filter: LogFilter::from_pairs(pairs)?,
            page,
            page_size,
            sort: choice(
                pairs,
                "sort_by",
                &[
                    ("timestamp", LogSort::Timestamp),
                    ("model", LogSort::Model),
                    ("provider", LogSort::Provider),
                    ("status_code", LogSort::StatusCode),
                    ("duration", LogSort::Duration),
                    ("cost_usd", LogSort::CostUsd),
                    ("total_tokens", LogSort::TotalTokens),
                    ("user_id", LogSort::UserId),
                    ("decision", LogSort::Decision),
                ],
            )?
            .unwrap_or_default(),
            order: order(pairs)?,
        })
    }
}

impl SessionQuery {
    /// See [`AccessLogQuery::from_pairs`].
    pub fn from_pairs(pairs: &[(String, String)]) -> Result<Self, QueryError> {
        let (page, page_size) = paging(pairs)?;
        Ok(Self {
            filter: LogFilter::from_pairs(pairs)?,
            page,
            page_size,
            sort: choice(
                pairs,
                "sort_by",
                &[
                    ("timestamp", SessionSort::Timestamp),
                    ("started_at", SessionSort::StartedAt),
                    ("cost_usd", SessionSort::CostUsd),
                    ("total_tokens", SessionSort::TotalTokens),
                    ("duration", SessionSort::Duration),
                    ("request_count", SessionSort::RequestCount),
                    ("status_code", SessionSort::StatusCode),
                    ("user_id", SessionSort::UserId),
                    ("decision", SessionSort::Decision),
                ],
            )?
            .unwrap_or_default(),
            order: order(pairs)?,
        })
    }
}

impl OverviewQuery {
    /// See [`AccessLogQuery::from_pairs`]. The range is the last 90 days unless given, and 366 days at
    /// most.
    pub fn from_pairs(pairs: &[(String, String)], now: Timestamp) -> Result<Self, QueryError> {
        let mut filter = LogFilter::from_pairs(pairs)?;
        let to_us = filter.to_us.unwrap_or(now.as_microsecond());
        let days = |days| SignedDuration::from_hours(24 * days).as_micros() as i64;
        let default_from_us = to_us.saturating_sub(days(OVERVIEW_DAYS_DEFAULT));
        let from_us = filter.from_us.unwrap_or(default_from_us);
        if from_us > to_us {
            return Err(error("start_date", "is after end_date"));
        }
        if to_us.saturating_sub(from_us) > days(OVERVIEW_DAYS_MAX) {
            return Err(error("start_date", "more than 366 days before end_date"));
        }
        filter.from_us = Some(from_us);
        filter.to_us = Some(to_us);
        Ok(Self {
            filter,
            granularity: choice(
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

impl LogFilter {
    /// See [`AccessLogQuery::from_pairs`]. An empty value is as good as none.
    pub fn from_pairs(pairs: &[(String, String)]) -> Result<Self, QueryError> {
        Ok(Self {
            search: one(pairs, "search")?,
            user_id: one(pairs, "user_id")?,
            session_id: one(pairs, "session_id")?,
            group_ids: many(pairs, "group_id")?,
            provider_ids: many(pairs, "provider_id")?,
            models: many(pairs, "model")?,
            decision: choice(
                pairs,
                "decision",
                &[("allow", Decision::Allow), ("deny", Decision::Deny)],
            )?,
            path_prefix: one(pairs, "path")?,
            from_us: instant(pairs, "start_date")?,
            to_us: instant(pairs, "end_date")?,
        })
    }

    /// The condition on rows of `access_log`.
    pub(super) fn on_rows(&self) -> Condition {
        let mut condition = self.on_dimensions();
        if let Some(session_id) = &self.session_id {
            // The literal lets SQLite use the partial index.
            condition.and("session_id = ? AND session_id <> ''", [text(session_id)]);
        }
        match self.decision {
            None => {}
            Some(Decision::Deny) => condition.and("outcome = 1", []),
            Some(Decision::Allow) => condition.and("outcome <> 1", []),
        }
        if let Some(prefix) = &self.path_prefix {
            condition.and(
                "substr(path, 1, length(?)) = ?",
                [text(prefix), text(prefix)],
            );
        }
        if let Some(search) = &self.search {
            let pattern = text(&like_pattern(search));
            condition.and(
                "(id LIKE ? ESCAPE '\\' OR host LIKE ? ESCAPE '\\' OR path LIKE ? ESCAPE '\\'
                  OR model LIKE ? ESCAPE '\\' OR user_id LIKE ? ESCAPE '\\'
                  OR display_name LIKE ? ESCAPE '\\')",
                std::array::from_fn::<_, 6, _>(|_| pattern.clone()),
            );
        }
        if let Some(from_us) = self.from_us {
            condition.and("started_at_us >= ?", [Value::Integer(from_us)]);
        }
        if let Some(to_us) = self.to_us {
            condition.and("started_at_us <= ?", [Value::Integer(to_us)]);
        }
        condition
    }

    /// The condition on what rows and sums have in common, apart from time.
    pub(super) fn on_dimensions(&self) -> Condition {
        let mut condition = Condition::default();
        if let Some(user_id) = &self.user_id {
            condition.and("user_id = ?", [text(user_id)]);
        }
        condition.and_in("provider_id IN (", &self.provider_ids, ")");
        condition.and_in("model IN (", &self.models, ")");
        condition.and_in(
            "group_set IN (SELECT group_set FROM group_set_member WHERE group_id IN (",
            &self.group_ids,
            "))",
        );
        condition
    }

    /// Whether sums cannot answer this: it restricts what they do not keep apart.
    pub(super) fn needs_rows(&self) -> bool {
        self.session_id.is_some()
            || self.decision.is_some()
            || self.path_prefix.is_some()
            || self.search.is_some()
    }

    /// The range as whole hours, rounded outwards: first, and one after the last.
    pub(super) fn hours(&self) -> (i64, i64) {
        (
            self.from_us
                .map_or(FIRST_HOUR, |us| rollup::period(us, SECONDS_PER_HOUR)),
            self.to_us
                .map_or(LAST_HOUR, |us| rollup::period(us, SECONDS_PER_HOUR) + 1),
        )
    }
}

/// Hours beyond every timestamp, far from overflow.
const FIRST_HOUR: i64 = -(LAST_HOUR);
const LAST_HOUR: i64 = 24 * (i64::MAX / (SECONDS_PER_DAY * 1_000_000));

/// SQL after `WHERE`, and the values of its parameters in order.
#[derive(Debug, Default)]
pub(super) struct Condition {
    sql: String,
    pub(super) values: Vec<Value>,
}

impl Condition {
    /// Adds a condition; `sql` is our own text.
    pub(super) fn and<const N: usize>(&mut self, sql: &str, values: [Value; N]) {
        if !self.sql.is_empty() {
            self.sql.push_str(" AND ");
        }
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    fn and_in(&mut self, before: &str, values: &[String], after: &str) {
        if values.is_empty() {
            return;
        }
        let marks = vec!["?"; values.len()].join(", ");
        self.and(&format!("{before}{marks}{after}"), []);
        self.values.extend(values.iter().map(|value| text(value)));
    }

    pub(super) fn sql(&self) -> &str {
        if self.sql.is_empty() { "1" } else { &self.sql }
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn like_pattern(search: &str) -> String {
    let mut pattern = String::from("%");
    for c in search.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

fn error(parameter: &str, problem: impl Into<String>) -> QueryError {
    QueryError {
        parameter: parameter.to_owned(),
        problem: problem.into(),
    }
}

/// The last value wins.
fn one(pairs: &[(String, String)], name: &str) -> Result<Option<String>, QueryError> {
    Ok(many_unbounded(pairs, name)?.pop())
}

fn many(pairs: &[(String, String)], name: &str) -> Result<Vec<String>, QueryError> {
    let values = many_unbounded(pairs, name)?;
    if values.len() > VALUES_MAX {
        return Err(error(name, format!("more than {VALUES_MAX} values")));
    }
    Ok(values)
}

fn many_unbounded(pairs: &[(String, String)], name: &str) -> Result<Vec<String>, QueryError> {
    let values: Vec<String> = pairs
        .iter()
        .filter(|(key, value)| key == name && !value.is_empty())
        .map(|(_, value)| value.clone())
        .collect();
    if values.iter().any(|value| value.len() > VALUE_BYTES_MAX) {
        return Err(error(name, format!("longer than {VALUE_BYTES_MAX} bytes")));
    }
    Ok(values)
}

fn choice<T: Copy>(
    pairs: &[(String, String)],
    name: &str,
    choices: &[(&str, T)],
) -> Result<Option<T>, QueryError> {
    let Some(value) = one(pairs, name)? else {
        return Ok(None);
    };
    match choices.iter().find(|(code, _)| *code == value) {
        Some((_, choice)) => Ok(Some(*choice)),
        None => {
            let codes: Vec<&str> = choices.iter().map(|(code, _)| *code).collect();
            Err(error(name, format!("must be one of {}", codes.join(", "))))
        }
    }
}

fn order(pairs: &[(String, String)]) -> Result<SortOrder, QueryError> {
    let order = choice(
        pairs,
        "sort_order",
        &[
            ("asc", SortOrder::Ascending),
            ("desc", SortOrder::Descending),
        ],
    )?;
    Ok(order.unwrap_or_default())
}

fn paging(pairs: &[(String, String)]) -> Result<(u32, u32), QueryError> {
    let number = |name: &str, default: u32| match one(pairs, name)? {
        None => Ok(default),
        Some(value) => match value.parse::<u32>() {
            Ok(number) if number > 0 => Ok(number),
            Ok(_) | Err(_) => Err(error(name, "must be a whole number from 1 on")),
        },
    };
    let page = number("page", 1)?;
    Ok((
        page,
        number("page_size", PAGE_SIZE_DEFAULT)?.min(PAGE_SIZE_MAX),
    ))
}

fn instant(pairs: &[(String, String)], name: &str) -> Result<Option<i64>, QueryError> {
    let Some(value) = one(pairs, name)? else {
        return Ok(None);
    };
    match value.parse::<Timestamp>() {
        Ok(instant) => Ok(Some(instant.as_microsecond())),
        Err(_) => Err(error(name, "must be a time in RFC 3339 format")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
            ("page_size", "x"),
            ("sort_by", "id"),
            ("sort_order", "up"),
            ("decision", "maybe"),
            ("end_date", "yesterday"),
        ] {
            let error = AccessLogQuery::from_pairs(&pairs(&[(name, value)])).unwrap_err();
            assert_eq!(error.parameter, name);
        }
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

    #[test]
    fn wildcards_in_a_search_are_plain_characters() {
        assert_eq!(like_pattern("50%_\\"), "%50\\%\\_\\\\%");
    }
}
