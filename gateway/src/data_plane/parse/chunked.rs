//! The chunked transfer coding (RFC 9112 section 7.1), resumable at any byte.

use super::trailers;

/// Longest chunk-size line, extensions included.
const LINE_BYTES_LIMIT: usize = 256;
/// Hexadecimal digits of a chunk size; 2^60 bytes are enough for anyone.
const SIZE_DIGITS_LIMIT: u32 = 15;

const EMPTY_LINE_BYTES: usize = 2;

/// Where a chunked body stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkedDecoder {
    state: State,
    /// Bytes left of the current chunk.
    left: u64,
    /// Bytes looked at of the current line, or of the whole trailer section.
    line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the size digits; the count of digits so far.
    Size(u32),
    /// White space behind the size, which some senders pad it with.
    Padding,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line.
    Trailer,
    /// Inside a trailer line.
    TrailerLine,
    TrailerLf,
    /// At the LF of the empty line that ends it all.
    EndLf,
    End,
}

/// What the front of the input is.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Consume `skip` bytes of framing, then `data` bytes belong to the body.
    Data { skip: usize, data: usize },
    /// Consume `skip` bytes of framing; more input is needed.
    More { skip: usize },
    /// Consume `skip` bytes of framing; the body is complete, and `trailers` bytes are its trailer section
    /// with the empty line that ends it.
    End { skip: usize, trailers: usize },
}

/// Not chunked coding, or over a limit.
#[derive(Debug, PartialEq, Eq)]
pub struct BadChunk;

impl Default for ChunkedDecoder {
    fn default() -> Self {
        Self {
            state: State::Size(0),
            left: 0,
            line: 0,
        }
    }
}

impl ChunkedDecoder {
    pub fn is_end(&self) -> bool {
        self.state == State::End
    }

