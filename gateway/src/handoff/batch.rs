//! A batch: many encoded records under one header with a checksum. Workers build batches, the usage
//! writer stores them as they are, the indexer opens them.
//!
//! Header, little-endian: version `u8`, worker `u16`, count `u32`, first and last start `i64` (µs),
//! id of the first record `u128`, CRC-32 `u32` over everything else. Records follow, see
//! [`ExchangeRecord::encode`].

use super::record::{ExchangeRecord, RecordError};

/// A batch of this size is handed over.
pub const BATCH_BYTES: usize = 64 * 1024;

/// What a batch buffer is made for: a batch that is full but for one byte, and a usual record more.
const BUFFER_BYTES: usize = BATCH_BYTES + 4 * 1024;

/// Goes up with every change of a record's fields. What is added comes last, so that records without it are read.
const VERSION: u8 = 3;
const VERSION_OLDEST: u8 = 1;
const HEADER_BYTES: usize = 43;
const WORKER_AT: usize = 1;
const COUNT_AT: usize = 3;
const FIRST_AT: usize = 7;
const LAST_AT: usize = 15;
const KEY_AT: usize = 23;
const CHECKSUM_AT: usize = 39;

/// Identifies a batch: the id of its first record.
pub type BatchKey = [u8; 16];

/// The batch a worker is writing.
pub struct BatchBuilder {
    worker: u16,
    bytes: Vec<u8>,
    count: u32,
    first_us: i64,
    last_us: i64,
    first_id: u128,
}

impl BatchBuilder {
    pub fn new(worker: u16) -> Self {
        Self {
            worker,
            bytes: new_buffer(),
            count: 0,
            first_us: 0,
            last_us: 0,
            first_id: 0,
        }
    }

    pub fn append(&mut self, record: &ExchangeRecord<'_>) {
        if self.count == 0 {
            self.first_us = record.started_at_us;
            self.last_us = record.started_at_us;
            self.first_id = record.id;
        }
        // Records come in the order in which exchanges end, not begin.
        self.first_us = self.first_us.min(record.started_at_us);
        self.last_us = self.last_us.max(record.started_at_us);
        self.count += 1;
        record.encode(&mut self.bytes);
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn is_full(&self) -> bool {
        self.len() >= BATCH_BYTES
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Completes the batch and goes on in `next`, a buffer from [`new_buffer`] or [`reset_buffer`].
    pub fn seal(&mut self, next: Vec<u8>) -> Vec<u8> {
        let mut bytes = std::mem::replace(&mut self.bytes, next);
        bytes[0] = VERSION;
        bytes[WORKER_AT..COUNT_AT].copy_from_slice(&self.worker.to_le_bytes());
        bytes[COUNT_AT..FIRST_AT].copy_from_slice(&self.count.to_le_bytes());
        bytes[FIRST_AT..LAST_AT].copy_from_slice(&self.first_us.to_le_bytes());
        bytes[LAST_AT..KEY_AT].copy_from_slice(&self.last_us.to_le_bytes());
        bytes[KEY_AT..CHECKSUM_AT].copy_from_slice(&self.first_id.to_le_bytes());
        let checksum = checksum(&bytes);
        bytes[CHECKSUM_AT..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
        self.count = 0;
        bytes
    }
}

/// An empty buffer for a [`BatchBuilder`]: room for a header, which is written last.
pub fn new_buffer() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BUFFER_BYTES);
    bytes.resize(HEADER_BYTES, 0);
    bytes
}

/// Makes a used buffer an empty one again; `None` when it has grown too large to be kept.
pub fn reset_buffer(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    if bytes.capacity() > 2 * BUFFER_BYTES {
        return None;
    }
    bytes.truncate(HEADER_BYTES);
    Some(bytes)
}

/// The key of sealed bytes, without a look at the rest.
pub fn key(sealed: &[u8]) -> BatchKey {
    sealed[KEY_AT..CHECKSUM_AT]
        .try_into()
        .expect("a sealed batch has a header")
}

/// How many records sealed bytes hold, by their header.
pub fn count(sealed: &[u8]) -> u32 {
    u32_at(sealed, COUNT_AT)
}

/// A batch whose checksum holds.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub worker: u16,
    pub count: u32,
    /// Earliest and latest start of its exchanges, Unix time in microseconds.
    pub started_at_us: (i64, i64),
    records: &'a [u8],
}

impl<'a> Batch<'a> {
    pub fn open(bytes: &'a [u8]) -> Result<Self, BatchError> {
        if bytes.len() < HEADER_BYTES {
            return Err(BatchError::Short);
        }
        if !(VERSION_OLDEST..=VERSION).contains(&bytes[0]) {
            return Err(BatchError::Version(bytes[0]));
        }
        if u32_at(bytes, CHECKSUM_AT) != checksum(bytes) {
            return Err(BatchError::Checksum);
        }
        Ok(Self {
            worker: u16::from_le_bytes([bytes[WORKER_AT], bytes[WORKER_AT + 1]]),
            count: count(bytes),
            started_at_us: (i64_at(bytes, FIRST_AT), i64_at(bytes, LAST_AT)),
            records: &bytes[HEADER_BYTES..],
        })
    }

