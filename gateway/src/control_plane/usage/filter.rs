//! `LogFilter`: which exchanges a caller means.

use super::{
    condition::{Condition, text},
    database::Value,
    parameter::{QueryError, choice, error, instant, many, one},
    record_id,
    rollup::{self, SECONDS_PER_HOUR},
    slice::Dimension,
};
use crate::handoff::record::Outcome;

/// Which exchanges are meant. Empty fields do not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Part of the log id, host, path, model, user id or display name; letter case is ignored (ASCII).
    /// A whole id with `req_` before it means that exchange.
    pub search: Option<String>,
    pub user_id: Option<String>,
    pub session_id: Option<String>,
    /// Part of this trace: 32 hexadecimal digits in lower case.
    pub trace_id: Option<String>,
    /// Member of any of these.
    pub group_ids: Vec<String>,
    pub provider_ids: Vec<String>,
    /// Whole names, or prefixes that end in `*`.
    pub models: Vec<String>,
    pub decision: Option<Decision>,
    /// Ended in any of these ways.
    pub outcomes: Vec<Outcome>,
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
            trace_id: trace_id(pairs)?,
            group_ids: many(pairs, "group_id")?,
            provider_ids: many(pairs, "provider_id")?,
            models: many(pairs, "model")?,
            decision: choice(
                pairs,
                "decision",
                &[("allow", Decision::Allow), ("deny", Decision::Deny)],
            )?,
            outcomes: outcomes(pairs)?,
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
        if let Some(trace_id) = &self.trace_id {
            condition.and("trace_id = ?", [text(trace_id)]);
        }
        match self.decision {
            None => {}
            Some(Decision::Deny) => condition.and("outcome = 1", []),
            Some(Decision::Allow) => condition.and("outcome <> 1", []),
        }
        if !self.outcomes.is_empty() {
            let codes: Vec<String> = self
                .outcomes
                .iter()
                .map(|outcome| (*outcome as u8).to_string())
                .collect();
            condition.and(&format!("outcome IN ({})", codes.join(", ")), []);
        }
        if let Some(prefix) = &self.path_prefix {
            condition.and(
                "substr(path, 1, length(?)) = ?",
                [text(prefix), text(prefix)],
            );
        }
        if let Some(id) = self.searched_id() {
            condition.is_record(id);
        } else if let Some(search) = &self.search {
            let pattern = text(&like_pattern(search));
            condition.and(
                "(id LIKE ? ESCAPE '\\' OR host LIKE ? ESCAPE '\\' OR path LIKE ? ESCAPE '\\'
                  OR model LIKE ? ESCAPE '\\' OR user_id LIKE ? ESCAPE '\\'
                  OR display_name LIKE ? ESCAPE '\\')",
                std::array::from_fn::<_, 6, _>(|_| pattern.clone()),
            );
        }
        self.in_time(&mut condition);
        condition
    }

    /// The condition on what rows and sums have in common, apart from time.
    pub(super) fn on_dimensions(&self) -> Condition {
        let mut condition = Condition::default();
        if let Some(user_id) = &self.user_id {
            condition.and("user_id = ?", [text(user_id)]);
        }
        condition.and_in("provider_id IN (", &self.provider_ids, ")");
        condition.and_like_any("model", &self.models);
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
            || self.trace_id.is_some()
            || self.decision.is_some()
            || !self.outcomes.is_empty()
            || self.path_prefix.is_some()
            || self.search.is_some()
    }

    /// The part of the condition that one index answers, in the order of time.
    pub(super) fn on_index(&self) -> Condition {
        let mut condition = Condition::default();
        match self.indexed() {
            Some(Indexed::Session(id)) => {
                condition.and("session_id = ? AND session_id <> ''", [text(id)]);
            }
            Some(Indexed::User(id)) => condition.and("user_id = ?", [text(id)]),
            Some(Indexed::Denied) => condition.and("outcome = 1", []),
            Some(Indexed::Provider(id)) => condition.and("provider_id = ?", [text(id)]),
            Some(Indexed::Model(name)) => condition.and("model = ?", [text(name)]),
            None => {}
        }
        self.in_time(&mut condition);
        condition
    }

    /// Whether rows have to be read to know which ones match: there is more than one index answers.
    pub(super) fn reads_rows(&self) -> bool {
        if self.searched_id().is_some() {
            return false;
        }
        let restrictions = [
            self.session_id.is_some(),
            self.trace_id.is_some(),
            self.user_id.is_some(),
            self.decision.is_some(),
            !self.provider_ids.is_empty(),
            !self.models.is_empty(),
            !self.group_ids.is_empty(),
            !self.outcomes.is_empty(),
            self.path_prefix.is_some(),
            self.search.is_some(),
        ];
        let count = restrictions.into_iter().filter(|given| *given).count();
        count > usize::from(self.indexed().is_some())
    }

    /// What the most selective index that can be used is about.
    fn indexed(&self) -> Option<Indexed<'_>> {
        if let Some(id) = &self.session_id {
            return Some(Indexed::Session(id));
        }
        if let Some(id) = &self.user_id {
            return Some(Indexed::User(id));
        }
        if self.decision == Some(Decision::Deny) {
            return Some(Indexed::Denied);
        }
        if let [id] = &self.provider_ids[..] {
            return Some(Indexed::Provider(id));
        }
        match &self.models[..] {
            [name] if !name.ends_with('*') => Some(Indexed::Model(name)),
            _ => None,
        }
    }

    fn in_time(&self, condition: &mut Condition) {
        if let Some(from_us) = self.from_us {
            condition.and("started_at_us >= ?", [Value::Integer(from_us)]);
        }
        if let Some(to_us) = self.to_us {
            condition.and("started_at_us <= ?", [Value::Integer(to_us)]);
        }
    }

    fn searched_id(&self) -> Option<u128> {
        let search = self.search.as_deref()?;
        match search.starts_with(record_id::PREFIX) {
            true => record_id::parse(search),
            false => None,
        }
    }

    /// The one dimension that is restricted, and the condition on its key; `None` when several are, or when
    /// sums along it do not add up to the answer.
    pub(super) fn on_one_dimension(&self) -> Option<(Dimension, Condition)> {
        let mut condition = Condition::default();
        let by_user = self.user_id.is_some();
        let lists = [&self.provider_ids, &self.models, &self.group_ids];
        let restricted = lists.iter().filter(|list| !list.is_empty()).count();
        let dimension = match (by_user, restricted) {
            (false, 0) => Dimension::All,
            (true, 0) => {
                condition.and_in("key IN (", self.user_id.as_slice(), ")");
                Dimension::User
            }
            (false, 1) if !self.provider_ids.is_empty() => {
                condition.and_in("key IN (", &self.provider_ids, ")");
                Dimension::Provider
            }
            (false, 1) if !self.models.is_empty() => {
                condition.and_like_any("key", &self.models);
                Dimension::Model
            }
            // Members of several groups would be counted several times.
            (false, 1) if self.group_ids.len() == 1 => {
                condition.and_in("key IN (", &self.group_ids, ")");
                Dimension::Group
            }
            (_, _) => return None,
        };
        Some((dimension, condition))
    }

    /// The range as whole hours, rounded outwards: first, and one after the last.
    pub(super) fn hours(&self) -> (i64, i64) {
        (
            self.from_us
                .map_or(FIRST_HOUR, |us| rollup::period(us, SECONDS_PER_HOUR))
                .clamp(FIRST_HOUR, LAST_HOUR),
            self.to_us
                .map_or(LAST_HOUR, |us| rollup::period(us, SECONDS_PER_HOUR) + 1)
                .clamp(FIRST_HOUR, LAST_HOUR),
        )
    }
}

