//! A resumable RFC 8259 lexer: says where keys and values lie while JSON arrives in pieces, keeps one
//! bit per open container and nothing of the text. What is worth keeping is the [`Visitor`]'s choice.
//!
//! UTF-8 inside strings is not checked, and a lone `\ud800` passes: neither can move a structural byte.

use super::{
    ScanError,
    string::{is_escape, string_len},
};

/// Deepest nesting accepted. Vendors' own parsers stop between 100 and 1000.
pub const NESTING_LIMIT: usize = 256;

/// What the inner steps return: boxed, so that the good case travels in registers.
pub(super) type Scan<T> = Result<T, Box<ScanError>>;

/// Receives what the lexer meets. `depth` counts the containers around the thing; `at` and `end` are
/// offsets into the whole text, `end` exclusive.
pub(super) trait Visitor {
    /// A string (a key or a value) starts at its opening quote. True: send its raw bytes.
    fn string_begin(&mut self, depth: usize, is_key: bool, at: usize) -> Scan<bool>;
    fn string_end(&mut self, depth: usize, is_key: bool, end: usize) -> Scan<()>;
    /// An object or array starts at its bracket.
    fn container_begin(&mut self, depth: usize, is_object: bool, at: usize) -> Scan<()>;
    fn container_end(&mut self, depth: usize, end: usize) -> Scan<()>;
    /// A number, `true`, `false` or `null` starts. True: send its bytes.
    fn scalar_begin(&mut self, depth: usize, at: usize) -> Scan<bool>;
    fn scalar_end(&mut self, depth: usize, end: usize) -> Scan<()>;
    /// Raw bytes of a wanted scalar, or of a wanted string between its quotes, escapes as written.
    fn text(&mut self, piece: &[u8]) -> Scan<()>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Outside strings, numbers and literals.
    Between(Place),
    String(Text),
    /// After a backslash.
    Escape(Text),
    /// Inside `\uXXXX`; this many digits are missing.
    Unicode(Text, u8),
    Number(Number, Text),
    /// Inside `true`, `false` or `null`, which this index names; this many bytes of it were read.
    Literal(u8, u8, Text),
}

/// What may come next, white space aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The one object.
    Start,
    /// After `{`: a key or `}`.
    FirstKey,
    /// After `,` in an object.
    Key,
    Colon,
    Value,
    /// After `[`: a value or `]`.
    FirstElement,
    /// After a value.
    CommaOrEnd,
    /// After the object: nothing.
    Done,
}

/// What [`State::Literal`] counts in.
const LITERALS: [&[u8]; 3] = [b"true", b"false", b"null"];

/// How the scalar or string at hand is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Text {
    is_key: bool,
    wanted: bool,
}

/// The states of RFC 8259's number grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl Number {
    /// The state after `byte`; `None`: `byte` is not part of a number here.
    fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Some(Self::Integer),
            (Self::Zero | Self::Integer, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::ExponentSign),
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => {
                Some(Self::ExponentDigits)
            }
            _ => None,
        }
    }

    fn may_end(self) -> bool {
        match self {
            Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigits => true,
            Self::Minus | Self::Point | Self::Exponent | Self::ExponentSign => false,
        }
    }
}

/// See the module. The text must be exactly one object, white space around it allowed.
#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
    /// Bytes of the segments before the current one.
    offset: usize,
    depth: usize,
    /// Bit `d`: the container at depth `d` is an object.
    objects: [u64; NESTING_LIMIT / 64],
}

impl Default for Lexer {
    fn default() -> Self {
        Self {
            state: State::Between(Place::Start),
            offset: 0,
            depth: 0,
            objects: [0; NESTING_LIMIT / 64],
        }
    }
}

