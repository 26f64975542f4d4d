//! The newest acknowledged revision, in a file beside the database. When sled meets damage in its log it
//! opens with what came before and says nothing; the watermark tells that something is missing.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use super::Revision;

/// Revision ‖ CRC-32; small enough for the file system to write it whole.
const BYTES: usize = 8 + 4;

/// The open file.
pub(super) struct Watermark(File);

impl Watermark {
    /// Opens or makes the file, and reads the revision; 0 when it is new or damaged.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Revision)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        let mut bytes = [0; BYTES];
        let revision = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => decode(bytes).unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(error),
        };
        Ok((Self(file), revision))
    }

    /// Not flushed: after a power cut it may be behind the database, which is harmless; it is never ahead.
    pub(super) fn set(&self, revision: Revision) -> io::Result<()> {
        self.0.write_all_at(&encode(revision), 0)
    }
}

fn encode(revision: Revision) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&revision.to_le_bytes());
    bytes[8..].copy_from_slice(&crc32fast::hash(&revision.to_le_bytes()).to_le_bytes());
    bytes
}

fn decode(bytes: [u8; BYTES]) -> Option<Revision> {
    let (revision, _) = bytes.split_first_chunk()?;
    let revision = Revision::from_le_bytes(*revision);
    (encode(revision) == bytes).then_some(revision)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn survives_reopening_and_ignores_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watermark");
        let (watermark, revision) = Watermark::open(&path).unwrap();
        assert_eq!(revision, 0);
        watermark.set(7).unwrap();
        watermark.set(u64::MAX).unwrap();
        assert_eq!(Watermark::open(&path).unwrap().1, u64::MAX);
        for damaged in [&b"short"[..], b"not a number", b""] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(Watermark::open(&path).unwrap().1, 0);
        }
    }
}