/// What an index begins with, before the time.
enum Indexed<'a> {
    Session(&'a str),
    User(&'a str),
    Denied,
    Provider(&'a str),
    Model(&'a str),
}

fn trace_id(pairs: &[(String, String)]) -> Result<Option<String>, QueryError> {
    let Some(id) = one(pairs, "trace_id")? else {
        return Ok(None);
    };
    match id.len() == TRACE_ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(Some(id.to_ascii_lowercase())),
        false => Err(error("trace_id", "must be 32 hexadecimal digits")),
    }
}

fn outcomes(pairs: &[(String, String)]) -> Result<Vec<Outcome>, QueryError> {
    many(pairs, "outcome")?
        .iter()
        .map(|code| {
            let known = Outcome::ALL.iter().find(|outcome| outcome.code() == code);
            known.copied().ok_or_else(|| {
                let codes = Outcome::ALL.map(Outcome::code);
                error("outcome", format!("must be one of {}", codes.join(", ")))
            })
        })
        .collect()
}

const TRACE_ID_DIGITS: usize = 32;
/// Hours beyond every record, within what calendars have: 2,700 years from 1970.
const FIRST_HOUR: i64 = -LAST_HOUR;
const LAST_HOUR: i64 = 24 * 1_000_000;

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
    fn a_trace_is_named_by_its_id() {
        let read = |id: &str| {
            let pairs = [("trace_id".to_owned(), id.to_owned())];
            LogFilter::from_pairs(&pairs).map(|filter| filter.trace_id)
        };
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        for given in [id, &id.to_uppercase()] {
            assert_eq!(read(given), Ok(Some(id.to_owned())));
        }
        for wrong in ["4bf92f", "4bf92f3577b34da6a3ce929d0e0e473g", "x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn wildcards_in_a_search_are_plain_characters() {
        assert_eq!(like_pattern("50%_\\"), "%50\\%\\_\\\\%");
    }
}
