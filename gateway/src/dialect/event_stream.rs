//! AWS event streams (`application/vnd.amazon.eventstream`): messages of a prelude, headers, a payload
//! and checksums, found while a stream passes in chunks of any size.
//!
//! Layout, all numbers big-endian: total length, length of the headers, CRC-32 of these eight bytes;
//! headers; payload; CRC-32 of all before it (smithy.io/2.0/aws/amazon-eventstream.html).

use crc32fast::Hasher;

/// Most bytes of a message held together; of a longer one the payload is passed over.
pub const MESSAGE_BYTES_LIMIT: usize = 64 * 1024;
/// Buffer kept between messages: an ordinary one fits, and idle streams hold little.
const BUFFER_BYTES_KEPT: usize = 4 * 1024;

const PRELUDE_BYTES: usize = 12;
const CRC_BYTES: usize = 4;
/// The type of a header whose value is text.
const TEXT: u8 = 7;

pub const MEDIA_TYPE: &str = "application/vnd.amazon.eventstream";

/// A message whose checksums are right.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    headers: &'a [u8],
    /// `None` when it is over the limit.
    pub payload: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// The value of a text header.
    pub fn header(&self, wanted: &str) -> Option<&'a str> {
        let mut rest = self.headers;
        loop {
            let (&length, after) = rest.split_first()?;
            let (name, after) = after.split_at_checked(usize::from(length))?;
            let (&kind, after) = after.split_first()?;
            let value_bytes = match kind {
                0 | 1 => 0,
                2 => 1,
                3 => 2,
                4 => 4,
                5 | 8 => 8,
                6 | TEXT => {
                    let (length, _) = after.split_first_chunk::<2>()?;
                    2 + usize::from(u16::from_be_bytes(*length))
                }
                9 => 16,
                _ => return None,
            };
            let (value, after) = after.split_at_checked(value_bytes)?;
            if kind == TEXT && name == wanted.as_bytes() {
                return std::str::from_utf8(&value[2..]).ok();
            }
            rest = after;
        }
    }
}

/// Reads a stream's messages. One that lies whole in a chunk is borrowed from it; others are gathered, up
/// to [`MESSAGE_BYTES_LIMIT`]. Checksums are computed over the bytes as they pass.
#[derive(Debug, Default)]
pub struct Framer {
    /// The beginning of the current message, from earlier chunks.
    held: Vec<u8>,
    /// Bytes of the current message that were read.
    seen: usize,
    /// Its length, once the prelude was read.
    total: usize,
    crc: Hasher,
    /// The last four bytes that were read of its checksum.
    crc_read: u32,
    /// A checksum or a length was wrong: where messages begin is not known any more.
    broken: bool,
}

