//! A child process on a chosen core, its output in a file, stopped when dropped.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::Site;

/// A proxy that takes longer to serve, or to stop, is stuck.
const STARTS_WITHIN: Duration = Duration::from_secs(20);
const STOPS_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The end of a failed child's output that is shown.
const SHOWN_LINES: usize = 15;

pub(super) struct Child {
    process: std::process::Child,
    output: PathBuf,
}

impl Child {
    /// Starts `command` on the proxy's core; the caller is back on the driver's core afterwards.
    pub(super) fn spawn(mut command: Command, site: &Site<'_>, output: &Path) -> Result<Self> {
        let file = File::create(output)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        // A child inherits core and scheduling class, so the parent goes there for the moment.
        site.proxy.enter()?;
        let spawned = command.spawn();
        site.driver.enter()?;
        let program = command.get_program().to_string_lossy().into_owned();
        Ok(Self {
            process: spawned.with_context(|| format!("cannot start {program}"))?,
            output: output.to_owned(),
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until `address` takes connections.
    pub(super) fn wait_until_listening(&mut self, address: SocketAddr) -> Result<()> {
        self.wait_until(&format!("listen on {address}"), || {
            TcpStream::connect(address).is_ok()
        })
    }

    /// Looks until `holds`; an error when the process ends or takes too long.
    pub(super) fn wait_until(&mut self, what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
        let late = Instant::now() + STARTS_WITHIN;
        while !holds() {
            if let Some(status) = self.process.try_wait()? {
                bail!(
                    "ended before it could {what} ({status}):\n{}",
                    self.last_output()
                );
            }
            if Instant::now() > late {
                bail!("does not {what}:\n{}", self.last_output());
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    pub(super) fn last_output(&self) -> String {
        let output = fs::read_to_string(&self.output).unwrap_or_default();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Nothing is left to do when a step fails: the process is gone then.
        let _ = kill(Pid::from_raw(self.id() as i32), Signal::SIGTERM);
        let late = Instant::now() + STOPS_WITHIN;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < late {
            thread::sleep(LOOK_EVERY);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
