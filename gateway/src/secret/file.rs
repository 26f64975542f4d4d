//! Files that hold a secret.

use std::{
    fs::File,
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Why such a file is not read; shows nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} may be read by everybody (mode {mode:04o}): `chmod o=` it", path.display())]
    Insecure { path: PathBuf, mode: u32 },
}

impl SecretFileError {
    /// To map an error of the file at `path`.
    pub fn at(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// Opens the file, unless everybody may read it.
///
/// # Errors
/// As [`SecretFileError`] says.
pub fn open_secret_file(path: &Path) -> Result<File, SecretFileError> {
    let at = SecretFileError::at(path);
    let file = File::open(path).map_err(&at)?;
    let mode = file.metadata().map_err(&at)?.permissions().mode() & 0o7777;
    if mode & 0o007 != 0 {
        let path = path.to_owned();
        return Err(SecretFileError::Insecure { path, mode });
    }
    Ok(file)
}
