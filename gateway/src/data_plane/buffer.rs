//! Byte buffers of a worker: fixed pieces from a pool, held only while bytes are in them, so that an
//! idle connection holds none.

use std::cell::RefCell;

/// Size of a pooled piece: two TLS records, and what one `recv` takes at the most.
pub const PIECE_BYTES: usize = 32 * 1024;

/// Pieces kept for reuse per worker; more are freed.
const POOL_PIECES_LIMIT: usize = 512;

thread_local! {
    static POOL: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A window of received bytes over a piece of memory: filled at the back, consumed at the front.
/// Without bytes it owns no memory.
#[derive(Default)]
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Room behind the data: at least `min` bytes, taken from the pool or grown as needed.
    pub fn space(&mut self, min: usize) -> &mut [u8] {
        if self.bytes.len() - self.end < min {
            self.make_room(min);
        }
        &mut self.bytes[self.end..]
    }

    fn make_room(&mut self, min: usize) {
        let len = self.len();
        if self.bytes.len() - len < min {
            // Doubling keeps the copies of a body of unknown length few.
            let wanted = (len + min)
                .max(self.bytes.len() * 2)
                .next_multiple_of(PIECE_BYTES);
            let mut larger = take_piece(wanted);
            larger[..len].copy_from_slice(&self.bytes[self.start..self.end]);
            give_piece(std::mem::replace(&mut self.bytes, larger));
        } else {
            self.bytes.copy_within(self.start..self.end, 0);
        }
        self.start = 0;
        self.end = len;
    }

    /// `n` bytes were written into `space`.
    pub fn filled(&mut self, n: usize) {
        self.end += n;
        debug_assert!(
            self.end <= self.bytes.len(),
            "filled within the space given"
        );
    }

    pub fn extend(&mut self, bytes: &[u8]) {
        self.space(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.filled(bytes.len());
    }

    /// Adds `parts` in order.
    pub fn extend_all<const N: usize>(&mut self, parts: [&[u8]; N]) {
        let length = parts.iter().map(|part| part.len()).sum();
        let mut space = self.space(length);
        for part in parts {
            let (here, rest) = space.split_at_mut(part.len());
            here.copy_from_slice(part);
            space = rest;
        }
        self.filled(length);
    }

    /// The first `n` bytes are used up; memory goes back to the pool with the last of them.
    pub fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.end, "consumed no more than there was");
        self.release_if_empty();
    }

    /// Takes the first `n` bytes out in the memory where they are; what is behind them moves.
    pub fn take_front(&mut self, n: usize) -> Self {
        let mut rest = Self::default();
        if n < self.len() {
            rest.extend(&self.data()[n..]);
        }
        let mut front = std::mem::replace(self, rest);
        front.end = front.start + n;
        front
    }

    /// Puts `bytes` in front, where others were consumed; false when there is no room.
    pub fn prepend(&mut self, bytes: &[u8]) -> bool {
        let Some(start) = self.start.checked_sub(bytes.len()) else {
            return false;
        };
        self.bytes[start..self.start].copy_from_slice(bytes);
        self.start = start;
        true
    }

    /// Gives back memory that `space` took and nothing filled.
    pub fn release_if_empty(&mut self) {
        if self.is_empty() {
            self.release();
        }
    }

    fn release(&mut self) {
        self.start = 0;
        self.end = 0;
        give_piece(std::mem::take(&mut self.bytes));
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the bytes: they are prompts, answers and heads.
        write!(f, "Buffer({} bytes)", self.len())
    }
}

fn take_piece(len: usize) -> Box<[u8]> {
    if len == PIECE_BYTES
        && let Some(piece) = POOL.with_borrow_mut(Vec::pop)
    {
        return piece;
    }
    vec![0; len].into_boxed_slice()
}

fn give_piece(piece: Box<[u8]>) {
    if piece.len() == PIECE_BYTES {
        // At thread exit the pool may be gone already; then the piece is simply freed.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < POOL_PIECES_LIMIT {
                pool.push(piece);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_buffer_owns_nothing() {
        let mut buffer = Buffer::default();
        buffer.extend_all([b"he", b"", b"llo"]);
        assert_eq!(buffer.bytes.len(), PIECE_BYTES);
        buffer.consume(2);
        assert_eq!(buffer.data(), b"llo");
        buffer.consume(3);
        assert_eq!(buffer.bytes.len(), 0);
    }

    #[test]
    fn grows_and_keeps_order() {
        let mut buffer = Buffer::default();
        let all: Vec<u8> = (0..3 * PIECE_BYTES).map(|i| (i % 251) as u8).collect();
        for part in all.chunks(1000) {
            buffer.extend(part);
        }
        assert_eq!(buffer.data(), all);
        buffer.consume(PIECE_BYTES + 1);
        buffer.extend(b"tail");
        assert_eq!(&buffer.data()[..10], &all[PIECE_BYTES + 1..][..10]);
        assert!(buffer.data().ends_with(b"tail"));
    }

    #[test]
    fn the_front_stays_where_it_is() {
        let mut buffer = Buffer::default();
        buffer.extend(b"head,body,rest");
        buffer.consume(5);
        let place = buffer.data().as_ptr();
        let mut front = buffer.take_front(4);
        assert_eq!((front.data(), front.data().as_ptr()), (&b"body"[..], place));
        assert_eq!(buffer.data(), b",rest");
        assert!(!front.prepend(b"longer") && front.prepend(b"new,"));
        assert_eq!(front.data(), b"new,body");
        let whole = buffer.take_front(5);
        assert_eq!(whole.data(), b",rest");
        assert_eq!(buffer.bytes.len(), 0);
    }
}
