//! A year of ten million exchanges, and how long the queries behind pages and commands take on it.
//! `cargo test --release -p gateway --lib usage::tests::year -- --ignored --nocapture`
//! (`KEYWAY_RECORDS` for another number; 0.7 KB of disk each, below the working directory. `KEYWAY_INDEX`
//! for an index that is there.)
#![allow(clippy::print_stdout)]

use jiff::SignedDuration;

use super::{measure::thread_cpu, *};
use crate::handoff::batch::{BatchBuilder, new_buffer};

const RECORDS: u64 = 10_000_000;
const YEAR: SignedDuration = SignedDuration::from_hours(24 * 365);
const HOURS_KEPT_US: i64 = 35 * 24 * 3_600_000_000;
const BATCHES_PER_COMMIT: usize = 32;
/// Each query is asked so often; the first answer may come from the disk, the best does not.
const TIMES: usize = 3;

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

fn pairs(parameters: &str) -> Vec<(String, String)> {
    parameters
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn measure<T>(name: &str, mut query: impl FnMut() -> T) {
    let cpu = thread_cpu();
    let mut took: Vec<Duration> = (0..TIMES)
        .map(|_| {
            let begun = Instant::now();
            query();
            begun.elapsed()
        })
        .collect();
    let first = took[0];
    took.sort_unstable();
    println!(
        "| {name} | {:.1} ms | {:.1} ms | {:.1} ms | {} MiB |",
        first.as_secs_f64() * 1e3,
        took[0].as_secs_f64() * 1e3,
        (thread_cpu() - cpu).as_secs_f64() * 1e3 / TIMES as f64,
        memory("VmRSS")
    );
}

#[test]
#[ignore = "a measurement of many minutes"]
fn queries_on_ten_million_records() {
    let records = std::env::var("KEYWAY_RECORDS").map_or(RECORDS, |text| text.parse().unwrap());
    let directory = tempfile::tempdir_in(".").unwrap();
    let mut path = directory.path().join(INDEX_FILE);
    let begun = Instant::now();
    match std::env::var_os("KEYWAY_INDEX") {
        Some(index) => path = index.into(),
        None => fill(&path, records),
    }
    let bytes = path.metadata().unwrap().len();
    println!(
        "{records} records in {:?}, {} bytes each, {} MiB of memory",
        begun.elapsed(),
        bytes / records,
        memory("VmRSS")
    );
    let (_commits, live) = Live::new();
    let reader = UsageReader::new(ReadPool::new(Database::Sqlite(path)), live);
    let now = jiff::Timestamp::now();
    let ago = |days: i64| (now - SignedDuration::from_hours(24 * days)).to_string();
    let world = World::new();
    let (user, model) = (&world.users[42], &world.models[7]);
    let (group, provider) = (&world.groups[3], &world.providers[2]);

    println!("| query | first | best of {TIMES} | CPU | RSS |\n|---|---|---|---|---|");
    for (name, parameters) in [
        ("access log, page 1", String::new()),
        ("page 1000", "page=1000".to_owned()),
        ("page 100,000", "page=100000".to_owned()),
        ("of a user", format!("user_id={user}")),
        ("of a model", format!("model={model}")),
        (
            "of models by prefix",
            "model=claude-sonnet-4-5-2025-1*".to_owned(),
        ),
        ("of a group", format!("group_id={group}")),
        (
            "of a provider and a model",
            format!("provider_id={provider}&model={model}"),
        ),
        ("denied", "decision=deny".to_owned()),
        ("provider errors", "outcome=provider_error".to_owned()),
        ("of a day", format!("start_date={}", ago(1))),
        ("path prefix", "path=/v1/chat".to_owned()),
        ("search, found", "search=person.42@".to_owned()),
        ("search, not found", "search=nothing+like+it".to_owned()),
        (
            "search in a week",
            format!("search=nothing&start_date={}", ago(7)),
        ),
        ("by cost", "sort_by=cost_usd".to_owned()),
        (
            "by duration, of a user",
            format!("sort_by=duration&user_id={user}"),
        ),
    ] {
        let query = AccessLogQuery::from_pairs(&pairs(&parameters)).unwrap();
        measure(name, || reader.access_log(&query).unwrap());
    }
    let query = AccessLogQuery::from_pairs(&[]).unwrap();
    let id = parse_record_id(&reader.access_log(&query).unwrap().data[7].id).unwrap();
    measure("one exchange by id", || {
        reader.exchange(id).unwrap().unwrap()
    });
    let last = reader.last_sequence().unwrap();
    let none = LogFilter::default();
    measure("live feed, 20 new", || {
        reader.follow(last - 20, &none).unwrap()
    });
    for (name, parameters) in [
        ("sessions, page 1", String::new()),
        ("sessions of a user", format!("user_id={user}")),
        ("sessions by cost", "sort_by=cost_usd".to_owned()),
    ] {
        let query = SessionQuery::from_pairs(&pairs(&parameters)).unwrap();
        measure(name, || reader.sessions(&query).unwrap());
    }
    let year = format!("start_date={}", ago(365));
    for (name, parameters) in [
        ("overview of a year by day", year.clone()),
        ("by month", format!("{year}&granularity=month")),
        (
            "by week, of a user",
            format!("{year}&granularity=week&user_id={user}"),
        ),
        ("of a model", format!("{year}&model={model}")),
        ("of a group", format!("{year}&group_id={group}")),
        (
            "of a user and a model",
            format!("{year}&user_id={user}&model={model}"),
        ),
        (
            "of a user and a provider",
            format!("{year}&user_id={user}&provider_id={provider}"),
        ),
        (
            "of a user and a group",
            format!("{year}&user_id={user}&group_id={group}"),
        ),
        (
            "of a provider and a model",
            format!("{year}&provider_id={provider}&model={model}"),
        ),
        (
            "of a provider and a group",
            format!("{year}&provider_id={provider}&group_id={group}"),
        ),
        (
            "of a model and a group",
            format!("{year}&model={model}&group_id={group}"),
        ),
        (
            "of a model and everyone",
            format!("{year}&model={model}&group_id=everyone"),
        ),
        (
            "of a provider, a model and a group",
            format!("{year}&provider_id={provider}&model={model}&group_id={group}"),
        ),
    ] {
        let query = OverviewQuery::from_pairs(&pairs(&parameters), now).unwrap();
        measure(name, || reader.overview(&query).unwrap());
    }
    for (of, parameters) in [
        ("", year.clone()),
        (" of a user", format!("{year}&user_id={user}")),
        (" of a model", format!("{year}&model={model}")),
        (" of a provider", format!("{year}&provider_id={provider}")),
        (" of a group", format!("{year}&group_id={group}")),
    ] {
        let query = OverviewQuery::from_pairs(&pairs(&parameters), now).unwrap();
        for by in [
            TotalBy::Provider,
            TotalBy::Model,
            TotalBy::User,
            TotalBy::Group,
        ] {
            measure(&format!("totals of a year by {by:?}{of}"), || {
                reader.totals(by, &query.filter).unwrap()
            });
        }
    }
    let day = LogFilter {
        from_us: Some((now - SignedDuration::from_hours(24 * 7)).as_microsecond()),
        ..LogFilter::default()
    };
    measure("export of a week as CSV", || {
        let (mut cursor, mut bytes) = (None, 0);
        loop {
            let entries = reader.in_order(&day, cursor, 1000).unwrap();
            let Some(last) = entries.last() else {
                return bytes;
            };
            cursor = Some(last.cursor);
            bytes += ExportFormat::Csv.render(&entries).len();
        }
    });
    println!("most memory: {} MiB", memory("VmHWM"));
}
