use std::{
    fs::OpenOptions,
    os::unix::fs::{FileExt, PermissionsExt},
    path::PathBuf,
};

use tempfile::TempDir;

use super::{
    super::{Ledger, tests::key},
    *,
};
use crate::{
    control_plane::store::SledStore,
    handoff::ledger::{Bucket, Grant, Unit},
};

const DAY: u32 = 86_400;
const NOON: u64 = 43_200;
const BOOT: u128 = 7;
const ID: u128 = 9;

struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("limits")
    }

    /// As after a start; the file of the last run was `noted`.
    fn open(&self, noted: Option<u128>) -> Tally {
        Tally::open_in(BOOT, &self.path(), noted)
    }

    /// A file in which the bucket `b` has spent 12 of 30.
    fn used(&self) -> u128 {
        let mut tally = self.open(None);
        let bucket = claim(&mut tally, "b").0;
        bucket.grant(Grant {
            window: 0,
            amount: 30,
        });
        bucket.spend(NOON, 12, 100).unwrap();
        tally.id.unwrap()
    }
}

/// The bucket, and whether what it spent is known.
fn claim(tally: &mut Tally, name: &str) -> (Bucket, bool) {
    let claimed = tally.claim(name, DAY);
    let bucket = Bucket::durable(Unit::Tokens, DAY, name, claimed.words);
    (bucket, claimed.is_known)
}

#[test]
fn what_was_counted_is_there_for_the_next_run() {
    let place = Place::new();
    let id = place.used();
    let mode = place.path().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut tally = place.open(Some(id));
    let (bucket, is_known) = claim(&mut tally, "b");
    assert!(is_known);
    assert_eq!(bucket.spent(NOON), 12);
    let (other, is_known) = claim(&mut tally, "c");
    assert!(!is_known);
    assert_eq!(other.spent(NOON), 0);
}

#[test]
fn a_file_of_another_boot_or_of_an_earlier_run_says_nothing() {
    let place = Place::new();
    let id = place.used();
    for (boot, noted) in [(BOOT + 1, Some(id)), (BOOT, Some(ID)), (BOOT, None)] {
        let kept = std::fs::read(place.path()).unwrap();
        let mut tally = Tally::open_in(boot, &place.path(), noted);
        assert!(!claim(&mut tally, "b").1, "{boot} {noted:?}");
        assert!(tally.file.is_some());
        assert_ne!(tally.id, Some(id));
        std::fs::write(place.path(), kept).unwrap();
    }
}

#[test]
fn a_damaged_file_is_put_aside() {
    let damages: [fn(&std::fs::File); 4] = [
        |file| file.set_len(100).unwrap(),
        |file| file.set_len(0).unwrap(),
        |file| file.write_all_at(b"garbage!", 0).unwrap(),
        |file| {
            // A second line of the same bucket.
            let mut line = [0; 64];
            file.read_exact_at(&mut line, 64).unwrap();
            file.write_all_at(&line, 128).unwrap();
        },
    ];
    for damage in damages {
        let place = Place::new();
        let id = place.used();
        let file = OpenOptions::new().read(true).write(true).open(place.path());
        damage(&file.unwrap());
        let mut tally = place.open(Some(id));
        assert!(!claim(&mut tally, "b").1);
        assert!(tally.file.is_some(), "a new one is in use");
        assert!(place.path().with_extension("damaged").exists());
    }
    let place = Place::new();
    std::os::unix::fs::symlink("/etc/passwd", place.path()).unwrap();
    assert!(place.open(Some(ID)).file.is_none());
}

#[test]
fn it_grows_and_what_a_cut_took_is_not_known() {
    let place = Place::new();
    let id = {
        let mut tally = place.open(None);
        let buckets: Vec<_> = (0..20_000)
            .map(|bucket| claim(&mut tally, &bucket.to_string()).0)
            .collect();
        for bucket in &buckets {
            bucket.recover(Grant {
                window: 0,
                amount: 5,
            });
        }
        tally.id.unwrap()
    };
    let length = place.path().metadata().unwrap().len();
    assert_eq!(length, 2 << 20);
    let known = |tally: &mut Tally, name: &str| {
        let (bucket, is_known) = claim(tally, name);
        is_known.then(|| bucket.spent(NOON))
    };
    let mut tally = place.open(Some(id));
    assert_eq!(known(&mut tally, "3"), Some(5));
    assert_eq!(known(&mut tally, "19999"), Some(5));
    drop(tally);
    // Also in the middle of a segment.
    let file = OpenOptions::new().write(true).open(place.path());
    file.unwrap().set_len(length - 1).unwrap();
    let mut tally = place.open(Some(id));
    assert_eq!(known(&mut tally, "3"), Some(5));
    assert_eq!(known(&mut tally, "19999"), None);
    assert_eq!(known(&mut tally, "19999"), Some(0), "it has a line again");
}

