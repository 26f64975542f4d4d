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

#[test]
fn sums_of_too_many_rows_are_refused() {
    let place = Place::sqlite();
    let records: Vec<ExchangeRecord<'_>> = (0..30_u32)
        .map(|i| ExchangeRecord {
            id: i.into(),
            started_at_us: FIRST_US + i64::from(i),
            session_id: if i < 10 { "long" } else { "other" },
            ..sample()
        })
        .collect();
    let reader = filled(&place, &records).reader();
    let connection = reader.connection().unwrap();
    let refused = |filter: &LogFilter| {
        let source = source::Source::few_rows(&connection, filter, None, 10);
        source.err().map(|error| error.too_much().unwrap())
    };
    let path_prefix = Some("/v1".to_owned());
    let by_path = LogFilter {
        path_prefix,
        ..LogFilter::default()
    };
    let problem = refused(&by_path).unwrap();
    assert!(problem.contains("more than 10 exchanges"), "{problem}");
    // What it advises helps.
    for within_reach in [
        LogFilter {
            from_us: Some(FIRST_US + 20),
            ..by_path.clone()
        },
        LogFilter {
            session_id: Some("long".to_owned()),
            ..by_path
        },
    ] {
        assert_eq!(refused(&within_reach), None, "{within_reach:?}");
    }
}

/// The tables that answer an overview, or totals, and by what they are searched.
fn sums_plan(place: &Place, filter: &LogFilter, by: Option<TotalBy>) -> Vec<String> {
    let connection = place.connection();
    let source = source::Source::of(&connection, filter, by).unwrap();
    let sql = format!("EXPLAIN QUERY PLAN {}", source.sql);
    let steps: Vec<String> = connection
        .query(&sql, &source.values, |row| row.get(3))
        .unwrap();
    steps
        .into_iter()
        .filter(|step| step.contains("usage_") && !step.contains("usage_hour"))
        .collect()
}

#[test]
fn two_dimensions_are_found_without_a_look_at_others() {
    let place = Place::sqlite();
    let _log = filled(&place, &[]);
    let year = |parameters: &str| {
        let mut filter = LogFilter {
            from_us: Some(FIRST_US),
            to_us: Some(FIRST_US + 365 * queries::DAY_US),
            ..LogFilter::default()
        };
        for parameter in parameters.chars() {
            let list = vec!["x".to_owned()];
            match parameter {
                'p' => filter.provider_ids = list,
                'm' => filter.models = list,
                'g' => filter.group_ids = list,
                _ => filter.user_id = Some("x".to_owned()),
            }
        }
        filter
    };
    for (restricted, by, searched) in [
        ("", None, "dimension=? AND period="),
        ("u", None, "dimension=? AND period=? AND key=?"),
        (
            "pm",
            None,
            "pair=? AND period=? AND provider_id=? AND model=?",
        ),
        (
            "pg",
            None,
            "pair=? AND period=? AND provider_id=? AND model=? AND group_set=?",
        ),
        (
            "mg",
            None,
            "pair=? AND period=? AND provider_id=? AND model=? AND group_set=?",
        ),
        ("mu", None, "usage_day_user (user_id=? AND period="),
        ("pu", None, "usage_day_user (user_id=? AND period="),
        ("gu", None, "usage_day_user (user_id=? AND period="),
        (
            "p",
            Some(TotalBy::Model),
            "pair=? AND period=? AND provider_id=?",
        ),
        (
            "u",
            Some(TotalBy::Model),
            "usage_day_user (user_id=? AND period=",
        ),
    ] {
        let steps = sums_plan(&place, &year(restricted), by);
        assert!(!steps.is_empty());
        for step in &steps {
            assert!(step.contains(searched), "{restricted} {by:?}: {steps:?}");
        }
    }
    // Months are read by the pair; days of users, of which there are two months at most, are not.
    let steps = sums_plan(&place, &year("m"), Some(TotalBy::User));
    let by_pair = "pair=? AND period=? AND provider_id=? AND model=?";
    assert!(steps.iter().any(|step| step.contains(by_pair)), "{steps:?}");
}

#[test]
fn sums_of_an_older_index_are_made_of_its_days() {
    let place = Place::sqlite();
    let records: Vec<ExchangeRecord<'_>> = (0..400_u32)
        .map(|i| ExchangeRecord {
            id: i.into(),
            started_at_us: FIRST_US + i64::from(i) * queries::DAY_US / 8,
            principal_id: ["u1", "u2", "u3"][i as usize % 3],
            provider_id: ["p1", "p2"][i as usize % 2],
            model: ["m1", "m2", "m3", "m4", "m5"][i as usize % 5],
            group_ids: [vec!["a"], vec!["a", "b"]][i as usize / 3 % 2].clone(),
            ..sample()
        })
        .collect();
    let log = filled(&place, &records);
    log.flush_and_stop(Instant::now() + WAIT_MAX);
    let path = place.path().join(INDEX_FILE);
    let pairs = |file: &rusqlite::Connection| {
        let mut select = file
            .prepare("SELECT * FROM usage_pair ORDER BY 1, 2, 3, 4, 5, 6, 7")
            .unwrap();
        let columns = select.column_count();
        let rows = select.query_map([], |row| {
            let values: Vec<rusqlite::types::Value> =
                (0..columns).map(|i| row.get(i)).collect::<Result<_, _>>()?;
            Ok(values)
        });
        rows.unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    let file = rusqlite::Connection::open(&path).unwrap();
    let written = pairs(&file);
    assert!(written.len() > 100);
    file.execute_batch("DROP TABLE usage_pair; PRAGMA user_version = 7")
        .unwrap();
    Index::new(place.index.clone()).connection().unwrap();
    assert_eq!(pairs(&file), written);
}
