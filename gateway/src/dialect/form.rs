//! Finds the field `model` of a multipart form (RFC 7578) while the form passes, in constant memory.
//!
//! Strict, as a server behind must not read another model out of the same bytes: no preamble, no padding behind a
//! boundary, plain part headers, no escapes in names, and `model` at most once, however it is written.

mod part;

use memchr::memmem;

use crate::handoff::record::MODEL_BYTES_LIMIT;
use part::Part;

/// RFC 2046 section 5.1.1.
const BOUNDARY_BYTES_LIMIT: usize = 70;
/// Headers of one part.
const HEADERS_BYTES_LIMIT: usize = 4 * 1024;
/// Parts of one form.
const PARTS_LIMIT: usize = 1024;

/// Why a form is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormError {
    /// `model` is there twice.
    DuplicateModel,
    Malformed(&'static str),
}

/// Feed the body in pieces of any size.
#[derive(Debug)]
pub struct FormScanner {
    /// `\r\n--boundary`.
    delimiter: Vec<u8>,
    state: State,
    /// What of a header block, of the model or of a delimiter has come so far.
    held: Vec<u8>,
    parts: usize,
    model: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Start,
    /// Behind a boundary: the next part, or the end.
    Boundary,
    Headers,
    Value {
        is_model: bool,
    },
    /// Behind the last boundary: at most a line feed.
    End,
}

impl FormScanner {
    /// `content_type` is the request's header.
    ///
    /// # Errors
    ///
    /// When it is no form's, or its boundary is missing, doubled or no boundary.
    pub fn new(content_type: &[u8]) -> Result<Self, FormError> {
        let boundary = part::boundary(content_type)?;
        Ok(Self {
            delimiter: [b"\r\n--", boundary].concat(),
            state: State::Start,
            held: Vec::new(),
            parts: 0,
            model: None,
        })
    }

    /// The model, once its part has ended.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Reads the next piece.
    pub fn feed(&mut self, mut input: &[u8]) -> Result<(), FormError> {
        while !input.is_empty() {
            input = match self.state {
                State::Start => self.start(input)?,
                State::Boundary => self.boundary(input)?,
                State::Headers => self.headers(input)?,
                State::Value { is_model } => self.value(input, is_model)?,
                State::End => self.end(input)?,
            };
        }
        Ok(())
    }

    /// The body is over.
    ///
    /// # Errors
    ///
    /// When the form is not.
    pub fn finish(&self) -> Result<(), FormError> {
        match self.state {
            State::End => Ok(()),
            State::Start | State::Boundary | State::Headers | State::Value { .. } => {
                Err(FormError::Malformed("the form ends early"))
            }
        }
    }

