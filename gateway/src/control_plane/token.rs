//! Tokens and passwords by reference, read anew for each use, so that a replaced file is in use at once.

use std::{
    fs::File,
    io,
    os::unix::{ffi::OsStringExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::{
    config::TokenSource,
    secret::{Secret, SecretInput, SecretInputError},
};

/// Why there is no token; shows nothing of it.
#[derive(Debug, thiserror::Error)]
pub(in crate::control_plane) enum TokenError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} may be read by everybody (mode {mode:04o}): `chmod o=` it", path.display())]
    Insecure { path: PathBuf, mode: u32 },
    #[error(
        "$CREDENTIALS_DIRECTORY is not set: start the service by systemd, with LoadCredentialEncrypted="
    )]
    NoCredentialsDirectory,
    #[error("{0} is not set")]
    NotSet(String),
    #[error("{name}: {source}")]
    Malformed {
        name: String,
        source: SecretInputError,
    },
}

pub(in crate::control_plane) fn read(source: &TokenSource) -> Result<Secret, TokenError> {
    match source {
        TokenSource::File(path) => read_file(path),
        TokenSource::SystemdCredential(name) => {
            let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
            let directory = directory.ok_or(TokenError::NoCredentialsDirectory)?;
            read_file(&Path::new(&directory).join(name))
        }
        TokenSource::Environment(name) => {
            let value = std::env::var_os(name).ok_or_else(|| TokenError::NotSet(name.clone()))?;
            let token = SecretInput::new(value.into_vec());
            let malformed = |source| TokenError::Malformed {
                name: name.clone(),
                source,
            };
            Ok(token.map_err(malformed)?.into_secret())
        }
    }
}

fn read_file(path: &Path) -> Result<Secret, TokenError> {
    let at = |source| TokenError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(at)?;
    let mode = file.metadata().map_err(at)?.permissions().mode() & 0o7777;
    if mode & 0o007 != 0 {
        let path = path.to_owned();
        return Err(TokenError::Insecure { path, mode });
    }
    Ok(SecretInput::read(file).map_err(at)?.into_secret())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_file_is_for_the_service_alone_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let source = TokenSource::File(path.clone());
        assert!(matches!(read(&source), Err(TokenError::Io { .. })));
        for (text, mode, token) in [
            ("nbp_one\n", 0o640, Some("nbp_one")),
            ("nbp_two", 0o600, Some("nbp_two")),
            ("nbp_three", 0o644, None),
            ("", 0o600, None),
            ("nbp three", 0o600, None),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let read = read(&source).ok();
            let read = read.as_ref().map(Secret::expose);
            assert_eq!(read, token.map(str::as_bytes), "{text:?} {mode:o}");
        }
    }
}
