#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use super::*;
use crate::control_plane::store::{
    OPERATIONS_MAX, RestoredFrom, StoreError,
    conformance::{self, committed, put, put_operation},
    history::HISTORY_CHANGES_MAX,
};

fn open(directory: &Path) -> SledStore {
    let opened = SledStore::open(directory, 0).unwrap();
    assert_eq!(opened.damage, None);
    opened.store
}

#[tokio::test]
async fn conformance() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(open(directory.path()));
    conformance::suite(store, "run").await;
}

#[tokio::test]
async fn reopen_keeps_all() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let filled = conformance::fill(&store, "kept/").await;
    drop(store);
    let store = open(directory.path());
    conformance::check_reopened(&store, "kept/", &filled).await;
}

#[tokio::test]
async fn history_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let gone = put(&store, "first", "").await;
    let operations: Vec<_> = (0..OPERATIONS_MAX)
        .map(|n| put_operation(&n.to_string(), ""))
        .collect();
    for _ in 0..HISTORY_CHANGES_MAX / OPERATIONS_MAX {
        committed(&store, Vec::new(), operations.clone()).await;
    }
    conformance::check_compacted(&store, gone).await;
    drop(store);
    conformance::check_compacted(&open(directory.path()), gone).await;
}

#[tokio::test]
async fn a_second_opener_is_told_who_holds_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let error = SledStore::open(directory.path(), 0).err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }));
    assert!(
        error
            .to_string()
            .contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    drop(store);
    open(directory.path());
}

#[tokio::test]
async fn no_write_without_free_space() {
    let directory = tempfile::tempdir().unwrap();
    let opened = SledStore::open(directory.path(), u64::MAX).unwrap();
    let refused = opened
        .store
        .transact(Transaction {
            compares: Vec::new(),
            operations: vec![put_operation("a", "")],
        })
        .await;
    assert!(matches!(
        refused,
        Err(StoreError::LowSpace {
            free_bytes_min: u64::MAX,
            ..
        })
    ));
    assert_eq!(
        opened.store.range("").await.unwrap().revision,
        0,
        "reading goes on"
    );
}

