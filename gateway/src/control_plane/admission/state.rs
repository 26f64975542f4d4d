//! What the unit that keeps the programs tells the node: a small file, replaced whole.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use gateway_common::Link;
use serde::{Deserialize, Serialize};

use super::{layout, pins, problem::Problem, status::InterfaceStatus};

/// Larger than thousands of interfaces need.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct KeeperState {
    /// Which maps the programs use ([`pins::maps_name`]).
    pub(super) maps: String,
    /// Of the overlay's device, once it was there: whose maps hold the peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) overlay: Option<String>,
    /// It goes on watching; else it looked once, and ended.
    pub(super) watches: bool,
    pub(super) pid: u32,
    /// Why not everything is covered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
    /// Without counters.
    pub(super) interfaces: Vec<InterfaceStatus>,
}

impl KeeperState {
    pub(super) fn new(overlay: Option<Link>, watches: bool) -> Self {
        Self {
            maps: pins::maps_name(),
            overlay: overlay.map(|link| layout::link_name(link).to_owned()),
            watches,
            pid: std::process::id(),
            problem: None,
            interfaces: Vec::new(),
        }
    }

    /// Whose maps hold the peers.
    pub(super) fn overlay_link(&self) -> Option<Link> {
        [Link::Ethernet, Link::Ip]
            .into_iter()
            .find(|link| self.overlay.as_deref() == Some(layout::link_name(*link)))
    }

    /// Replaces the file; a reader sees the old one or the new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<(), Problem> {
        let failed = |error: io::Error| Problem::of_file("write", path, &error);
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        let next = path.with_extension("new");
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        fs::write(&next, text)
            .and_then(|()| fs::rename(&next, path))
            .map_err(failed)
    }

    /// # Errors
    /// When there is none, or it is none.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let mut text = Vec::new();
        let file = fs::File::open(path)?;
        file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

/// Removes the file, and what an interrupted write left.
///
/// # Errors
/// When it is there and cannot be removed.
pub(super) fn remove(path: &Path) -> Result<(), Problem> {
    for path in [path.with_extension("new"), path.to_owned()] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Problem::of_file("remove", &path, &error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run/state.json");
        for overlay in [None, Some(Link::Ip)] {
            let state = KeeperState::new(overlay, true);
            state.write(&path).unwrap();
            let read = KeeperState::read(&path).unwrap();
            assert_eq!(read.overlay_link(), overlay);
            assert_eq!(read, state);
        }
        fs::write(path.with_extension("new"), "{").unwrap();
        remove(&path).unwrap();
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
        remove(&path).unwrap();
    }
}
