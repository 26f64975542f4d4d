//! The directory in a bpffs that holds maps and links while no process does, so that the filter
//! outlives the node, and the next one goes on with it.
//!
//! ```text
//! keyway/                          locked by whoever keeps it
//!   maps-1-5f3a09c2/ethernet/…     maps of one ABI and layout, a set per link layer
//!   maps-1-5f3a09c2/ip/…
//!   links/7_native  12_generic     by interface index and where the program hangs
//! ```
//!
//! Every step can be the last one before a crash: maps without links filter nothing and are taken over,
//! links keep what they had until they are updated, and what belongs to nothing is removed once
//! everything is covered.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use gateway_common::Link;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::statfs::{BPF_FS_MAGIC, statfs},
    unistd::{Gid, Group},
};

use super::{hook::Slot, layout, problem::Problem};

/// How long a lock may be somebody else's: an old process that is just ending, or a node that looks
/// whether there is a keeper.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

const LINKS: &str = "links";
const MAPS_PREFIX: &str = "maps-";

/// The directory, and the lock on it.
pub(super) struct Pins {
    directory: PathBuf,
    /// Who may open the maps beside the owner.
    group: Option<Gid>,
    _lock: Flock<File>,
}

impl Pins {
    /// Makes the directory when it is not there, and locks it.
    ///
    /// # Errors
    /// When it cannot be one, or another process keeps it.
    pub(super) fn open(directory: &Path, group: Option<Gid>) -> Result<Self, Problem> {
        check_file_system(directory)?;
        let refused = |error: &io::Error| Problem::of_file("make", directory, error);
        make_directory(directory).map_err(|error| refused(&error))?;
        let lock = lock(directory)?;
        let pins = Self {
            directory: directory.to_owned(),
            group,
            _lock: lock,
        };
        make_directory(&pins.links()).map_err(|error| refused(&error))?;
        Ok(pins)
    }

    /// Where the maps of a link layer are or will be.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub(super) fn set(&self, link: Link) -> Result<PathBuf, Problem> {
        let set = set(&self.directory, link);
        let made = make_directory(&self.maps()).and_then(|()| make_directory(&set));
        made.map_err(|error| Problem::of_file("make", &set, &error))?;
        Ok(set)
    }

    /// Lets the group in: it may change the peers and read the counters, and nothing else.
    ///
    /// # Errors
    /// When the owner is somebody else, or is not in the group.
    pub(super) fn share(&self, link: Link) -> Result<(), Problem> {
        let Some(group) = self.group else {
            return Ok(());
        };
        let set = set(&self.directory, link);
        let maps = (layout::MAPS.iter()).map(|map| (set.join(map.name), map.access.mode()));
        let directories = [self.directory.clone(), self.maps(), set.clone()];
        for (path, mode) in directories
            .map(|path| (path, 0o750))
            .into_iter()
            .chain(maps)
        {
            chown(&path, None, Some(group.as_raw()))
                .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(mode)))
                .map_err(|error| Problem::of_file("give the group", &path, &error))?;
        }
        Ok(())
    }

    /// Where a link is or will be pinned.
    pub(super) fn link(&self, index: u32, slot: Slot) -> PathBuf {
        link(&self.directory, index, slot)
    }

    /// All pinned links.
    pub(super) fn pinned_links(&self) -> Vec<(u32, PathBuf)> {
        entries(&self.links())
            .filter_map(|(name, path)| {
                let (index, _) = name.split_once('_')?;
                Some((index.parse().ok()?, path))
            })
            .collect()
    }

    /// The sets of a link layer that versions with another layout left.
    pub(super) fn older_sets(&self, link: Link) -> Vec<PathBuf> {
        (self.older_maps())
            .map(|maps| maps.join(layout::link_name(link)))
            .filter(|set| set.is_dir())
            .collect()
    }

    /// Removes the maps of other versions. Programs that still use some keep them alive.
    pub(super) fn remove_older(&self) -> io::Result<()> {
        self.older_maps().try_for_each(|maps| remove_tree(&maps))
    }

    fn older_maps(&self) -> impl Iterator<Item = PathBuf> + use<> {
        let current = self.maps();
        entries(&self.directory)
            .filter(|(name, _)| name.starts_with(MAPS_PREFIX))
            .map(|(_, path)| path)
            .filter(move |path| *path != current)
    }

    fn maps(&self) -> PathBuf {
        self.directory.join(maps_name())
    }

    fn links(&self) -> PathBuf {
        self.directory.join(LINKS)
    }
}

/// The subdirectory for maps of this version's layout.
pub(super) fn maps_name() -> String {
    format!("{MAPS_PREFIX}{}", layout::version())
}

fn link(directory: &Path, index: u32, slot: Slot) -> PathBuf {
    directory
        .join(LINKS)
        .join(format!("{index}_{}", slot.name()))
}

/// Where the maps of a link layer are.
pub(super) fn set(directory: &Path, link: Link) -> PathBuf {
    directory.join(maps_name()).join(layout::link_name(link))
}

