//! The file with the headers that a collector asks for. Read for each request, so that a new token is in use at
//! once; what is read lies in memory that is wiped when it is freed.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::secret::{SecretFileError, open_secret_file};

const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Why there are no headers; shows nothing of them.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeadersError {
    #[error(transparent)]
    File(#[from] SecretFileError),
    #[error("{}: line {line} is no `Name: value`", path.display())]
    Malformed { path: PathBuf, line: usize },
}

/// Reads `Name: value`, one a line; empty lines and those that begin with `#` do not count.
pub(super) fn read(path: &Path) -> Result<HeaderMap, HeadersError> {
    let mut text = Vec::new();
    open_secret_file(path)?
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut text)
        .map_err(SecretFileError::at(path))?;
    let mut headers = HeaderMap::new();
    for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let (name, value) = header(line).ok_or_else(|| HeadersError::Malformed {
            path: path.to_owned(),
            line: number + 1,
        })?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let at = line.iter().position(|&byte| byte == b':')?;
    let name = HeaderName::from_bytes(line[..at].trim_ascii()).ok()?;
    let value = Bytes::copy_from_slice(line[at + 1..].trim_ascii());
    let mut value = HeaderValue::from_maybe_shared(value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn headers_are_read_and_hidden() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("headers");
        for (text, mode, expected) in [
            ("Authorization: Bearer otlp-secret\n", 0o600, Ok(1)),
            (
                "# of the collector\n\nx-tenant : a b\r\nAuthorization:Bearer otlp-secret",
                0o640,
                Ok(2),
            ),
            ("", 0o600, Ok(0)),
            ("Authorization: Bearer otlp-secret", 0o644, Err("chmod")),
            ("x-a: 1\notlp-secret", 0o600, Err("line 2")),
            ("x a: otlp-secret", 0o600, Err("line 1")),
            ("x-a: otlp\u{1}secret", 0o600, Err("line 1")),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let read = read(&path);
            assert!(!format!("{read:?}").contains("secret"), "{text:?}");
            match (read, expected) {
                (Ok(headers), Ok(count)) => assert_eq!(headers.len(), count, "{text:?}"),
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{text:?}: {error}");
                }
                (read, _) => panic!("{text:?}: {read:?}"),
            }
        }
        assert!(matches!(
            read(&directory.path().join("none")),
            Err(HeadersError::File(SecretFileError::Io { .. }))
        ));
    }
}
