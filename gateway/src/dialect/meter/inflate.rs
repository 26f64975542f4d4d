//! Decodes gzip (RFC 1952) and deflate (RFC 1950, or raw as some servers send it) on the side, in
//! constant memory, so that compressed answers are metered too. The trailer is not waited for: an agent
//! may leave before it.

use flate2::{Decompress, FlushDecompress, Status};

/// Output decoded at a time.
const PLAIN_BYTES: usize = 4 * 1024;
/// Most bytes decoded of one body. Beyond it somebody sends a bomb, or a download.
const DECODED_BYTES_LIMIT: u64 = 256 * 1024 * 1024;

/// The body cannot be decoded (any further).
#[derive(Debug)]
pub(in crate::dialect) struct NotDecodable;

#[derive(Debug)]
pub(in crate::dialect) struct Inflate {
    stage: Stage,
    /// Header flags still to be passed over.
    flags: u8,
    decoded_bytes: u64,
    is_gzip: bool,
    decompress: Decompress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing of a deflate body was read: its first byte tells a zlib header from raw data.
    Probe,
    /// At this byte of gzip's fixed header.
    Header(u8),
    /// What of the optional header fields comes next; see [`Inflate::after_field`].
    ExtraLength(u8, u16),
    Extra(u16),
    Text,
    HeaderCrc(u8),
    Data,
    /// This many bytes of gzip's trailer are missing; another member may follow.
    Trailer(u8),
    /// After a deflate body.
    End,
}

const FLAG_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;

impl Inflate {
    /// `None`: the encoding is another one, or several on top of each other.
    pub(in crate::dialect) fn new(content_encoding: &[u8]) -> Option<Self> {
        let is_gzip =
            super::names(content_encoding, "gzip") || super::names(content_encoding, "x-gzip");
        (is_gzip || super::names(content_encoding, "deflate")).then(|| Self {
            stage: if is_gzip {
                Stage::Header(0)
            } else {
                Stage::Probe
            },
            flags: 0,
            decoded_bytes: 0,
            is_gzip,
            decompress: Decompress::new(false),
        })
    }

    /// Decodes the next bytes; `plain` gets what they hold, in pieces.
    pub(in crate::dialect) fn feed(
        &mut self,
        mut input: &[u8],
        plain: &mut dyn FnMut(&[u8]),
    ) -> Result<(), NotDecodable> {
        while let Some((byte, rest)) = input.split_first() {
            self.stage = match self.stage {
                Stage::Data => {
                    input = self.decompress(input, plain)?;
                    continue;
                }
                Stage::Probe => {
                    // RFC 1950: compression method 8. Raw data would have to start with a stored block
                    // whose padding is not zero.
                    self.decompress = Decompress::new(byte & 0x0f == 8);
                    self.stage = Stage::Data;
                    continue;
                }
                Stage::Header(at) => self.header(at, *byte)?,
                Stage::ExtraLength(0, _) => Stage::ExtraLength(1, u16::from(*byte)),
                Stage::ExtraLength(_, low) => match low | u16::from(*byte) << 8 {
                    0 => self.after_field(),
                    length => Stage::Extra(length),
                },
                Stage::Extra(1) => self.after_field(),
                Stage::Extra(left) => Stage::Extra(left - 1),
                Stage::Text if *byte == 0 => self.after_field(),
                Stage::Text => Stage::Text,
                Stage::HeaderCrc(1) => self.after_field(),
                Stage::HeaderCrc(left) => Stage::HeaderCrc(left - 1),
                Stage::Trailer(1) => Stage::Header(0),
                Stage::Trailer(left) => Stage::Trailer(left - 1),
                Stage::End => return Ok(()),
            };
            input = rest;
        }
        Ok(())
    }

    fn header(&mut self, at: u8, byte: u8) -> Result<Stage, NotDecodable> {
        match (at, byte) {
            (0, 0x1f) | (1, 0x8b) | (2, 8) | (4..=8, _) => Ok(Stage::Header(at + 1)),
            (3, flags) => {
                self.flags = flags;
                Ok(Stage::Header(4))
            }
            (9, _) => {
                self.decompress.reset(false);
                Ok(self.after_field())
            }
            _ => Err(NotDecodable),
        }
    }

    /// The next header field that the flags promise, else the data.
    fn after_field(&mut self) -> Stage {
        for (flag, stage) in [
            (FLAG_EXTRA, Stage::ExtraLength(0, 0)),
            (FLAG_NAME, Stage::Text),
            (FLAG_COMMENT, Stage::Text),
            (FLAG_CRC, Stage::HeaderCrc(2)),
        ] {
            if self.flags & flag != 0 {
                self.flags &= !flag;
                return stage;
            }
        }
        Stage::Data
    }

