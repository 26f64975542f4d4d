//! The file of lines: whose it is, and how it grows.
//!
//! It lies beside the sockets, as a rule in a tmpfs: it holds for one boot only, and a store to a page of a file on a
//! disk may wait for that disk while it is written back. Every line has its place in the file system before it is
//! mapped, so that a full one is noticed here and not by a worker.

use std::{
    fs::{self, File, OpenOptions},
    io,
    mem::size_of,
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use nix::{
    fcntl::{FallocateFlags, fallocate},
    sys::statfs::{TMPFS_MAGIC, statfs},
    unistd::geteuid,
};

use crate::handoff::ledger::{Line, Segment, Words};

const MAGIC: &[u8; 8] = b"KWTALLY1";
const HEADER_BYTES: usize = 40;
/// Lines that are the header's.
pub(super) const HEADER_LINES: usize = 1;
/// The file grows by a mebibyte, to 64 MiB and a million buckets.
const SEGMENT_LINES: usize = 16 * 1024;
const SEGMENT_BYTES: u64 = (SEGMENT_LINES * size_of::<Line>()) as u64;
pub(super) const SEGMENTS_MAX: usize = 64;
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// For what the lines hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) boot: u128,
    /// A random number, which the store has too.
    pub(super) id: u128,
}

/// Why a file is not used.
pub(super) enum Unusable {
    Absent,
    /// It is of another boot, or not of the last run with this store.
    Foreign,
    Damaged(&'static str),
    Io(io::Error),
}

/// The open file. Only one process has it open: the one that has locked the store.
pub(super) struct TallyFile {
    file: File,
    segments: Vec<Arc<Segment>>,
}

impl Seal {
    fn header(self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(MAGIC);
        header[8..24].copy_from_slice(&self.boot.to_le_bytes());
        header[24..].copy_from_slice(&self.id.to_le_bytes());
        header
    }
}

/// Tells this boot from others, for a file at `path`. A sandbox may hide the boot's id (`ProcSubset=pid`); then 0 will
/// do where no file outlives a boot.
pub(super) fn boot(path: &Path) -> io::Result<u128> {
    let hidden = match fs::read_to_string(BOOT_ID) {
        Ok(id) => {
            let digits = id.trim().replace('-', "");
            return u128::from_str_radix(&digits, 16).map_err(io::Error::other);
        }
        Err(error) => error,
    };
    let directory = path.parent().unwrap_or(path);
    match statfs(directory)?.filesystem_type() == TMPFS_MAGIC {
        true => Ok(0),
        false => Err(hidden),
    }
}

impl TallyFile {
    /// Opens what an earlier run left.
    pub(super) fn open(path: &Path, seal: Seal) -> Result<Self, Unusable> {
        let file = match options().open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unusable::Absent),
            Err(error) => return Err(Unusable::Io(error)),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.uid() != geteuid().as_raw() || metadata.nlink() != 1 {
            return Err(Unusable::Damaged("it is not this node's own"));
        }
        // What a kill left of a segment that was being added is cut off.
        let segments = metadata.len() / SEGMENT_BYTES;
        if !(1..=SEGMENTS_MAX as u64).contains(&segments) {
            return Err(Unusable::Damaged("its length"));
        }
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0)?;
        if !header.starts_with(MAGIC) {
            return Err(Unusable::Damaged("its header"));
        }
        if header != seal.header() {
            return Err(Unusable::Foreign);
        }
        let mut opened = Self {
            file,
            segments: Vec::new(),
        };
        opened.file.set_len(segments * SEGMENT_BYTES)?;
        for _ in 0..segments {
            opened.grow()?;
        }
        Ok(opened)
    }

    /// Makes a new file of one segment, in the place of what is there.
    pub(super) fn create(path: &Path, seal: Seal) -> io::Result<Self> {
        let new = path.with_added_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = options().create_new(true).open(&new)?;
        let mut created = Self {
            file,
            segments: Vec::new(),
        };
        let made = created
            .grow()
            .and_then(|_| created.file.write_all_at(&seal.header(), 0))
            .and_then(|()| fs::rename(&new, path));
        if let Err(error) = made {
            // Nobody would look at it; it only takes room.
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        Ok(created)
    }

    /// Adds a segment, or maps the next one of an old file; returns its lines.
    ///
    /// # Errors
    /// When the file system is full, and when this is as large as it gets.
    pub(super) fn grow(&mut self) -> io::Result<Range<usize>> {
        let segments = self.segments.len();
        if segments == SEGMENTS_MAX {
            return Err(io::Error::other("it has its greatest size"));
        }
        let offset = segments as u64 * SEGMENT_BYTES;
        let before = self.file.metadata()?.len();
        let reserved = fallocate(
            &self.file,
            FallocateFlags::empty(),
            offset as libc::off_t,
            SEGMENT_BYTES as libc::off_t,
        );
        if let Err(errno) = reserved {
            self.file.set_len(before)?;
            return Err(errno.into());
        }
        let segment = Segment::map(&self.file, offset, SEGMENT_LINES)?;
        self.segments.push(Arc::new(segment));
        let first = segments * SEGMENT_LINES;
        Ok(first.max(HEADER_LINES)..first + SEGMENT_LINES)
    }

    /// All, the header's too.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Line> {
        (0..self.segments.len() * SEGMENT_LINES).filter_map(|line| self.line(line))
    }

    pub(super) fn line(&self, line: usize) -> Option<&Line> {
        let segment = self.segments.get(line / SEGMENT_LINES)?;
        segment.line(line % SEGMENT_LINES)
    }

    pub(super) fn words(&self, line: usize) -> Option<Words> {
        let segment = self.segments.get(line / SEGMENT_LINES)?;
        Words::shared(segment, line % SEGMENT_LINES)
    }
}

#[cfg(test)]
impl TallyFile {
    /// One segment that cannot grow, as on a full disk.
    pub(super) fn full() -> Self {
        use nix::{
            fcntl::{FcntlArg, SealFlag, fcntl},
            sys::memfd::{MFdFlags, memfd_create},
        };

        let file = memfd_create("limits", MFdFlags::MFD_ALLOW_SEALING).unwrap();
        let mut full = Self {
            file: file.into(),
            segments: Vec::new(),
        };
        full.grow().unwrap();
        let seal = FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW);
        fcntl(&full.file, seal).unwrap();
        full
    }
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW);
    options
}
