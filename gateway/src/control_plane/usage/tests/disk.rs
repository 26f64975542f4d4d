//! A disk that refuses, and batches that are damaged.

use super::*;

#[test]
fn a_full_disk_is_seen_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (mut senders, receiver) = record_queue(1, 4, Duration::ZERO);
    let mut sender = senders.remove(0);
    let log = UsageLog::start_limited(directory.path(), receiver, 400 << 10).unwrap();
    let status = log.status();
    // A second reader of the index keeps the indexer out, so the spool fills.
    let mut blocker = rusqlite::Connection::open(directory.path().join(INDEX_FILE)).unwrap();
    let lock = blocker
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .unwrap();
    let mut appended = 0;
    let deadline = Instant::now() + WAIT_MAX;
    while sender.has_room() || status.writer() == Health::Ok {
        assert!(Instant::now() < deadline, "the spool never filled");
        if sender.has_room() {
            sender.append(&ExchangeRecord {
                id: appended,
                ..sample()
            });
            appended += 1;
        }
        sender.tick();
    }
    let Health::Behind { error, .. } = status.writer() else {
        panic!("the writer is behind");
    };
    assert!(error.contains("full"), "{error}");
    assert!(status.batches_waiting.load(Ordering::Relaxed) > 0);
    drop(lock);
    drop(sender);
    wait_indexed(&log, appended as u64);
    wait_for("the writer", || status.writer() == Health::Ok);
    let page = AccessLogQuery::from_pairs(&[]).unwrap();
    let found = log.reader().access_log(&page).unwrap().total_records;
    assert_eq!(u128::from(found), appended);
    let report = log.flush_and_stop(Instant::now() + WAIT_MAX);
    assert_eq!(report.records_lost, 0);
}

#[test]
fn what_cannot_be_written_before_the_deadline_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (mut senders, receiver) = record_queue(1, 4, Duration::ZERO);
    // No room for a single batch beyond the empty tables.
    let log = UsageLog::start_limited(directory.path(), receiver, 1 << 12).unwrap();
    for _ in 0..1000 {
        senders[0].append(&sample());
    }
    drop(senders);
    let report = log.flush_and_stop(Instant::now() + Duration::from_millis(100));
    assert_eq!(report.records_lost, 1000);
}

#[test]
fn a_damaged_batch_is_set_aside_and_the_rest_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    {
        // Stopped before it starts, the indexer leaves the batches in the spool.
        let mut spool = Spool::open(&directory.path().join(SPOOL_FILE), 1 << 30).unwrap();
        let batches: Vec<Vec<u8>> = (1..=3)
            .map(|id| {
                let mut builder = crate::handoff::batch::BatchBuilder::new(0);
                builder.append(&ExchangeRecord { id, ..sample() });
                let mut bytes = builder.seal(crate::handoff::batch::new_buffer());
                if id == 2 {
                    *bytes.last_mut().unwrap() ^= 1;
                }
                bytes
            })
            .collect();
        spool.write(batches.iter().map(|b| &b[..])).unwrap();
    }
    let (log, _sender) = start(directory.path());
    wait_indexed(&log, 2);
    assert_eq!(log.status().batches_damaged.load(Ordering::Relaxed), 1);
    let connection = rusqlite::Connection::open(directory.path().join(INDEX_FILE)).unwrap();
    let (id, problem): (i64, String) = connection
        .query_row("SELECT batch_id, problem FROM damaged_batch", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!((id, problem.as_str()), (2, "checksum mismatch"));
    let entries = log.reader().follow(0, &LogFilter::default()).unwrap();
    assert_eq!(entries.len(), 2);
}

#[test]
fn a_stopped_log_has_everything_in_its_spool() {
    let directory = tempfile::tempdir().unwrap();
    let (log, mut sender) = start(directory.path());
    for id in 0..500 {
        sender.append(&ExchangeRecord { id, ..sample() });
    }
    drop(sender);
    let report = log.flush_and_stop(Instant::now() + WAIT_MAX);
    assert_eq!(report.records_lost, 0);
    let (log, _sender) = start(directory.path());
    let reader = log.reader();
    wait_for("the index", || {
        let totals = reader.totals(TotalBy::User, &LogFilter::default()).unwrap();
        totals.first().is_some_and(|t| t.sums.request_count == 500)
    });
}
