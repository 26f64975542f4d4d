//! Tokens and passwords by reference, read anew for each use, so that a replaced file is in use at once.

use std::{os::unix::ffi::OsStringExt as _, path::Path};

use crate::{
    config::TokenSource,
    secret::{Secret, SecretFileError, SecretInput, SecretInputError, open_secret_file},
};

/// Why there is no token; shows nothing of it.
#[derive(Debug, thiserror::Error)]
pub(in crate::control_plane) enum TokenError {
    #[error(transparent)]
    File(#[from] SecretFileError),
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
    let token = SecretInput::read(open_secret_file(path)?);
    Ok(token.map_err(SecretFileError::at(path))?.into_secret())
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
        assert!(matches!(read(&source), Err(TokenError::File(_))));
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
