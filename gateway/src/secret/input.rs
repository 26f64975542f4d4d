//! `SecretInput`: key text as a person or an API client gave it, checked and moved into the arena.

use std::{fmt, io, path::Path};

use serde::{Deserialize, Deserializer, de};
use zeroize::{Zeroize, Zeroizing};

use super::Secret;

/// Longest accepted key; a Google service account key has about 2.4 KiB.
pub const SECRET_INPUT_BYTES_MAX: usize = 16 * 1024;

/// Checked key text: an API key (visible ASCII, no spaces) or a JSON object. One newline at the end is
/// dropped, because files and pipes have it.
pub struct SecretInput(Secret);

/// What is wrong with key text. Shows nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretInputError {
    #[error("the key is empty")]
    Empty,
    #[error("the key is longer than {SECRET_INPUT_BYTES_MAX} bytes")]
    TooLong,
    #[error("the key contains a character outside ASCII")]
    NotAscii,
    #[error("the key contains a control character (a line break in the middle, perhaps)")]
    ControlCharacter,
    #[error("the key contains a space")]
    Space,
    #[error("the key begins like a JSON document but is not one")]
    NotJson,
}

impl SecretInput {
    /// Checks `source` and wipes it, accepted or not.
    pub fn new(mut source: Vec<u8>) -> Result<Self, SecretInputError> {
        let input = Self::check(&source);
        source.zeroize();
        input
    }

    /// As [`Self::new`].
    pub fn from_text(source: String) -> Result<Self, SecretInputError> {
        Self::new(source.into_bytes())
    }

    /// Reads a file, at most one byte further than what is accepted.
    pub fn read_file(path: &Path) -> io::Result<Self> {
        Self::read(std::fs::File::open(path)?)
    }

    /// Reads to the end of `reader`, at most one byte further than what is accepted.
    pub fn read(reader: impl io::Read) -> io::Result<Self> {
        let limit = SECRET_INPUT_BYTES_MAX + "\r\n".len() + 1;
        // All of it up front: growing would leave copies behind.
        let mut source = Zeroizing::new(Vec::with_capacity(limit + 1));
        io::Read::read_to_end(&mut reader.take(limit as u64), &mut source)?;
        Self::check(&source).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    pub fn into_secret(self) -> Secret {
        self.0
    }

    fn check(source: &[u8]) -> Result<Self, SecretInputError> {
        let text = source.strip_suffix(b"\n").unwrap_or(source);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() {
            return Err(SecretInputError::Empty);
        }
        if text.len() > SECRET_INPUT_BYTES_MAX {
            return Err(SecretInputError::TooLong);
        }
        if !text.is_ascii() {
            return Err(SecretInputError::NotAscii);
        }
        if text.trim_ascii_start().starts_with(b"{") {
            serde_json::from_slice::<de::IgnoredAny>(text)
                .map_err(|_| SecretInputError::NotJson)?;
        } else if text.iter().any(u8::is_ascii_control) {
            return Err(SecretInputError::ControlCharacter);
        } else if text.contains(&b' ') {
            return Err(SecretInputError::Space);
        }
        Ok(Self(Secret::copy_of(text)))
    }
}

impl fmt::Debug for SecretInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretInput(…)")
    }
}

/// From a JSON string. The deserializer's own buffers are wiped by the allocator.
impl<'de> Deserialize<'de> for SecretInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = SecretInput;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key as text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretInput, E> {
                SecretInput::check(text.as_bytes()).map_err(E::custom)
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<SecretInput, E> {
                SecretInput::from_text(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_string(Text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_key() {
        let longest = "k".repeat(SECRET_INPUT_BYTES_MAX);
        let too_long = "k".repeat(SECRET_INPUT_BYTES_MAX + 1);
        let cases: [(&str, Result<&str, SecretInputError>); 16] = [
            ("sk-abc", Ok("sk-abc")),
            ("sk-abc\n", Ok("sk-abc")),
            ("sk-abc\r\n", Ok("sk-abc")),
            ("sk-abc\n\n", Err(SecretInputError::ControlCharacter)),
            ("sk-a\tbc", Err(SecretInputError::ControlCharacter)),
            ("sk-a\0bc", Err(SecretInputError::ControlCharacter)),
            ("", Err(SecretInputError::Empty)),
            ("\n", Err(SecretInputError::Empty)),
            (" sk-abc", Err(SecretInputError::Space)),
            ("sk abc", Err(SecretInputError::Space)),
            ("sk-äbc", Err(SecretInputError::NotAscii)),
            (&longest, Ok(&longest)),
            (&too_long, Err(SecretInputError::TooLong)),
            (
                "{\n  \"type\": \"service account\"\n}\n",
                Ok("{\n  \"type\": \"service account\"\n}"),
            ),
            ("{\"type\": ", Err(SecretInputError::NotJson)),
            ("{\"a\": 1} {", Err(SecretInputError::NotJson)),
        ];
        for (source, expected) in cases {
            let by_bytes = SecretInput::new(source.as_bytes().to_vec());
            let got = by_bytes
                .map(|input| String::from_utf8(input.into_secret().expose().to_vec()).unwrap());
            assert_eq!(got, expected.map(str::to_owned), "{source:?}");
            let by_reader = SecretInput::read(source.as_bytes());
            assert_eq!(by_reader.is_ok(), expected.is_ok(), "{source:?}");
        }
    }

    #[test]
    fn a_json_field() {
        #[derive(Debug, Deserialize)]
        struct Request {
            api_key: SecretInput,
        }
        let request: Request = serde_json::from_str(r#"{"api_key":"sk-\u0061"}"#).unwrap();
        assert_eq!(
            format!("{request:?}"),
            "Request { api_key: SecretInput(…) }"
        );
        assert_eq!(request.api_key.into_secret().expose(), b"sk-a");
        let error = serde_json::from_str::<Request>(r#"{"api_key":"sk-secret x"}"#).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
