//! Looks for copies of secrets in the memory of another process: raw, in base64 and Huffman-coded as
//! in HTTP/2 heads. Reads `/proc/PID/mem`, which takes the right to trace the process.

mod coding;

use std::{collections::BTreeMap, fmt, fs::File, io, ops::Range, os::unix::fs::FileExt as _};

use anyhow::{Context as _, Result, ensure};

pub use coding::Coding;

/// Read at a time.
const WINDOW_BYTES: usize = 1 << 20;
/// Bytes of a secret that are looked for on their own: half-overwritten copies count too.
const PIECE_BYTES: usize = 16;
/// `pagemap`: one word per page (Documentation/admin-guide/mm/pagemap.rst).
const PAGEMAP_ENTRY_BYTES: usize = 8;
const PAGE_IN_MEMORY: u64 = 1 << 63;
const PAGE_IN_SWAP: u64 = 1 << 62;

/// A secret to look for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What findings call it.
    pub name: &'static str,
    pub secret: &'a [u8],
}

/// A piece of a secret in some memory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub name: &'static str,
    pub coding: Coding,
    /// Which piece of the secret, from 0.
    pub piece: usize,
    pub address: usize,
    pub place: Place,
}

/// The mapping a piece lies in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Locked and in no dump: the arena, when it is no secret memory.
    Arena,
    /// In no dump, but not locked: the arena where nothing can be locked.
    UnlockedArena,
    /// Anything else, as `/proc/PID/maps` calls it.
    Mapping(String),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            coding,
            piece,
            address,
            place,
        } = self;
        write!(
            f,
            "{name} piece {piece} {coding:?} at {address:#x} in {place:?}"
        )
    }
}

/// What a scan saw.
#[derive(Debug)]
pub struct Scan {
    pub found: Vec<Found>,
    /// Bytes looked at.
    pub bytes: usize,
    /// Bytes of secret memory (memfd_secret), which the kernel shows to nobody.
    pub hidden_bytes: usize,
}

impl Scan {
    /// Findings outside the arena, for a failure's message.
    pub fn leaks(&self) -> impl Iterator<Item = &Found> {
        self.found
            .iter()
            .filter(|found| found.place != Place::Arena)
    }

    /// Pieces by where and how they lie, for people.
    pub fn summary(&self) -> BTreeMap<(&'static str, Coding, Place), usize> {
        let mut counts = BTreeMap::new();
        for found in &self.found {
            *counts
                .entry((found.name, found.coding, found.place.clone()))
                .or_default() += 1;
        }
        counts
    }
}

/// Looks through everything the process has in memory or swap.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`] inside without the right to trace it; or when it ends.
pub fn scan(pid: u32, wanted: &[Wanted<'_>]) -> Result<Scan> {
    let memory = File::open(format!("/proc/{pid}/mem")).context("open its memory")?;
    let pagemap = File::open(format!("/proc/{pid}/pagemap")).context("open its page map")?;
    let patterns = Patterns::of(wanted);
    let mut scan = Scan {
        found: Vec::new(),
        bytes: 0,
        hidden_bytes: 0,
    };
    let mut window = vec![0; WINDOW_BYTES];
    for mapping in mappings(pid)? {
        if mapping.secret_memory {
            scan.hidden_bytes += mapping.range.len();
            continue;
        }
        for present in present_ranges(&pagemap, &mapping.range)? {
            scan.bytes += present.len();
            let mut start = present.start;
            while start < present.end {
                let length = WINDOW_BYTES.min(present.end - start);
                let part = &mut window[..length];
                match memory.read_exact_at(part, start as u64) {
                    Ok(()) => patterns.find(part, |pattern, offset| {
                        scan.found.push(Found {
                            name: pattern.name,
                            coding: pattern.coding,
                            piece: pattern.piece,
                            address: start + offset,
                            place: mapping.place(),
                        });
                    }),
                    // It was given back to the kernel since the maps were read.
                    Err(error) if error.raw_os_error() == Some(libc::EIO) => {}
                    Err(error) => return Err(error).context("read its memory"),
                }
                // Patterns across the edge are found in the next window, which overlaps.
                start = match present.end - start > length {
                    true => start + length - patterns.longest,
                    false => present.end,
                };
            }
        }
    }
    scan.found.sort();
    scan.found.dedup();
    Ok(scan)
}

/// Whether this process may look into `pid`'s memory at all.
///
/// # Errors
/// Why not.
pub fn may_scan(pid: u32) -> io::Result<()> {
    File::open(format!("/proc/{pid}/mem")).map(drop)
}

struct Mapping {
    range: Range<usize>,
    name: String,
    locked: bool,
    undumped: bool,
    secret_memory: bool,
}

impl Mapping {
    fn place(&self) -> Place {
        match (self.undumped, self.locked) {
            (true, true) => Place::Arena,
            (true, false) => Place::UnlockedArena,
            (false, _) => Place::Mapping(self.name.clone()),
        }
    }
}

/// Readable mappings with their flags, from `smaps`.
fn mappings(pid: u32) -> Result<Vec<Mapping>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps"))?;
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in text.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            let mapping = mappings.last_mut().context("flags of no mapping")?;
            mapping.locked = flags.split(' ').any(|flag| flag == "lo");
            mapping.undumped = flags.split(' ').any(|flag| flag == "dd");
            continue;
        }
        let mut words = line.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        let Some((start, end)) = first.split_once('-') else {
            continue;
        };
        let address = |text| usize::from_str_radix(text, 16).context("an address");
        let readable = words.next().is_some_and(|access| access.starts_with('r'));
        let name = words.nth(3).unwrap_or("anonymous");
        mappings.push(Mapping {
            // What cannot be read is kept with no extent, for its flags to have an owner.
            range: match readable {
                true => address(start)?..address(end)?,
                false => 0..0,
            },
            name: name.to_owned(),
            locked: false,
            undumped: false,
            secret_memory: name == "/secretmem",
        });
    }
    ensure!(!mappings.is_empty(), "the process has no memory");
    // Kernel code and data that every process shares.
    mappings.retain(|mapping| !mapping.name.starts_with("[v"));
    Ok(mappings)
}

