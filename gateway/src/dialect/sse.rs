//! Server-sent events as the WHATWG HTML standard frames them (section 9.2.6), found while a stream
//! passes in chunks of any size. [`Framer`] cuts the stream into raw events, so that they can be passed on
//! byte for byte; [`parse`] reads one.

use std::borrow::Cow;

use memchr::memchr2;

/// Most bytes of one event held together. A longer one comes in parts; see [`Frame::Part`].
pub const EVENT_BYTES_LIMIT: usize = 64 * 1024;
/// Buffer kept between events: an ordinary one fits, and idle streams hold little.
const BUFFER_BYTES_KEPT: usize = 4 * 1024;

/// A run of the stream. All frames together are the stream, byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole event with the blank line that ends it.
    Event(&'a [u8]),
    /// A piece of an event over the limit. The first piece has exactly [`EVENT_BYTES_LIMIT`] bytes, so
    /// that what is read from it does not depend on the chunks; the last one may be empty.
    Part {
        bytes: &'a [u8],
        first: bool,
        last: bool,
    },
    /// A line feed that belongs to the event before: its final line ended in CR LF, and a chunk between them.
    LineFeed(&'a [u8]),
}

/// Cuts a stream into frames. An event that lies whole in one chunk is borrowed from it; others are
/// gathered in one buffer of at most [`EVENT_BYTES_LIMIT`] bytes.
#[derive(Debug, Default)]
pub struct Framer {
    /// The beginning of the current event, from earlier chunks.
    held: Vec<u8>,
    /// The current line has bytes already.
    in_line: bool,
    /// The byte before was a carriage return.
    after_cr: bool,
    /// The last event ended in that carriage return.
    ended_in_cr: bool,
    /// The current event is over the limit; its beginning went out.
    oversized: bool,
}

impl Framer {
    /// Reads the next chunk.
    pub fn feed(&mut self, chunk: &[u8], sink: &mut impl FnMut(Frame<'_>)) {
        if chunk.is_empty() {
            return;
        }
        let (mut start, mut at) = (0, 0);
        if std::mem::take(&mut self.ended_in_cr) && chunk.first() == Some(&b'\n') {
            self.after_cr = false;
            sink(Frame::LineFeed(&chunk[..1]));
            (start, at) = (1, 1);
        }
        while let Some(length) = memchr2(b'\n', b'\r', &chunk[at..]) {
            let is_cr = chunk[at + length] == b'\r';
            let second_half = length == 0 && self.after_cr && !is_cr;
            at += length + 1;
            self.after_cr = is_cr;
            if second_half {
                continue;
            }
            let is_blank = length == 0 && !std::mem::take(&mut self.in_line);
            self.in_line = false;
            if !is_blank {
                continue;
            }
            if is_cr {
                match chunk.get(at) {
                    Some(b'\n') => {
                        at += 1;
                        self.after_cr = false;
                    }
                    Some(_) => {}
                    None => self.ended_in_cr = true,
                }
            }
            self.end_event(&chunk[start..at], sink);
            start = at;
        }
        if at < chunk.len() {
            self.in_line = true;
            self.after_cr = false;
        }
        self.hold(&chunk[start..], sink);
    }

    /// The stream ended: hands over what no blank line ended. The standard drops such an event, SDKs
    /// do not.
    pub fn finish(&mut self, sink: &mut impl FnMut(Frame<'_>)) {
        if self.oversized || !self.held.is_empty() {
            self.end_event(&[], sink);
        }
    }

    /// The event ends with `tail`.
    fn end_event(&mut self, tail: &[u8], sink: &mut impl FnMut(Frame<'_>)) {
        if self.oversized {
            self.oversized = false;
            sink(Frame::Part {
                bytes: tail,
                first: false,
                last: true,
            });
        } else if self.held.is_empty() && tail.len() <= EVENT_BYTES_LIMIT {
            sink(Frame::Event(tail));
        } else if self.held.len() + tail.len() <= EVENT_BYTES_LIMIT {
            self.held.extend_from_slice(tail);
            sink(Frame::Event(&self.held));
            self.release();
        } else {
            let rest = self.overflow(tail, sink);
            self.oversized = false;
            sink(Frame::Part {
                bytes: rest,
                first: false,
                last: true,
            });
        }
    }

    /// The chunk ends inside an event.
    fn hold(&mut self, tail: &[u8], sink: &mut impl FnMut(Frame<'_>)) {
        if tail.is_empty() {
            return;
        }
        let rest = if self.oversized {
            tail
        } else if self.held.len() + tail.len() <= EVENT_BYTES_LIMIT {
            self.held.extend_from_slice(tail);
            return;
        } else {
            self.overflow(tail, sink)
        };
        if !rest.is_empty() {
            sink(Frame::Part {
                bytes: rest,
                first: false,
                last: false,
            });
        }
    }

    /// Lets go of an event that grows over the limit with `tail`; returns what is left of `tail`.
    fn overflow<'a>(&mut self, tail: &'a [u8], sink: &mut impl FnMut(Frame<'_>)) -> &'a [u8] {
        self.oversized = true;
        let (fill, rest) = tail.split_at(EVENT_BYTES_LIMIT - self.held.len());
        self.held.extend_from_slice(fill);
        sink(Frame::Part {
            bytes: &self.held,
            first: true,
            last: false,
        });
        self.release();
        rest
    }

    fn release(&mut self) {
        self.held.clear();
        self.held.shrink_to(BUFFER_BYTES_KEPT);
    }
}

/// One event: its `event` field (empty when it has none) and its data, lines joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    pub name: &'a [u8],
    pub data: Cow<'a, [u8]>,
}

/// Reads a raw event, or the beginning of one. Comments, `id` and `retry` are passed over. Data of one
/// line, as all providers send it, is borrowed.
pub fn parse(raw: &[u8]) -> Event<'_> {
    // A byte order mark may open the stream; elsewhere no field starts like that.
    let mut rest = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw);
    let mut name: &[u8] = b"";
    let mut data: Option<Cow<'_, [u8]>> = None;
    while !rest.is_empty() {
        let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        // The LF of a CR LF shows up as one more empty line, which means nothing inside an event.
        rest = rest.get(end + 1..).unwrap_or_default();
        if let Some(value) = field(line, b"data") {
            data = Some(match data {
                None => Cow::Borrowed(value),
                Some(lines) => {
                    let mut lines = lines.into_owned();
                    lines.push(b'\n');
                    lines.extend_from_slice(value);
                    Cow::Owned(lines)
                }
            });
        } else if let Some(value) = field(line, b"event") {
            name = value;
        }
    }
    Event {
        name,
        data: data.unwrap_or_default(),
    }
}

/// The value of `line` when its field is `name`: what follows the colon and one space.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?;
    match value {
        [] => Some(value),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The frames of `chunks`, joined where an event came in parts.
    fn frames(chunks: &[&[u8]]) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        let mut framer = Framer::default();
        let mut sink = |frame: Frame<'_>| match frame {
            Frame::Event(bytes) => out.push(String::from_utf8_lossy(bytes).into_owned()),
            Frame::Part { bytes, first, .. } => {
                if first {
                    out.push(String::new());
                }
                *out.last_mut().unwrap() += &String::from_utf8_lossy(bytes);
            }
            Frame::LineFeed(bytes) => {
                *out.last_mut().unwrap() += &String::from_utf8_lossy(bytes);
            }
        };
        for chunk in chunks {
            framer.feed(chunk, &mut sink);
        }
        framer.finish(&mut sink);
        out
    }

    #[test]
    fn events_end_at_blank_lines_of_any_kind() {
        for (stream, expected) in [
            ("data: a\n\ndata: b\n\n", vec!["data: a\n\n", "data: b\n\n"]),
            (
                "data: a\r\n\r\ndata: b\r\n\r\n",
                vec!["data: a\r\n\r\n", "data: b\r\n\r\n"],
            ),
            ("data: a\r\rdata: b\r\r", vec!["data: a\r\r", "data: b\r\r"]),
            (
                "data: a\n\r\ndata: b\r\n\n",
                vec!["data: a\n\r\n", "data: b\r\n\n"],
            ),
            (": ping\n\ndata: b", vec![": ping\n\n", "data: b"]),
            ("data: a\ndata: b\n\n", vec!["data: a\ndata: b\n\n"]),
        ] {
            assert_eq!(frames(&[stream.as_bytes()]), expected, "{stream:?}");
            for at in 0..=stream.len() {
                let (left, right) = stream.as_bytes().split_at(at);
                assert_eq!(frames(&[left, right]), expected, "{stream:?} split at {at}");
            }
            let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
            assert_eq!(frames(&bytes), expected, "{stream:?} byte by byte");
        }
    }

    #[test]
    fn fields_are_read() {
        for (raw, name, data) in [
            ("data: a\n\n", "", "a"),
            ("data:a\n\n", "", "a"),
            ("data:  a\n\n", "", " a"),
            ("data\n\n", "", ""),
            ("data: a\r\ndata: b\r\n\r\n", "", "a\nb"),
            ("event: x\ndata: a\n\n", "x", "a"),
            ("event: x\nevent: y\ndata: a\n\n", "y", "a"),
            (": data: a\nid: 1\nretry: 5\n\n", "", ""),
            ("database: a\ndata : b\n\n", "", ""),
            ("\u{feff}data: a\n\n", "", "a"),
        ] {
            let event = parse(raw.as_bytes());
            assert_eq!(event.name, name.as_bytes(), "{raw:?}");
            assert_eq!(*event.data, *data.as_bytes(), "{raw:?}");
        }
    }

    #[test]
    fn an_event_over_the_limit_passes_in_parts() {
        let long = format!("data: {}\n\n", "x".repeat(EVENT_BYTES_LIMIT));
        let stream = format!("data: a\n\n{long}data: b\n\n");
        let expected = ["data: a\n\n", &long, "data: b\n\n"];
        for size in [1, 1000, EVENT_BYTES_LIMIT, stream.len()] {
            let chunks: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            assert_eq!(frames(&chunks), expected, "chunks of {size}");
        }
    }

    #[test]
    fn the_buffer_stays_within_its_limit() {
        let mut framer = Framer::default();
        for _ in 0..1000 {
            framer.feed(&[b'x'; 1000], &mut |_| {});
            assert!(framer.held.len() <= EVENT_BYTES_LIMIT);
        }
        framer.feed(b"\n\n", &mut |_| {});
        assert!(framer.held.capacity() <= BUFFER_BYTES_KEPT);
    }
}
