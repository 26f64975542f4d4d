//! `kill -9` in the middle of writing and indexing: what was durable is there, once.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
};

use super::*;

const DIRECTORY_VARIABLE: &str = "KEYWAY_TEST_CRASH_DIRECTORY";
/// The index, if in no file.
const URL_VARIABLE: &str = "KEYWAY_TEST_CRASH_URL";
const RUN_VARIABLE: &str = "KEYWAY_TEST_CRASH_RUN";
const RUNS: u64 = 8;

/// Ids of run `run` begin here; within a run they are consecutive.
fn first_id(run: u64) -> u128 {
    u128::from(run + 1) << 64
}

fn record(run: u64, number: u64) -> ExchangeRecord<'static> {
    ExchangeRecord {
        id: first_id(run) + u128::from(number),
        usage: Usage {
            input_tokens: number + 1,
            output_tokens: 1,
            ..Usage::default()
        },
        cost: CostNanoUsd {
            output: 7 * (number + 1),
            ..CostNanoUsd::default()
        },
        ..sample()
    }
}

/// Not a test of its own: what the parent kills. Writes records for ever and says how many are durable.
#[test]
#[ignore = "runs as a child of a_killed_process_loses_nothing_durable"]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY_VARIABLE) else {
        return;
    };
    let run: u64 = std::env::var(RUN_VARIABLE).unwrap().parse().unwrap();
    let directory = Path::new(&directory);
    let index = match std::env::var(URL_VARIABLE) {
        Ok(url) => place::database_at(&url),
        Err(_) => Database::Sqlite(directory.join(INDEX_FILE)),
    };
    let (mut senders, receiver) = record_queue(1, 4, Duration::ZERO);
    let mut sender = senders.remove(0);
    let log = UsageLog::start_with(
        directory,
        index,
        receiver,
        &LineTargets::default(),
        Vec::new(),
    )
    .unwrap();
    let status = log.status();
    let mut said = 0;
    for number in 0.. {
        wait_for("room", || sender.has_room());
        sender.append(&record(run, number));
        sender.tick();
        let written = status.records_written.load(Ordering::Relaxed);
        if written > said {
            said = written;
            writeln!(std::io::stdout(), "durable {written}").unwrap();
        }
    }
}

fn spawn_child(place: &Place, run: u64) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "control_plane::usage::tests::crash::child"])
        .args(["--ignored", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY_VARIABLE, place.path())
        .envs(place.url.iter().map(|url| (URL_VARIABLE, url)))
        .env(RUN_VARIABLE, run.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

on_both!(a_killed_process_loses_nothing_durable);

fn a_killed_process_loses_nothing_durable(place: &Place) {
    let mut lcg = Lcg::from_clock();
    let durable: Vec<u64> = (0..RUNS)
        .map(|run| {
            let (mut child, output) = spawn_child(place, run);
            let lines_before_the_kill = 1 + lcg.below(30) as usize;
            let mut durable = 0;
            let mut lines = output.lines().map(Result::unwrap);
            for line in lines
                .by_ref()
                .filter(|line| line.contains("durable "))
                .take(lines_before_the_kill)
            {
                durable = line.rsplit(' ').next().unwrap().parse().unwrap();
            }
            child.kill().unwrap();
            child.wait().unwrap();
            durable
        })
        .collect();

    let (log, mut sender) = place.start();
    // One more record, behind everything that is left in the spool.
    sender.append(&record(RUNS, 0));
    drop(sender);
    let status = log.status();
    wait_for("the last record", || {
        status.records_written.load(Ordering::Relaxed) == 1 && status.batches_to_index() == 0
    });
    let connection = place.connection();
    let mut sums = (0_u64, 0_u64, 0_u64);
    for (run, durable) in (0..=RUNS).zip(durable.iter().chain([&1])) {
        let ids: Vec<String> = connection
            .query(
                "SELECT id FROM access_log WHERE id >= ?1 AND id < ?2 ORDER BY id",
                &[first_id(run), first_id(run + 1)].map(|id| format!("{id:032x}").into()),
                |row| row.get(0),
            )
            .unwrap();
        assert!(
            ids.len() as u64 >= *durable,
            "run {run}: {} of {durable}",
            ids.len()
        );
        for (number, id) in (0..).zip(&ids) {
            assert_eq!(*id, format!("{:032x}", first_id(run) + number), "run {run}");
        }
        let count = ids.len() as u64;
        sums.0 += count;
        sums.1 += count * (count + 1) / 2;
        sums.2 += 7 * (count * (count + 1) / 2);
    }
    assert!(sums.0 > RUNS);
    for table in ["usage_hour", "usage_day"] {
        let sql = format!(
            "SELECT CAST(sum(requests) AS BIGINT), CAST(sum(input_tokens) AS BIGINT),
                 CAST(sum(output_cost) AS BIGINT) FROM {table}"
        );
        let found = connection
            .query_row(&sql, &[], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap();
        assert_eq!(found, Some(sums), "{table}");
    }
    assert_eq!(status.batches_damaged.load(Ordering::Relaxed), 0);
}