    /// Decodes up to the end of the data or of `input`; returns what is left of it.
    fn decompress<'a>(
        &mut self,
        mut input: &'a [u8],
        plain: &mut dyn FnMut(&[u8]),
    ) -> Result<&'a [u8], NotDecodable> {
        let mut output = [0; PLAIN_BYTES];
        loop {
            let (in_before, out_before) = (self.decompress.total_in(), self.decompress.total_out());
            let status = self
                .decompress
                .decompress(input, &mut output, FlushDecompress::Sync)
                .map_err(|_| NotDecodable)?;
            let consumed = (self.decompress.total_in() - in_before) as usize;
            let produced = (self.decompress.total_out() - out_before) as usize;
            input = &input[consumed..];
            self.decoded_bytes += produced as u64;
            if self.decoded_bytes > DECODED_BYTES_LIMIT {
                return Err(NotDecodable);
            }
            if produced > 0 {
                plain(&output[..produced]);
            }
            match status {
                Status::StreamEnd => {
                    self.stage = if self.is_gzip {
                        Stage::Trailer(8)
                    } else {
                        Stage::End
                    };
                    return Ok(input);
                }
                // A full buffer may mean that there is more to come out.
                Status::Ok | Status::BufError if produced == PLAIN_BYTES => {}
                Status::Ok | Status::BufError if input.is_empty() => return Ok(input),
                Status::Ok | Status::BufError if consumed + produced > 0 => {}
                Status::Ok | Status::BufError => return Err(NotDecodable),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, GzBuilder, write};

    use super::*;

    fn text() -> Vec<u8> {
        (0..20_000u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_string().into_bytes())
            .collect()
    }

    fn decoded(encoding: &str, body: &[u8], size: usize) -> Result<Vec<u8>, NotDecodable> {
        let mut inflate = Inflate::new(encoding.as_bytes()).unwrap();
        let mut out = Vec::new();
        for chunk in body.chunks(size) {
            inflate.feed(chunk, &mut |plain| out.extend_from_slice(plain))?;
        }
        Ok(out)
    }

    #[test]
    fn all_forms_decode_over_any_chunking() {
        let mut gzip = GzBuilder::new()
            .filename("name")
            .comment("comment")
            .extra(vec![1, 2, 3])
            .write(Vec::new(), Compression::default());
        gzip.write_all(&text()).unwrap();
        let mut gzip = gzip.finish().unwrap();
        let mut zlib = write::ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&text()).unwrap();
        let zlib = zlib.finish().unwrap();
        let mut raw = write::DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(&text()).unwrap();
        let raw = raw.finish().unwrap();
        for size in [1, 7, 1000, usize::MAX] {
            assert!(decoded("gzip", &gzip, size).unwrap() == text());
            assert!(decoded("deflate", &zlib, size).unwrap() == text());
            assert!(decoded("deflate", &raw, size).unwrap() == text());
        }
        // Two members are one body.
        gzip.extend_from_within(..);
        assert_eq!(decoded("x-gzip", &gzip, 9).unwrap().len(), 2 * text().len());
    }

    #[test]
    fn a_flushed_piece_is_decoded_at_once() {
        let mut gzip = write::GzEncoder::new(Vec::new(), Compression::default());
        let mut inflate = Inflate::new(b"gzip").unwrap();
        let mut at = 0;
        for n in 0..10 {
            let piece = format!("data: {n}\n\n");
            gzip.write_all(piece.as_bytes()).unwrap();
            gzip.flush().unwrap();
            let mut out = Vec::new();
            inflate
                .feed(&gzip.get_ref()[at..], &mut |plain| {
                    out.extend_from_slice(plain)
                })
                .unwrap();
            at = gzip.get_ref().len();
            assert_eq!(out, piece.as_bytes());
        }
    }

    #[test]
    fn what_is_no_gzip_is_refused() {
        for body in [
            &b"{}"[..],
            b"\x1f\x8b\x07\0\0\0\0\0\0\0",
            b"\x1f\x8b\x08\0\0\0\0\0\0\0\xff\xff",
        ] {
            assert!(decoded("gzip", body, 1).is_err(), "{body:?}");
        }
        for encoding in ["br", "zstd", "gzip, gzip", "identity", ""] {
            assert!(Inflate::new(encoding.as_bytes()).is_none());
        }
    }
}
