//! `LinkWatch`: tells when the host's links or addresses change.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, SockFlag, SockProtocol, recv},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::warn;

/// What is heard: links and addresses that come, change or go.
const GROUPS: u32 =
    (libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR) as u32;

/// Changes come in bursts: between two looks is at least this, and the second one sees the rest.
const GAP: Duration = Duration::from_millis(20);

/// Most words taken in before somebody looks.
const BURST_MAX: usize = 4096;

/// How often to look where the kernel does not tell.
const DEAF_INTERVAL: Duration = Duration::from_millis(500);

/// Says when to look, never what changed: whoever looks reads the whole list. So no word can be
/// misread, and when the kernel had more to say than the socket holds (`ENOBUFS`) nothing is lost.
pub struct LinkWatch {
    /// Absent when the kernel refused it.
    socket: Option<AsyncFd<OwnedFd>>,
    last: Option<Instant>,
}

impl LinkWatch {
    /// Listens from now on; without the socket it asks to look twice a second. To be called within a
    /// tokio runtime.
    pub fn start() -> Self {
        let socket = super::open(SockProtocol::NetlinkRoute, GROUPS, SockFlag::SOCK_NONBLOCK)
            .and_then(|socket| {
                // SAFETY: an owned descriptor stays what it is.
                unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }
                    .map_err(io::Error::from)
            });
        if let Err(error) = &socket {
            warn!(%error, "the kernel does not tell of interfaces (AF_NETLINK): they are polled");
        }
        Self {
            socket: socket.ok(),
            last: None,
        }
    }

    /// Returns when it is time to look: something changed, or `longest` has passed since the call.
    pub async fn next(&mut self, longest: Duration) {
        if let Some(last) = self.last {
            sleep_until(last + GAP).await;
        }
        match &mut self.socket {
            // Time up is as good a reason to look.
            Some(socket) => drop(timeout(longest, changed(socket)).await),
            None => sleep(longest.min(DEAF_INTERVAL)).await,
        }
        self.last = Some(Instant::now());
    }
}

async fn changed(socket: &mut AsyncFd<OwnedFd>) {
    let Ok(mut ready) = socket.readable().await else {
        // The runtime is going down.
        return std::future::pending().await;
    };
    let mut buffer = [0; 4096];
    for _ in 0..BURST_MAX {
        let heard = ready.try_io(|socket| {
            let heard = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty());
            heard.map_err(io::Error::from)
        });
        match heard {
            // Truncated or not: the list has it all. An overrun is told once and then cleared.
            Ok(Ok(_)) => {}
            Ok(Err(error)) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {}
            // All heard.
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::print_stdout)]
mod tests {
    use std::process::Command;

    use nix::{
        sched::{CloneFlags, unshare},
        sys::socket::{setsockopt, sockopt::RcvBuf},
    };

    use super::*;

    const LONGEST: Duration = Duration::from_secs(60);
    const SOON: Duration = Duration::from_secs(5);

    fn add_link(number: usize) {
        let (near, far) = (format!("a{number}"), format!("b{number}"));
        let mut command = Command::new("ip");
        command.args(["link", "add", &near, "type", "veth", "peer", "name", &far]);
        assert!(command.status().unwrap().success());
    }

    /// Looks until nothing more changes, as long as it is well before [`LONGEST`].
    async fn settle(links: &mut LinkWatch) {
        let quiet = Duration::from_millis(300);
        while timeout(quiet, links.next(LONGEST)).await.is_ok() {}
    }

    #[test]
    fn links_are_heard_of_also_when_there_are_too_many() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: changes of links, needs root for a network namespace");
            return;
        }
        let apart = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut links = LinkWatch::start();
                settle(&mut links).await;
                add_link(0);
                timeout(SOON, links.next(LONGEST)).await.unwrap();
                settle(&mut links).await;

                let socket = links.socket.as_ref().unwrap().get_ref();
                setsockopt(socket, RcvBuf, &1).unwrap();
                (1..20).for_each(add_link);
                // So many are too many; asking takes the error away.
                let overrun = socket2::SockRef::from(socket).take_error().unwrap();
                let code = overrun.unwrap().raw_os_error();
                assert_eq!(code, Some(libc::ENOBUFS));
                settle(&mut links).await;
                (20..40).for_each(add_link);
                timeout(SOON, links.next(LONGEST)).await.unwrap();
                settle(&mut links).await;
                add_link(40);
                timeout(SOON, links.next(LONGEST)).await.unwrap();
            });
        });
        apart.join().unwrap();
    }
}