/// Whether the XDP program on an interface is ours.
pub(super) fn has_xdp(directory: &Path, index: u32) -> bool {
    [Slot::Native, Slot::Generic]
        .iter()
        .any(|slot| link(directory, index, *slot).exists())
}

/// Whether some process keeps the directory.
///
/// # Errors
/// When it is not there, or cannot be read.
pub(super) fn is_kept(directory: &Path) -> io::Result<bool> {
    match Flock::lock(File::open(directory)?, FlockArg::LockSharedNonblock) {
        Ok(_) => Ok(false),
        Err((_, Errno::EWOULDBLOCK)) => Ok(true),
        Err((_, error)) => Err(error.into()),
    }
}

/// Removes the directory and everything in it, which detaches what was pinned there. Returns the
/// interfaces' indices and what hung there.
///
/// # Errors
/// When a process keeps it, or it is not ours to remove.
pub(super) fn remove(directory: &Path) -> Result<Vec<String>, Problem> {
    if !directory.exists() {
        return Ok(Vec::new());
    }
    check_file_system(directory)?;
    let _lock = lock(directory)?;
    let links = directory.join(LINKS);
    let hung = entries(&links).map(|(name, _)| name).collect();
    // Links first: a filter without its peers would drop them.
    let removed = if links.exists() {
        remove_tree(&links)
    } else {
        Ok(())
    };
    removed
        .and_then(|()| remove_tree(directory))
        .map_err(|error| Problem::of_file("remove", directory, &error))?;
    Ok(hung)
}

/// The group of this name.
///
/// # Errors
/// When there is none.
pub(super) fn group(name: &str) -> Result<Gid, Problem> {
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid),
        Ok(None) => Err(Problem::new(format!(
            "there is no group {name}: make it, or name the node's in admission.group"
        ))),
        Err(error) => Err(Problem::of("look up the group", &io::Error::from(error))),
    }
}

/// The directory, or the one that it will be made in, has to be in a bpffs.
///
/// # Errors
/// When it is not; with the remedy.
pub(super) fn check_file_system(directory: &Path) -> Result<(), Problem> {
    let existing = match (directory.exists(), directory.parent()) {
        (false, Some(parent)) => parent,
        (true, _) | (false, None) => directory,
    };
    let kind = statfs(existing)
        .map_err(|error| Problem::of_file("look at", existing, &io::Error::from(error)))?;
    if kind.filesystem_type() == BPF_FS_MAGIC {
        return Ok(());
    }
    Err(Problem::new(format!(
        "admission.pins: {} is not in a BPF file system: mount one (`mount -t bpf bpf /sys/fs/bpf`), \
         name a directory in one, or set it to \"\" for a filter that ends with the process",
        directory.display()
    )))
}

fn make_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn lock(directory: &Path) -> Result<Flock<File>, Problem> {
    let failed = |error: &io::Error| Problem::of_file("lock", directory, error);
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        let file = File::open(directory).map_err(|error| failed(&error))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            // It may have been removed, and made again, since it was opened.
            Ok(lock) if is_same(&lock, directory) => return Ok(lock),
            Ok(_) | Err((_, Errno::EWOULDBLOCK)) if Instant::now() < deadline => {
                thread::sleep(LOCK_INTERVAL);
            }
            Ok(_) | Err((_, Errno::EWOULDBLOCK)) => {
                return Err(Problem::new(format!(
                    "another process keeps {}: stop it (a node, or `keyway admission attach --watch`, \
                     that is keyway-admission.service), or name another directory in admission.pins",
                    directory.display()
                )));
            }
            Err((_, error)) => return Err(failed(&error.into())),
        }
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (opened, there) = (file.metadata().map(inode), fs::metadata(path).map(inode));
    matches!((opened, there), (Ok(opened), Ok(there)) if opened == there)
}

/// Names and paths in a directory; none when it is not there.
fn entries(directory: &Path) -> impl Iterator<Item = (String, PathBuf)> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| {
        (
            entry.file_name().to_string_lossy().into_owned(),
            entry.path(),
        )
    })
}

/// Not `remove_dir_all`, which a bpffs has no need of: nothing lies deeper than two levels.
fn remove_tree(directory: &Path) -> io::Result<()> {
    for (_, path) in entries(directory) {
        if path.is_dir() {
            remove_tree(&path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    fs::remove_dir(directory)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_directory_is_refused_with_the_remedy() {
        let place = tempfile::tempdir().unwrap();
        for path in [place.path().to_owned(), place.path().join("keyway")] {
            let problem = Pins::open(&path, None).err().unwrap().to_string();
            assert!(problem.contains("mount -t bpf"), "{problem}");
            assert!(!place.path().join("keyway").exists());
        }
    }

    #[test]
    fn who_locks_a_directory_keeps_it() {
        let place = tempfile::tempdir().unwrap();
        assert!(!is_kept(place.path()).unwrap());
        let held = lock(place.path()).unwrap();
        assert!(is_kept(place.path()).unwrap());
        drop(held);
        assert!(!is_kept(place.path()).unwrap());
    }
}
