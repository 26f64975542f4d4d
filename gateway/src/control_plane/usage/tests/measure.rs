//! What a record costs in the spool and in the index.
//! `cargo test --release -p gateway --lib usage::tests::measure -- --ignored --nocapture`
#![allow(clippy::print_stdout)]

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};

use super::*;
use crate::handoff::batch::{BatchBuilder, new_buffer};

const RECORDS: u32 = 200_000;

/// What this thread has used.
pub(super) fn thread_cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    let used = usage.user_time() + usage.system_time();
    Duration::from_micros(used.num_microseconds() as u64)
}

/// 500 users, who mostly stay with one of 20 models and one of 5 providers, 10 sessions each.
fn batches() -> Vec<Vec<u8>> {
    let mut lcg = Lcg(7);
    let users: Vec<String> = (0..500).map(|i| format!("user-{i}")).collect();
    let models: Vec<String> = (0..20).map(|i| format!("model-{i}")).collect();
    let providers: Vec<String> = (0..5).map(|i| format!("provider-{i}")).collect();
    let sessions: Vec<String> = (0..5000).map(|i| format!("{i:036}")).collect();
    let mut builder = BatchBuilder::new(0);
    let mut batches = Vec::new();
    for i in 0..RECORDS {
        let user = lcg.below(500) as usize;
        let choice = if lcg.below(10) > 0 {
            user
        } else {
            lcg.below(20) as usize
        };
        builder.append(&ExchangeRecord {
            id: i.into(),
            started_at_us: sample().started_at_us + i64::from(i) * 1000,
            principal_id: &users[user],
            model: &models[choice % 20],
            provider_id: &providers[choice % 5],
            session_id: &sessions[user * 10 + lcg.below(10) as usize],
            ..sample()
        });
        if builder.is_full() {
            batches.push(builder.seal(new_buffer()));
        }
    }
    if !builder.is_empty() {
        batches.push(builder.seal(new_buffer()));
    }
    batches
}

#[test]
#[ignore = "a measurement"]
fn spool_and_index() {
    let directory = tempfile::tempdir_in(".").unwrap();
    let batches = batches();
    let bytes: usize = batches.iter().map(Vec::len).sum();
    println!("record: {} bytes", bytes / RECORDS as usize);

    let mut spool = Spool::open(&directory.path().join(SPOOL_FILE), SPOOL_BYTES_LIMIT).unwrap();
    let (cpu, wall) = (thread_cpu(), Instant::now());
    for chunk in batches.chunks(4) {
        spool.write(chunk.iter().map(|b| &b[..])).unwrap();
    }
    report("spool", cpu, wall);

    for (name, collect) in [("index, sums only", false), ("index", true)] {
        let path = directory.path().join(format!("{collect}.db"));
        let mut index = Index::new(Database::Sqlite(path.clone()));
        let reader = spool.reader().unwrap();
        let mut indexing = index::Indexing::new(reader.identity.clone());
        let (cpu, wall) = (thread_cpu(), Instant::now());
        let mut after = 0;
        loop {
            let batches = reader.read(after, 32).unwrap();
            let Some((last, _)) = batches.last() else {
                break;
            };
            after = *last;
            let connection = index.connection().unwrap();
            indexing.index(connection, &batches, collect).unwrap();
        }
        report(name, cpu, wall);
        println!(
            "{name}: {} bytes per record",
            path.metadata().unwrap().len() / u64::from(RECORDS)
        );
    }

    let (cpu, wall) = (thread_cpu(), Instant::now());
    while spool.purge(i64::MAX, &[]).unwrap() {}
    report("purge", cpu, wall);
}

fn report(name: &str, cpu: Duration, wall: Instant) {
    println!(
        "{name}: {:?} CPU, {:?} wall per record",
        (thread_cpu() - cpu) / RECORDS,
        wall.elapsed() / RECORDS
    );
}
