//! HTTP/2, server side, on the h2 crate.

use std::{future::poll_fn, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use bytes::{Bytes, BytesMut};
use h2::{Reason, SendStream, server::SendResponse};
use http::Request;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
};

use super::{Framing, Gone, Out};
use crate::standin::{BODY_BYTES_LIMIT, Seen, Shared, answer};

const STREAMS_LIMIT: u32 = 1024;
const WINDOW_BYTES: u32 = 1 << 20;
/// h2 drops what is still queued when a stream is reset, and does not tell when the queue is out.
const RESET_DELAY: Duration = Duration::from_millis(20);

/// Serves one connection until it ends.
pub(in crate::standin) async fn serve(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    connection: u64,
    shared: Arc<Shared>,
) -> Result<()> {
    let mut http2 = h2::server::Builder::new()
        .max_concurrent_streams(STREAMS_LIMIT)
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .handshake::<_, Bytes>(io)
        .await?;
    // Dropping the set with this connection ends its exchanges too.
    let mut exchanges = JoinSet::new();
    while let Some(accepted) = http2.accept().await {
        let (request, respond) = accepted?;
        while exchanges.try_join_next().is_some() {}
        let shared = shared.clone();
        exchanges.spawn(async move {
            if let Err(error) = exchange(request, respond, connection, &shared).await {
                shared.stats.wire_error(error.to_string());
            }
        });
    }
    // The client is gone; what still runs notices it and counts itself.
    while exchanges.join_next().await.is_some() {}
    Ok(())
}

async fn exchange(
    request: Request<h2::RecvStream>,
    respond: SendResponse<Bytes>,
    connection: u64,
    shared: &Shared,
) -> Result<()> {
    let (head, mut stream) = request.into_parts();
    let mut body = BytesMut::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        ensure!(
            body.len() + data.len() <= BODY_BYTES_LIMIT,
            "a body beyond the limit"
        );
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?.unwrap_or_default();
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str())
        .to_owned();
    let authority = head
        .uri
        .authority()
        .map(|a| ("host".to_owned(), a.to_string()));
    let seen = Seen {
        method: head.method,
        target,
        http_version: 2,
        headers: authority.into_iter().chain(fields(&head.headers)).collect(),
        body: body.freeze(),
        trailers: fields(&trailers).collect(),
        connection,
    };
    let mut out = Out::Http2(Answer {
        respond,
        stream: None,
    });
    let _counted = answer(seen, &mut out, shared).await;
    Ok(())
}

fn fields(map: &http::HeaderMap) -> impl Iterator<Item = (String, String)> {
    map.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    })
}

/// See [`Out`].
pub(in crate::standin) struct Answer {
    respond: SendResponse<Bytes>,
    /// Open once the head is out.
    stream: Option<SendStream<Bytes>>,
}

impl Answer {
    pub(super) fn interim(&mut self) -> Result<(), Gone> {
        let mut hints = http::Response::new(());
        *hints.status_mut() = http::StatusCode::EARLY_HINTS;
        self.respond
            .send_informational(hints)
            .map_err(|_| Gone::Peer)
    }

    pub(super) fn head(
        &mut self,
        status: u16,
        headers: &[(&str, &str)],
        framing: Framing,
    ) -> Result<(), Gone> {
        let mut response = http::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        if let Framing::Length(length) = framing {
            response = response.header("content-length", length);
        }
        let response = response
            .body(())
            .expect("headers are constants of this program");
        let stream = self.respond.send_response(response, false);
        self.stream = Some(stream.map_err(|_| Gone::Peer)?);
        Ok(())
    }

    pub(super) async fn data(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let stream = self.stream.as_mut().ok_or(Gone::Peer)?;
        let mut rest = Bytes::copy_from_slice(bytes);
        while !rest.is_empty() {
            stream.reserve_capacity(rest.len());
            let capacity = poll_fn(|context| stream.poll_capacity(context)).await;
            let Some(Ok(capacity)) = capacity else {
                return Err(Gone::Peer);
            };
            let part = rest.split_to(capacity.min(rest.len()));
            stream.send_data(part, false).map_err(|_| Gone::Peer)?;
        }
        Ok(())
    }

    pub(super) fn end(&mut self, trailers: &[(&str, &str)]) -> Result<(), Gone> {
        let stream = self.stream.as_mut().ok_or(Gone::Peer)?;
        let sent = if trailers.is_empty() {
            stream.send_data(Bytes::new(), true)
        } else {
            let field =
                |(name, value): &(&str, &str)| Some((name.parse().ok()?, value.parse().ok()?));
            stream.send_trailers(trailers.iter().filter_map(field).collect())
        };
        sent.map_err(|_| Gone::Peer)
    }

    pub(super) async fn cut(&mut self) {
        tokio::time::sleep(RESET_DELAY).await;
        match &mut self.stream {
            Some(stream) => stream.send_reset(Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    pub(super) async fn peer_gone(&mut self) {
        let _ = match &mut self.stream {
            Some(stream) => poll_fn(|context| stream.poll_reset(context)).await,
            None => poll_fn(|context| self.respond.poll_reset(context)).await,
        };
    }
}
