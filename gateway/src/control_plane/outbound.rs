//! Requests that the control plane itself sends: trying providers, listing their models, minting tokens, asking
//! NetBird. One request on its own connection, to an address that was checked; redirects are not followed.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::handoff::snapshot::{Target, TargetTls};

/// What an answer may take.
#[derive(Debug, Clone, Copy)]
pub struct AnswerLimits {
    /// From the connection to the last byte.
    pub time: Duration,
    pub bytes: usize,
}

/// Of providers; listings of gateways with thousands of models are the longest.
const OF_PROVIDERS: AnswerLimits = AnswerLimits {
    time: Duration::from_secs(15),
    bytes: 8 << 20,
};

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why no answer came. For the operator; names no secret.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("the key does not fit into a header")]
    KeyForm,
    #[error("no connection to {address} within {limit:?}")]
    ConnectTimeout {
        address: SocketAddr,
        limit: Duration,
    },
    #[error("connecting to {address}: {error}")]
    Connect {
        address: SocketAddr,
        error: io::Error,
    },
    #[error("no TLS with {address} within {limit:?}")]
    TlsTimeout {
        address: SocketAddr,
        limit: Duration,
    },
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    #[error("TLS: {0}")]
    TlsCut(io::Error),
    #[error("HTTP: {0}")]
    Http(hyper::Error),
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("no answer within {0:?}")]
    Silent(Duration),
}

impl CallError {
    /// Nothing was sent, and another address may do.
    pub fn is_of_address(&self) -> bool {
        match self {
            Self::ConnectTimeout { .. } | Self::Connect { .. } => true,
            Self::KeyForm
            | Self::TlsTimeout { .. }
            | Self::Tls(_)
            | Self::TlsCut(_)
            | Self::Http(_)
            | Self::TooLong(_)
            | Self::Silent(_) => false,
        }
    }
}

/// Where to connect.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    pub address: SocketAddr,
    /// `None` for plain HTTP.
    pub tls: Option<&'a TargetTls>,
}

impl<'a> From<&'a Target> for Destination<'a> {
    fn from(target: &'a Target) -> Self {
        Self {
            address: target.address,
            tls: target.tls.as_ref(),
        }
    }
}

/// Sends one request to a provider or a vendor. `connect_limit` is for TCP and the TLS handshake, each.
///
/// # Errors
/// When no whole answer comes; an error status is an answer.
pub async fn call(
    destination: Destination<'_>,
    connect_limit: Duration,
    request: Request<Full<Bytes>>,
) -> Result<Answer, CallError> {
    call_within(destination, connect_limit, OF_PROVIDERS, request).await
}

/// As [`call`], with other limits.
///
/// # Errors
/// As [`call`].
pub async fn call_within(
    destination: Destination<'_>,
    connect_limit: Duration,
    limits: AnswerLimits,
    request: Request<Full<Bytes>>,
) -> Result<Answer, CallError> {
    match connect(destination, connect_limit).await? {
        Connection::Plain(stream) => exchange(stream, limits, request).await,
        Connection::Tls(stream) => exchange(*stream, limits, request).await,
    }
}

/// Connects, TLS included, and sends nothing.
///
/// # Errors
/// When there is no connection.
pub async fn reach(destination: Destination<'_>, connect_limit: Duration) -> Result<(), CallError> {
    connect(destination, connect_limit).await.map(drop)
}

enum Connection {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

async fn connect(
    Destination { address, tls }: Destination<'_>,
    limit: Duration,
) -> Result<Connection, CallError> {
    let stream = timeout(limit, TcpStream::connect(address))
        .await
        .map_err(|_| CallError::ConnectTimeout { address, limit })?
        .map_err(|error| CallError::Connect { address, error })?;
    let Some(tls) = tls else {
        return Ok(Connection::Plain(stream));
    };
    // One request: HTTP/1.1 says as much about the provider as HTTP/2.
    let mut config = (*tls.config).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let stream = timeout(limit, connector.connect(tls.server_name.clone(), stream))
        .await
        .map_err(|_| CallError::TlsTimeout { address, limit })?
        .map_err(tls_error)?;
    Ok(Connection::Tls(Box::new(stream)))
}

/// rustls' own errors come wrapped.
fn tls_error(error: io::Error) -> CallError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner.cloned() {
        Some(error) => CallError::Tls(error),
        None => CallError::TlsCut(error),
    }
}

async fn exchange<S>(
    stream: S,
    limits: AnswerLimits,
    request: Request<Full<Bytes>>,
) -> Result<Answer, CallError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    timeout(limits.time, async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(CallError::Http)?;
        let connection = tokio::spawn(connection);
        let answer = whole(sender.send_request(request).await, limits.bytes).await;
        connection.abort();
        answer
    })
    .await
    .unwrap_or(Err(CallError::Silent(limits.time)))
}

async fn whole(
    answer: hyper::Result<http::Response<hyper::body::Incoming>>,
    bytes_limit: usize,
) -> Result<Answer, CallError> {
    let (head, body) = answer.map_err(CallError::Http)?.into_parts();
    let body = Limited::new(body, bytes_limit).collect().await;
    let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
        Ok(error) => CallError::Http(*error),
        Err(other) => {
            debug_assert!(other.is::<LengthLimitError>());
            CallError::TooLong(bytes_limit)
        }
    })?;
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: body.to_bytes(),
    })
}

/// How long a server wants to be left alone (RFC 9110 section 10.2.3): seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => (httpdate::parse_http_date(text).ok()?.duration_since(now)).ok(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_wish_to_wait_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, wait) in [
            ("120", Some(120)),
            ("0", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", None),
            ("-1", None),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            let wait = wait.map(Duration::from_secs);
            assert_eq!(retry_after(&headers, now), wait, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
