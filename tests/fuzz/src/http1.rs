//! HTTP/1 framing, beside a second reading of RFC 9112 that is slow, simple and made from nothing the
//! node uses: what the node takes must mean the same to both.

use gateway::data_plane::{
    message::{Fields, Framing},
    parse::{
        chunked::{ChunkedDecoder, Step},
        h1,
    },
};

/// Small, so that the limit is reached too.
const HEAD_BYTES_LIMIT: usize = 2 * 1024;
/// Far from the decoder's own limit on a line.
const LINE_BYTES_COMPARED: usize = 200;

/// A head that is taken reads the same to the strict reader, and the same whatever has arrived of it.
pub fn http1_request(data: &[u8]) {
    let parsed = h1::request(data, HEAD_BYTES_LIMIT);
    for cut in cuts(data) {
        match (h1::request(&data[..cut], HEAD_BYTES_LIMIT), &parsed) {
            (Ok(None), _) => {}
            (Ok(Some((_, length))), Ok(Some((_, whole)))) => assert_eq!(length, *whole),
            (Err(_), Err(_)) => {}
            (part, whole) => panic!("cut at {cut}: {part:?}, whole: {whole:?}"),
        }
    }
    let Ok(Some((head, length))) = parsed else {
        return;
    };
    assert!(length <= data.len().min(HEAD_BYTES_LIMIT));
    let strict = Head::read(&data[..length]);
    let [method, target, version] = strict.start.split(' ').collect::<Vec<_>>()[..] else {
        panic!("a request line of other than three words: {}", strict.start);
    };
    assert!(is_token(method));
    assert_eq!(head.method.as_str(), method);
    assert!(["HTTP/1.0", "HTTP/1.1"].contains(&version));
    assert!(head.target.starts_with('/'), "{}", head.target);
    assert!(target.ends_with(&head.target) || !target.starts_with('/'));
    assert!(!target.contains('#'));
    strict.assert_fields(&head.fields);
    let framing = match strict.framing().expect("framing that is taken is plain") {
        None | Some(Framing::Length(0)) => Framing::None,
        Some(framing) => framing,
    };
    assert_eq!(head.framing, framing);
    assert!(framing != Framing::Chunked || version == "HTTP/1.1");
    let closes = strict.lists("connection", "close");
    assert_eq!(
        head.keep_alive,
        !closes && (version == "HTTP/1.1" || strict.lists("connection", "keep-alive"))
    );
}

/// As [`http1_request`], for what a provider answers. LF alone ends a line there: nobody behind the node
/// reads the provider's bytes.
pub fn http1_response(data: &[u8]) {
    for head_request in [false, true] {
        let parsed = h1::response(data, HEAD_BYTES_LIMIT, head_request);
        for cut in cuts(data) {
            match (
                h1::response(&data[..cut], HEAD_BYTES_LIMIT, head_request),
                &parsed,
            ) {
                (Ok(None), _) => {}
                (Ok(Some((_, length))), Ok(Some((_, whole)))) => assert_eq!(length, *whole),
                (Err(_), Err(_)) => {}
                (part, whole) => panic!("cut at {cut}: {part:?}, whole: {whole:?}"),
            }
        }
        let Ok(Some((head, length))) = parsed else {
            continue;
        };
        assert!(head.status < 1000);
        let with_crlf = with_crlf(&data[..length]);
        let strict = Head::read(&with_crlf);
        strict.assert_fields(&head.fields);
        let framing = match strict.framing() {
            // Whatever the fields say.
            _ if head_request || matches!(head.status, 100..=199 | 204 | 304) => Framing::None,
            Err(()) => panic!("framing that two readers could take differently"),
            Ok(None) => Framing::UntilClose,
            Ok(Some(Framing::Length(0))) => Framing::None,
            Ok(Some(framing)) => framing,
        };
        assert_eq!(head.framing, framing);
    }
}

