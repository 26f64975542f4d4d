//! An agent: connects to the endpoint from its own overlay address (on loopback, `127.0.0.x`), sends
//! requests without a key, and sees every byte of what comes back.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header::HeaderName};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{certificate::client_config, machine::Machine};

/// No test waits longer than this for one answer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// HTTP version an agent insists on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

impl Version {
    fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

/// Where an agent calls from and to.
#[derive(Clone)]
pub struct Agent {
    /// The source address, which is the agent's identity. `None` leaves it to the kernel.
    pub source: Option<IpAddr>,
    pub endpoint: SocketAddr,
    /// The endpoint's name, for SNI and `Host`.
    pub host: String,
    /// The endpoint's CA.
    pub ca_pem: String,
    /// Where it runs, if not on this host.
    pub machine: Option<Arc<Machine>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none; the message holds the body.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| {
            format!(
                "{} with a body that is no JSON: {:?}",
                self.status, self.body
            )
        })
    }

    /// `error.code` of an error body, in OpenAI's shape or beside Anthropic's.
    pub fn error_code(&self) -> String {
        let code = |body: Value| {
            body.pointer("/error/code")
                .or_else(|| body.get("code"))
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        self.json().ok().and_then(code).unwrap_or_default()
    }

    /// The `data:` payloads of an event stream that are JSON.
    pub fn events(&self) -> Vec<Value> {
        String::from_utf8_lossy(&self.body)
            .lines()
            .filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok())
            .collect()
    }

    /// The text an OpenAI chat or Anthropic message stream carried.
    pub fn streamed_text(&self) -> String {
        self.events()
            .iter()
            .filter_map(|event| {
                event
                    .pointer("/choices/0/delta/content")
                    .or_else(|| event.pointer("/delta/text"))
                    .or_else(|| event.get("delta"))
                    .and_then(Value::as_str)
            })
            .collect()
    }
}

/// An open HTTP connection that requests are sent on.
pub struct Session {
    sender: Sender,
    host: String,
    task: JoinHandle<()>,
}

enum Sender {
    Http1(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Http2(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

impl Agent {
    /// Opens a TCP connection from the agent's address.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn tcp(&self) -> Result<TcpStream> {
        let new = || match self.endpoint {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let socket = match &self.machine {
            Some(machine) => machine.within(new)?,
            None => new()?,
        };
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(self.endpoint).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Opens TLS on it, for tests that write the bytes themselves.
    ///
    /// # Errors
    /// When the connection or handshake fails.
    pub async fn tls(&self, version: Version) -> Result<TlsStream<TcpStream>> {
        let config: Arc<ClientConfig> = client_config(&self.ca_pem, &[version.alpn()])?;
        let name = ServerName::try_from(self.host.clone()).context("the endpoint's name")?;
        let tcp = self.tcp().await?;
        let stream = TlsConnector::from(config).connect(name, tcp).await?;
        ensure!(
            stream.get_ref().1.alpn_protocol() == Some(version.alpn()),
            "the endpoint did not choose {version:?}"
        );
        Ok(stream)
    }

    /// Opens an HTTP connection over TLS.
    ///
    /// # Errors
    /// When the connection or a handshake fails.
    pub async fn session(&self, version: Version) -> Result<Session> {
        let io = TokioIo::new(self.tls(version).await?);
        let (sender, task) = match version {
            Version::Http1 => {
                let (sender, connection) = hyper::client::conn::http1::handshake(io).await?;
                let task = tokio::spawn(async move {
                    let _ = connection.await;
                });
                (Sender::Http1(sender), task)
            }
            Version::Http2 => {
                let (sender, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
                let task = tokio::spawn(async move {
                    let _ = connection.await;
                });
                (Sender::Http2(sender), task)
            }
        };
        Ok(Session {
            sender,
            host: self.authority(),
            task,
        })
    }

    /// `Host` as a client writes it: with the port unless it is 443.
    pub fn authority(&self) -> String {
        match self.endpoint.port() {
            443 => self.host.clone(),
            port => format!("{}:{port}", self.host),
        }
    }

    /// One `POST` of JSON on a fresh connection.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn post(&self, version: Version, path: &str, body: &Value) -> Result<Reply> {
        let mut session = self.session(version).await?;
        session.post(path, body, &[]).await
    }

    /// Writes raw bytes over TLS (HTTP/1.1 by ALPN) and reads until the node closes.
    ///
    /// # Errors
    /// When the handshake fails or the node does not close in time.
    pub async fn raw(&self, bytes: &[u8]) -> Result<String> {
        let mut stream = self.tls(Version::Http1).await?;
        // A node that has seen enough may answer and close while we still write.
        let _ = stream.write_all(bytes).await;
        let _ = stream.flush().await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        let _closed_with_or_without_notify = read.context("the node did not close")?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl Session {
    /// Sends a request and returns once the head is there; the body can then be read or dropped.
    ///
    /// # Errors
    /// When no head comes.
    pub async fn begin(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<http::Response<Incoming>> {
        let mut request = Request::builder().method(method);
        request = match self.sender {
            Sender::Http1(_) => request.uri(path).header("host", &self.host),
            Sender::Http2(_) => request.uri(format!("https://{}{path}", self.host)),
        };
        for (name, value) in headers {
            request = request.header(HeaderName::from_bytes(name.as_bytes())?, *value);
        }
        let request = request.body(Full::new(body))?;
        let response = async {
            match &mut self.sender {
                Sender::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Sender::Http2(sender) => sender.send_request(request).await,
            }
        };
        let response = tokio::time::timeout(PATIENCE, response).await;
        Ok(response.context("no response head in time")??)
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When the answer does not end cleanly.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Reply> {
        let response = self.begin(method, path, headers, body).await?;
        let (head, body) = response.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await;
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body: body.context("no whole body in time")??.to_bytes(),
        })
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn post(
        &mut self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Result<Reply> {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        let body = Bytes::from(body.to_string());
        self.send(Method::POST, path, &all, body).await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}
