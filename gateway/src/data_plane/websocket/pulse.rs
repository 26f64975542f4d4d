//! Whether the other side of a socket is still there: it answers pings, and takes what it is sent.

use std::time::{Duration, Instant};

use super::socket::WebSocket;

/// Pings without any answer after which a side is gone.
const PINGS_LIMIT: u32 = 3;

/// See the module; one for each side.
pub(super) struct Pulse {
    ping_interval: Duration,
    write_idle: Duration,
    /// When something last came, or it was last asked for.
    heard: Instant,
    pings: u32,
}

impl Pulse {
    /// A side is pinged when it said nothing for `ping_interval`, and may leave what it is sent for
    /// `write_idle`.
    pub(super) fn new(ping_interval: Duration, write_idle: Duration, now: Instant) -> Self {
        Self {
            ping_interval,
            write_idle,
            heard: now,
            pings: 0,
        }
    }

    /// Looks at the side's socket, and pings it when that is due. False: nobody is there.
    pub(super) fn look(&mut self, socket: &mut WebSocket, now: Instant) -> bool {
        if socket.take_heard() {
            (self.heard, self.pings) = (now, 0);
        }
        let stalled = socket.stalled_since();
        if stalled.is_some_and(|since| now.duration_since(since) >= self.write_idle) {
            return false;
        }
        if now.duration_since(self.heard) >= self.ping_interval {
            if self.pings == PINGS_LIMIT {
                return false;
            }
            (self.heard, self.pings) = (now, self.pings + 1);
            socket.messages.ping();
        }
        true
    }
}
