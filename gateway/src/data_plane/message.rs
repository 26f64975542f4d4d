//! What the two HTTP versions have in common: heads with their fields, and how long a body is.

use std::cell::RefCell;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// Header fields of a message, as they came over the wire.
#[derive(Debug)]
pub enum Fields {
    /// Spans into the bytes of an HTTP/1 head.
    H1 {
        bytes: Vec<u8>,
        spans: Vec<FieldSpan>,
    },
    H2(Vec<(HeaderName, HeaderValue)>),
}

/// Where a field's name and value stand in its head.
#[derive(Debug, Clone, Copy)]
pub struct FieldSpan {
    pub name: (u32, u32),
    pub value: (u32, u32),
}

thread_local! {
    /// Memory of finished HTTP/1 heads, for the next ones.
    static SPARE: RefCell<Vec<(Vec<u8>, Vec<FieldSpan>)>> = const { RefCell::new(Vec::new()) };
}

/// Heads whose memory is kept per worker.
const SPARE_LIMIT: usize = 256;
/// Memory of a larger head is freed.
const SPARE_BYTES_LIMIT: usize = 4 * 1024;

impl Fields {
    /// Fields at `spans` of an HTTP/1 head.
    pub fn from_h1(head: &[u8], spans: impl Iterator<Item = FieldSpan>) -> Self {
        let (mut bytes, mut kept) = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        bytes.extend_from_slice(head);
        kept.extend(spans);
        Self::H1 { bytes, spans: kept }
    }

    pub fn from_h2(map: HeaderMap) -> Self {
        let mut fields: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(map.len());
        for (name, value) in map {
            // The map names only the first of several values.
            let name = name.unwrap_or_else(|| fields.last().expect("the first is named").0.clone());
            fields.push((name, value));
        }
        Self::H2(fields)
    }

    /// All fields, names in whatever case they came.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        let (bytes, spans, pairs) = match self {
            Self::H1 { bytes, spans } => (bytes.as_slice(), spans.as_slice(), &[][..]),
            Self::H2(pairs) => (&[][..], &[][..], pairs.as_slice()),
        };
        let slice = move |(start, end): (u32, u32)| &bytes[start as usize..end as usize];
        let h1 = spans
            .iter()
            .map(move |span| (slice(span.name), slice(span.value)));
        h1.chain(
            pairs
                .iter()
                .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())),
        )
    }

    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let is = |n: &[u8]| n.eq_ignore_ascii_case(name.as_bytes());
        self.iter().find(|(n, _)| is(n)).map(|(_, value)| value)
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        let Self::H1 { bytes, spans } = self else {
            return;
        };
        if bytes.capacity() > SPARE_BYTES_LIMIT {
            return;
        }
        let (mut bytes, mut spans) = (std::mem::take(bytes), std::mem::take(spans));
        // An agent's own credential may have stood in it. The memory lives on, so this is no dead store.
        bytes.fill(0);
        bytes.clear();
        spans.clear();
        // At thread exit the store may be gone already; then the memory is simply freed.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_LIMIT {
                spare.push((bytes, spans));
            }
        });
    }
}

/// HTTP version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
    Http2,
}

impl Version {
    /// As kept in records.
    pub fn number(self) -> u8 {
        match self {
            Self::Http10 => 10,
            Self::Http11 => 11,
            Self::Http2 => 20,
        }
    }
}

/// How a body's end is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    /// HTTP/1 chunks; in HTTP/2, DATA frames of unstated length.
    Chunked,
    /// Until the connection closes: HTTP/1 responses only.
    UntilClose,
}

/// A request's head.
#[derive(Debug)]
pub struct RequestHead {
    pub method: Method,
    /// Path with query, as sent; origin form.
    pub target: String,
    /// Authority of an absolute-form target or of `:authority`.
    pub target_authority: Option<String>,
    pub version: Version,
    pub fields: Fields,
    pub framing: Framing,
    /// HTTP/1 only: the agent wants the connection kept.
    pub keep_alive: bool,
    /// The agent waits for `100 Continue` before it sends its body.
    pub expects_continue: bool,
    /// `TE: trailers`: fields behind the answer's body will not be thrown away.
    pub takes_trailers: bool,
}

impl RequestHead {
    pub fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(&self.target, |(path, _)| path)
    }
}

/// A response's head.
#[derive(Debug)]
pub struct ResponseHead {
    pub status: u16,
    pub fields: Fields,
    pub framing: Framing,
    /// HTTP/1 only: the connection may carry another exchange.
    pub keep_alive: bool,
    /// HTTP/1 only: `Connection` lists more than `close` and `keep-alive`.
    pub connection_names_fields: bool,
}

impl ResponseHead {
    /// Whether `Connection` says that a field is not for the next hop (RFC 9110 section 7.6.1).
    pub fn is_of_connection(&self, name: &[u8]) -> bool {
        self.connection_names_fields
            && (self.fields.iter())
                .filter(|(field, _)| field.eq_ignore_ascii_case(b"connection"))
                .flat_map(|(_, value)| value.split(|byte| *byte == b','))
                .any(|option| option.trim_ascii().eq_ignore_ascii_case(name))
    }
}
