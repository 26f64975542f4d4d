//! Keeps the management API's listeners on the overlay in step with the device, which may come late, vanish or
//! return.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use axum::Router;

use super::serve::{AdminListener, serve_tunnel};
use crate::{
    config::OverlayConfig,
    control_plane::{
        listeners::{open_alone, places},
        netlink::LinkWatch,
    },
};

/// How often the device is looked at when the kernel tells of no change.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// See the module.
pub struct OverlayListeners {
    overlay: OverlayConfig,
    port: u16,
    router: Router,
    /// By address and index of the device.
    open: BTreeMap<(SocketAddr, u32), AdminListener>,
    /// Told last, so that it is told once.
    failure: Option<String>,
}

impl OverlayListeners {
    pub fn new(overlay: OverlayConfig, port: u16, router: Router) -> Self {
        Self {
            overlay,
            port,
            router,
            open: BTreeMap::new(),
            failure: None,
        }
    }

    /// Serves until it is dropped.
    pub async fn run(mut self) {
        let mut links = LinkWatch::start();
        loop {
            self.step();
            links.next(LOOK_INTERVAL).await;
        }
    }

    fn step(&mut self) {
        let (wanted, mut failure) = match places(&self.overlay, self.port) {
            Ok(wanted) => (wanted, None),
            Err(reason) => (BTreeSet::new(), Some(reason)),
        };
        self.open.retain(|place, _| wanted.contains(place));
        for place in wanted {
            if self.open.contains_key(&place) {
                continue;
            }
            match self.listen(place.0) {
                Ok(listener) => {
                    tracing::info!(address = %place.0, "management API for the overlay's admins");
                    self.open.insert(place, listener);
                }
                Err(reason) => failure = Some(reason),
            }
        }
        if failure != self.failure {
            if let Some(reason) = &failure {
                tracing::warn!(reason, "no management API on the overlay");
            }
            self.failure = failure;
        }
    }

    fn listen(&self, address: SocketAddr) -> Result<AdminListener, String> {
        let socket =
            open_alone(address, &self.overlay.interface).map_err(|error| error.to_string())?;
        serve_tunnel(socket, self.router.clone()).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;
    use crate::control_plane::api::{router, testing};

    #[tokio::test(flavor = "multi_thread")]
    async fn peers_are_known_by_their_address() {
        let directory = tempfile::tempdir().unwrap();
        let (state, _) = testing::state(directory.path()).await;
        let overlay = OverlayConfig {
            interface: "lo".to_owned(),
            addresses: vec!["127.0.0.1".parse().unwrap()],
        };
        let mut listeners = OverlayListeners::new(overlay, 0, router(state));
        listeners.step();
        let [listener] = listeners.open.values().collect::<Vec<_>>()[..] else {
            panic!("{:?}", listeners.failure);
        };
        let address = listener.address().unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /api/agent-network/session HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(answer.contains("no peer"), "{answer}");
        // The device went.
        listeners.overlay.interface = "none".to_owned();
        listeners.step();
        assert!(listeners.open.is_empty() && listeners.failure.is_some());
    }
}
