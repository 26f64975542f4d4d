//! What is too old goes, its space comes back, and sums stay.

use super::{
    queries::{DAY_US, filled},
    *,
};

on_both!(hours_go_and_days_stay, rows_go_and_sums_stay);

fn rows_go_and_sums_stay(place: &Place) {
    let path = "/x".repeat(100);
    let now = jiff::Timestamp::now().as_microsecond();
    let records: Vec<ExchangeRecord<'_>> = (0..12_000_u32)
        .map(|i| ExchangeRecord {
            id: i.into(),
            started_at_us: if i % 1000 == 0 {
                now
            } else {
                now - 20 * DAY_US
            },
            path: &path,
            ..sample()
        })
        .collect();
    let log = filled(place, &records);
    let before = file_bytes(place);
    log.set_retention_days(7);
    let status = log.status();
    wait_for("the sweep", || {
        status.rows_swept.load(Ordering::Relaxed) == 12_000 - 12
    });
    // A server gives space back when it likes to.
    wait_for("the space", || match (before, file_bytes(place)) {
        (Some(before), Some(after)) => after < before - (3 << 20),
        (_, _) => true,
    });
    let page = AccessLogQuery::from_pairs(&[]).unwrap();
    assert_eq!(log.reader().access_log(&page).unwrap().total_records, 12);
    let totals = log
        .reader()
        .totals(TotalBy::User, &LogFilter::default())
        .unwrap();
    assert_eq!(totals[0].sums.request_count, 12_000);
}

/// What a file has without its log.
fn file_bytes(place: &Place) -> Option<u64> {
    let Database::Sqlite(file) = &place.index else {
        return None;
    };
    let connection = rusqlite::Connection::open(file).unwrap();
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    Some(file.metadata().unwrap().len())
}

fn hours_go_and_days_stay(place: &Place) {
    let hour_us = 3_600_000_000;
    let today = jiff::Timestamp::now().as_microsecond().div_euclid(DAY_US);
    let records: Vec<ExchangeRecord<'_>> = (0..48)
        .map(|hour| ExchangeRecord {
            id: hour as u128,
            started_at_us: (today - 50) * DAY_US + hour * hour_us,
            ..sample()
        })
        .chain([ExchangeRecord {
            started_at_us: today * DAY_US,
            ..sample()
        }])
        .collect();
    let log = filled(place, &records);
    log.set_hours_kept_days(35);
    let connection = place.connection();
    let hours = |table: &str| -> Option<i64> {
        let sql = format!("SELECT count(DISTINCT period) FROM {table}");
        connection.query_value(&sql, &[]).unwrap()
    };
    wait_for("the sweep", || hours("usage_hour") == Some(1));
    assert_eq!(hours("usage_slice WHERE unit = 0"), Some(1));
    // From ten in the morning to ten the next day: both days whole, as their hours are gone.
    let range = LogFilter {
        from_us: Some((today - 50) * DAY_US + 10 * hour_us),
        to_us: Some((today - 49) * DAY_US + 10 * hour_us),
        ..LogFilter::default()
    };
    for filter in [
        range.clone(),
        LogFilter {
            user_id: Some("user-1".to_owned()),
            models: vec!["gpt-4o".to_owned()],
            ..range
        },
    ] {
        let totals = log.reader().totals(TotalBy::User, &filter).unwrap();
        assert_eq!(totals[0].sums.request_count, 48, "{filter:?}");
    }
    let all = LogFilter::default();
    let totals = log.reader().totals(TotalBy::Model, &all).unwrap();
    assert_eq!(totals[0].sums.request_count, 49);
}
