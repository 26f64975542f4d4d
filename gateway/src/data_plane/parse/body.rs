//! An HTTP/1 body at the front of a receive buffer, by its framing.

use super::{
    chunked::{BadChunk, ChunkedDecoder, Step},
    trailers,
};
use crate::data_plane::{
    buffer::Buffer,
    message::{Fields, Framing},
};

/// What is left of a body. After [`Self::step`] said so, the first bytes of the buffer are body.
pub struct BodyDecoder {
    left: Left,
    ready: usize,
    trailers: Option<Fields>,
}

enum Left {
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
    Nothing,
}

impl BodyDecoder {
    pub fn new(framing: Framing) -> Self {
        let left = match framing {
            Framing::None => Left::Nothing,
            Framing::Length(length) => Left::Length(length),
            Framing::Chunked => Left::Chunked(ChunkedDecoder::default()),
            Framing::UntilClose => Left::UntilClose,
        };
        Self {
            left,
            ready: 0,
            trailers: None,
        }
    }

    /// Looks at the buffer; true when body bytes are ready at its front.
    pub fn step(&mut self, buffer: &mut Buffer) -> Result<bool, BadChunk> {
        if self.ready > 0 {
            return Ok(true);
        }
        match &mut self.left {
            Left::Nothing => {}
            Left::UntilClose => self.ready = buffer.len(),
            Left::Length(left) => {
                self.ready = buffer
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= self.ready as u64;
                if *left == 0 && self.ready == 0 {
                    self.left = Left::Nothing;
                }
            }
            Left::Chunked(decoder) => match decoder.step(buffer.data())? {
                Step::Data { skip, data } => {
                    buffer.consume(skip);
                    self.ready = data;
                }
                Step::More { skip } => buffer.consume(skip),
                Step::End { skip, trailers } => {
                    buffer.consume(skip);
                    if trailers > 0 {
                        let fields = trailers::of_h1(&buffer.data()[..trailers]);
                        buffer.consume(trailers);
                        self.trailers = fields.map_err(|trailers::BadTrailers| BadChunk)?;
                    }
                    self.left = Left::Nothing;
                }
            },
        }
        Ok(self.ready > 0)
    }

    pub fn data<'a>(&self, buffer: &'a Buffer) -> &'a [u8] {
        &buffer.data()[..self.ready]
    }

    /// All of `data` was used.
    pub fn consume(&mut self, buffer: &mut Buffer) {
        buffer.consume(self.ready);
        self.ready = 0;
    }

    /// Fields that came behind the body; once, after its end.
    pub fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    pub fn is_end(&self) -> bool {
        self.ready == 0 && matches!(self.left, Left::Nothing | Left::Length(0))
    }

    /// The connection has ended: whether that is the body's end too.
    pub fn ends_with_connection(&mut self) -> bool {
        let ends = matches!(self.left, Left::UntilClose);
        if ends {
            self.left = Left::Nothing;
        }
        ends
    }
}
