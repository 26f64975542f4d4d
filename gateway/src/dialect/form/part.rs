//! The headers around a part: the boundary that the request names, and whether a part is the model.

use super::{BOUNDARY_BYTES_LIMIT, FormError};

/// Headers of one part; clients send two or three.
const HEADERS_LIMIT: usize = 8;

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Model,
    Other,
}

impl Part {
    /// Reads a header block with the empty line at its end.
    pub(super) fn read(block: &[u8]) -> Result<Self, FormError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_LIMIT];
        let Ok(httparse::Status::Complete((_, headers))) =
            httparse::parse_headers(block, &mut headers)
        else {
            return Err(FormError::Malformed("the headers of a part"));
        };
        let named = |name: &str| {
            let mut found = headers
                .iter()
                .filter(|header| header.name.eq_ignore_ascii_case(name));
            match (found.next(), found.next()) {
                (first, None) => Ok(first.map(|header| header.value)),
                (_, Some(_)) => Err(FormError::Malformed("a part has a header twice")),
            }
        };
        let disposition = named("content-disposition")?;
        let disposition = disposition.ok_or(FormError::Malformed("a part has no name"))?;
        let mut parameters = Parameters::of(disposition, "form-data")?;
        let (mut name, mut is_file) = (None, false);
        while let Some((key, value)) = parameters.next()? {
            // `name*` is another spelling (RFC 7578 section 4.2 forbids it).
            if key.eq_ignore_ascii_case(b"name*") {
                return Err(FormError::Malformed("a part's name is coded"));
            }
            is_file |=
                key.eq_ignore_ascii_case(b"filename") || key.eq_ignore_ascii_case(b"filename*");
            if key.eq_ignore_ascii_case(b"name") && name.replace(value).is_some() {
                return Err(FormError::Malformed("a part has two names"));
            }
        }
        let name = name.ok_or(FormError::Malformed("a part has no name"))?;
        if name.iter().any(|byte| matches!(byte, b'\\' | b'%')) {
            return Err(FormError::Malformed("a part's name has escapes"));
        }
        if !name.trim_ascii().eq_ignore_ascii_case(b"model") {
            return Ok(Self::Other);
        }
        if name != b"model" || is_file {
            return Err(FormError::Malformed("`model` must be a plain field"));
        }
        match named("content-transfer-encoding")? {
            None => Ok(Self::Model),
            Some(value)
                if value.eq_ignore_ascii_case(b"binary") || value.eq_ignore_ascii_case(b"8bit") =>
            {
                Ok(Self::Model)
            }
            Some(_) => Err(FormError::Malformed("the model is coded")),
        }
    }
}

/// The boundary of `multipart/form-data`.
pub(super) fn boundary(content_type: &[u8]) -> Result<&[u8], FormError> {
    let mut parameters = Parameters::of(content_type, "multipart/form-data")?;
    let mut boundary = None;
    while let Some((key, value)) = parameters.next()? {
        if key.eq_ignore_ascii_case(b"boundary") && boundary.replace(value).is_some() {
            return Err(FormError::Malformed("two boundaries"));
        }
    }
    let is_sound = |boundary: &&[u8]| {
        !boundary.is_empty()
            && boundary.len() <= BOUNDARY_BYTES_LIMIT
            && boundary
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(byte))
    };
    boundary
        .filter(is_sound)
        .ok_or(FormError::Malformed("no boundary"))
}

/// Key and value.
type Parameter<'v> = (&'v [u8], &'v [u8]);

/// `; key=value` behind a header's first word.
struct Parameters<'v>(&'v [u8]);

impl<'v> Parameters<'v> {
    fn of(value: &'v [u8], first: &str) -> Result<Self, FormError> {
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        let (word, rest) = value.split_at(end);
        match word.trim_ascii().eq_ignore_ascii_case(first.as_bytes()) {
            true => Ok(Self(rest)),
            false => Err(FormError::Malformed("no form")),
        }
    }

    fn next(&mut self) -> Result<Option<Parameter<'v>>, FormError> {
        let malformed = FormError::Malformed("a header's parameters");
        let rest = self.0.trim_ascii_start();
        let Some(rest) = rest.strip_prefix(b";") else {
            return match rest {
                [] => Ok(None),
                _ => Err(malformed),
            };
        };
        let rest = rest.trim_ascii_start();
        if rest.is_empty() {
            // Some clients end with a semicolon.
            self.0 = rest;
            return Ok(None);
        }
        let equals = memchr::memchr(b'=', rest).ok_or(malformed)?;
        let (key, value) = (&rest[..equals], &rest[equals + 1..]);
        let (value, rest) = match value.strip_prefix(b"\"") {
            // An escaped quote would end the value early, and what follows it is then refused.
            Some(quoted) => {
                let end = memchr::memchr(b'"', quoted).ok_or(malformed)?;
                (&quoted[..end], &quoted[end + 1..])
            }
            None => {
                let end = memchr::memchr2(b';', b' ', value).unwrap_or(value.len());
                value.split_at(end)
            }
        };
        self.0 = rest;
        Ok(Some((key.trim_ascii_end(), value)))
    }
}
