//! `Condition`: what rows must fulfil, as SQL whose values are always bound.

use rusqlite::types::Value;

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

    pub(super) fn and_in(&mut self, before: &str, values: &[String], after: &str) {
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

pub(super) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}
