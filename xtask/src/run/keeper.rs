//! What keeps the kernel program in front of the demo's node, as `keyway-admission.service` does: a process
//! with privileges and no secret, so that the node needs no privilege.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::unistd::{Gid, Group};

use super::overlay::Overlay;
use crate::command::{Service, must, wait_until, words};

const START_TIME_MAX: Duration = Duration::from_secs(30);

/// Where it keeps what it has, in the demo's directory.
pub(super) struct Places {
    /// A file system for programs, of the demo's own.
    bpffs: PathBuf,
    pins: PathBuf,
    state: PathBuf,
    log: PathBuf,
}

impl Places {
    pub(super) fn new(directory: &Path) -> Self {
        let bpffs = directory.join("bpf");
        Self {
            pins: bpffs.join("keyway"),
            bpffs,
            state: directory.join("admission.json"),
            log: directory.join("keeper.log"),
        }
    }

    /// The lines of the `[admission]` section, for a node of this group.
    pub(super) fn section(&self, group: u32) -> Result<String> {
        let group = Group::from_gid(Gid::from_raw(group))?.context("nobody's group has no name")?;
        Ok(format!(
            "mode = \"preferred\"\nkeeper = \"unit\"\ngroup = \"{}\"\npins = \"{}\"\nstate = \"{}\"\n",
            group.name,
            self.pins.display(),
            self.state.display()
        ))
    }
}

/// A running keeper. Dropped, it is stopped and everything it attached is gone.
pub(super) struct Keeper<'a> {
    /// Present until it is dropped.
    service: Option<Service>,
    overlay: &'a Overlay,
    keyway: &'a Path,
    config: &'a Path,
    places: &'a Places,
}

impl<'a> Keeper<'a> {
    /// On the node's machine.
    ///
    /// # Errors
    /// Why nothing is in front; the node runs without it too.
    pub(super) fn start(
        overlay: &'a Overlay,
        keyway: &'a Path,
        config: &'a Path,
        places: &'a Places,
    ) -> Result<Self> {
        fs::create_dir(&places.bpffs)?;
        must(words(["mount", "-t", "bpf", "keyway-demo"]).arg(&places.bpffs))?;
        let mut keeper = Self {
            service: None,
            overlay,
            keyway,
            config,
            places,
        };
        let log = File::create(&places.log)?;
        let mut command = overlay.on_node(keyway);
        command.args(["admission", "attach", "--watch", "--config"]);
        command
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let service = keeper
            .service
            .insert(Service::start("the keeper", &mut command)?);
        wait_until("everything is covered", START_TIME_MAX, || {
            service.must_run()?;
            Ok(places.state.exists())
        })
        .with_context(|| {
            let log = fs::read_to_string(&places.log).unwrap_or_default();
            log.lines().last().unwrap_or("it said nothing").to_owned()
        })?;
        println!(
            "  process {}, as root, without any key",
            service.child().id()
        );
        Ok(keeper)
    }

    /// An error when it has ended by itself.
    pub(super) fn must_run(&mut self) -> Result<()> {
        self.service.as_mut().map_or(Ok(()), Service::must_run)
    }
}

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        // What it attached stays in front when it ends: that is its purpose.
        self.service = None;
        let mut detach = self.overlay.on_node(self.keyway);
        detach
            .args(["admission", "detach", "--config"])
            .arg(self.config);
        for command in [&mut detach, words(["umount"]).arg(&self.places.bpffs)] {
            let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}
