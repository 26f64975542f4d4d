//! An HTTP/1.1 client that keeps one request in flight.

use memchr::memmem;

use super::{
    head,
    tally::Tally,
    upstream::{LAST_CHUNK, STAMP, STAMP_DIGITS},
};

const STATUS_OK: &[u8] = b"HTTP/1.1 200";
const STATUS_SWITCHED: &[u8] = b"HTTP/1.1 101";

/// Of a failed answer, this much is shown.
const SHOWN_BYTES: usize = 300;

#[derive(Default)]
pub(super) struct Http1 {
    pub(super) inbox: Vec<u8>,
    sent_ns: u64,
    /// A stream's head was read; events follow until the last chunk.
    in_events: bool,
}

impl Http1 {
    pub(super) fn asked(&mut self, now_ns: u64) {
        self.sent_ns = now_ns;
    }

    /// Reads what is in the inbox; true once the answer is whole.
    pub(super) fn absorb(&mut self, now_ns: u64, tally: &mut Tally) -> bool {
        if self.in_events {
            return self.absorb_events(now_ns, tally);
        }
        let Some(head_end) = head::end(&self.inbox) else {
            return false;
        };
        let head = &self.inbox[..head_end];
        if head.starts_with(STATUS_SWITCHED) {
            tally.answer(now_ns - self.sent_ns);
            self.inbox.drain(..head_end);
            return true;
        }
        let ok = head.starts_with(STATUS_OK);
        let Some(body) = head::content_length(head) else {
            if ok {
                self.inbox.drain(..head_end);
                self.in_events = true;
                return self.absorb_events(now_ns, tally);
            }
            // A failure without a length: take what came with it.
            self.fail(tally);
            return true;
        };
        if self.inbox.len() < head_end + body {
            return false;
        }
        if ok {
            tally.answer(now_ns - self.sent_ns);
            self.inbox.clear();
        } else {
            self.fail(tally);
        }
        true
    }

    fn absorb_events(&mut self, now_ns: u64, tally: &mut Tally) -> bool {
        let mut at = 0;
        while let Some(found) = memmem::find(&self.inbox[at..], STAMP) {
            let digits = at + found + STAMP.len();
            let Some(stamp) = self.inbox.get(digits..digits + STAMP_DIGITS) else {
                break;
            };
            // A proxy may have cut the chunk inside the digits; such an event is not timed.
            if let Some(sent_ns) = parse(stamp) {
                tally.event(now_ns.saturating_sub(sent_ns));
            }
            at = digits + STAMP_DIGITS;
        }
        let whole = self.inbox.ends_with(LAST_CHUNK);
        if whole {
            self.inbox.clear();
            self.in_events = false;
            tally.answered += 1;
        } else {
            // A stamp or the last chunk may have come in part.
            let keep = (self.inbox.len() - at).min(STAMP.len() + STAMP_DIGITS);
            self.inbox.drain(..self.inbox.len() - keep);
        }
        whole
    }

    fn fail(&mut self, tally: &mut Tally) {
        let shown = &self.inbox[..self.inbox.len().min(SHOWN_BYTES)];
        tally.fail(|| String::from_utf8_lossy(shown).into_owned());
        self.inbox.clear();
    }
}

fn parse(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn absorb(pieces: &[&[u8]]) -> (Tally, Vec<bool>) {
        let (mut client, mut tally) = (Http1::default(), Tally::default());
        let whole = pieces.iter().map(|piece| {
            client.inbox.extend_from_slice(piece);
            client.absorb(100, &mut tally)
        });
        let whole = whole.collect();
        (tally, whole)
    }

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let (tally, whole) =
            absorb(&[b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n", b"\r\nab", b"c"]);
        assert_eq!(whole, [false, false, true]);
        assert_eq!((tally.answered, tally.failed), (1, 0));
    }

    #[test]
    fn any_other_status_is_a_failure() {
        let (tally, whole) = absorb(&[b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"]);
        assert_eq!(whole, [true]);
        assert_eq!((tally.answered, tally.failed), (0, 1));
        assert!(tally.first_failure.is_some_and(|text| text.contains("503")));
    }

    #[test]
    fn events_are_timed_however_they_are_cut() {
        let stream: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
            24\r\n\"stamp_ns\":\"00000000000000000040\"}\n\n\r\n\
            24\r\n\"stamp_ns\":\"00000000000000000070\"}\n\n\r\n0\r\n\r\n";
        for cut in 1..stream.len() {
            let (tally, whole) = absorb(&[&stream[..cut], &stream[cut..]]);
            assert_eq!(whole, [false, true], "cut at {cut}");
            assert_eq!(tally.latencies_ns, [60, 30], "cut at {cut}");
            assert_eq!(tally.answered, 1);
        }
    }
}
