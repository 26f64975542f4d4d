//! `LogFilter`: which exchanges a caller means.

use rusqlite::types::Value;

use super::{
    condition::{Condition, text},
    parameter::{QueryError, choice, instant, many, one},
    rollup::{self, SECONDS_PER_DAY, SECONDS_PER_HOUR},
};

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

impl LogFilter {
    /// Reads decoded query parameters in NetBird's names; unknown ones are ignored.
    ///
    /// # Errors
    /// For the first parameter that cannot be used.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_in_a_search_are_plain_characters() {
        assert_eq!(like_pattern("50%_\\"), "%50\\%\\_\\\\%");
    }
}