#[test]
fn a_line_is_reused_once_its_window_is_over() {
    let place = Place::new();
    let mut tally = place.open(None);
    let (bucket, _) = claim(&mut tally, "b");
    bucket.recover(Grant {
        window: 1,
        amount: 5,
    });
    let day = u64::from(DAY);
    let free = tally.free.len();
    tally.reclaim(2 * day);
    assert_eq!(tally.free.len(), free, "it is in use");
    tally.release(bucket.digest());
    drop(bucket);
    tally.reclaim(2 * day - 1);
    assert_eq!(tally.free.len(), free, "its window goes on");
    let (bucket, is_known) = claim(&mut tally, "b");
    assert!(is_known, "it came back");
    tally.reclaim(2 * day);
    assert_eq!(tally.free.len(), free);
    tally.release(bucket.digest());
    drop(bucket);
    tally.reclaim(2 * day);
    assert_eq!(tally.free.len(), free + 1);
    let (other, is_known) = claim(&mut tally, "c");
    assert_eq!((other.spent(2 * day), is_known), (0, false));
    assert!(!claim(&mut tally, "b").1);
}

#[test]
fn without_a_file_buckets_count_on_the_heap() {
    let place = Place::new();
    let nowhere = place.directory.path().join("missing/limits");
    let mut tally = Tally::open_in(BOOT, &nowhere, None);
    let (bucket, is_known) = claim(&mut tally, "b");
    assert_eq!((bucket.digest(), is_known), (0, false));
    tally.release(0);
    tally.reclaim(NOON);
}

#[test]
fn where_the_file_cannot_grow_further_buckets_count_on_the_heap() {
    let mut tally = Tally::with(TallyFile::full(), ID).unwrap();
    let is_kept =
        |tally: &mut Tally, bucket: u64| claim(tally, &bucket.to_string()).0.digest() != 0;
    let kept = (0..).take_while(|bucket| is_kept(&mut tally, *bucket));
    assert_eq!(kept.count(), 16 * 1024 - file::HEADER_LINES);
    assert!(!is_kept(&mut tally, 20_000));
    // One that comes free is given away again.
    tally.release(digest_of("3"));
    tally.reclaim(u64::from(DAY));
    assert!(is_kept(&mut tally, 20_000));
    assert!(!is_kept(&mut tally, 20_001));
}

#[tokio::test]
async fn the_store_names_the_file_that_was_in_use_last() {
    let place = Place::new();
    let opened = SledStore::open(&place.directory.path().join("store"), 0).unwrap();
    let store: &dyn Store = &opened.store;
    let elsewhere = place.directory.path().join("elsewhere");
    let spent = |tally, expected| async move {
        let ledger = Ledger::load(store, tally, NOON).await.unwrap();
        let bucket = ledger.bucket(key("ada"));
        assert_eq!(bucket.spent(u64::from(DAY)), expected);
        bucket.recover(Grant {
            window: 1,
            amount: bucket.spent(u64::from(DAY)) + 1,
        });
    };
    spent(Tally::open(&place.path(), store).await.unwrap(), 0).await;
    spent(Tally::open(&place.path(), store).await.unwrap(), 1).await;
    // A run elsewhere, and one without a file, make what lies here old.
    spent(Tally::open(&elsewhere, store).await.unwrap(), 0).await;
    spent(Tally::open(&place.path(), store).await.unwrap(), 0).await;
    let nowhere = place.directory.path().join("missing/limits");
    spent(Tally::open(&nowhere, store).await.unwrap(), 0).await;
    spent(Tally::open(&place.path(), store).await.unwrap(), 0).await;
    spent(Tally::open(&place.path(), store).await.unwrap(), 1).await;
}
