//! Epoll, edge-triggered, with a timeout finer than a millisecond: paced streams need it.

use std::{io, os::fd::AsFd, os::fd::AsRawFd, time::Duration};

use anyhow::{Context, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

/// Most events taken by one wait.
const EVENTS_PER_WAIT: usize = 1024;

/// One epoll instance and the events of its last wait.
pub(crate) struct Poll {
    epoll: Epoll,
    events: Box<[EpollEvent]>,
}

/// What became ready.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) token: u64,
    /// The other side closed: read until the end, whatever a short read suggests.
    pub(crate) hang_up: bool,
}

impl Poll {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1")?,
            events: vec![EpollEvent::empty(); EVENTS_PER_WAIT].into_boxed_slice(),
        })
    }

    /// Reports both directions of `fd` under `token`, on every change, until it is closed.
    pub(crate) fn add(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        let flags = EpollFlags::EPOLLIN
            | EpollFlags::EPOLLOUT
            | EpollFlags::EPOLLRDHUP
            | EpollFlags::EPOLLET;
        Ok(self.epoll.add(fd, EpollEvent::new(flags, token))?)
    }

    /// Waits at most `timeout` (for ever without one); [`Self::ready`] gives what came.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout = timeout.map(|t| libc::timespec {
            tv_sec: t.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(t.subsec_nanos() as i32),
        });
        let timeout = timeout
            .as_ref()
            .map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: `EpollEvent` is a transparent `epoll_event`, the array holds EVENTS_PER_WAIT of them,
        // and `timeout` is null or points to a value that lives through the call.
        let n = unsafe {
            libc::epoll_pwait2(
                self.epoll.0.as_raw_fd(),
                self.events.as_mut_ptr().cast(),
                EVENTS_PER_WAIT as libc::c_int,
                timeout,
                std::ptr::null(),
            )
        };
        match usize::try_from(n) {
            Ok(n) => Ok(n),
            Err(_) => match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::Interrupted => Ok(0),
                e => Err(e),
            },
        }
    }

    /// The `i`th event of the last wait.
    pub(crate) fn ready(&self, i: usize) -> Ready {
        let event = &self.events[i];
        let closed = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        Ready {
            token: event.data(),
            hang_up: event.events().intersects(closed),
        }
    }
}
