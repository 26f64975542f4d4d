//! Sums along one dimension at a time, per hour, day and month: what overviews and totals are mostly asked
//! for, in few rows. A year of ten million exchanges is 365 rows here, and over a million in `usage_day`,
//! which is left for what combines many (two: see `pair`).

use std::collections::HashMap;

use super::{
    UsageError,
    database::{Connection, values},
    rollup::{SECONDS_PER_DAY, SUM_COLUMNS, SUMS, Sum, added, with_sums},
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// What the sums of one row are kept apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(super) enum Dimension {
    /// Nothing; the key is empty.
    All = 0,
    Provider = 1,
    Model = 2,
    User = 3,
    /// An exchange is in the sums of each of its caller's groups, so these do not add up.
    Group = 4,
}

/// How long a row's period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(super) enum Unit {
    Hour = 0,
    Day = 1,
    Month = 2,
}

impl Unit {
    pub(super) const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// The period that an hour since 1970 lies in, counted from 1970.
    pub(super) fn period(self, hour: i64) -> i64 {
        match self {
            Self::Hour => hour,
            Self::Day => hour.div_euclid(24),
            Self::Month => month_of(hour.div_euclid(24)),
        }
    }
}

#[derive(PartialEq, Eq, Hash)]
struct Key<'a> {
    unit: Unit,
    dimension: Dimension,
    period: i64,
    key: &'a str,
}

/// The sums of one transaction.
#[derive(Default)]
pub(super) struct Slices<'a> {
    rows: HashMap<Key<'a>, [i64; SUMS]>,
}

impl<'a> Slices<'a> {
    pub(super) fn add(&mut self, hour: i64, dimension: Dimension, key: &'a str, sums: &Sum) {
        for unit in Unit::ALL {
            let key = Key {
                unit,
                dimension,
                period: unit.period(hour),
                key,
            };
            let row = self.rows.entry(key).or_insert([0; SUMS]);
            for (sum, value) in row.iter_mut().zip(sums) {
                *sum += value;
            }
        }
    }

    pub(super) fn write(&self, transaction: &Connection) -> Result<(), UsageError> {
        let marks = vec!["?"; 4 + SUMS].join(", ");
        let upsert = format!(
            "INSERT INTO usage_slice (unit, dimension, period, key, {SUM_COLUMNS}) VALUES ({marks})
             ON CONFLICT (unit, dimension, period, key) DO UPDATE SET {}",
            added("usage_slice")
        );
        let rows = self.rows.iter().map(|(key, sums)| {
            with_sums::<4, { 4 + SUMS }>(
                values![key.unit as u8, key.dimension as u8, key.period, key.key,],
                sums,
            )
        });
        transaction.execute_each(&upsert, rows)
    }
}

/// A run of periods, from the first to one before the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) unit: Unit,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// The fewest periods that make up a range of hours.
pub(super) fn runs(from_hour: i64, to_hour: i64, by_month: bool) -> Vec<Run> {
    let from_day = -(-from_hour).div_euclid(24);
    let to_day = to_hour.div_euclid(24).max(from_day);
    let mut runs = vec![run(Unit::Hour, from_hour, to_hour.min(from_day * 24))];
    let from_month = month_of(from_day - 1) + 1;
    let to_month = month_of(to_day);
    if by_month && from_month < to_month {
        runs.push(run(Unit::Day, from_day, first_day(from_month)));
        runs.push(run(Unit::Month, from_month, to_month));
        runs.push(run(Unit::Day, first_day(to_month), to_day));
    } else {
        runs.push(run(Unit::Day, from_day, to_day));
    }
    runs.push(run(Unit::Hour, to_day * 24, to_hour));
    runs.retain(|run| run.from < run.to);
    runs
}

fn run(unit: Unit, from: i64, to: i64) -> Run {
    Run { unit, from, to }
}

/// Days since 1970 as a date.
pub(super) fn date_of(day: i64) -> Date {
    Timestamp::from_second(day.saturating_mul(SECONDS_PER_DAY))
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_zoned(TimeZone::UTC)
        .date()
}

/// Months since January 1970.
fn month_of(day: i64) -> i64 {
    let date = date_of(day);
    (i64::from(date.year()) - 1970) * 12 + i64::from(date.month()) - 1
}

fn first_day(month: i64) -> i64 {
    let year = i16::try_from(1970 + month.div_euclid(12)).unwrap_or(i16::MAX);
    let month = i8::try_from(month.rem_euclid(12) + 1).expect("there are twelve");
    let first = Date::new(year, month, 1).unwrap_or(Date::MAX);
    let since = first.duration_since(Date::constant(1970, 1, 1));
    since.as_hours().div_euclid(24)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-30T00 and 2026-05-02T00 in hours.
    const JANUARY_30: i64 = 24 * 20_483;
    const MAY_2: i64 = 24 * 20_575;

    #[test]
    fn ranges_are_made_of_few_periods() {
        let (hour, day, month) = (Unit::Hour, Unit::Day, Unit::Month);
        for (from, to, by_month, expected) in [
            (JANUARY_30, JANUARY_30, true, vec![]),
            (
                JANUARY_30 + 3,
                JANUARY_30 + 5,
                true,
                vec![run(hour, JANUARY_30 + 3, JANUARY_30 + 5)],
            ),
            (
                JANUARY_30 + 3,
                JANUARY_30 + 53,
                true,
                vec![
                    run(hour, JANUARY_30 + 3, JANUARY_30 + 24),
                    // The last of January.
                    run(day, 20_484, 20_485),
                    run(hour, JANUARY_30 + 48, JANUARY_30 + 53),
                ],
            ),
            (
                JANUARY_30,
                MAY_2,
                true,
                vec![
                    run(day, 20_483, 20_485),
                    run(month, 56 * 12 + 1, 56 * 12 + 4),
                    run(day, 20_574, 20_575),
                ],
            ),
            (JANUARY_30, MAY_2, false, vec![run(day, 20_483, 20_575)]),
        ] {
            assert_eq!(runs(from, to, by_month), expected, "{from} {to}");
        }
    }

    #[test]
    fn months_begin_on_their_first_day() {
        for (day, month) in [(0, 0), (-1, -1), (30, 0), (31, 1), (20_483, 672)] {
            assert_eq!(month_of(day), month, "{day}");
        }
        for month in -3000..3000 {
            let day = first_day(month);
            assert_eq!((month_of(day), month_of(day - 1)), (month, month - 1));
        }
    }
}
