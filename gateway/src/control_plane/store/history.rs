//! The change log: which changes are kept, how one is laid out, and which leave when new ones come.

use std::collections::VecDeque;

use super::{Change, Operation, Revision};

/// Changes kept for followers. One that reads less often than this many changes starts over.
pub(super) const HISTORY_CHANGES_MAX: usize = 4096;
/// Bytes of keys and values kept with them.
pub(super) const HISTORY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where a change lies in the log: revision, then its place in the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChangeId {
    pub(super) revision: Revision,
    pub(super) index: u32,
}

/// The log's index, in memory.
#[derive(Debug, Default)]
pub(super) struct History {
    changes: VecDeque<(ChangeId, usize)>,
    bytes: usize,
}

impl History {
    /// Notes a change at the end of the log. `bytes` is the size of its payload.
    pub(super) fn push(&mut self, id: ChangeId, bytes: usize) {
        self.changes.push_back((id, bytes));
        self.bytes += bytes;
    }

    /// Takes out what exceeds the bounds: whole revisions, oldest first, never the newest one.
    pub(super) fn compact(&mut self) -> Vec<ChangeId> {
        let mut removed = Vec::new();
        while self.changes.len() > HISTORY_CHANGES_MAX || self.bytes > HISTORY_BYTES_MAX {
            let oldest = self.changes.front().map(|(id, _)| id.revision);
            if oldest == self.newest() {
                break;
            }
            while let Some((id, bytes)) = self
                .changes
                .pop_front_if(|(id, _)| Some(id.revision) == oldest)
            {
                self.bytes -= bytes;
                removed.push(id);
            }
        }
        removed
    }

    pub(super) fn oldest(&self) -> Option<Revision> {
        self.changes.front().map(|(id, _)| id.revision)
    }

    pub(super) fn newest(&self) -> Option<Revision> {
        self.changes.back().map(|(id, _)| id.revision)
    }
}

/// `D` or `P` ‖ length of the key ‖ key ‖ value.
pub(super) fn encode(operation: &Operation) -> Vec<u8> {
    let (tag, key, value): (u8, &str, &[u8]) = match operation {
        Operation::Put { key, value } => (b'P', key, value),
        Operation::Delete { key } => (b'D', key, &[]),
    };
    let key_len = u32::try_from(key.len()).expect("keys are bounded");
    let mut bytes = Vec::with_capacity(1 + 4 + key.len() + value.len());
    bytes.push(tag);
    bytes.extend(key_len.to_le_bytes());
    bytes.extend(key.as_bytes());
    bytes.extend(value);
    bytes
}

/// `None` when the payload is not one [`encode`] made.
pub(super) fn decode(revision: Revision, payload: &[u8]) -> Option<Change> {
    let (tag, rest) = payload.split_first()?;
    let (key_len, rest) = rest.split_first_chunk()?;
    let (key, value) = rest.split_at_checked(u32::from_le_bytes(*key_len) as usize)?;
    let value = match tag {
        b'P' => Some(value.to_vec()),
        b'D' if value.is_empty() => None,
        _ => return None,
    };
    Some(Change {
        revision,
        key: str::from_utf8(key).ok()?.to_owned(),
        value,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn put(history: &mut History, revision: Revision, changes: u32, bytes: usize) {
        for index in 0..changes {
            history.push(ChangeId { revision, index }, bytes);
        }
    }

    #[test]
    fn whole_revisions_leave_oldest_first() {
        let mut history = History::default();
        put(&mut history, 1, 3, 10);
        put(&mut history, 2, 2, 10);
        put(
            &mut history,
            3,
            u32::try_from(HISTORY_CHANGES_MAX).unwrap() - 4,
            1,
        );
        let removed: Vec<_> = history
            .compact()
            .iter()
            .map(|id| (id.revision, id.index))
            .collect();
        assert_eq!(removed, [(1, 0), (1, 1), (1, 2)]);
        assert_eq!(history.oldest(), Some(2));
        assert!(history.compact().is_empty());
    }

    #[test]
    fn bytes_count_too_and_the_newest_stays() {
        let mut history = History::default();
        put(&mut history, 1, 1, HISTORY_BYTES_MAX);
        assert!(history.compact().is_empty());
        put(&mut history, 2, 2, HISTORY_BYTES_MAX);
        assert_eq!(
            history.compact(),
            [ChangeId {
                revision: 1,
                index: 0
            }]
        );
        assert_eq!(history.oldest(), Some(2));
    }

    #[test]
    fn changes_come_back_as_they_were() {
        let put = Operation::Put {
            key: "a/ü".into(),
            value: b"\0\xff".to_vec(),
        };
        let empty = Operation::Put {
            key: "a".into(),
            value: Vec::new(),
        };
        let delete = Operation::Delete { key: "a".into() };
        for (operation, key, value) in [
            (put, "a/ü", Some(b"\0\xff".to_vec())),
            (empty, "a", Some(Vec::new())),
            (delete, "a", None),
        ] {
            let change = decode(9, &encode(&operation)).unwrap();
            assert_eq!(
                (change.revision, change.key.as_str(), change.value),
                (9, key, value)
            );
        }
        for bad in [
            &b""[..],
            b"P",
            b"X\x00\x00\x00\x00",
            b"P\x02\x00\x00\x00a",
            b"P\x01\x00\x00\x00\xff",
        ] {
            assert_eq!(decode(1, bad), None, "{bad:?}");
        }
    }
}
