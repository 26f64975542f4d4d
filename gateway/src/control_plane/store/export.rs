//! The logical form of a store: a header line, one JSON line per key, a trailer with a checksum. Text
//! that a person can read and compare, whatever the engine. Sealed values stay sealed.

use std::io::{self, BufRead, Read, Write};

use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::{
    Compare, KEY_BYTES_MAX, OPERATIONS_MAX, Operation, Revision, Store, StoreError, Transaction,
    TransactionOutcome, VALUE_BYTES_MAX,
};

/// Version of the format.
const VERSION: u32 = 1;
/// Longest accepted line: base64 grows by a third, escaped text at most doubles.
const LINE_BYTES_MAX: u64 = 2 * (VALUE_BYTES_MAX + KEY_BYTES_MAX) as u64 + 1024;
/// Largest accepted file.
const EXPORT_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    pub revision: Revision,
    pub entries: usize,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    pub entries: usize,
}

/// What import does about keys that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportMode {
    /// Refuse, unless the store is empty.
    IntoEmpty,
    /// Keys in the file win; others stay.
    Merge,
}

/// Why an export or import did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("line {line} is not part of a store export: {problem}")]
    Format { line: usize, problem: String },
    #[error("the export is incomplete: its last line is missing")]
    Truncated,
    #[error("the export was changed after it was written (checksum mismatch)")]
    Checksum,
    #[error("the store has {keys} keys; import into an empty store, or merge")]
    NotEmpty { keys: usize },
    #[error("the store was written to by somebody else during the import")]
    Interrupted,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes all keys under `prefix` (all of the store for `""`) as they are at one revision.
pub async fn export(
    store: &dyn Store,
    prefix: &str,
    writer: &mut (dyn Write + Send),
) -> Result<Exported, ExportError> {
    let range = store.range(prefix).await?;
    let mut output = Summing::new(writer);
    output.line(&Line::Header {
        keyway_store: VERSION,
        revision: range.revision,
        created_at: jiff::Timestamp::now(),
    })?;
    for entry in &range.entries {
        output.line(&Line::entry(&entry.key, &entry.value))?;
    }
    let sha256 = output.checksum();
    output.line(&Line::Trailer {
        entries: range.entries.len(),
        sha256,
    })?;
    writer.flush()?;
    Ok(Exported {
        revision: range.revision,
        entries: range.entries.len(),
    })
}

/// Reads a whole export, checks it, and only then writes it.
pub async fn import(
    store: &dyn Store,
    reader: impl BufRead + Send,
    mode: ImportMode,
) -> Result<Imported, ExportError> {
    let export = Export::read(reader)?;
    let present = store.range("").await?.entries;
    match mode {
        ImportMode::IntoEmpty if !present.is_empty() => {
            return Err(ExportError::NotEmpty {
                keys: present.len(),
            });
        }
        ImportMode::IntoEmpty | ImportMode::Merge => {}
    }
    let entries = export.entries.len();
    let mut entries_left = export.entries.into_iter().peekable();
    while entries_left.peek().is_some() {
        let part: Vec<_> = entries_left.by_ref().take(OPERATIONS_MAX).collect();
        // Into an empty store nothing may be overwritten, not even what came in since it was looked at.
        let compares = match mode {
            ImportMode::IntoEmpty => part
                .iter()
                .map(|(key, _)| Compare::Absent { key: key.clone() })
                .collect(),
            ImportMode::Merge => Vec::new(),
        };
        let operations = part
            .into_iter()
            .map(|(key, value)| Operation::Put { key, value })
            .collect();
        let outcome = store
            .transact(Transaction {
                compares,
                operations,
            })
            .await?;
        match outcome {
            TransactionOutcome::Committed { .. } => {}
            TransactionOutcome::Conflict { .. } => return Err(ExportError::Interrupted),
        }
    }
    Ok(Imported { entries })
}

/// A whole export, checked.
#[derive(Debug)]
pub(super) struct Export {
    pub(super) revision: Revision,
    pub(super) entries: Vec<(String, Vec<u8>)>,
}

impl Export {
    pub(super) fn read(reader: impl BufRead) -> Result<Self, ExportError> {
        let mut reader = reader.take(EXPORT_BYTES_MAX);
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut header = None;
        let mut entries = Vec::new();
        let mut bytes = Vec::new();
        for number in 1.. {
            let format = |problem: &str| ExportError::Format {
                line: number,
                problem: problem.to_owned(),
            };
            bytes.clear();
            reader
                .by_ref()
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut bytes)?;
            if bytes.is_empty() {
                break;
            }
            let line =
                serde_json::from_slice(&bytes).map_err(|error| format(&error.to_string()))?;
            match (line, header) {
                (
                    Line::Header {
                        keyway_store,
                        revision,
                        ..
                    },
                    None,
                ) => {
                    if keyway_store != VERSION {
                        return Err(format("made by another version"));
                    }
                    header = Some(revision);
                }
                (Line::Text { key, text }, Some(_)) => entries.push((key, text.into_bytes())),
                (Line::Bytes { key, base64 }, Some(_)) => {
                    let value = BASE64_STANDARD
                        .decode(base64)
                        .map_err(|_| format("not base64"))?;
                    entries.push((key, value));
                }
                (
                    Line::Trailer {
                        entries: expected,
                        sha256,
                    },
                    Some(revision),
                ) => {
                    if expected != entries.len() || sha256 != hex(hash.finish().as_ref()) {
                        return Err(ExportError::Checksum);
                    }
                    return Ok(Self { revision, entries });
                }
                (Line::Header { .. }, Some(_)) => return Err(format("a second header")),
                (Line::Text { .. } | Line::Bytes { .. } | Line::Trailer { .. }, None) => {
                    return Err(format("the header is missing"));
                }
            }
            hash.update(&bytes);
        }
        Err(ExportError::Truncated)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Header {
        keyway_store: u32,
        revision: Revision,
        created_at: jiff::Timestamp,
    },
    Text {
        key: String,
        text: String,
    },
    Bytes {
        key: String,
        base64: String,
    },
    Trailer {
        entries: usize,
        /// Of all bytes before this line.
        sha256: String,
    },
}

impl Line {
    fn entry(key: &str, value: &[u8]) -> Self {
        let key = key.to_owned();
        match str::from_utf8(value) {
            // Control characters would grow sixfold.
            Ok(text) if !text.contains(|c: char| c.is_ascii_control()) => Self::Text {
                key,
                text: text.to_owned(),
            },
            _ => Self::Bytes {
                key,
                base64: BASE64_STANDARD.encode(value),
            },
        }
    }
}

struct Summing<'a> {
    writer: &'a mut (dyn Write + Send),
    hash: digest::Context,
}

impl<'a> Summing<'a> {
    fn new(writer: &'a mut (dyn Write + Send)) -> Self {
        Self {
            writer,
            hash: digest::Context::new(&digest::SHA256),
        }
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.hash.update(&bytes);
        self.writer.write_all(&bytes)
    }

    fn checksum(&self) -> String {
        hex(self.hash.clone().finish().as_ref())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
