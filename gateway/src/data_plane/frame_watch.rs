//! Counts the control frames an agent sends on an HTTP/2 connection. The h2 crate stops floods of resets,
//! CONTINUATION and empty DATA by itself, but answers any number of PING and SETTINGS.

use std::time::{Duration, Instant};

/// Control frames taken per [`WINDOW`].
const FRAMES_LIMIT: u32 = 400;
const WINDOW: Duration = Duration::from_secs(1);

const PREFACE_BYTES: usize = 24;
const HEADER_BYTES: usize = 9;
const PRIORITY: u8 = 2;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
/// The last frame type of RFC 9113; what is beyond is ignored by receivers, and as cheap to send.
const CONTINUATION: u8 = 9;

/// Reads frame headers out of the byte stream, whatever its pieces.
pub struct FrameWatch {
    /// Payload bytes to pass over before the next header.
    skip: usize,
    header: [u8; HEADER_BYTES],
    have: usize,
    frames: u32,
    window_began: Instant,
}

/// Too many control frames in too short a time.
#[derive(Debug, PartialEq, Eq)]
pub struct Flood;

impl Default for FrameWatch {
    fn default() -> Self {
        Self {
            skip: PREFACE_BYTES,
            header: [0; HEADER_BYTES],
            have: 0,
            frames: 0,
            window_began: Instant::now(),
        }
    }
}

impl FrameWatch {
    pub fn feed(&mut self, mut input: &[u8]) -> Result<(), Flood> {
        while !input.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(input.len());
                self.skip -= skipped;
                input = &input[skipped..];
                continue;
            }
            let take = (HEADER_BYTES - self.have).min(input.len());
            self.header[self.have..self.have + take].copy_from_slice(&input[..take]);
            self.have += take;
            input = &input[take..];
            if self.have == HEADER_BYTES {
                self.have = 0;
                let [a, b, c, kind, ..] = self.header;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                if matches!(kind, PRIORITY | SETTINGS | PING) || kind > CONTINUATION {
                    self.count()?;
                }
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), Flood> {
        self.frames += 1;
        if self.frames < FRAMES_LIMIT {
            return Ok(());
        }
        self.frames = 0;
        let began = std::mem::replace(&mut self.window_began, Instant::now());
        if began.elapsed() < WINDOW {
            Err(Flood)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![
            (length >> 16) as u8,
            (length >> 8) as u8,
            length as u8,
            kind,
            0,
            0,
            0,
            0,
            0,
        ];
        frame.resize(HEADER_BYTES + length, 0xff);
        frame
    }

    fn watch_all(bytes: &[u8], piece: usize) -> Result<(), Flood> {
        let mut watch = FrameWatch::default();
        bytes.chunks(piece).try_for_each(|piece| watch.feed(piece))
    }

    #[test]
    fn a_ping_flood_is_noticed_in_any_pieces() {
        let mut bytes = vec![b'p'; PREFACE_BYTES];
        for _ in 0..FRAMES_LIMIT {
            bytes.extend(frame(PING, 8));
        }
        for piece in [1, 7, 9, 4096] {
            assert_eq!(watch_all(&bytes, piece), Err(Flood), "pieces of {piece}");
            assert_eq!(
                watch_all(&bytes[..bytes.len() - 17], piece),
                Ok(()),
                "pieces of {piece}"
            );
        }
    }

    #[test]
    fn data_and_headers_are_not_counted() {
        let mut bytes = vec![b'p'; PREFACE_BYTES];
        for _ in 0..2 * FRAMES_LIMIT {
            bytes.extend(frame(1, 30));
            bytes.extend(frame(0, 100));
            bytes.extend(frame(8, 4));
        }
        assert_eq!(watch_all(&bytes, 1000), Ok(()));
    }
}
