//! A minimal HTTP/2 client (RFC 9113): it writes fixed request heads and reads statuses and ends of
//! streams, so that the driver's core is not the limit. Answers must fit the windows granted here.

use super::{
    request::{PATH, Request},
    tally::Tally,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD_BYTES: usize = 9;
/// The default of RFC 9113, for frames and for windows: nothing here needs more.
const FRAME_BYTES_MAX: usize = 16_384;
const WINDOW_DEFAULT: i64 = 65_535;
/// What we grant: per stream and for the connection, whose window is filled up again when this
/// much is used.
const WINDOW_GRANTED: u32 = 1 << 30;
const WINDOW_REFILL_AT: u32 = 1 << 28;

mod frame {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
}

mod flag {
    pub(super) const ACK: u8 = 1;
    pub(super) const END_STREAM: u8 = 1;
    pub(super) const END_HEADERS: u8 = 4;
    pub(super) const PADDED: u8 = 8;
    pub(super) const PRIORITY: u8 = 32;
}

const SETTING_INITIAL_WINDOW: u16 = 4;

pub(super) struct Http2 {
    pub(super) inbox: Vec<u8>,
    /// Frames to send; the caller takes them.
    pub(super) outbox: Vec<u8>,
    head_block: Vec<u8>,
    body: Vec<u8>,
    next_stream: u32,
    in_flight: Vec<InFlight>,
    /// Requests that wait for the connection's window.
    waiting: usize,
    send_window: i64,
    received: u32,
}

struct InFlight {
    stream: u32,
    sent_ns: u64,
    ok: bool,
}

/// A connection that can go on no more, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) String);

impl Http2 {
    pub(super) fn new(request: &Request) -> Self {
        assert!(
            request.body.len() <= FRAME_BYTES_MAX,
            "bodies are sent in one frame"
        );
        let mut outbox = PREFACE.to_vec();
        let mut settings = SETTING_INITIAL_WINDOW.to_be_bytes().to_vec();
        settings.extend_from_slice(&WINDOW_GRANTED.to_be_bytes());
        put_frame(&mut outbox, frame::SETTINGS, 0, 0, &settings);
        put_frame(
            &mut outbox,
            frame::WINDOW_UPDATE,
            0,
            0,
            &WINDOW_GRANTED.to_be_bytes(),
        );
        Self {
            inbox: Vec::new(),
            outbox,
            head_block: head_block(&request.host, request.body.len()),
            body: request.body.clone(),
            next_stream: 1,
            in_flight: Vec::new(),
            waiting: 0,
            send_window: WINDOW_DEFAULT,
            received: 0,
        }
    }

    /// Writes one request into the outbox, or keeps it until the window allows it.
    pub(super) fn ask(&mut self, now_ns: u64) {
        let body_bytes = self.body.len() as i64;
        if body_bytes > self.send_window {
            self.waiting += 1;
            return;
        }
        self.send_window -= body_bytes;
        let stream = self.next_stream;
        self.next_stream += 2;
        let (headers, data) = (frame::HEADERS, frame::DATA);
        put_frame(
            &mut self.outbox,
            headers,
            flag::END_HEADERS,
            stream,
            &self.head_block,
        );
        put_frame(&mut self.outbox, data, flag::END_STREAM, stream, &self.body);
        self.in_flight.push(InFlight {
            stream,
            sent_ns: now_ns,
            ok: false,
        });
    }

    /// Reads every whole frame of the inbox; returns how many answers it completed.
    pub(super) fn absorb(&mut self, now_ns: u64, tally: &mut Tally) -> Result<usize, Broken> {
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = inbox.as_slice();
        let mut completed = 0;
        while let Some((head, after)) = rest.split_first_chunk::<FRAME_HEAD_BYTES>() {
            let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *head;
            let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
            let Some((payload, next)) = after.split_at_checked(length) else {
                break;
            };
            let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
            completed += usize::from(self.frame(kind, flags, stream, payload, now_ns, tally)?);
            rest = next;
        }
        let taken = inbox.len() - rest.len();
        self.inbox = inbox;
        self.inbox.drain(..taken);
        Ok(completed)
    }

    /// Handles one frame; true when it completes an answer.
    fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
        now_ns: u64,
        tally: &mut Tally,
    ) -> Result<bool, Broken> {
        match kind {
            frame::HEADERS => {
                let ok = status_is_200(flags, payload);
                if let Some(exchange) = self.in_flight.iter_mut().find(|e| e.stream == stream) {
                    // Trailers carry no status and change nothing.
                    exchange.ok |= ok;
                }
                Ok(flags & flag::END_STREAM != 0 && self.end(stream, now_ns, tally))
            }
            frame::DATA => {
                self.received += payload.len() as u32;
                if self.received >= WINDOW_REFILL_AT {
                    let refill = self.received.to_be_bytes();
                    put_frame(&mut self.outbox, frame::WINDOW_UPDATE, 0, 0, &refill);
                    self.received = 0;
                }
                Ok(flags & flag::END_STREAM != 0 && self.end(stream, now_ns, tally))
            }
            frame::SETTINGS if flags & flag::ACK == 0 => {
                self.check_settings(payload)?;
                put_frame(&mut self.outbox, frame::SETTINGS, flag::ACK, 0, &[]);
                Ok(false)
            }
            frame::PING if flags & flag::ACK == 0 => {
                put_frame(&mut self.outbox, frame::PING, flag::ACK, 0, payload);
                Ok(false)
            }
            frame::WINDOW_UPDATE if stream == 0 => {
                self.grow_window(payload, now_ns);
                Ok(false)
            }
            frame::RST_STREAM => {
                self.in_flight.retain(|exchange| exchange.stream != stream);
                tally.fail(|| format!("stream {stream} was reset: {}", payload.escape_ascii()));
                Ok(true)
            }
            frame::GOAWAY => Err(Broken(format!("GOAWAY: {}", payload.escape_ascii()))),
            _ => Ok(false),
        }
    }

    fn end(&mut self, stream: u32, now_ns: u64, tally: &mut Tally) -> bool {
        let Some(at) = self.in_flight.iter().position(|e| e.stream == stream) else {
            return false;
        };
        let exchange = self.in_flight.swap_remove(at);
        if exchange.ok {
            tally.answer(now_ns - exchange.sent_ns);
        } else {
            tally.fail(|| format!("stream {stream}: the status is not 200"));
        }
        true
    }

    /// Requests are written without a look at their stream's window, so it must hold a whole body.
    fn check_settings(&self, payload: &[u8]) -> Result<(), Broken> {
        for setting in payload.chunks_exact(6) {
            let [i0, i1, v0, v1, v2, v3] = *setting else {
                continue;
            };
            let window = u32::from_be_bytes([v0, v1, v2, v3]);
            let initial_window = u16::from_be_bytes([i0, i1]) == SETTING_INITIAL_WINDOW;
            if initial_window && (window as usize) < self.body.len() {
                return Err(Broken(format!(
                    "a stream's window of {window} is too small"
                )));
            }
        }
        Ok(())
    }

    fn grow_window(&mut self, payload: &[u8], now_ns: u64) {
        let Some(increment) = payload.first_chunk() else {
            return;
        };
        self.send_window += i64::from(u32::from_be_bytes(*increment) & 0x7fff_ffff);
        for _ in 0..std::mem::take(&mut self.waiting) {
            self.ask(now_ns);
        }
    }
}

