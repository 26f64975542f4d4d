//! Where a process runs: which core, and in which scheduling class.
//!
//! A woken normal task can wait milliseconds behind a busy neighbour; in the real-time class it does
//! not, so proxies and driver run there when the privileges allow it.

use std::io;

use anyhow::{Context, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::{Pid, geteuid},
};

const THIS_THREAD: Pid = Pid::from_raw(0);

/// A core and a scheduling class for everything started under it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placement {
    pub(crate) core: usize,
    pub(crate) realtime: bool,
}

impl Placement {
    /// Moves the calling thread; processes and threads it starts afterwards inherit the place.
    pub(crate) fn enter(self) -> Result<()> {
        let mut set = CpuSet::new();
        set.set(self.core)?;
        sched_setaffinity(THIS_THREAD, &set)
            .with_context(|| format!("cannot run on core {}", self.core))?;
        let (class, priority) = if self.realtime {
            (libc::SCHED_FIFO, 1)
        } else {
            (libc::SCHED_OTHER, 0)
        };
        schedule(THIS_THREAD, class, priority)
            .context("cannot change the scheduling class (use --no-realtime)")
    }
}

/// Moves a thread, which may be the kernel's, to a core and into the real-time class.
pub(crate) fn move_thread(tid: i32, core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    let thread = Pid::from_raw(tid);
    sched_setaffinity(thread, &set)
        .with_context(|| format!("cannot move thread {tid} to core {core}"))?;
    schedule(thread, libc::SCHED_FIFO, 1)
        .with_context(|| format!("cannot change the scheduling class of thread {tid}"))
}

/// Puts a thread into the normal scheduling class, where its niceness counts.
pub(crate) fn leave_realtime(tid: i32) -> Result<()> {
    schedule(Pid::from_raw(tid), libc::SCHED_OTHER, 0)
        .with_context(|| format!("cannot change the scheduling class of thread {tid}"))
}

fn schedule(thread: Pid, class: libc::c_int, priority: libc::c_int) -> io::Result<()> {
    let param = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: `param` is a valid `sched_param` for the call.
    let rc = unsafe { libc::sched_setscheduler(thread.as_raw(), class, &param) };
    match rc {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the real-time class may be asked for.
pub(crate) fn realtime_allowed() -> bool {
    geteuid().is_root()
}

/// Cores this process may use.
pub(crate) fn cores() -> Result<usize> {
    let set = sched_getaffinity(THIS_THREAD)?;
    Ok((0..CpuSet::count())
        .filter(|core| set.is_set(*core).unwrap_or(false))
        .count())
}

/// Raises the limit on open descriptors as far as it goes without privileges, and returns it.
pub(crate) fn raise_descriptor_limit() -> Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
        .context("cannot raise the limit on open descriptors")?;
    Ok(hard)
}
