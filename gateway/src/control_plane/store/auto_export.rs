//! Exports the store into a directory after changes, so that a damaged database can be replaced by a
//! recent copy. Files are named after their revision.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{ExportError, Exported, Revision, Store, StoreError, export};

/// Automatic exports kept; the newest may turn out to be of use to nobody.
const EXPORTS_KEPT: usize = 8;
const EXTENSION: &str = "jsonl";

/// Exports `store` into `directory` at once, and after changes at most every `interval_min`. Failures are
/// logged and tried again. Never ends; the control plane runs it as a task.
pub async fn keep_exported(store: Arc<dyn Store>, directory: PathBuf, interval_min: Duration) {
    let mut exported = 0;
    loop {
        // The content comes from one consistent read later; this only waits.
        match store.changes("", exported).await {
            Ok(_) | Err(StoreError::Compacted(_)) => match export_once(&*store, &directory).await {
                Ok(summary) => exported = summary.revision,
                Err(error) => tracing::warn!(%error, "automatic export of the store failed"),
            },
            Err(error) => tracing::warn!(%error, "the store does not tell its changes"),
        }
        tokio::time::sleep(interval_min).await;
    }
}

/// One export, complete on disk under its final name or not there at all.
async fn export_once(store: &dyn Store, directory: &Path) -> Result<Exported, ExportError> {
    let mut content = Vec::new();
    let exported = export(store, "", &mut content).await?;
    let directory = directory.to_owned();
    tokio::task::spawn_blocking(move || write(&directory, exported.revision, &content))
        .await
        .map_err(io::Error::other)??;
    Ok(exported)
}

fn write(directory: &Path, revision: Revision, content: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let temporary = directory.join("unfinished");
    // Sealed keys and token hashes are in there.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(
        &temporary,
        directory.join(format!("{revision:020}.{EXTENSION}")),
    )?;
    File::open(directory)?.sync_all()?;
    for old in newest_first(directory)?.into_iter().skip(EXPORTS_KEPT) {
        fs::remove_file(old)?;
    }
    Ok(())
}

/// The exports in `directory`; none if it does not exist.
pub(super) fn newest_first(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut exports = Vec::new();
    match fs::read_dir(directory) {
        Ok(entries) => {
            for entry in entries {
                exports.push(entry?.path());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    exports.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == EXTENSION)
    });
    exports.sort_unstable_by(|left, right| right.cmp(left));
    Ok(exports)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control_plane::store::{SledStore, conformance::put, export::Export};

    #[tokio::test]
    async fn exports_follow_changes_and_old_ones_leave() {
        let directory = tempfile::tempdir().unwrap();
        let opened = SledStore::open(directory.path(), 0).unwrap();
        let exports = opened.store.exports_directory();
        let store: Arc<dyn Store> = Arc::new(opened.store);
        assert!(newest_first(&exports).unwrap().is_empty());
        for number in 0..EXPORTS_KEPT + 3 {
            put(&*store, "key", &number.to_string()).await;
            export_once(&*store, &exports).await.unwrap();
        }
        let files = newest_first(&exports).unwrap();
        assert_eq!(files.len(), EXPORTS_KEPT);
        let newest = Export::read(io::BufReader::new(File::open(&files[0]).unwrap())).unwrap();
        assert_eq!(newest.entries, [("key".to_owned(), b"10".to_vec())]);

        let task = tokio::spawn(keep_exported(
            Arc::clone(&store),
            exports.clone(),
            Duration::from_millis(1),
        ));
        let revision = put(&*store, "key", "last").await;
        let wanted = exports.join(format!("{revision:020}.{EXTENSION}"));
        let mut look = tokio::time::interval(Duration::from_millis(5));
        while !wanted.exists() {
            look.tick().await;
        }
        task.abort();
    }
}
