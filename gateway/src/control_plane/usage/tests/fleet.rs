//! What only a database does: it is away for a while, has a newer schema, or is shared by nodes.

use super::{queries::filled, *};
use crate::config::{PostgresqlConfig, TokenSource};
use gateway_tests::postgresql::{PASSWORD, Postgresql, why_not};

fn all() -> LogFilter {
    LogFilter::default()
}

/// A server of the test's own; `None` where there is none, which it says.
fn own_server(test: &str) -> Option<Postgresql> {
    if let Some(reason) = why_not() {
        gateway_tests::skip(test, reason);
        return None;
    }
    Some(Postgresql::start().unwrap())
}

fn requests(log: &UsageLog) -> u64 {
    let totals = log.reader().totals(TotalBy::User, &all()).unwrap();
    totals.iter().map(|total| total.sums.request_count).sum()
}

fn append(sender: &mut RecordSender, ids: std::ops::Range<u64>) {
    for id in ids {
        wait_for("room", || sender.has_room());
        sender.append(&ExchangeRecord {
            id: id.into(),
            ..sample()
        });
        sender.tick();
    }
    wait_for("room", || sender.has_room());
    sender.flush();
}

#[test]
fn a_killed_server_loses_nothing() {
    let Some(server) = own_server("a_killed_server_loses_nothing") else {
        return;
    };
    let place = Place::at(&server.url());
    let (log, mut sender) = place.start();
    let status = log.status();
    append(&mut sender, 0..500);
    server.kill().unwrap();
    append(&mut sender, 500..1000);
    wait_for("the trouble", || status.indexer() != Health::Ok);
    let error = log.reader().totals(TotalBy::User, &all()).unwrap_err();
    assert!(error.is_away() && error.too_much().is_none(), "{error}");
    // What is durable waits, and the writer goes on.
    wait_for("the spool", || {
        status.records_written.load(Ordering::Relaxed) == 1000 && status.batches_to_index() > 0
    });
    assert_eq!(status.writer(), Health::Ok);

    server.start_again().unwrap();
    wait_for("the rest", || {
        status.batches_to_index() == 0 && status.indexer() == Health::Ok
    });
    assert_eq!(requests(&log), 1000);
    let page = AccessLogQuery::from_pairs(&[]).unwrap();
    assert_eq!(log.reader().access_log(&page).unwrap().total_records, 1000);
}

#[test]
fn a_node_starts_without_its_database_and_catches_up() {
    let Some(server) = own_server("a_node_starts_without_its_database_and_catches_up") else {
        return;
    };
    server.kill().unwrap();
    let place = Place::at(&server.url());
    let (log, mut sender) = place.start();
    append(&mut sender, 0..10);
    drop(sender);
    // It does not keep the node from stopping, either.
    assert_eq!(
        log.flush_and_stop(Instant::now() + WAIT_MAX).records_lost,
        0
    );

    let (log, mut sender) = place.start();
    assert_ne!(log.status().indexer(), Health::Ok);
    append(&mut sender, 10..20);
    server.start_again().unwrap();
    wait_for("all of them", || log.status().batches_to_index() == 0);
    assert_eq!(requests(&log), 20);
}

#[test]
fn nodes_add_up_in_one_database() {
    let Some(place) = Place::postgresql("nodes_add_up_in_one_database") else {
        return;
    };
    let (here, mut sender) = place.start();
    let other = place.another_node();
    let mut feed = here.reader().subscribe(all(), 0).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| append(&mut sender, 0..1500));
        scope.spawn(|| {
            let (there, mut sender) = other.start();
            append(&mut sender, 1500..3000);
            wait_for("the other node", || {
                there.status().batches_to_index() == 0
                    && there.status().records_written.load(Ordering::Relaxed) == 1500
            });
            assert_eq!(
                there.flush_and_stop(Instant::now() + WAIT_MAX).records_lost,
                0
            );
        });
    });
    // A live feed passes no row over, whichever node wrote it.
    let mut seen = Vec::new();
    wait_for("every row", || {
        seen.extend(feed.read().unwrap().into_iter().map(|entry| entry.id));
        seen.len() >= 3000
    });
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 3000);
    let sums = &here.reader().totals(TotalBy::Model, &all()).unwrap()[0].sums;
    assert_eq!(sums.request_count, 3000);
    assert_eq!(
        sums.amounts.input_tokens,
        3000 * sample().usage.input_tokens
    );
}

#[test]
fn a_newer_schema_is_refused() {
    let Some(place) = Place::postgresql("a_newer_schema_is_refused") else {
        return;
    };
    let (log, mut sender) = place.start();
    place
        .index
        .open_writer()
        .unwrap()
        .execute("UPDATE schema_version SET version = 99", &[])
        .unwrap();
    // One that runs already stops writing, for it would leave out sums that it does not know.
    append(&mut sender, 0..1);
    wait_for("the refusal", || match log.status().indexer() {
        Health::Ok => false,
        Health::Behind { error, .. } => error.contains("newer version (schema 99"),
    });
    let (_, receiver) = record_queue(1, 4, Duration::ZERO);
    let second = UsageLog::start_with(
        place.another_node().path(),
        place.index.clone(),
        receiver,
        &LineTargets::default(),
        Vec::new(),
    );
    assert!(matches!(
        second,
        Err(UsageError::NewerSchema { found: 99, .. })
    ));
}

/// Texts that PostgreSQL does not take, and keys that are longer than its indexes take.
fn strange_texts_stop_nothing(place: &Place) {
    let groups: Vec<String> = (0..400_u64)
        .map(|i| {
            format!(
                "{:x}",
                u128::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
            )
        })
        .collect();
    let record = ExchangeRecord {
        model: "a\0b",
        session_id: "\0",
        group_ids: groups.iter().map(String::as_str).collect(),
        ..sample()
    };
    let log = filled(place, &[record, sample()]);
    let (entries, _) = log.reader().follow(0, &all()).unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].group_ids.len(), 400);
    assert_eq!(requests(&log), 2);
}

on_both!(strange_texts_stop_nothing);

#[test]
fn tls_is_verified_and_the_password_stays_unseen() {
    let Some(server) = own_server("tls_is_verified_and_the_password_stays_unseen") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, server.ca_pem()).unwrap();
    let secret = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        Some(TokenSource::File(path))
    };
    let config = PostgresqlConfig {
        password: secret("password", PASSWORD),
        ca: Some(ca),
        ..PostgresqlConfig::of_url(&server.tls_url()).unwrap()
    };
    let open = |config: &PostgresqlConfig| {
        let connection = Database::Postgresql(Server::new(config).unwrap()).open_reader()?;
        let sql = "SELECT CAST(ssl AS TEXT) FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        connection.query_value::<String>(sql, &[])
    };
    assert_eq!(open(&config).unwrap().as_deref(), Some("true"));
    for wrong in [
        PostgresqlConfig {
            password: secret("wrong", "hunter2hunter2"),
            ..config.clone()
        },
        PostgresqlConfig {
            ca: None,
            ..config.clone()
        },
    ] {
        let error = open(&wrong).unwrap_err();
        assert!(error.is_away(), "{error}");
        let said = format!("{error} {error:?} {wrong:?}");
        assert!(
            !said.contains("hunter2") && !said.contains(PASSWORD),
            "{said}"
        );
    }
}
