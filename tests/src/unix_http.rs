//! JSON over HTTP on a unix socket or a TCP address: how tests speak to the admin and telemetry
//! listeners.

use std::path::Path;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, UnixStream},
};

use crate::machine::Machine;

/// One call over a unix socket; an empty answer is `Value::Null`.
pub(crate) async fn call_unix(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<(StatusCode, Value)> {
    let io = UnixStream::connect(socket)
        .await
        .with_context(|| format!("connect to {}", socket.display()))?;
    let (status, bytes) = call(io, method, path, body).await?;
    let value = match bytes.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&bytes)
            .with_context(|| format!("JSON from {path}: {}", String::from_utf8_lossy(&bytes)))?,
    };
    Ok((status, value))
}

/// One `GET` over TCP, on `machine` if there is one.
pub(crate) async fn get_tcp(
    machine: Option<&Machine>,
    address: std::net::SocketAddr,
    path: &str,
) -> Result<(StatusCode, Bytes)> {
    let socket = match machine {
        Some(machine) => machine.within(TcpSocket::new_v4)?,
        None => TcpSocket::new_v4()?,
    };
    let io = socket.connect(address).await?;
    call(io, Method::GET, path, None).await
}

async fn call(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(
            body.map(Value::to_string).unwrap_or_default(),
        )))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let bytes = response.into_body().collect().await?.to_bytes();
    drop(sender);
    connection.abort();
    Ok((status, bytes))
}
