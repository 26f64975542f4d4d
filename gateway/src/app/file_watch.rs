//! Notices when files are replaced. Polling: certificate tools replace files by renaming, and a look at
//! two files costs nothing.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What changes when a file is written or replaced.
type Mark = Option<(u64, u64, i64, i64)>;

/// Remembers how files looked.
pub(super) struct FileWatch {
    files: Vec<(PathBuf, Mark)>,
}

impl FileWatch {
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        let files = paths.into_iter().map(|path| {
            let mark = mark(&path);
            (path, mark)
        });
        Self {
            files: files.collect(),
        }
    }

    /// Whether any file differs from the last look.
    pub(super) fn changed(&mut self) -> bool {
        let mut changed = false;
        for (path, seen) in &mut self.files {
            let mark = mark(path);
            changed |= mark != *seen;
            *seen = mark;
        }
        changed
    }
}

fn mark(path: &Path) -> Mark {
    let metadata = fs::metadata(path).ok()?;
    Some((
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_noticed_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("endpoint.pem");
        fs::write(&path, "one").expect("written");
        let mut watch = FileWatch::new(vec![path.clone()]);
        assert!(!watch.changed());

        let next = directory.path().join("next.pem");
        fs::write(&next, "two").expect("written");
        fs::rename(&next, &path).expect("renamed");
        assert!(watch.changed());
        assert!(!watch.changed());

        fs::remove_file(&path).expect("removed");
        assert!(watch.changed());
    }
}
