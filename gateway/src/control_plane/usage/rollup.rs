//! Sums per hour and day × (user, group set, provider, model): added up in memory for one transaction,
//! then added to the tables.

use std::collections::HashMap;

use super::{
    UsageError,
    database::{Connection, Value, values},
    index::clamp,
    pair::Pairs,
    slice::{Dimension, Slices},
};
use crate::handoff::record::{ExchangeRecord, Outcome};

pub(super) const SECONDS_PER_HOUR: i64 = 3600;
pub(super) const SECONDS_PER_DAY: i64 = 24 * SECONDS_PER_HOUR;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// Unix time in whole units of `seconds`, rounded down.
pub(super) fn period(us: i64, seconds: i64) -> i64 {
    us.div_euclid(seconds * MICROS_PER_SECOND)
}

/// What sums are kept apart by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key<'a> {
    pub(super) hour: i64,
    pub(super) user_id: &'a str,
    pub(super) group_set: i64,
    pub(super) provider_id: &'a str,
    pub(super) model: &'a str,
}

/// Sums in the order of the tables.
pub(super) const SUM_COLUMNS: &str = "requests, denied, failed, unpriced,
     input_tokens, output_tokens, cache_read_tokens, cache_creation_tokens,
     input_cost, cache_read_cost, cache_creation_cost, output_cost, other_cost";
pub(super) const SUMS: usize = 13;
pub(super) type Sum = [i64; SUMS];

/// The sums of one transaction.
#[derive(Default)]
pub(super) struct Rollup<'a> {
    hours: HashMap<Key<'a>, Sum>,
    slices: Slices<'a>,
}

impl<'a> Rollup<'a> {
    pub(super) fn add(&mut self, record: &ExchangeRecord<'a>, group_set: i64) {
        let nothing_used = record.usage.is_zero() && record.cost.total() == 0;
        let key = Key {
            hour: period(record.started_at_us, SECONDS_PER_HOUR),
            user_id: record.principal_id,
            group_set,
            provider_id: record.provider_id,
            model: if nothing_used { "" } else { record.model },
        };
        let (usage, cost) = (&record.usage, &record.cost);
        let values = [
            1,
            i64::from(record.outcome == Outcome::Denied),
            i64::from(!matches!(
                record.outcome,
                Outcome::Answered | Outcome::Denied
            )),
            i64::from(record.unpriced || !record.left_out.is_empty()),
            clamp(usage.input_tokens),
            clamp(usage.output_tokens),
            clamp(usage.cache_read_input_tokens),
            clamp(usage.cache_creation_input_tokens)
                + clamp(usage.cache_creation_long_input_tokens),
            clamp(cost.input),
            clamp(cost.cache_read),
            clamp(cost.cache_creation),
            clamp(cost.output),
            clamp(cost.other),
        ];
        for (dimension, key_of) in [
            (Dimension::All, ""),
            (Dimension::Provider, key.provider_id),
            (Dimension::Model, key.model),
            (Dimension::User, key.user_id),
        ] {
            self.slices.add(key.hour, dimension, key_of, &values);
        }
        for (i, group) in record.group_ids.iter().enumerate() {
            if !record.group_ids[..i].contains(group) {
                self.slices.add(key.hour, Dimension::Group, group, &values);
            }
        }
        let sums = self.hours.entry(key).or_insert([0; SUMS]);
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
    }

    pub(super) fn write(&self, transaction: &Connection) -> Result<(), UsageError> {
        for (table, hours) in [("usage_hour", 1), ("usage_day", 24)] {
            let rows = self.hours.iter().map(|(key, sums)| {
                let dimensions = values![
                    key.hour.div_euclid(hours),
                    key.user_id,
                    key.group_set,
                    key.provider_id,
                    key.model,
                ];
                with_sums::<5, { 5 + SUMS }>(dimensions, sums)
            });
            transaction.execute_each(&upsert(table), rows)?;
        }
        self.slices.write(transaction)?;
        Pairs::of(&self.hours).write(transaction)
    }
}

/// `table` is one of our own two names.
fn upsert(table: &str) -> String {
    let marks = vec!["?"; 5 + SUMS].join(", ");
    format!(
        "INSERT INTO {table} (period, user_id, group_set, provider_id, model, {SUM_COLUMNS})
         VALUES ({marks})
         ON CONFLICT (period, user_id, group_set, provider_id, model) DO UPDATE SET {}",
        added(table)
    )
}

/// `a = table.a + excluded.a` for every sum.
pub(super) fn added(table: &str) -> String {
    let columns = SUM_COLUMNS.split(',').map(str::trim);
    let added: Vec<String> = columns
        .map(|column| format!("{column} = {table}.{column} + excluded.{column}"))
        .collect();
    added.join(", ")
}

/// The values of a row of sums: what they are kept apart by, then they.
pub(super) fn with_sums<'a, const K: usize, const N: usize>(
    key: [Value<'a>; K],
    sums: &Sum,
) -> [Value<'a>; N] {
    let mut values = key
        .into_iter()
        .chain(sums.iter().map(|sum| Value::Integer(*sum)));
    std::array::from_fn(|_| values.next().expect("N is the sum of both"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_round_down_also_before_1970() {
        for (us, expected) in [(0, 0), (-1, -1), (3_600_000_000, 1), (3_599_999_999, 0)] {
            assert_eq!(period(us, SECONDS_PER_HOUR), expected);
        }
    }
}
