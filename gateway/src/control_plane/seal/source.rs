//! Where the master key comes from: a systemd credential, a key file, or a passphrase file. The key that
//! is to replace it waits beside it under the same name plus `.next`.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

use super::{MasterKey, UnlockError, master_key::KEY_BYTES, passphrase};
use crate::{config::MasterKeySource, control_plane::store::Store, secret::Secret};

/// Longest key or passphrase file.
const FILE_BYTES_MAX: usize = 4096;
/// Shorter ones are guessed, whatever the derivation costs.
const PASSPHRASE_BYTES_MIN: usize = 12;
/// A key in base64, with room for what decoders want to have.
const KEY_TEXT_BYTES: usize = KEY_BYTES.div_ceil(3) * 4;

/// Why no key can be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{} may be read by others (mode {mode:04o}): `chmod 600` it, and change the key if others were on this machine",
        path.display()
    )]
    Insecure { path: PathBuf, mode: u32 },
    #[error("{} does not hold a master key: 32 bytes in base64", path.display())]
    Malformed { path: PathBuf },
    #[error("the passphrase in {} has fewer than {PASSPHRASE_BYTES_MIN} bytes", path.display())]
    ShortPassphrase { path: PathBuf },
    #[error(
        "$CREDENTIALS_DIRECTORY is not set: start the service by systemd, with LoadCredentialEncrypted="
    )]
    NoCredentialsDirectory,
    #[error("the key could not be derived from the passphrase")]
    Derivation,
}

/// What the source holds. `next` differs from `primary`.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) primary: MasterKey,
    pub(super) next: Option<MasterKey>,
}

impl Keys {
    pub(super) fn by_id(&self, id: &str) -> Option<&MasterKey> {
        let mut keys = std::iter::once(&self.primary).chain(&self.next);
        keys.find(|key| key.id() == id)
    }
}

/// Reads the keys. A key file is made if there is none and nothing is `expected` to open with it.
pub(super) async fn read(
    source: &MasterKeySource,
    store: &dyn Store,
    expected: Option<&str>,
) -> Result<Keys, UnlockError> {
    let path = path(source)?;
    let primary = match read_one(source, &path, store).await? {
        Some(key) => key,
        None => match (expected, source) {
            (None, MasterKeySource::File(_)) => make(&path)?,
            (Some(expected), _) => {
                return Err(UnlockError::MissingKey {
                    source_name: path.display().to_string(),
                    expected: expected.to_owned(),
                });
            }
            (None, MasterKeySource::SystemdCredential(_) | MasterKeySource::PassphraseFile(_)) => {
                let source = io::ErrorKind::NotFound.into();
                return Err(SourceError::Io { path, source }.into());
            }
        },
    };
    let next = read_one(source, &next_path(&path), store).await?;
    Ok(Keys {
        next: next.filter(|next| next.id() != primary.id()),
        primary,
    })
}

/// The key to change to, where nobody has provided one.
pub(super) async fn make_next(source: &MasterKeySource) -> Result<MasterKey, UnlockError> {
    match source {
        MasterKeySource::File(path) => make(&next_path(path)),
        MasterKeySource::SystemdCredential(_) | MasterKeySource::PassphraseFile(_) => {
            Err(UnlockError::NoNextKey {
                source_name: next_name(source),
            })
        }
    }
}

/// Puts the new key in the old one's place, or says who has to.
pub(super) async fn finish(source: &MasterKeySource) -> Result<Option<String>, UnlockError> {
    match source {
        MasterKeySource::File(path) => {
            fs::rename(next_path(path), path)
                .and_then(|()| sync_parent(path))
                .map_err(at(path))?;
            Ok(None)
        }
        MasterKeySource::SystemdCredential(_) | MasterKeySource::PassphraseFile(_) => {
            let (name, next) = (name(source), next_name(source));
            Ok(Some(format!("replace {name} by {next}, and remove {next}")))
        }
    }
}

/// For messages.
pub(super) fn name(source: &MasterKeySource) -> String {
    match source {
        MasterKeySource::SystemdCredential(name) => format!("the systemd credential {name}"),
        MasterKeySource::File(path) | MasterKeySource::PassphraseFile(path) => {
            path.display().to_string()
        }
    }
}

/// For messages.
pub(super) fn next_name(source: &MasterKeySource) -> String {
    name(source) + ".next"
}