    /// Reads framing at the front of `input`. After `Step::Data` the caller takes both parts away and
    /// calls again with what follows.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, BadChunk> {
        let mut at = 0;
        loop {
            match self.state {
                State::Data => return Ok(self.data(input.len() - at, at)),
                State::Trailer
                | State::TrailerLine
                | State::TrailerLf
                | State::EndLf
                | State::End => return self.trailers(&input[at..], at),
                State::Size(_)
                | State::Padding
                | State::Extension
                | State::SizeLf
                | State::DataCr
                | State::DataLf => {}
            }
            let Some(&byte) = input.get(at) else {
                return Ok(Step::More { skip: at });
            };
            at += 1;
            self.take(byte)?;
        }
    }

    /// `input` bytes are here behind `skip` bytes of framing.
    fn data(&mut self, input: usize, skip: usize) -> Step {
        let data = usize::try_from(self.left).unwrap_or(usize::MAX).min(input);
        if data == 0 {
            return Step::More { skip };
        }
        self.left -= data as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        Step::Data { skip, data }
    }

    /// Looks on through the trailer section, which stays in the input until it is whole.
    fn trailers(&mut self, section: &[u8], skip: usize) -> Result<Step, BadChunk> {
        while self.state != State::End {
            let Some(&byte) = section.get(self.line) else {
                return Ok(Step::More { skip });
            };
            self.line += 1;
            if self.line > trailers::BYTES_LIMIT + EMPTY_LINE_BYTES {
                return Err(BadChunk);
            }
            self.take(byte)?;
        }
        // Told once: what follows is not this body's.
        let trailers = std::mem::take(&mut self.line);
        Ok(Step::End { skip, trailers })
    }

    fn take(&mut self, byte: u8) -> Result<(), BadChunk> {
        self.state = match (self.state, byte) {
            (State::Size(digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits == SIZE_DIGITS_LIMIT {
                    return Err(BadChunk);
                }
                let digit = char::from(byte).to_digit(16).expect("a hexadecimal digit");
                self.left = self.left << 4 | u64::from(digit);
                State::Size(digits + 1)
            }
            (State::Size(1..) | State::Padding | State::Extension, b'\r') => State::SizeLf,
            (State::Size(1..) | State::Padding, b';') => State::Extension,
            (State::Size(1..) | State::Padding, b'\t' | b' ') => {
                self.lengthen_line()?;
                State::Padding
            }
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => {
                self.lengthen_line()?;
                State::Extension
            }
            (State::SizeLf, b'\n') => {
                self.line = 0;
                if self.left == 0 {
                    State::Trailer
                } else {
                    State::Data
                }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size(0),
            (State::Trailer, b'\r') => State::EndLf,
            (State::Trailer | State::TrailerLine, b'\t' | b' '..=b'~' | 0x80..) => {
                State::TrailerLine
            }
            (State::TrailerLine, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => State::Trailer,
            (State::EndLf, b'\n') => State::End,
            (
                State::Size(_)
                | State::Padding
                | State::Extension
                | State::SizeLf
                | State::Data
                | State::DataCr
                | State::DataLf
                | State::Trailer
                | State::TrailerLine
                | State::TrailerLf
                | State::EndLf
                | State::End,
                _,
            ) => return Err(BadChunk),
        };
        Ok(())
    }

    fn lengthen_line(&mut self) -> Result<(), BadChunk> {
        self.line += 1;
        if self.line > LINE_BYTES_LIMIT {
            return Err(BadChunk);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes input given in pieces; the body and how many bytes were left over.
    fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, usize, bool), BadChunk> {
        decode_all(pieces).map(|(body, _, left, end)| (body, left, end))
    }

    /// As [`decode`], with the trailer section.
    fn decode_all(pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>, usize, bool), BadChunk> {
        let mut decoder = ChunkedDecoder::default();
        let mut pending = Vec::new();
        let (mut body, mut section) = (Vec::new(), Vec::new());
        for piece in pieces {
            pending.extend_from_slice(piece);
            loop {
                match decoder.step(&pending)? {
                    Step::Data { skip, data } => {
                        body.extend_from_slice(&pending[skip..skip + data]);
                        pending.drain(..skip + data);
                    }
                    Step::More { skip } => {
                        pending.drain(..skip);
                        break;
                    }
                    Step::End { skip, trailers } => {
                        pending.drain(..skip);
                        section.extend(pending.drain(..trailers));
                        break;
                    }
                }
            }
        }
        Ok((body, section, pending.len(), decoder.is_end()))
    }

    const WHOLE: &[u8] = b"5;ext=1\r\nhello\r\nA\r\n, world...\r\n0\r\nX: y\r\nZ: 1\r\n\r\nNEXT";

    #[test]
    fn same_result_split_anywhere() {
        for cut in 0..=WHOLE.len() {
            let pieces = [&WHOLE[..cut], &WHOLE[cut..]];
            let (body, trailers, left, end) = decode_all(&pieces).expect("valid");
            assert_eq!(body, b"hello, world...", "cut at {cut}");
            assert_eq!(trailers, b"X: y\r\nZ: 1\r\n\r\n", "cut at {cut}");
            assert_eq!((left, end), (4, true), "cut at {cut}");
        }
    }

    #[test]
    fn refuses_sloppy_framing() {
        for bad in [
            &b"5\nhello\r\n0\r\n\r\n"[..],
            b"\r\n",
            b"g\r\n",
            b"5\r\nhelloX",
            b"5\r\nhello\n0\r\n\r\n",
            b"-1\r\n",
            b"0x5\r\nhello\r\n",
            b"1000000000000000\r\n",
            b"0\r\nX: y\nZ\r\n\r\n",
            b"5;\x01\r\nhello\r\n",
            b"5 5\r\nhello\r\n",
            b"5 x\r\nhello\r\n",
        ] {
            assert_eq!(
                decode(&[bad]),
                Err(BadChunk),
                "{:?}",
                String::from_utf8_lossy(bad)
            );
        }
        for filler in [b'x', b' '] {
            let long = [b"5 ;".as_slice(), &vec![filler; 300], b"\r\nhello\r\n"].concat();
            assert_eq!(decode(&[&long]), Err(BadChunk));
        }
    }

    #[test]
    fn a_trailer_section_has_a_limit() {
        for (over, expected) in [(0, Ok(true)), (1, Err(BadChunk))] {
            let value = "v".repeat(trailers::BYTES_LIMIT - "x: \r\n".len() + over);
            let section = format!("0\r\nx: {value}\r\n\r\n");
            let end = decode(&[section.as_bytes()]).map(|(_, _, end)| end);
            assert_eq!(end, expected, "{over} over");
        }
    }

    #[test]
    fn a_cut_body_is_not_at_its_end() {
        let (_, _, end) = decode(&[b"5\r\nhello\r\n"]).expect("valid so far");
        assert!(!end);
    }
}