/// The decoder gives the same over any pieces, and what the strict reader gives.
pub fn http1_chunked(data: &[u8]) {
    let decoded = decode(data, data.len().max(1));
    for size in [1, 3, data.len() / 2 + 1] {
        assert_eq!(decode(data, size), decoded, "pieces of {size}");
    }
    match (&decoded, strict_chunks(data)) {
        (_, Chunks::Long) => {}
        (Ok(Some((body, length))), strict) => {
            assert_eq!(strict, Chunks::Whole(body.clone(), *length));
        }
        (Ok(None), strict) => assert_eq!(strict, Chunks::Cut),
        (Err(()), strict) => assert_eq!(strict, Chunks::Bad),
    }
}

/// Body and length of a chunked body at the front of `data`; `None` when it is cut.
fn decode(data: &[u8], size: usize) -> Result<Option<(Vec<u8>, usize)>, ()> {
    let mut decoder = ChunkedDecoder::default();
    let (mut body, mut at, mut seen) = (Vec::new(), 0, 0);
    loop {
        match decoder.step(&data[at..seen]).map_err(|_| ())? {
            Step::Data { skip, data: length } => {
                at += skip;
                body.extend_from_slice(&data[at..at + length]);
                at += length;
            }
            Step::More { skip } => {
                // A trailer section stays in the input until it is whole.
                at += skip;
                if seen == data.len() {
                    assert!(!decoder.is_end());
                    return Ok(None);
                }
                seen = data.len().min(seen + size);
            }
            Step::End { skip, trailers } => return Ok(Some((body, at + skip + trailers))),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Chunks {
    Whole(Vec<u8>, usize),
    Cut,
    Bad,
    /// A line so long that a limit may apply: the rest is not compared.
    Long,
}

/// RFC 9112 section 7.1, line by line.
fn strict_chunks(data: &[u8]) -> Chunks {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = match line(&data[at..], is_chunk_line) {
            Ok(line) => line,
            Err(outcome) => return outcome,
        };
        at += line.len() + 2;
        let size = line.split(|byte| b"; \t".contains(byte)).next();
        let size = std::str::from_utf8(size.expect("splits have a first part")).expect("ASCII");
        let size = u64::from_str_radix(size, 16).expect("a chunk line begins with its size");
        if size == 0 {
            break;
        }
        let left = &data[at..];
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if left.len() <= size {
            return Chunks::Cut;
        }
        let (chunk, rest) = left.split_at(size);
        body.extend_from_slice(chunk);
        match rest {
            [b'\r', b'\n', ..] => at += size + 2,
            [b'\r'] => return Chunks::Cut,
            _ => return Chunks::Bad,
        }
    }
    loop {
        let line = match line(&data[at..], |line| line.iter().all(|byte| is_text(*byte))) {
            Ok(line) => line,
            Err(outcome) => return outcome,
        };
        at += line.len() + 2;
        if line.is_empty() {
            return Chunks::Whole(body, at);
        }
    }
}

/// The first line without its CRLF; every beginning of a good line is one of a cut body.
fn line(data: &[u8], good: impl Fn(&[u8]) -> bool) -> Result<&[u8], Chunks> {
    let end = data.iter().position(|byte| *byte == b'\r');
    let text = &data[..end.unwrap_or(data.len())];
    if text.len() > LINE_BYTES_COMPARED {
        return Err(Chunks::Long);
    }
    match end.map(|end| &data[end..]) {
        // A size may follow where there is none yet.
        None if text.is_empty() || good(text) => Err(Chunks::Cut),
        Some([b'\r', b'\n', ..]) if good(text) => Ok(text),
        Some([b'\r']) if good(text) => Err(Chunks::Cut),
        _ => Err(Chunks::Bad),
    }
}

/// `1*HEXDIG BWS [ ";" … ]`
fn is_chunk_line(line: &[u8]) -> bool {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit());
    let digits = digits.count();
    let rest = line[digits..].trim_ascii_start();
    let extension = rest.is_empty() || rest[0] == b';';
    (1..=15).contains(&digits) && extension && line.iter().all(|byte| is_text(*byte))
}

/// A head, read by splitting it.
struct Head<'a> {
    start: &'a str,
    fields: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Head<'a> {
    /// Panics at whatever two readers could take differently.
    fn read(head: &'a [u8]) -> Self {
        // Empty lines in front of a head are skipped (RFC 9112 section 2.2).
        let mut rest = head;
        while let Some(after) = rest.strip_prefix(b"\r\n") {
            rest = after;
        }
        let mut lines = Vec::new();
        while !rest.is_empty() {
            let end = rest.windows(2).position(|pair| pair == b"\r\n");
            let line = &rest[..end.expect("a head ends with a line")];
            assert!(
                line.iter().all(|byte| is_text(*byte)),
                "a control character in {:?}",
                String::from_utf8_lossy(line)
            );
            lines.push(line);
            rest = &rest[line.len() + 2..];
        }
        assert_eq!(
            lines.pop(),
            Some(&b""[..]),
            "a head ends with an empty line"
        );
        let start = std::str::from_utf8(lines.remove(0)).unwrap_or("");
        let fields = lines.into_iter().map(|line| {
            assert!(!line.is_empty(), "an empty line inside a head");
            let colon = line.iter().position(|byte| *byte == b':');
            let (name, value) = line.split_at(colon.expect("a field has a colon"));
            let name = std::str::from_utf8(name).expect("a name is ASCII");
            // Neither folded (a space in front) nor padded (a space behind).
            assert!(is_token(name), "{name:?}");
            (name, trim(&value[1..]))
        });
        Self {
            start,
            fields: fields.collect(),
        }
    }

    fn assert_fields(&self, fields: &Fields) {
        let read: Vec<_> = fields.iter().collect();
        let strict = self.fields.iter();
        let strict: Vec<_> = strict
            .map(|(name, value)| (name.as_bytes(), *value))
            .collect();
        assert_eq!(read, strict);
    }

    fn values(&self, name: &str) -> Vec<&'a [u8]> {
        let named = self
            .fields
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| *value).collect()
    }

    /// How the body's end is said; `Err` when it is said in a way that two readers could take
    /// differently.
    fn framing(&self) -> Result<Option<Framing>, ()> {
        match (
            &self.values("content-length")[..],
            &self.values("transfer-encoding")[..],
        ) {
            ([], []) => Ok(None),
            ([length], []) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
                let length = std::str::from_utf8(length).map_err(|_| ())?;
                Ok(Some(Framing::Length(length.parse().map_err(|_| ())?)))
            }
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Some(Framing::Chunked)),
            _ => Err(()),
        }
    }

    fn lists(&self, name: &str, option: &str) -> bool {
        self.values(name)
            .iter()
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|listed| listed.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
    }
}

/// Where to cut input: everywhere while that is cheap.
fn cuts(data: &[u8]) -> Vec<usize> {
    match data.len() {
        0..=64 => (0..data.len()).collect(),
        length => vec![
            1,
            length / 3,
            length / 2,
            length - 3,
            length - 2,
            length - 1,
        ],
    }
}

/// Bare LF as CRLF.
fn with_crlf(head: &[u8]) -> Vec<u8> {
    let mut with = Vec::with_capacity(head.len());
    for (at, byte) in head.iter().enumerate() {
        if *byte == b'\n' && (at == 0 || head[at - 1] != b'\r') {
            with.push(b'\r');
        }
        with.push(*byte);
    }
    with
}

fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| b" \t".contains(byte);
    let start = value.iter().position(|byte| !blank(byte));
    let end = value.iter().rposition(|byte| !blank(byte));
    match (start, end) {
        (Some(start), Some(end)) => &value[start..=end],
        _ => &[],
    }
}

fn is_token(text: &str) -> bool {
    let mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || mark(byte))
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}
