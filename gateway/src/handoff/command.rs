//! What the control plane tells a worker. A worker looks at its commands at every tick, so nothing
//! here needs a wake-up across threads.

use std::{net::TcpListener, time::Instant};

/// Told to every worker, each with its own sockets.
#[derive(Debug)]
pub enum WorkerCommand {
    /// Accept on this socket; it is bound, listening and non-blocking. `id` names it in `CloseListener`.
    OpenListener {
        id: u64,
        socket: TcpListener,
        /// Handshake with the snapshot's certificate; otherwise plain HTTP inside the tunnel.
        tls: bool,
    },
    /// Stop accepting on a listener; its connections live on.
    CloseListener { id: u64 },
    /// Finish what runs, refuse what is new, close idle connections; cut what is left at `deadline`.
    Drain { deadline: Instant },
}