/// Runs of pages that hold something; untouched ones would be made by reading them.
fn present_ranges(pagemap: &File, range: &Range<usize>) -> Result<Vec<Range<usize>>> {
    // SAFETY: `sysconf` takes a plain number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) })?;
    let mut entries = vec![0; range.len() / page * PAGEMAP_ENTRY_BYTES];
    pagemap
        .read_exact_at(
            &mut entries,
            (range.start / page * PAGEMAP_ENTRY_BYTES) as u64,
        )
        .context("read its page map")?;
    let mut runs: Vec<Range<usize>> = Vec::new();
    let (entries, _) = entries.as_chunks::<PAGEMAP_ENTRY_BYTES>();
    for (number, entry) in entries.iter().enumerate() {
        if u64::from_ne_bytes(*entry) & (PAGE_IN_MEMORY | PAGE_IN_SWAP) == 0 {
            continue;
        }
        let start = range.start + number * page;
        match runs.last_mut() {
            Some(run) if run.end == start => run.end += page,
            Some(_) | None => runs.push(start..start + page),
        }
    }
    Ok(runs)
}

struct Pattern {
    name: &'static str,
    coding: Coding,
    piece: usize,
    bytes: Vec<u8>,
}

/// Patterns by their first two bytes: one look per position rules almost everything out.
struct Patterns {
    all: Vec<Pattern>,
    begins: Vec<bool>,
    longest: usize,
}

impl Patterns {
    fn of(wanted: &[Wanted<'_>]) -> Self {
        let mut all: Vec<Pattern> = Vec::new();
        for Wanted { name, secret } in wanted {
            for (number, piece) in secret.chunks_exact(PIECE_BYTES).enumerate() {
                for (coding, bytes) in coding::codings(piece) {
                    if all.iter().all(|other| other.bytes != bytes) {
                        all.push(Pattern {
                            name,
                            coding,
                            piece: number,
                            bytes,
                        });
                    }
                }
            }
        }
        let mut begins = vec![false; 1 << 16];
        for pattern in &all {
            begins[begin(&pattern.bytes)] = true;
        }
        let longest = all
            .iter()
            .map(|pattern| pattern.bytes.len())
            .max()
            .unwrap_or(0);
        Self {
            all,
            begins,
            longest,
        }
    }

    fn find(&self, memory: &[u8], mut found: impl FnMut(&Pattern, usize)) {
        for (offset, pair) in memory.windows(2).enumerate() {
            if self.begins[begin(pair)] {
                for pattern in &self.all {
                    if memory[offset..].starts_with(&pattern.bytes) {
                        found(pattern, offset);
                    }
                }
            }
        }
    }
}

fn begin(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// Which of `wanted` shows in `bytes`, in any coding, and where; for logs, answers and files.
pub fn shown(bytes: &[u8], wanted: &[Wanted<'_>]) -> Vec<(&'static str, Coding, usize)> {
    let patterns = Patterns::of(wanted);
    let mut shown = Vec::new();
    patterns.find(bytes, |pattern, at| {
        shown.push((pattern.name, pattern.coding, at))
    });
    shown
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn finds_what_this_process_holds() {
        let secret: String = (0..48).map(|i| char::from(b'A' + i)).collect();
        let wanted = [Wanted {
            name: "own",
            secret: secret.as_bytes(),
        }];
        let scan = scan(std::process::id(), &wanted).unwrap();
        let raw = scan.leaks().filter(|found| found.coding == Coding::Raw);
        let here = secret.as_ptr().addr();
        let pieces: Vec<usize> = raw
            .filter(|found| (here..here + secret.len()).contains(&found.address))
            .map(|found| found.piece)
            .collect();
        assert_eq!(pieces, [0, 1, 2]);
        assert!(scan.bytes > 0);
    }

    #[test]
    fn finds_every_coding_anywhere() {
        let wanted = [Wanted {
            name: "key",
            secret: b"0123456789abcdef",
        }];
        let in_base64 = "eDAxMjM0NTY3ODlhYmNkZWY="; // "x0123456789abcdef"
        assert_eq!(shown(in_base64.as_bytes(), &wanted).len(), 1);
        assert_eq!(
            shown(b"..0123456789abcdef..", &wanted),
            [("key", Coding::Raw, 2)]
        );
        assert_eq!(shown(b"..0123456789abcde...", &wanted), []);
    }
}
