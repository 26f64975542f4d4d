//! Retention: deletes rows of the access log and sums by the hour that are too old, a chunk at a time, and
//! gives their space back to the file system. Sums by day and month are kept.

use jiff::{SignedDuration, Timestamp};

use super::{
    UsageError,
    database::{Connection, values},
    rollup::{self, SECONDS_PER_DAY},
    slice::Unit,
};

const ROWS_PER_CHUNK: i64 = 2000;

/// Rows that started before this Unix time in microseconds go; `None` with 0 days, which keeps all.
pub(super) fn oldest_kept_us(now: Timestamp, retention_days: u32) -> Option<i64> {
    if retention_days == 0 {
        return None;
    }
    let kept = SignedDuration::from_hours(24 * i64::from(retention_days));
    Some(
        now.checked_sub(kept)
            .map_or(i64::MIN, |oldest| oldest.as_microsecond()),
    )
}

/// Deletes one chunk of rows that started before `before_us`; returns how many.
pub(super) fn delete_some(connection: &mut Connection, before_us: i64) -> Result<u64, UsageError> {
    connection.write(|transaction| {
        transaction.execute(
            "DELETE FROM access_log WHERE sequence IN (
                 SELECT sequence FROM access_log WHERE started_at_us < ?1
                 ORDER BY started_at_us LIMIT ?2)",
            &values![before_us, ROWS_PER_CHUNK],
        )
    })
}

/// Deletes the sums by the hour of one day, the oldest, if it was over before `before_us`; returns whether
/// there was one. Whole days go, so that what is left of a day is never taken for all of it.
pub(super) fn delete_hours(
    connection: &mut Connection,
    before_us: i64,
) -> Result<bool, UsageError> {
    let before_day = rollup::period(before_us, SECONDS_PER_DAY);
    connection.write(|transaction| {
        let oldest: Option<Option<i64>> =
            transaction.query_value("SELECT min(period) FROM usage_hour", &[])?;
        let Some(day) = oldest.flatten().map(|hour| hour.div_euclid(24)) else {
            return Ok(false);
        };
        if day >= before_day {
            return Ok(false);
        }
        let end = (day + 1) * 24;
        transaction.execute("DELETE FROM usage_hour WHERE period < ?1", &values![end])?;
        transaction.execute(
            "DELETE FROM usage_slice WHERE unit = ?1 AND period < ?2",
            &values![Unit::Hour as u8, end],
        )?;
        Ok(true)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn retention_is_counted_in_days_of_24_hours() {
        let now: Timestamp = "2026-05-31T12:00:00Z".parse().unwrap();
        let oldest: Timestamp = "2026-05-01T12:00:00Z".parse().unwrap();
        assert_eq!(oldest_kept_us(now, 30), Some(oldest.as_microsecond()));
        assert_eq!(oldest_kept_us(now, 0), None);
        assert_eq!(oldest_kept_us(now, u32::MAX), Some(i64::MIN));
    }
}
