//! Where provider keys come from: a prompt, standard input or a file, never the command line, whose
//! arguments every process on the machine can read.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use zeroize::Zeroizing;

use super::{
    Failure,
    prompt::{Ask, Terminal},
};

/// Service-account files are the longest keys in use.
const KEY_BYTES_LIMIT: u64 = 16 << 10;

#[derive(Debug, Args)]
pub(super) struct KeySource {
    /// Read the key from standard input
    #[arg(long, conflicts_with = "key_file")]
    key_stdin: bool,
    /// Read the key from a file
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Not a way to give a key; answered with the ways there are
    #[arg(long, hide = true, value_name = "KEY", num_args = 0..=1, default_missing_value = "")]
    key: Option<RefusedKey>,
}

/// The value of `--key`, forgotten at once.
#[derive(Debug, Clone)]
struct RefusedKey;

impl From<String> for RefusedKey {
    fn from(key: String) -> Self {
        drop(Zeroizing::new(key));
        Self
    }
}

/// Whether a command can go on without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    /// An empty source means none.
    Optional,
    /// Only when a source is given.
    IfGiven,
}

impl KeySource {
    /// Answers `--key`; called before anything else is done.
    pub(super) fn refuse_argument(&self) -> Result<(), Failure> {
        if self.key.is_some() {
            return Err(Failure::Usage(
                "a key on the command line is readable by every process and stays in the shell's \
                 history: leave --key away to be asked, or use --key-stdin or --key-file FILE. If \
                 it was a real key, consider it known and replace it"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Whether the key comes from somewhere else than a prompt.
    pub(super) fn is_given(&self) -> bool {
        self.key_stdin || self.key_file.is_some()
    }

    /// The key, without the white space around it.
    pub(super) fn read(
        &self,
        label: &str,
        need: Need,
    ) -> Result<Option<Zeroizing<String>>, Failure> {
        self.refuse_argument()?;
        let key = match &self.key_file {
            Some(path) => read_file(path)?,
            None if self.key_stdin => read_text(io::stdin().lock())?,
            None if need != Need::Required => return Ok(None),
            None => match Terminal::open() {
                Some(mut terminal) => terminal.secret(label, "")?,
                None => {
                    return Err(Failure::Usage(
                        "a key is needed and there is no terminal to ask on: use --key-stdin or \
                         --key-file FILE"
                            .to_owned(),
                    ));
                }
            },
        };
        let key = Zeroizing::new(key.trim().to_owned());
        match (key.is_empty(), need) {
            (false, _) => Ok(Some(key)),
            (true, Need::Optional) => Ok(None),
            (true, Need::Required | Need::IfGiven) => {
                Err(Failure::Usage("the key is empty".to_owned()))
            }
        }
    }
}

pub(super) fn read_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let file = File::open(path)
        .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
    read_text(file)
}

fn read_text(source: impl Read) -> Result<Zeroizing<String>, Failure> {
    // Reserved at once: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(KEY_BYTES_LIMIT as usize + 1));
    let read = source.take(KEY_BYTES_LIMIT + 1).read_to_string(&mut text)?;
    if read as u64 > KEY_BYTES_LIMIT {
        return Err(Failure::Failed(format!(
            "the key is longer than {KEY_BYTES_LIMIT} bytes"
        )));
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn source(key_file: Option<PathBuf>, key: Option<RefusedKey>) -> KeySource {
        KeySource {
            key_stdin: false,
            key_file,
            key,
        }
    }

    #[test]
    fn keys_come_from_files_and_not_from_arguments() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, " sk-1\n").unwrap();
        let read = |need| source(Some(path.clone()), None).read("key", need);
        assert_eq!(*read(Need::Required).unwrap().unwrap(), "sk-1");
        std::fs::write(&path, "\n").unwrap();
        assert!(read(Need::Required).is_err());
        assert!(read(Need::Optional).unwrap().is_none());
        std::fs::write(&path, "x".repeat(KEY_BYTES_LIMIT as usize + 1)).unwrap();
        assert!(read(Need::Required).is_err());

        let refused = source(None, Some("sk-marker".to_owned().into()));
        assert!(!format!("{refused:?}").contains("sk-marker"));
        let failure = refused.read("key", Need::Required).unwrap_err();
        assert_eq!(failure.exit_code(), 64);
        assert!(failure.message().contains("--key-stdin"));
        assert!(
            source(None, None)
                .read("key", Need::IfGiven)
                .unwrap()
                .is_none()
        );
    }
}
