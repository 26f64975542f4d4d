//! What queries look at: the index that leads to their rows, or a bounded number of rows.

use super::{
    queries::{FIRST_US, filled},
    *,
};

on_both!(listings_say_what_they_did_not_look_at);

fn listings_say_what_they_did_not_look_at(place: &Place) {
    let records: Vec<ExchangeRecord<'_>> = (0..30_u32)
        .map(|i| ExchangeRecord {
            id: i.into(),
            started_at_us: FIRST_US + i64::from(i),
            ..sample()
        })
        .collect();
    let reader = filled(place, &records).reader();
    let connection = reader.connection().unwrap();
    let all = LogFilter::default();
    for (looked_at_max, expected) in [(10, Some(FIRST_US + 19)), (29, Some(FIRST_US)), (30, None)] {
        let oldest = access_log::oldest_looked_at(&connection, &all, looked_at_max);
        assert_eq!(oldest.unwrap(), expected);
    }
    let query = AccessLogQuery::from_pairs(&[]).unwrap();
    let page = reader.access_log(&query).unwrap();
    assert!(!page.total_is_capped && page.searched_back_to.is_none());
    let capped: Page<AccessLogEntry> = Page::new(vec![], 1, 50, access_log::TOTAL_MAX + 1);
    assert_eq!(
        (
            capped.total_records,
            capped.total_pages,
            capped.total_is_capped
        ),
        (10_000, 200, true)
    );
}

#[test]
fn filters_use_their_index() {
    let place = Place::sqlite();
    let _log = filled(&place, &[]);
    let connection = place.connection();
    let text = || Some("x".to_owned());
    let list = || vec!["x".to_owned()];
    for (filter, index) in [
        (
            LogFilter {
                user_id: text(),
                ..LogFilter::default()
            },
            "access_log_user",
        ),
        (
            LogFilter {
                session_id: text(),
                ..LogFilter::default()
            },
            "access_log_session",
        ),
        (
            LogFilter {
                provider_ids: list(),
                ..LogFilter::default()
            },
            "access_log_provider",
        ),
        (
            LogFilter {
                models: list(),
                ..LogFilter::default()
            },
            "access_log_model",
        ),
        (
            LogFilter {
                from_us: Some(1),
                ..LogFilter::default()
            },
            "access_log_started",
        ),
        (
            LogFilter {
                decision: Some(Decision::Deny),
                ..LogFilter::default()
            },
            "access_log_denied",
        ),
    ] {
        let condition = filter.on_rows();
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT * FROM access_log WHERE {}
                 ORDER BY started_at_us DESC, sequence DESC LIMIT 50",
            condition.sql()
        );
        let plan: Vec<String> = connection
            .query(&sql, &condition.values, |row| row.get(3))
            .unwrap();
        assert!(plan[0].contains(index), "{filter:?}: {plan:?}");
        // One value needs no sorting: the index is in the order of time.
        assert_eq!(plan.len(), 1, "{filter:?}: {plan:?}");
    }
}
