//! An answer that is read piece by piece.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::task::JoinHandle;

use crate::cli::Failure;

/// Its connection closes when this is dropped.
pub(in crate::cli) struct Streaming {
    body: Incoming,
    driver: JoinHandle<hyper::Result<()>>,
}

impl Streaming {
    pub(super) fn new(body: Incoming, driver: JoinHandle<hyper::Result<()>>) -> Self {
        Self { body, driver }
    }

    /// The next piece; `None` at the answer's end.
    ///
    /// # Errors
    /// When the answer broke off: what came before is not the whole.
    pub(in crate::cli) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame
                .map_err(|error| Failure::Unreachable(format!("the answer broke off: {error}")))?;
            if let Ok(piece) = frame.into_data() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