    /// All records, or the reason why this is no whole batch.
    pub fn records(&self) -> Result<Vec<ExchangeRecord<'a>>, BatchError> {
        let mut records = Vec::new();
        let mut rest = self.records;
        while !rest.is_empty() {
            let (record, after) = ExchangeRecord::decode(rest)?;
            records.push(record);
            rest = after;
        }
        if records.len() == self.count as usize {
            Ok(records)
        } else {
            Err(BatchError::Count {
                promised: self.count,
                found: records.len(),
            })
        }
    }
}

/// Why bytes are no batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("shorter than a batch header")]
    Short,
    #[error("batch format {0} is not known to this version")]
    Version(u8),
    #[error("checksum mismatch")]
    Checksum,
    #[error("batch promises {promised} records and holds {found}")]
    Count { promised: u32, found: usize },
    #[error(transparent)]
    Record(#[from] RecordError),
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..CHECKSUM_AT]);
    hasher.update(&bytes[HEADER_BYTES..]);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::handoff::{
        record::{CaptureState, Marks, tests::sample},
        trace::Trace,
    };

    fn sealed(count: usize) -> Vec<u8> {
        let mut builder = BatchBuilder::new(3);
        for i in 0..count {
            builder.append(&ExchangeRecord {
                id: 100 + i as u128,
                started_at_us: 50 - i as i64,
                ..sample()
            });
        }
        builder.seal(new_buffer())
    }

    #[test]
    fn a_batch_gives_back_its_records() {
        let bytes = sealed(5);
        let batch = Batch::open(&bytes).unwrap();
        assert_eq!(
            (batch.worker, batch.count, batch.started_at_us),
            (3, 5, (46, 50))
        );
        let ids: Vec<u128> = batch.records().unwrap().iter().map(|r| r.id).collect();
        assert_eq!(ids, [100, 101, 102, 103, 104]);
        assert_eq!(key(&bytes), 100_u128.to_le_bytes());
        assert_eq!(count(&bytes), 5);
    }

    #[test]
    fn any_flipped_byte_is_noticed() {
        let bytes = sealed(2);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            let expected = if at == 0 {
                BatchError::Version(VERSION ^ 0x10)
            } else {
                BatchError::Checksum
            };
            assert_eq!(Batch::open(&damaged).unwrap_err(), expected, "byte {at}");
        }
        assert_eq!(Batch::open(&bytes[..10]).unwrap_err(), BatchError::Short);
    }

    #[test]
    fn a_wrong_count_is_noticed() {
        let mut bytes = sealed(2);
        bytes[COUNT_AT] = 3;
        let checksum = checksum(&bytes);
        bytes[CHECKSUM_AT..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(
            Batch::open(&bytes).unwrap().records(),
            Err(BatchError::Count {
                promised: 3,
                found: 2
            })
        );
    }

    /// A batch of an older format, whose record ends `left_out` bytes before that of today.
    fn sealed_as(format: u8, left_out: usize) -> Vec<u8> {
        let mut bytes = sealed(0);
        let header_bytes = bytes.len();
        sample().encode(&mut bytes);
        bytes.truncate(bytes.len() - left_out);
        // The length comes first, in four bytes.
        let length = bytes.len() - header_bytes - 4;
        bytes[header_bytes] = length as u8 & 0x7f | 0x80;
        bytes[header_bytes + 1] = (length >> 7) as u8 & 0x7f | 0x80;
        (bytes[0], bytes[COUNT_AT]) = (format, 1);
        let checksum = checksum(&bytes);
        bytes[CHECKSUM_AT..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn batches_of_older_formats_are_read() {
        let in_format_3 = 1 + sample().response_model.len();
        let in_format_2 = ExchangeRecord {
            response_model: "",
            ..sample()
        };
        let bytes = sealed_as(2, in_format_3);
        assert_eq!(
            Batch::open(&bytes).unwrap().records(),
            Ok(vec![in_format_2.clone()])
        );
        let mut whole = Vec::new();
        sample().encode(&mut whole);
        let record = postcard::take_from_bytes::<ExchangeRecord<'_>>(&whole[4..]);
        let bytes = sealed_as(1, record.unwrap().1.len());
        let mut expected = ExchangeRecord {
            capture: CaptureState::Off,
            marks: Marks::default(),
            trace: Trace::default(),
            ..in_format_2
        };
        expected.attempts[0].begun_us = 0;
        assert_eq!(Batch::open(&bytes).unwrap().records(), Ok(vec![expected]));
    }

    #[test]
    fn a_change_of_the_format_has_a_version() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes);
        let found = (VERSION, crc32fast::hash(&bytes));
        assert_eq!(
            found,
            (3, 200_465_013),
            "raise VERSION, and read what is older"
        );
    }

    #[test]
    fn buffers_are_kept_unless_they_grew() {
        assert_eq!(reset_buffer(sealed(5)).unwrap().len(), HEADER_BYTES);
        assert!(reset_buffer(Vec::with_capacity(2 * BUFFER_BYTES + 1)).is_none());
    }
}