fn path(source: &MasterKeySource) -> Result<PathBuf, SourceError> {
    match source {
        MasterKeySource::SystemdCredential(name) => {
            let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
            let directory = directory.ok_or(SourceError::NoCredentialsDirectory)?;
            Ok(Path::new(&directory).join(name))
        }
        MasterKeySource::File(path) | MasterKeySource::PassphraseFile(path) => Ok(path.clone()),
    }
}

fn next_path(path: &Path) -> PathBuf {
    with_suffix(path, ".next")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// `None` if there is no such file.
async fn read_one(
    source: &MasterKeySource,
    path: &Path,
    store: &dyn Store,
) -> Result<Option<MasterKey>, UnlockError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error).into()),
    };
    match source {
        // systemd keeps others away by itself, and shows an access list as group bits.
        MasterKeySource::SystemdCredential(_) => {
            let bytes = read_bytes(file).map_err(at(path))?;
            let raw = (bytes.len() == KEY_BYTES).then(|| Secret::copy_of(&bytes));
            let key = raw
                .or_else(|| decode(&bytes))
                .and_then(MasterKey::from_secret);
            Ok(Some(key.ok_or_else(|| malformed(path))?))
        }
        MasterKeySource::File(_) => {
            refuse_insecure(&file, path)?;
            let bytes = read_bytes(file).map_err(at(path))?;
            let key = decode(&bytes).and_then(MasterKey::from_secret);
            Ok(Some(key.ok_or_else(|| malformed(path))?))
        }
        MasterKeySource::PassphraseFile(_) => {
            refuse_insecure(&file, path)?;
            let bytes = read_bytes(file).map_err(at(path))?;
            let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            if text.len() < PASSPHRASE_BYTES_MIN {
                let path = path.to_owned();
                return Err(SourceError::ShortPassphrase { path }.into());
            }
            let parameters = passphrase::parameters(store).await?;
            Ok(Some(
                passphrase::derive(Secret::copy_of(text), &parameters).await?,
            ))
        }
    }
}

fn read_bytes(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    // All of it up front: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
    file.take(FILE_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Option<Secret> {
    let text = bytes.trim_ascii_end();
    Secret::build(KEY_TEXT_BYTES, |slot| {
        BASE64_STANDARD.decode_slice(text, slot)
    })
    .ok()
}

fn refuse_insecure(file: &File, path: &Path) -> Result<(), SourceError> {
    let mode = file.metadata().map_err(at(path))?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let path = path.to_owned();
        return Err(SourceError::Insecure { path, mode });
    }
    Ok(())
}

/// Writes a fresh key to `path`, which must not exist; whole or not at all.
fn make(path: &Path) -> Result<MasterKey, UnlockError> {
    let key = MasterKey::generate()?;
    let mut text = Zeroizing::new(vec![0; KEY_TEXT_BYTES + 1]);
    let len = BASE64_STANDARD
        .encode_slice(key.bytes().expose(), &mut text)
        .expect("sized for a key");
    text[len] = b'\n';
    let unfinished = with_suffix(path, ".unfinished");
    let write = || {
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(&text[..=len])?;
        file.sync_all()?;
        // A link, because it does not replace what is there.
        fs::hard_link(&unfinished, path)?;
        fs::remove_file(&unfinished)?;
        sync_parent(path)
    };
    write().map_err(at(path))?;
    Ok(key)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> SourceError {
    let path = path.to_owned();
    move |source| SourceError::Io { path, source }
}

fn malformed(path: &Path) -> SourceError {
    SourceError::Malformed {
        path: path.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control_plane::store::SledStore;

    #[tokio::test]
    async fn a_credential_is_raw_or_base64() {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(&directory.path().join("store"), 0)
            .unwrap()
            .store;
        let source = MasterKeySource::SystemdCredential("master".into());
        let path = directory.path().join("master");
        let mut ids = Vec::new();
        for content in [
            vec![9; KEY_BYTES],
            BASE64_STANDARD.encode([9; KEY_BYTES]).into_bytes(),
        ] {
            fs::write(&path, content).unwrap();
            let key = read_one(&source, &path, &store).await.unwrap().unwrap();
            ids.push(key.id().to_owned());
        }
        assert_eq!(ids[0], ids[1]);
        fs::write(&path, [9; KEY_BYTES + 1]).unwrap();
        assert!(read_one(&source, &path, &store).await.is_err());
        let absent = directory.path().join("absent");
        assert!(read_one(&source, &absent, &store).await.unwrap().is_none());
    }
}