    fn start<'i>(&mut self, input: &'i [u8]) -> Result<&'i [u8], FormError> {
        let wanted = &self.delimiter[b"\r\n".len()..];
        let rest = take(&mut self.held, input, wanted.len());
        if !wanted.starts_with(&self.held) {
            return Err(FormError::Malformed("it does not begin with its boundary"));
        }
        if self.held.len() == wanted.len() {
            self.held.clear();
            self.state = State::Boundary;
        }
        Ok(rest)
    }

    fn boundary<'i>(&mut self, input: &'i [u8]) -> Result<&'i [u8], FormError> {
        let rest = take(&mut self.held, input, 2);
        self.state = match self.held.as_slice() {
            b"\r" | b"-" => return Ok(rest),
            b"\r\n" if self.parts == PARTS_LIMIT => {
                return Err(FormError::Malformed("too many parts"));
            }
            b"\r\n" => State::Headers,
            b"--" => State::End,
            _ => return Err(FormError::Malformed("a boundary line goes on")),
        };
        self.parts += 1;
        self.held.clear();
        Ok(rest)
    }

    fn headers<'i>(&mut self, input: &'i [u8]) -> Result<&'i [u8], FormError> {
        const END: &[u8] = b"\r\n\r\n";
        let before = self.held.len();
        let room = HEADERS_BYTES_LIMIT - before;
        self.held.extend_from_slice(&input[..input.len().min(room)]);
        let from = before.saturating_sub(END.len() - 1);
        let Some(at) = memmem::find(&self.held[from..], END) else {
            if self.held.len() == HEADERS_BYTES_LIMIT {
                return Err(FormError::Malformed("the headers of a part are too long"));
            }
            return Ok(&[]);
        };
        let end = from + at + END.len();
        let is_model = match Part::read(&self.held[..end])? {
            Part::Model if self.model.is_some() => return Err(FormError::DuplicateModel),
            Part::Model => true,
            Part::Other => false,
        };
        // An empty value begins with the delimiter, whose line feed must be its own.
        self.held.clear();
        self.state = State::Value { is_model };
        Ok(&input[end - before..])
    }

    /// What is held is the end of the value so far: a beginning of the delimiter, and of the model all.
    fn value<'i>(&mut self, input: &'i [u8], is_model: bool) -> Result<&'i [u8], FormError> {
        let delimiter = &self.delimiter;
        let before = self.held.len();
        // Looked for across the seam first, so that a file is searched where it lies.
        let seam = input.len().min(delimiter.len() - 1);
        self.held.extend_from_slice(&input[..seam]);
        let (at, used) = match memmem::find(&self.held, delimiter) {
            Some(at) => (Some(at), at + delimiter.len() - before),
            None => match memmem::find(input, delimiter) {
                Some(at) => {
                    let all = (before + at).min(MODEL_BYTES_LIMIT + 1);
                    if is_model && all > self.held.len() {
                        let more = &input[self.held.len() - before..all - before];
                        self.held.extend_from_slice(more);
                    }
                    (Some(before + at), at + delimiter.len())
                }
                None => (None, input.len()),
            },
        };
        match at {
            Some(at) => {
                if is_model {
                    let value = self.held.get(..at);
                    self.model = Some(model(value)?);
                }
                self.held.clear();
                self.state = State::Boundary;
            }
            None if is_model => {
                self.held.extend_from_slice(&input[seam..]);
                if self.held.len() > MODEL_BYTES_LIMIT + delimiter.len() {
                    return Err(FormError::Malformed("the model is too long"));
                }
            }
            None => {
                // Only what may begin the delimiter.
                let keep = delimiter.len() - 1;
                if input.len() >= keep {
                    self.held.clear();
                    self.held.extend_from_slice(&input[input.len() - keep..]);
                } else {
                    let excess = self.held.len().saturating_sub(keep);
                    self.held.drain(..excess);
                }
            }
        }
        Ok(&input[used..])
    }

    fn end<'i>(&mut self, input: &'i [u8]) -> Result<&'i [u8], FormError> {
        self.held.extend_from_slice(&input[..input.len().min(3)]);
        match b"\r\n".starts_with(&self.held) {
            true => Ok(&[]),
            false => Err(FormError::Malformed("bytes follow the form")),
        }
    }
}

/// Moves bytes over until `held` has `len`.
fn take<'i>(held: &mut Vec<u8>, input: &'i [u8], len: usize) -> &'i [u8] {
    let (taken, rest) = input.split_at(input.len().min(len - held.len()));
    held.extend_from_slice(taken);
    rest
}

/// `None`: longer than what was held of it.
fn model(value: Option<&[u8]>) -> Result<String, FormError> {
    let value = value.filter(|value| value.len() <= MODEL_BYTES_LIMIT);
    let value = value.ok_or(FormError::Malformed("the model is too long"))?;
    // Servers trim, or they do not.
    let is_plain = !value.is_empty()
        && value.trim_ascii().len() == value.len()
        && !value.iter().any(u8::is_ascii_control);
    let text = std::str::from_utf8(value).ok().filter(|_| is_plain);
    let text = text.ok_or(FormError::Malformed("the model is no plain text"))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
