//! A disk that refuses, and batches that are damaged.

use super::{spool::SpoolReader, writer::WriterHandle, *};

/// A writer whose spool may take `bytes_limit`, and no indexer yet.
fn limited_writer(
    directory: &Path,
    bytes_limit: u64,
) -> (WriterHandle, SpoolReader, RecordSender, Arc<UsageStatus>) {
    let (mut senders, receiver) = record_queue(1, 4, Duration::ZERO);
    let spool = Spool::open(&directory.join(SPOOL_FILE), bytes_limit).unwrap();
    let reader = spool.reader().unwrap();
    let status = Arc::new(UsageStatus::default());
    let indexer = std::thread::current();
    let writer = Writer::new(spool, receiver, indexer, Arc::clone(&status), Vec::new());
    (writer.spawn().unwrap(), reader, senders.remove(0), status)
}

on_both!(
    a_full_disk_is_seen_and_loses_nothing,
    a_damaged_batch_is_set_aside_and_the_rest_goes_on,
    a_stopped_log_has_everything_in_its_spool,
);

fn a_full_disk_is_seen_and_loses_nothing(place: &Place) {
    let (writer, spool, mut sender, status) = limited_writer(place.path(), 400 << 10);
    let mut appended = 0_u64;
    wait_for("the full disk", || {
        while sender.has_room() {
            sender.append(&ExchangeRecord {
                id: appended.into(),
                ..sample()
            });
            sender.tick();
            appended += 1;
        }
        status.writer() != Health::Ok
    });
    let Health::Behind { error, .. } = status.writer() else {
        panic!("the writer is behind");
    };
    assert!(error.contains("full"), "{error}");
    wait_for("the note of it", || {
        status.batches_waiting.load(Ordering::Relaxed) > 0
    });
    drop(sender);

    let settings = Arc::new(LogSettings::default());
    let index = Index::new(place.index.clone());
    let (commits, live) = Live::new();
    let (settings_of, status_of) = (Arc::clone(&settings), Arc::clone(&status));
    let indexer = Indexer::new(spool, index, settings_of, status_of, commits)
        .spawn()
        .unwrap();
    wait_for("the index", || {
        status.records_indexed.load(Ordering::Relaxed) == appended
    });
    wait_for("the writer", || status.writer() == Health::Ok);
    let reader = UsageReader::new(ReadPool::new(place.index.clone()), live);
    let page = AccessLogQuery::from_pairs(&[]).unwrap();
    let found = reader.access_log(&page).unwrap().total_records;
    assert_eq!(found, appended);
    assert_eq!(writer.stop(Instant::now() + WAIT_MAX).records_lost, 0);
    settings.stop.store(true, Ordering::Relaxed);
    indexer.join().unwrap();
}

#[test]
fn what_cannot_be_written_before_the_deadline_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    // No room for a single batch beyond the empty tables.
    let (writer, _, mut sender, _) = limited_writer(directory.path(), 1 << 12);
    for _ in 0..1000 {
        sender.append(&sample());
    }
    drop(sender);
    let report = writer.stop(Instant::now() + Duration::from_millis(100));
    assert_eq!(report.records_lost, 1000);
}

fn a_damaged_batch_is_set_aside_and_the_rest_goes_on(place: &Place) {
    {
        // Stopped before it starts, the indexer leaves the batches in the spool.
        let mut spool = Spool::open(&place.path().join(SPOOL_FILE), 1 << 30).unwrap();
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
    let (log, _sender) = place.start();
    wait_indexed(&log, 2);
    assert_eq!(log.status().batches_damaged.load(Ordering::Relaxed), 1);
    let damaged: Vec<(i64, String)> = place
        .connection()
        .query("SELECT batch_id, problem FROM damaged_batch", &[], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(damaged, [(2, "checksum mismatch".to_owned())]);
    let entries = log.reader().follow(0, &LogFilter::default()).unwrap();
    assert_eq!(entries.0.len(), 2);
}

fn a_stopped_log_has_everything_in_its_spool(place: &Place) {
    let (log, mut sender) = place.start();
    for id in 0..500 {
        sender.append(&ExchangeRecord { id, ..sample() });
    }
    drop(sender);
    let report = log.flush_and_stop(Instant::now() + WAIT_MAX);
    assert_eq!(report.records_lost, 0);
    let (log, _sender) = place.start();
    let reader = log.reader();
    wait_for("the index", || {
        let totals = reader.totals(TotalBy::User, &LogFilter::default()).unwrap();
        totals.first().is_some_and(|t| t.sums.request_count == 500)
    });
}
