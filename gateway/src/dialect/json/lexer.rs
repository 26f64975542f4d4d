//! A resumable RFC 8259 lexer: says where keys and values lie while JSON arrives in pieces, keeps one
//! bit per open container and nothing of the text. What is worth keeping is the [`Visitor`]'s choice.
//!
//! UTF-8 inside strings is not checked, and a lone `\ud800` passes: neither can move a structural byte.

use memchr::memchr2;

use super::ScanError;

/// Deepest nesting accepted. Vendors' own parsers stop between 100 and 1000.
pub const NESTING_LIMIT: usize = 256;

/// Receives what the lexer meets. `depth` counts the containers around the thing; `at` and `end` are
/// offsets into the whole text, `end` exclusive.
pub(super) trait Visitor {
    /// A string (a key or a value) starts at its opening quote. True: send its raw bytes.
    fn string_begin(&mut self, depth: usize, is_key: bool, at: usize) -> Result<bool, ScanError>;
    fn string_end(&mut self, depth: usize, is_key: bool, end: usize) -> Result<(), ScanError>;
    /// An object or array starts at its bracket.
    fn container_begin(
        &mut self,
        depth: usize,
        is_object: bool,
        at: usize,
    ) -> Result<(), ScanError>;
    fn container_end(&mut self, depth: usize, end: usize) -> Result<(), ScanError>;
    /// A number, `true`, `false` or `null` starts. True: send its bytes.
    fn scalar_begin(&mut self, depth: usize, at: usize) -> Result<bool, ScanError>;
    fn scalar_end(&mut self, depth: usize, end: usize) -> Result<(), ScanError>;
    /// Raw bytes of a wanted scalar, or of a wanted string between its quotes, escapes as written.
    fn text(&mut self, piece: &[u8]) -> Result<(), ScanError>;
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
    /// Inside `true`, `false` or `null`: what is missing of it.
    Literal(&'static [u8], Text),
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
    pub(super) fn feed(
        &mut self,
        segment: &[u8],
        visitor: &mut impl Visitor,
    ) -> Result<(), ScanError> {
        let mut at = 0;
        while at < segment.len() {
            at = match self.state {
                State::Between(place) => self.structure(place, segment[at], at, visitor)?,
                State::String(text) => self.string(text, segment, at, visitor)?,
                State::Escape(text) => {
                    self.state = match segment[at] {
                        b'u' => State::Unicode(text, 4),
                        byte if is_escape(byte) => State::String(text),
                        _ => return self.malformed(at, "unknown escape"),
                    };
                    send(text, &segment[at..=at], visitor)?;
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
                    send(text, &segment[at..=at], visitor)?;
                    at + 1
                }
                State::Number(number, text) => self.number(number, text, segment, at, visitor)?,
                State::Literal(missing, text) => {
                    self.literal(missing, text, segment, at, visitor)?
                }
            };
        }
        self.offset += segment.len();
        Ok(())
    }

    fn structure(
        &mut self,
        place: Place,
        byte: u8,
        at: usize,
        visitor: &mut impl Visitor,
    ) -> Result<usize, ScanError> {
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return Ok(at + 1);
        }
        match (place, byte) {
            (Place::Start, b'{') => self.open(true, at, visitor)?,
            (Place::Start, _) => return self.malformed(at, "not a JSON object"),
            (Place::FirstKey | Place::Key, b'"') => {
                let wanted = visitor.string_begin(self.depth, true, self.offset + at)?;
                self.state = State::String(Text {
                    is_key: true,
                    wanted,
                });
            }
            (Place::FirstKey, b'}') | (Place::FirstElement, b']') => self.close(at, visitor)?,
            (Place::FirstKey | Place::Key, _) => return self.malformed(at, "expected a key"),
            (Place::Colon, b':') => self.state = State::Between(Place::Value),
            (Place::Colon, _) => return self.malformed(at, "expected a colon"),
            (Place::FirstElement | Place::Value, _) => self.value(byte, at, visitor)?,
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

    fn value(&mut self, byte: u8, at: usize, visitor: &mut impl Visitor) -> Result<(), ScanError> {
        let start = self.offset + at;
        match byte {
            b'{' => return self.open(true, at, visitor),
            b'[' => return self.open(false, at, visitor),
            b'"' => {
                let wanted = visitor.string_begin(self.depth, false, start)?;
                self.state = State::String(Text {
                    is_key: false,
                    wanted,
                });
                return Ok(());
            }
            _ => {}
        }
        let number = match byte {
            b'-' => Some(Number::Minus),
            b'0' => Some(Number::Zero),
            b'1'..=b'9' => Some(Number::Integer),
            _ => None,
        };
        let missing: &'static [u8] = match byte {
            b't' => b"rue",
            b'f' => b"alse",
            b'n' => b"ull",
            _ if number.is_some() => b"",
            _ => return self.malformed(at, "expected a value"),
        };
        let text = Text {
            is_key: false,
            wanted: visitor.scalar_begin(self.depth, start)?,
        };
        send(text, &[byte], visitor)?;
        self.state = number.map_or(State::Literal(missing, text), |number| {
            State::Number(number, text)
        });
        Ok(())
    }

    /// From inside a string to its end, a `\\u` escape, or the segment's end. Both passes over the
    /// text, `memchr2` and the comparison for control characters, are vector code.
    #[inline]
    fn string(
        &mut self,
        text: Text,
        segment: &[u8],
        at: usize,
        visitor: &mut impl Visitor,
    ) -> Result<usize, ScanError> {
        let mut scan = at;
        let (end, state) = loop {
            let found = memchr2(b'"', b'\\', &segment[scan..]);
            let stop = found.map_or(segment.len(), |n| scan + n);
            if has_control(&segment[scan..stop]) {
                let plain = segment[scan..].iter().take_while(|byte| **byte >= 0x20);
                return self.malformed(scan + plain.count(), "control character in a string");
            }
            if stop == segment.len() {
                break (stop, State::String(text));
            }
            if segment[stop] == b'"' {
                send(text, &segment[at..stop], visitor)?;
                visitor.string_end(self.depth, text.is_key, self.offset + stop + 1)?;
                self.state = State::Between(if text.is_key {
                    Place::Colon
                } else {
                    Place::CommaOrEnd
                });
                return Ok(stop + 1);
            }
            match segment.get(stop + 1) {
                Some(byte) if is_escape(*byte) => scan = stop + 2,
                // Hex digits, mistakes and the segment's end are the slow states' business.
                _ => break (stop + 1, State::Escape(text)),
            }
        };
        send(text, &segment[at..end], visitor)?;
        self.state = state;
        Ok(end)
    }

    fn number(
        &mut self,
        mut number: Number,
        text: Text,
        segment: &[u8],
        at: usize,
        visitor: &mut impl Visitor,
    ) -> Result<usize, ScanError> {
        let mut end = at;
        while let Some(next) = segment.get(end).and_then(|byte| number.next(*byte)) {
            number = next;
            end += 1;
        }
        send(text, &segment[at..end], visitor)?;
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
        missing: &'static [u8],
        text: Text,
        segment: &[u8],
        at: usize,
        visitor: &mut impl Visitor,
    ) -> Result<usize, ScanError> {
        let pairs = segment[at..].iter().zip(missing);
        let here = pairs.take_while(|(byte, wanted)| byte == wanted).count();
        if here < missing.len() && at + here < segment.len() {
            return self.malformed(at + here, "unknown literal");
        }
        send(text, &segment[at..at + here], visitor)?;
        if here == missing.len() {
            visitor.scalar_end(self.depth, self.offset + at + here)?;
            self.state = State::Between(Place::CommaOrEnd);
        } else {
            self.state = State::Literal(&missing[here..], text);
        }
        Ok(at + here)
    }

    fn open(
        &mut self,
        is_object: bool,
        at: usize,
        visitor: &mut impl Visitor,
    ) -> Result<(), ScanError> {
        if self.depth == NESTING_LIMIT {
            return Err(ScanError::TooDeep {
                offset: self.offset + at,
            });
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

    fn close(&mut self, at: usize, visitor: &mut impl Visitor) -> Result<(), ScanError> {
        self.depth -= 1;
        self.state = if self.depth == 0 {
            State::Between(Place::Done)
        } else {
            State::Between(Place::CommaOrEnd)
        };
        visitor.container_end(self.depth, self.offset + at + 1)
    }

    fn in_object(&self) -> bool {
        let innermost = self.depth - 1;
        self.objects[innermost / 64] & 1 << (innermost % 64) != 0
    }

    fn malformed<T>(&self, at: usize, what: &'static str) -> Result<T, ScanError> {
        Err(ScanError::Malformed {
            offset: self.offset + at,
            what,
        })
    }
}

/// The one-character escapes.
fn is_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')
}

fn send(text: Text, piece: &[u8], visitor: &mut impl Visitor) -> Result<(), ScanError> {
    if text.wanted && !piece.is_empty() {
        visitor.text(piece)?;
    }
    Ok(())
}

/// Written without an early exit, so that it becomes vector code.
fn has_control(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(false, |found, byte| found | (*byte < 0x20))
}