/// Kills a writing process ten times; whatever it had acknowledged must be there.
#[tokio::test]
async fn acknowledged_writes_survive_sigkill() {
    const KILLS: u32 = 10;
    const WRITES_BEFORE_KILL: usize = 20;
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "control_plane::store::sled::tests::writer_to_kill",
                "--ignored",
                "--nocapture",
            ])
            .env(WRITER_DIRECTORY, directory.path())
            .env(WRITER_ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.map(Result::unwrap) {
            let Some(ack) = line.strip_prefix(ACKNOWLEDGED) else {
                continue;
            };
            let (revision, key) = ack.split_once(' ').unwrap();
            acknowledged.push((revision.parse::<Revision>().unwrap(), key.to_owned()));
            if acknowledged.len() % WRITES_BEFORE_KILL == 0 {
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        let store = open(directory.path());
        let range = store.range("").await.unwrap();
        for (revision, key) in &acknowledged {
            let entry = range.entries.iter().find(|entry| entry.key == *key);
            let entry = entry.unwrap_or_else(|| panic!("round {round}: {key} is gone"));
            assert_eq!(
                (entry.mod_revision, entry.value.as_slice()),
                (*revision, key.as_bytes())
            );
        }
    }
    assert_eq!(acknowledged.len(), KILLS as usize * WRITES_BEFORE_KILL);
}

const WRITER_DIRECTORY: &str = "KEYWAY_TEST_WRITER_DIRECTORY";
const WRITER_ROUND: &str = "KEYWAY_TEST_WRITER_ROUND";
const ACKNOWLEDGED: &str = "acknowledged ";

/// The child of `acknowledged_writes_survive_sigkill`.
#[tokio::test]
#[ignore = "run by another test, as its child"]
#[expect(clippy::print_stdout, reason = "tells its parent")]
async fn writer_to_kill() {
    let Ok(directory) = std::env::var(WRITER_DIRECTORY) else {
        return;
    };
    let round = std::env::var(WRITER_ROUND).unwrap();
    let store = open(Path::new(&directory));
    // The parent kills this process long before the end.
    for number in 0..100_000 {
        let key = format!("{round}/{number}");
        let revision = put(&store, &key, &key).await;
        println!("{ACKNOWLEDGED}{revision} {key}");
    }
}

/// Damages the database in many ways: opening never panics, and always ends with a usable store that is
/// whole or says what happened.
#[tokio::test]
async fn a_damaged_database_is_set_aside() {
    let original = tempfile::tempdir().unwrap();
    let store = open(original.path());
    let (_, entries, _) = conformance::fill(&store, "kept/").await;
    drop(store);
    let file = original.path().join("db/db");
    let content = fs::read(&file).unwrap();
    // sled preallocates: what was written ends at the last byte that is not zero.
    let used = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;

    let mut damaged = 0;
    for step in 0..24 {
        let directory = tempfile::tempdir().unwrap();
        copy_directory(original.path(), directory.path());
        let mut bytes = content.clone();
        let at = used * step / 24;
        match step % 4 {
            0 => bytes[at] ^= 0xff,
            1 => bytes[at..(at + 64).min(used)].fill(0xaa),
            2 => bytes[at..(at + 4096).min(used)].fill(0),
            _ => bytes.truncate(at),
        }
        fs::write(directory.path().join("db/db"), bytes).unwrap();
        let opened = SledStore::open(directory.path(), 0).unwrap();
        let found = opened.store.range("kept/").await.unwrap().entries;
        match &opened.damage {
            Some(report) => {
                damaged += 1;
                assert!(report.set_aside.as_ref().unwrap().is_dir());
                assert_eq!(report.entries, found.len());
                assert_ne!(
                    report.restored_from == RestoredFrom::Nothing,
                    report.entries > 0
                );
            }
            None => assert_eq!(found, entries, "step {step}"),
        }
        put(&opened.store, "usable", "").await;
    }
    assert!(damaged > 12, "{damaged} of 24 did any harm");
}

#[tokio::test]
async fn the_newest_good_export_takes_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()));
    let exports = store.exports_directory();
    let shared: Arc<dyn Store> = store.clone();
    put(&*store, "a", "1").await;
    let exporter = tokio::spawn(crate::control_plane::store::keep_exported(
        shared,
        exports.clone(),
        std::time::Duration::from_millis(1),
    ));
    let mut look = tokio::time::interval(std::time::Duration::from_millis(5));
    let exported = |revision: Revision| exports.join(format!("{revision:020}.jsonl"));
    while !exported(1).exists() {
        look.tick().await;
    }
    let second = put(&*store, "a", "2").await;
    while !exported(second).exists() {
        look.tick().await;
    }
    exporter.abort();
    assert!(exporter.await.unwrap_err().is_cancelled());
    drop(store);

    // The newest one is damaged too.
    let newest = fs::read_to_string(exported(second)).unwrap();
    fs::write(exported(second), newest.replace("\"2\"", "\"3\"")).unwrap();
    fs::write(directory.path().join("db/db"), vec![0x5a; 100_000]).unwrap();
    let opened = SledStore::open(directory.path(), 0).unwrap();
    let report = opened.damage.unwrap();
    assert_eq!(report.restored_from, RestoredFrom::Export(exported(1)));
    assert_eq!(report.entries, 1);
    let range = opened.store.range("").await.unwrap();
    assert_eq!(range.entries[0].value, b"1");
    assert!(range.revision > second, "revisions are not given out twice");
    drop(opened.store);

    // A database that is gone, and one that is older than the export, are damage as well.
    fs::remove_dir_all(directory.path().join("db")).unwrap();
    let opened = SledStore::open(directory.path(), 0).unwrap();
    assert_eq!(
        opened.damage.unwrap().restored_from,
        RestoredFrom::Export(exported(1))
    );
    let next = put(&opened.store, "b", "").await;
    assert!(next > second);
    drop(opened.store);
    open(directory.path());
}

#[tokio::test]
async fn a_file_system_error_is_not_damage() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    put(&store, "a", "").await;
    drop(store);
    let database = directory.path().join("db");
    fs::rename(database.join("db"), database.join("moved")).unwrap();
    // A directory where the log should be cannot be read as a file.
    fs::create_dir(database.join("db")).unwrap();
    let error = SledStore::open(directory.path(), 0).err().unwrap();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    fs::remove_dir(database.join("db")).unwrap();
    fs::rename(database.join("moved"), database.join("db")).unwrap();
    assert_eq!(
        open(directory.path())
            .range("")
            .await
            .unwrap()
            .entries
            .len(),
        1
    );
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