impl Lexer {
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Between(Place::Done)
    }

    /// Reads one segment. After an error the lexer must not be fed again.
    pub(super) fn feed(&mut self, segment: &[u8], visitor: &mut impl Visitor) -> Scan<()> {
        let mut at = 0;
        while at < segment.len() {
            at = match self.state {
                State::Between(place) => self.structure(place, segment, at, visitor)?,
                State::String(text) if text.is_key => {
                    self.string::<true>(text.wanted, segment, at, visitor)?
                }
                State::String(text) => self.string::<false>(text.wanted, segment, at, visitor)?,
                State::Escape(text) => {
                    self.state = match segment[at] {
                        b'u' => State::Unicode(text, 4),
                        byte if is_escape(byte) => State::String(text),
                        _ => return self.malformed(at, "unknown escape"),
                    };
                    send(text.wanted, &segment[at..=at], visitor)?;
                    at + 1
                }
                State::Unicode(text, missing) => {
                    if !segment[at].is_ascii_hexdigit() {
                        return self.malformed(at, "bad \\u escape");
                    }
                    self.state = match missing {
                        1 => State::String(text),
                        more => State::Unicode(text, more - 1),
                    };
                    send(text.wanted, &segment[at..=at], visitor)?;
                    at + 1
                }
                State::Number(number, text) => self.number(number, text, segment, at, visitor)?,
                State::Literal(index, read, text) => {
                    self.literal(index, read, text, segment, at, visitor)?
                }
            };
        }
        self.offset += segment.len();
        Ok(())
    }

    #[inline]
    fn structure(
        &mut self,
        place: Place,
        segment: &[u8],
        at: usize,
        visitor: &mut impl Visitor,
    ) -> Scan<usize> {
        let byte = segment[at];
        if is_white_space(byte) {
            return Ok(at + 1);
        }
        match (place, byte) {
            (Place::Start, b'{') => self.open(true, at, visitor)?,
            (Place::Start, _) => return self.malformed(at, "not a JSON object"),
            (Place::FirstKey | Place::Key, b'"') => {
                let wanted = visitor.string_begin(self.depth, true, self.offset + at)?;
                return self.string::<true>(wanted, segment, at + 1, visitor);
            }
            (Place::FirstKey, b'}') | (Place::FirstElement, b']') => self.close(at, visitor)?,
            (Place::FirstKey | Place::Key, _) => return self.malformed(at, "expected a key"),
            (Place::Colon, b':') => self.state = State::Between(Place::Value),
            (Place::Colon, _) => return self.malformed(at, "expected a colon"),
            (Place::FirstElement | Place::Value, _) => return self.value(segment, at, visitor),
            (Place::CommaOrEnd, b',') if self.in_object() => {
                self.state = State::Between(Place::Key);
            }
            (Place::CommaOrEnd, b',') => self.state = State::Between(Place::Value),
            (Place::CommaOrEnd, b'}') if self.in_object() => self.close(at, visitor)?,
            (Place::CommaOrEnd, b']') if !self.in_object() => self.close(at, visitor)?,
            (Place::CommaOrEnd, _) => return self.malformed(at, "expected a comma or the end"),
            (Place::Done, _) => return self.malformed(at, "text after the object"),
        }
        Ok(at + 1)
    }

    /// At the first byte of a value.
    #[inline]
    fn value(&mut self, segment: &[u8], at: usize, visitor: &mut impl Visitor) -> Scan<usize> {
        let byte = segment[at];
        let start = self.offset + at;
        match byte {
            b'"' => {
                let wanted = visitor.string_begin(self.depth, false, start)?;
                return self.string::<false>(wanted, segment, at + 1, visitor);
            }
            b'{' => self.open(true, at, visitor)?,
            b'[' => self.open(false, at, visitor)?,
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                let text = Text {
                    is_key: false,
                    wanted: visitor.scalar_begin(self.depth, start)?,
                };
                send(text.wanted, &[byte], visitor)?;
                self.state = match byte {
                    b'-' => State::Number(Number::Minus, text),
                    b'0' => State::Number(Number::Zero, text),
                    b't' => State::Literal(0, 1, text),
                    b'f' => State::Literal(1, 1, text),
                    b'n' => State::Literal(2, 1, text),
                    _ => State::Number(Number::Integer, text),
                };
            }
            _ => return self.malformed(at, "expected a value"),
        }
        Ok(at + 1)
    }

    /// From inside a string to its end, a `\u` escape, or the segment's end. After a key it goes on
    /// to the value where that follows at once, which saves most of the dispatching on `state`.
    #[inline]
    fn string<const KEY: bool>(
        &mut self,
        wanted: bool,
        segment: &[u8],
        at: usize,
        visitor: &mut impl Visitor,
    ) -> Scan<usize> {
        let text = Text {
            is_key: KEY,
            wanted,
        };
        let mut stop = at + string_len(&segment[at..]);
        while let Some([b'\\', b'u', digits @ ..]) = segment.get(stop..)
            && let Some(digits) = digits.first_chunk::<4>()
            && digits.iter().all(u8::is_ascii_hexdigit)
        {
            stop += r"\u0000".len();
            stop += string_len(&segment[stop..]);
        }
        let (end, state) = match segment.get(stop) {
            None => (stop, State::String(text)),
            Some(b'"') => {
                send(wanted, &segment[at..stop], visitor)?;
                visitor.string_end(self.depth, KEY, self.offset + stop + 1)?;
                if KEY {
                    return self.after_key(segment, stop + 1, visitor);
                }
                self.state = State::Between(Place::CommaOrEnd);
                return Ok(stop + 1);
            }
            // Mistakes and what the segment's end cuts are the slow states' business.
            Some(b'\\') => (stop + 1, State::Escape(text)),
            Some(_) => return self.malformed(stop, "control character in a string"),
        };
        send(wanted, &segment[at..end], visitor)?;
        self.state = state;
        Ok(end)
    }

    #[inline]
    fn after_key(&mut self, segment: &[u8], at: usize, visitor: &mut impl Visitor) -> Scan<usize> {
        let value_at = match segment.get(at..) {
            Some([b':', b' ', ..]) => at + 2,
            Some([b':', ..]) => at + 1,
            _ => {
                self.state = State::Between(Place::Colon);
                return Ok(at);
            }
        };
        match segment.get(value_at) {
            Some(byte) if !is_white_space(*byte) => self.value(segment, value_at, visitor),
            _ => {
                self.state = State::Between(Place::Value);
                Ok(value_at)
            }
        }
    }

    fn number(
        &mut self,
        mut number: Number,
        text: Text,
        segment: &[u8],
        at: usize,
        visitor: &mut impl Visitor,
    ) -> Scan<usize> {
        let mut end = at;
        while let Some(next) = segment.get(end).and_then(|byte| number.next(*byte)) {
            number = next;
            end += 1;
        }
        send(text.wanted, &segment[at..end], visitor)?;
        self.state = State::Number(number, text);
        if end < segment.len() {
            if !number.may_end() {
                return self.malformed(end, "bad number");
            }
            visitor.scalar_end(self.depth, self.offset + end)?;
            self.state = State::Between(Place::CommaOrEnd);
        }
        Ok(end)
    }

    fn literal(
        &mut self,
        index: u8,
        read: u8,
        text: Text,
        segment: &[u8],
        at: usize,
        visitor: &mut impl Visitor,
    ) -> Scan<usize> {
        let missing = &LITERALS[usize::from(index)][usize::from(read)..];
        let pairs = segment[at..].iter().zip(missing);
        let here = pairs.take_while(|(byte, wanted)| byte == wanted).count();
        if here < missing.len() && at + here < segment.len() {
            return self.malformed(at + here, "unknown literal");
        }
        send(text.wanted, &segment[at..at + here], visitor)?;
        if here == missing.len() {
            visitor.scalar_end(self.depth, self.offset + at + here)?;
            self.state = State::Between(Place::CommaOrEnd);
        } else {
            self.state = State::Literal(index, read + here as u8, text);
        }
        Ok(at + here)
    }

    #[inline]
    fn open(&mut self, is_object: bool, at: usize, visitor: &mut impl Visitor) -> Scan<()> {
        if self.depth == NESTING_LIMIT {
            return Err(Box::new(ScanError::TooDeep {
                offset: self.offset + at,
            }));
        }
        visitor.container_begin(self.depth, is_object, self.offset + at)?;
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        if is_object {
            self.objects[word] |= bit;
            self.state = State::Between(Place::FirstKey);
        } else {
            self.objects[word] &= !bit;
            self.state = State::Between(Place::FirstElement);
        }
        self.depth += 1;
        Ok(())
    }

    #[inline]
    fn close(&mut self, at: usize, visitor: &mut impl Visitor) -> Scan<()> {
        self.depth -= 1;
        self.state = if self.depth == 0 {
            State::Between(Place::Done)
        } else {
            State::Between(Place::CommaOrEnd)
        };
        visitor.container_end(self.depth, self.offset + at + 1)
    }

    #[inline]
    fn in_object(&self) -> bool {
        let innermost = self.depth - 1;
        self.objects[innermost / 64] & 1 << (innermost % 64) != 0
    }

    #[cold]
    fn malformed<T>(&self, at: usize, what: &'static str) -> Scan<T> {
        Err(Box::new(ScanError::Malformed {
            offset: self.offset + at,
            what,
        }))
    }
}

fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

fn send(wanted: bool, piece: &[u8], visitor: &mut impl Visitor) -> Scan<()> {
    if wanted && !piece.is_empty() {
        visitor.text(piece)?;
    }
    Ok(())
}