fn put_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let [_, l0, l1, l2] = (payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&[l0, l1, l2, kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The request head in HPACK (RFC 7541), without the dynamic table: the same bytes every time.
fn head_block(host: &str, body_bytes: usize) -> Vec<u8> {
    // Indexed: `:method: POST` is 3 and `:scheme: https` is 7 in the static table.
    let mut block = vec![0x83, 0x87];
    // Literals without indexing; names are 4 `:path`, 1 `:authority`, and 31 `content-type` and 28
    // `content-length`, which take a second byte above 15.
    put_literal(&mut block, &[0x04], PATH);
    put_literal(&mut block, &[0x01], host);
    put_literal(&mut block, &[0x0f, 31 - 15], "application/json");
    put_literal(&mut block, &[0x0f, 28 - 15], &body_bytes.to_string());
    block
}

fn put_literal(block: &mut Vec<u8>, name: &[u8], value: &str) {
    block.extend_from_slice(name);
    let length = u8::try_from(value.len())
        .ok()
        .filter(|length| *length < 127);
    block.push(length.expect("host names and paths of the bench are short"));
    block.extend_from_slice(value.as_bytes());
}

/// Whether the block starts with `:status: 200`, which is 8 in HPACK's static table, behind any changes
/// of the dynamic table's size.
fn status_is_200(flags: u8, payload: &[u8]) -> bool {
    let mut at = 0;
    if flags & flag::PADDED != 0 {
        at += 1;
    }
    if flags & flag::PRIORITY != 0 {
        at += 5;
    }
    let mut block = payload.get(at..).unwrap_or_default();
    while let Some((first, rest)) = block.split_first() {
        if first & 0b1110_0000 != 0b0010_0000 {
            return *first == 0x88;
        }
        block = rest;
        if first & 0b0001_1111 == 0b0001_1111 {
            let more = block.iter().take_while(|byte| *byte & 0x80 != 0).count();
            block = block.get(more + 1..).unwrap_or_default();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(body: &[u8]) -> Http2 {
        let mut client = Http2::new(&Request {
            host: "bench.example".to_owned(),
            body: body.to_vec(),
        });
        client.outbox.clear();
        client
    }

    fn frames(frames: &[(u8, u8, u32, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, flags, stream, payload) in frames {
            put_frame(&mut bytes, *kind, *flags, *stream, payload);
        }
        bytes
    }

    #[test]
    fn an_answer_ends_with_its_stream_however_it_is_cut() {
        let bytes = frames(&[
            (frame::SETTINGS, 0, 0, &[]),
            (
                frame::HEADERS,
                flag::END_HEADERS,
                1,
                &[0x3f, 0xe1, 0x1f, 0x88],
            ),
            (frame::DATA, 0, 1, b"{"),
            (frame::DATA, flag::END_STREAM, 1, b"}"),
        ]);
        for cut in 0..bytes.len() {
            let (mut client, mut tally) = (client(b"{}"), Tally::default());
            client.ask(10);
            client.inbox.extend_from_slice(&bytes[..cut]);
            assert_eq!(client.absorb(20, &mut tally), Ok(0), "cut at {cut}");
            client.inbox.extend_from_slice(&bytes[cut..]);
            assert_eq!(client.absorb(50, &mut tally), Ok(1), "cut at {cut}");
            assert_eq!((tally.latencies_ns, tally.failed), (vec![40], 0));
        }
    }

    #[test]
    fn failures_are_counted() {
        let not_found: &[u8] = &[0x8d];
        let ends = flag::END_HEADERS | flag::END_STREAM;
        for case in [
            (frame::HEADERS, ends, 1, not_found),
            (frame::RST_STREAM, 0, 1, &[0, 0, 0, 7]),
        ] {
            let (mut client, mut tally) = (client(b"{}"), Tally::default());
            client.ask(0);
            client.inbox = frames(&[case]);
            assert_eq!(client.absorb(1, &mut tally), Ok(1));
            assert_eq!((tally.answered, tally.failed), (0, 1));
        }
    }

    #[test]
    fn requests_wait_for_the_window() {
        let (mut client, mut tally) = (client(&[b'x'; FRAME_BYTES_MAX]), Tally::default());
        (0..5).for_each(|_| client.ask(0));
        assert_eq!((client.in_flight.len(), client.waiting), (3, 2));
        client.inbox = frames(&[(frame::WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0])]);
        assert_eq!(client.absorb(1, &mut tally), Ok(0));
        assert_eq!((client.in_flight.len(), client.waiting), (5, 0));
    }

    #[test]
    fn a_goaway_breaks_the_connection() {
        let (mut client, mut tally) = (client(b"{}"), Tally::default());
        client.inbox = frames(&[(frame::GOAWAY, 0, 0, &[0; 8])]);
        assert!(client.absorb(1, &mut tally).is_err());
    }
}
