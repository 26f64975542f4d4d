//! Network namespaces of a test's own, so that it can have devices and routes without touching the host.

use std::{fs::File, os::fd::AsRawFd as _, process::Command, thread};

use anyhow::{Result, anyhow, ensure};
use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace; it lives as long as this value or a process in it.
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// A new one, with nothing but a loopback device that is up.
    ///
    /// # Errors
    /// Without root.
    pub fn new() -> Result<Self> {
        let made = thread::spawn(|| -> Result<File> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            ip("link set lo up")?;
            Ok(File::open("/proc/thread-self/ns/net")?)
        });
        let file = made.join().map_err(|_| anyhow!("a thread panicked"))??;
        Ok(Self { file })
    }

    /// Runs `work` inside, on a thread of its own; what it starts stays inside.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the work fails or panics.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.file, CloneFlags::CLONE_NEWNET)?;
                work()
            });
            inside.join().map_err(|_| anyhow!("a thread panicked"))?
        })
    }

    /// Its name for `ip link set … netns`.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }
}

/// Runs `ip` with these words in the calling thread's namespace.
///
/// # Errors
/// When it fails.
pub fn ip(words: &str) -> Result<()> {
    let output = Command::new("ip").args(words.split_whitespace()).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {words}: {errors}");
    Ok(())
}