impl Framer {
    /// Reads the next chunk.
    pub fn feed(&mut self, mut chunk: &[u8], sink: &mut impl FnMut(Message<'_>)) {
        while !chunk.is_empty() && !self.broken {
            let whole = match chunk.first_chunk::<PRELUDE_BYTES>() {
                Some(prelude) if self.seen == 0 => match total_bytes(prelude) {
                    Some(total) => chunk.split_at_checked(total),
                    None => {
                        self.broken = true;
                        return;
                    }
                },
                Some(_) | None => None,
            };
            if let Some((message, rest)) = whole {
                self.whole(message, sink);
                chunk = rest;
            } else {
                chunk = self.gather(chunk, sink);
            }
        }
    }

    /// The stream is not what it says: a checksum or a length is wrong.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// A message has begun that is not over.
    pub fn is_within_message(&self) -> bool {
        self.seen > 0
    }

    fn whole(&mut self, message: &[u8], sink: &mut impl FnMut(Message<'_>)) {
        let (covered, crc) = message.split_at(message.len() - CRC_BYTES);
        if crc != crc32fast::hash(covered).to_be_bytes() {
            self.broken = true;
            return;
        }
        sink(open(covered, false));
    }

    /// Takes what belongs to the message at hand; returns the rest.
    fn gather<'a>(&mut self, chunk: &'a [u8], sink: &mut impl FnMut(Message<'_>)) -> &'a [u8] {
        let until = if self.seen < PRELUDE_BYTES {
            PRELUDE_BYTES
        } else {
            self.total
        };
        let (part, rest) = chunk.split_at(chunk.len().min(until - self.seen));
        // Of the part, what the checksum covers; the prelude lies before it in any case.
        let end = if self.total == 0 {
            usize::MAX
        } else {
            self.total - CRC_BYTES
        };
        let (covered, crc) = part.split_at(part.len().min(end.saturating_sub(self.seen)));
        self.crc.update(covered);
        for byte in crc {
            self.crc_read = self.crc_read << 8 | u32::from(*byte);
        }
        let room = MESSAGE_BYTES_LIMIT.saturating_sub(self.held.len());
        self.held
            .extend_from_slice(&covered[..covered.len().min(room)]);
        self.seen += part.len();
        if self.seen == PRELUDE_BYTES {
            let prelude = self.held.first_chunk::<PRELUDE_BYTES>();
            match prelude.and_then(total_bytes) {
                Some(total) => self.total = total,
                None => self.broken = true,
            }
        } else if self.seen == self.total {
            self.end(sink);
        }
        rest
    }

    fn end(&mut self, sink: &mut impl FnMut(Message<'_>)) {
        let crc = std::mem::take(&mut self.crc).finalize();
        if crc == self.crc_read {
            sink(open(&self.held, self.total - CRC_BYTES > self.held.len()));
        } else {
            self.broken = true;
        }
        (self.seen, self.total, self.crc_read) = (0, 0, 0);
        self.held.clear();
        self.held.shrink_to(BUFFER_BYTES_KEPT);
    }
}

/// The length of a message, if its prelude is right.
fn total_bytes(prelude: &[u8; PRELUDE_BYTES]) -> Option<usize> {
    let [a, b, c, d, e, f, g, h, crc @ ..] = *prelude;
    let total = u32::from_be_bytes([a, b, c, d]) as usize;
    let headers = u32::from_be_bytes([e, f, g, h]) as usize;
    let is_right = crc32fast::hash(&prelude[..8]) == u32::from_be_bytes(crc);
    (is_right && total >= headers.saturating_add(PRELUDE_BYTES + CRC_BYTES)).then_some(total)
}

/// A message without its checksum, of which the end may be missing.
fn open(message: &[u8], is_cut: bool) -> Message<'_> {
    let length = message[4..8].try_into().map_or(0, u32::from_be_bytes) as usize;
    let body = &message[PRELUDE_BYTES..];
    match body.split_at_checked(length) {
        Some((headers, payload)) => Message {
            headers,
            payload: (!is_cut).then_some(payload),
        },
        None => Message {
            headers: &[],
            payload: None,
        },
    }
}

/// A message that ends a stream with an exception: what SDKs raise by its name.
pub fn exception(name: &str, payload: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    for (header, value) in [
        (":message-type", "exception"),
        (":exception-type", name),
        (":content-type", "application/json"),
    ] {
        headers.push(header.len() as u8);
        headers.extend_from_slice(header.as_bytes());
        headers.push(TEXT);
        headers.extend_from_slice(&(value.len() as u16).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let total = PRELUDE_BYTES + headers.len() + payload.len() + CRC_BYTES;
    let mut message = Vec::with_capacity(total);
    message.extend_from_slice(&(total as u32).to_be_bytes());
    message.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message.extend_from_slice(&headers);
    message.extend_from_slice(payload);
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    type Read = (Option<String>, Option<usize>);

    fn read(pieces: &[&[u8]]) -> (Vec<Read>, Framer) {
        let (mut framer, mut found) = (Framer::default(), Vec::new());
        for piece in pieces {
            framer.feed(piece, &mut |message| {
                let name = message.header(":exception-type").map(str::to_owned);
                found.push((name, message.payload.map(<[u8]>::len)));
            });
        }
        (found, framer)
    }

    #[test]
    fn messages_are_found_however_the_stream_is_cut() {
        let long = vec![b'x'; MESSAGE_BYTES_LIMIT];
        let stream = [
            exception("a", b"{}"),
            exception("b", b""),
            exception("c", &long),
        ]
        .concat();
        let expected = |last| {
            vec![
                (Some("a".to_owned()), Some(2)),
                (Some("b".to_owned()), Some(0)),
                (Some("c".to_owned()), last),
            ]
        };
        assert_eq!(read(&[&stream]).0, expected(Some(long.len())));
        for at in 1..400 {
            let (left, right) = stream.split_at(at);
            let (found, framer) = read(&[left, right]);
            assert!(!framer.is_within_message() && !framer.is_broken());
            // The long one is borrowed where it lies whole in the second chunk.
            let whole = found[2].1;
            assert!(whole.is_none() || whole == Some(long.len()));
            assert_eq!(found, expected(whole), "{at}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(read(&bytes).0, expected(None));
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let good = exception("throttlingException", b"{\"message\":\"slow down\"}");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            for size in [bad.len(), 1, 7] {
                let pieces: Vec<&[u8]> = bad.chunks(size).collect();
                let (found, framer) = read(&pieces);
                assert!(framer.is_broken() && found.is_empty(), "{at} {size}");
            }
        }
    }

    #[test]
    fn a_message_without_its_end_is_known() {
        let good = exception("a", b"{}");
        let (found, framer) = read(&[&good[..good.len() - 1]]);
        assert!(found.is_empty() && framer.is_within_message());
        assert!(!read(&[&good]).1.is_within_message());
    }

    #[test]
    fn headers_of_every_type_are_passed_over() {
        let mut headers = Vec::new();
        for (kind, value) in [
            (0, &b""[..]),
            (2, b"1"),
            (3, b"12"),
            (4, b"1234"),
            (5, b"12345678"),
            (6, b"\0\x02ab"),
            (9, b"0123456789abcdef"),
            (7, b"\0\x02ok"),
        ] {
            headers.extend_from_slice(&[1, b'k' + u8::from(kind == 7), kind]);
            headers.extend_from_slice(value);
        }
        let message = Message {
            headers: &headers,
            payload: None,
        };
        assert_eq!(message.header("l"), Some("ok"));
        assert_eq!(message.header("k"), None);
        for cut in 0..headers.len() {
            let message = Message {
                headers: &headers[..cut],
                payload: None,
            };
            assert_eq!(message.header("l"), None);
        }
    }
}
