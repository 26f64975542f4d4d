//! `Condition`: what rows must fulfil, as SQL whose values are always bound.

use super::{
    database::Value,
    query::{Cursor, SortOrder},
    record_id,
    slice::Run,
};

/// Days of two years and a bit; what is longer is read from end to end.
const PERIODS_NAMED_MAX: i64 = 800;

/// SQL after `WHERE`, and the values of its parameters in order.
#[derive(Debug, Default)]
pub(super) struct Condition {
    sql: String,
    pub(super) values: Vec<Value<'static>>,
}

impl Condition {
    /// Adds a condition; `sql` is our own text.
    pub(super) fn and<const N: usize>(&mut self, sql: &str, values: [Value<'static>; N]) {
        if !self.sql.is_empty() {
            self.sql.push_str(" AND ");
        }
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    pub(super) fn and_in(&mut self, before: &str, values: &[String], after: &str) {
        if values.is_empty() {
            return;
        }
        let marks = vec!["?"; values.len()].join(", ");
        self.and(&format!("{before}{marks}{after}"), []);
        self.values.extend(values.iter().map(|value| text(value)));
    }

    /// One exchange. Its id tells when it began, so that the index of time leads to it.
    pub(super) fn is_record(&mut self, id: u128) {
        let (first, last) = record_id::started_at_us(id);
        self.and(
            "started_at_us BETWEEN ? AND ? AND id = ?",
            [
                Value::Integer(first),
                Value::Integer(last),
                format!("{id:032x}").into(),
            ],
        );
    }

    /// What comes behind `cursor` in the order of time.
    pub(super) fn after(&mut self, cursor: Cursor, order: SortOrder) {
        let place = [
            Value::Integer(cursor.started_at_us),
            Value::Integer(cursor.sequence),
        ];
        match order {
            SortOrder::Ascending => self.and("(started_at_us, sequence) > (?, ?)", place),
            SortOrder::Descending => self.and("(started_at_us, sequence) < (?, ?)", place),
        }
    }

    /// Every column in `run`. With its periods named one by one, what a key has behind the period is found
    /// without reading the whole of each.
    pub(super) fn in_run(&mut self, run: Run) {
        let bounds = [Value::Integer(run.from), Value::Integer(run.to)];
        match run.to.saturating_sub(run.from) <= PERIODS_NAMED_MAX {
            true => self.and(
                "period IN (WITH RECURSIVE run (period) AS (
                     VALUES (CAST(? AS BIGINT)) UNION ALL SELECT period + 1 FROM run WHERE period + 1 < ?
                 ) SELECT period FROM run)",
                bounds,
            ),
            false => self.and("period >= ? AND period < ?", bounds),
        }
    }

    /// Both must be fulfilled.
    pub(super) fn join(&mut self, other: &Self) {
        self.and(other.sql(), []);
        self.values.extend(other.values.iter().cloned());
    }

    /// `column` has one of `values`, of which those that end in `*` are prefixes.
    pub(super) fn and_like_any(&mut self, column: &str, values: &[String]) {
        let (prefixes, whole): (Vec<&str>, Vec<&str>) = values
            .iter()
            .map(String::as_str)
            .partition(|value| value.ends_with('*'));
        if prefixes.is_empty() {
            return self.and_in(&format!("{column} IN ("), values, ")");
        }
        let mut parts = vec![format!("({column} >= ? AND {column} < ?)"); prefixes.len()];
        parts.extend(vec![format!("{column} = ?"); whole.len()]);
        self.and(&format!("({})", parts.join(" OR ")), []);
        for prefix in prefixes {
            let prefix = prefix.trim_end_matches('*');
            self.values.push(text(prefix));
            self.values.push(text(&format!("{prefix}{}", char::MAX)));
        }
        self.values.extend(whole.into_iter().map(text));
    }

    pub(super) fn sql(&self) -> &str {
        if self.sql.is_empty() {
            "TRUE"
        } else {
            &self.sql
        }
    }
}

pub(super) fn text(value: &str) -> Value<'static> {
    value.to_owned().into()
}
