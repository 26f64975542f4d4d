//! A year of ten million exchanges, and how long the queries behind pages and commands take on it.
//! `cargo xtask bench -- usage` (`KEYWAY_RECORDS` for another number; 0.9 KB of disk each, below the working
//! directory. `KEYWAY_INDEX` for an index that is there, or is to stay.)
#![allow(clippy::print_stdout)]

mod questions;

use jiff::SignedDuration;

use super::{measure::thread_cpu, *};
use crate::handoff::batch::{BatchBuilder, new_buffer};

const RECORDS: u64 = 10_000_000;
const YEAR: SignedDuration = SignedDuration::from_hours(24 * 365);
const HOURS_KEPT_US: i64 = 35 * 24 * 3_600_000_000;
const BATCHES_PER_COMMIT: usize = 32;
/// Page cache while the year is written.
const CACHE_KIB: i64 = 1 << 20;

/// 500 users in 20 groups, who mostly stay with one of 20 models and one of 5 providers, and begin a new
/// session every 25 requests or so.
struct World {
    users: Vec<String>,
    names: Vec<String>,
    groups: Vec<String>,
    models: Vec<String>,
    providers: Vec<String>,
}

impl World {
    fn new() -> Self {
        let names = |count: usize, name: &str| (0..count).map(|i| format!("{name}-{i}")).collect();
        Self {
            users: (0..500)
                .map(|i| format!("{i:08}-0000-4000-8000-000000000000"))
                .collect(),
            names: (0..500)
                .map(|i| format!("person.{i}@example.com"))
                .collect(),
            groups: names(20, "d4mb5h1lfg7s738c1n-group"),
            models: names(20, "claude-sonnet-4-5-2025"),
            providers: names(5, "ainp_d4mb5h1lfg7s738c1n"),
        }
    }

    fn record<'a>(
        &'a self,
        lcg: &mut Lcg,
        number: u64,
        at_us: i64,
        session: &'a mut String,
    ) -> ExchangeRecord<'a> {
        use std::fmt::Write;
        let user = lcg.below(500) as usize;
        let choice = match lcg.below(10) {
            0 => lcg.below(20) as usize,
            _ => user,
        };
        session.clear();
        let of_user = number / 500 / 25;
        write!(session, "{user:08}-1111-4000-8000-{of_user:012}").unwrap();
        let (outcome, reason) = match lcg.below(200) {
            0 => (Outcome::Denied, "token_cap_exceeded"),
            1 => (Outcome::ProviderError, "first_byte_timeout"),
            _ => (Outcome::Answered, ""),
        };
        ExchangeRecord {
            id: ((at_us / 1000) as u128) << 80 | u128::from(number),
            started_at_us: at_us,
            duration_us: 100_000 + lcg.below(20_000_000),
            principal_id: &self.users[user],
            display_name: &self.names[user],
            group_ids: vec![&self.groups[user % 20], "everyone"],
            model: &self.models[choice % 20],
            provider_id: &self.providers[choice % 5],
            session_id: session,
            outcome,
            reason,
            cost: CostNanoUsd {
                input: lcg.below(10_000_000),
                output: lcg.below(100_000_000),
                ..CostNanoUsd::default()
            },
            ..sample()
        }
    }
}

fn fill(path: &Path, records: u64) {
    let mut index = Index::new(Database::Sqlite(path.to_owned()));
    let connection = index.connection().unwrap();
    // What writing costs is measured elsewhere: here nothing is to survive a crash.
    for (pragma, value) in [
        ("synchronous", 0),
        ("cache_size", -CACHE_KIB),
        ("wal_autocheckpoint", 1 << 16),
    ] {
        connection
            .query(&format!("PRAGMA {pragma} = {value}"), &[], |_| Ok(()))
            .unwrap();
    }
    let mut indexing = index::Indexing::new("measured".to_owned());
    let world = World::new();
    let mut lcg = Lcg(7);
    let first_us = (jiff::Timestamp::now() - YEAR).as_microsecond();
    let step_us = YEAR.as_micros() as i64 / records as i64;
    let mut builder = BatchBuilder::new(0);
    let mut batches = Vec::new();
    let mut id = 0;
    let mut session = String::new();
    for number in 0..records {
        let at_us = first_us + number as i64 * step_us;
        builder.append(&world.record(&mut lcg, number, at_us, &mut session));
        if builder.is_full() || number + 1 == records {
            id += 1;
            batches.push((id, builder.seal(new_buffer())));
        }
        if batches.len() == BATCHES_PER_COMMIT || number + 1 == records {
            indexing.index(connection, &batches, true).unwrap();
            while sweep::delete_hours(connection, at_us - HOURS_KEPT_US).unwrap() {}
            batches.clear();
        }
    }
}

/// Bytes of `field` in `/proc/self/status`, in MiB.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

#[test]
#[ignore = "a measurement of many minutes"]
fn queries_on_ten_million_records() {
    let records = std::env::var("KEYWAY_RECORDS").map_or(RECORDS, |text| text.parse().unwrap());
    let directory = tempfile::tempdir_in(".").unwrap();
    let path = std::env::var_os("KEYWAY_INDEX")
        .map_or_else(|| directory.path().join(INDEX_FILE), Into::into);
    let begun = Instant::now();
    if !path.exists() {
        fill(&path, records);
        println!(
            "{records} records in {:?}, {:?} of it CPU, {} bytes each, {} MiB of memory",
            begun.elapsed(),
            thread_cpu(),
            path.metadata().unwrap().len() / records,
            memory("VmHWM")
        );
    }
    questions::ask(path);
    println!("most memory: {} MiB", memory("VmHWM"));
}

#[test]
fn every_question_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(INDEX_FILE);
    fill(&path, 2000);
    questions::ask(path);
}
