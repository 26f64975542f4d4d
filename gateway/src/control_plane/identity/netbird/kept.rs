//! The last reading, in a file beside the store, so that a restart while NetBird is away still serves
//! until the reading is too old. A copy of what NetBird knows, and no state: it has no revision and is in
//! no export. The file's time of modification is when the reading was asked for.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::NetbirdMap;
use crate::control_plane::{identity::Peer, resource::GroupDoc};

/// Largest file that is read; a peer takes some 300 bytes.
const FILE_BYTES_MAX: u64 = 128 << 20;

#[derive(Serialize, Deserialize)]
struct Reading<P, G> {
    /// Whose: another server's peers are others.
    url: String,
    peers: P,
    groups: G,
}

/// See the module.
pub(super) struct Kept {
    path: PathBuf,
    url: String,
}

impl Kept {
    pub(super) fn new(directory: &Path, url: &str) -> Self {
        Self {
            path: directory.join("netbird.json"),
            url: url.to_owned(),
        }
    }

    /// The reading and its age; `None` where there is none of this server's.
    ///
    /// # Errors
    /// When there is a file that cannot be read.
    pub(super) fn load(&self, now: SystemTime) -> io::Result<Option<(NetbirdMap, Duration)>> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        // One from the future: nobody knows how old it is.
        let Ok(age) = now.duration_since(file.metadata()?.modified()?) else {
            return Ok(None);
        };
        let mut text = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
        let reading: Reading<Vec<Peer>, Vec<GroupDoc>> = serde_json::from_slice(&text)?;
        let map = NetbirdMap {
            peers: reading.peers,
            groups: reading.groups,
            usable: true,
        };
        Ok((reading.url == self.url).then_some((map, age)))
    }

    /// Replaces the file, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written; the old one stays.
    pub(super) fn save(&self, map: &NetbirdMap, read_at: SystemTime) -> io::Result<()> {
        let reading = Reading {
            url: self.url.clone(),
            peers: &map.peers,
            groups: &map.groups,
        };
        let unfinished = self.path.with_extension("unfinished");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(&serde_json::to_vec(&reading)?)?;
        file.set_modified(read_at)?;
        file.sync_all()?;
        fs::rename(&unfinished, &self.path)
    }

    /// Says that what was saved was read again, unchanged.
    ///
    /// # Errors
    /// When there is no such file.
    pub(super) fn renew(&self, read_at: SystemTime) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.set_modified(read_at)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control_plane::identity::Denial;

    const MINUTE: Duration = Duration::from_secs(60);

    fn reading() -> NetbirdMap {
        NetbirdMap {
            peers: vec![Peer {
                id: "p1".to_owned(),
                name: "laptop".to_owned(),
                addresses: vec!["fd00::7".parse().unwrap()],
                user_id: Some("u1".to_owned()),
                user_email: None,
                groups: vec!["g1".to_owned()],
                denial: Some(Denial::OwnerPending),
            }],
            groups: vec![GroupDoc {
                id: "g1".to_owned(),
                name: "All".to_owned(),
            }],
            usable: true,
        }
    }

    #[test]
    fn a_reading_comes_back_with_its_age() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::new(directory.path(), "https://nb.example.com");
        let now = SystemTime::now();
        assert_eq!(kept.load(now).unwrap(), None);
        assert!(kept.renew(now).is_err(), "there is nothing to renew");
        kept.save(&reading(), now - 2 * MINUTE).unwrap();
        assert_eq!(kept.load(now).unwrap(), Some((reading(), 2 * MINUTE)));
        kept.renew(now - MINUTE).unwrap();
        assert_eq!(kept.load(now).unwrap(), Some((reading(), MINUTE)));
        assert_eq!(
            kept.load(now - 2 * MINUTE).unwrap(),
            None,
            "from the future"
        );
        let other = Kept::new(directory.path(), "https://other.example.com");
        assert_eq!(other.load(now).unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::new(directory.path(), "https://nb.example.com");
        let now = SystemTime::now();
        kept.save(&reading(), now).unwrap();
        let text = fs::read(directory.path().join("netbird.json")).unwrap();
        fs::write(
            directory.path().join("netbird.json"),
            &text[..text.len() / 2],
        )
        .unwrap();
        assert!(kept.load(SystemTime::now()).is_err());
        kept.save(&reading(), now).unwrap();
        assert!(kept.load(now).unwrap().is_some());
    }
}
