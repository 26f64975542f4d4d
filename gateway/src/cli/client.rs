//! The client side of the management API: HTTP/1 over the unix socket, or TCP with a token.

mod server;
mod streaming;

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
    task::JoinHandle,
};
use zeroize::Zeroizing;

use super::{Failure, Global};
use server::Server;
pub(super) use streaming::Streaming;

const SOCKET_DEFAULT: &str = "/run/keyway/admin.sock";
const BASE: &str = "/api/agent-network";
/// Largest answer; an export is the longest.
const ANSWER_BYTES_LIMIT: usize = 256 << 20;

/// Speaks to one node.
#[derive(Debug)]
pub(super) struct Client {
    target: Target,
}

#[derive(Debug)]
enum Target {
    Socket(PathBuf),
    Server(Server),
}

impl Client {
    /// The node that the arguments and the environment name.
    pub(super) fn new(global: &Global) -> Result<Self, Failure> {
        let target = match (&global.server, &global.socket, &global.config) {
            (Some(url), _, _) => Target::Server(Server::new(url, server::token()?)?),
            (None, Some(socket), _) => Target::Socket(socket.clone()),
            (None, None, Some(config)) => Target::Socket(socket_of(config)?),
            (None, None, None) => Target::Socket(SOCKET_DEFAULT.into()),
        };
        Ok(Self { target })
    }

    #[cfg(test)]
    pub(super) fn with_token(url: &str, token: Zeroizing<String>) -> Result<Self, Failure> {
        let target = Target::Server(Server::new(url, token)?);
        Ok(Self { target })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    /// As text, for answers that are no JSON.
    pub(super) async fn get_text(&self, path: &str) -> Result<String, Failure> {
        let bytes = self.send(Method::GET, path, None).await?;
        String::from_utf8(bytes.to_vec())
            .map_err(|_| Failure::Failed("the node answered something that is no text".to_owned()))
    }

    /// An answer that may be long, or never end.
    pub(super) async fn stream(&self, path: &str) -> Result<Streaming, Failure> {
        let answer = self.open(Method::GET, path, None).await?;
        if answer.status.is_success() {
            return Ok(Streaming::new(answer.body, answer.driver));
        }
        Err(refusal(answer.status, &answer.whole().await?))
    }

    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, Failure> {
        self.call(Method::POST, path, Some(encode(body)?)).await
    }

    pub(super) async fn put(&self, path: &str, body: &impl Serialize) -> Result<Value, Failure> {
        self.call(Method::PUT, path, Some(encode(body)?)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, None).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<T, Failure> {
        let bytes = self.send(method, path, body).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::Failed(format!("the node's answer is not understood: {error}"))
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Bytes, Failure> {
        let answer = self.open(method, path, body).await?;
        let status = answer.status;
        let body = answer.whole().await?;
        if status.is_success() {
            Ok(body)
        } else {
            Err(refusal(status, &body))
        }
    }

    async fn open(
        &self,
        method: Method,
        path: &str,
        body: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{BASE}{path}"));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request = match &self.target {
            Target::Socket(_) => request.header(header::HOST, "localhost"),
            Target::Server(server) => request
                .header(header::HOST, server.authority())
                .header(header::AUTHORIZATION, &server.authorization),
        };
        // The body may hold a key: its memory is wiped when hyper is done with it.
        let body = body.map_or_else(Bytes::new, Bytes::from_owner);
        let request = request
            .body(Full::new(body))
            .map_err(|error| Failure::Failed(error.to_string()))?;
        match &self.target {
            Target::Socket(path) => {
                let stream = UnixStream::connect(path)
                    .await
                    .map_err(|error| unreachable_socket(path, &error))?;
                exchange(stream, request).await
            }
            Target::Server(server) => {
                let stream = server.connect().await?;
                if server.tls {
                    exchange(server.handshake(stream).await?, request).await
                } else {
                    exchange(stream, request).await
                }
            }
        }
    }
}

/// An answer that has begun.
struct Answer {
    status: StatusCode,
    body: Incoming,
    driver: JoinHandle<hyper::Result<()>>,
}

impl Answer {
    async fn whole(self) -> Result<Bytes, Failure> {
        let body = Limited::new(self.body, ANSWER_BYTES_LIMIT)
            .collect()
            .await
            .map_err(|error| Failure::Unreachable(format!("the answer broke off: {error}")))?
            .to_bytes();
        self.driver.abort();
        Ok(body)
    }
}

/// One request on its own connection.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| Failure::Unreachable(format!("connection broke: {error}"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(broken)?;
    Ok(Answer {
        status: answer.status(),
        body: answer.into_body(),
        driver,
    })
}

fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = body["message"]
        .as_str()
        .unwrap_or("the node gave no reason");
    let place = body["field"]
        .as_str()
        .map(|field| format!("{field}: "))
        .unwrap_or_default();
    Failure::Failed(format!("{place}{message} ({})", status.as_u16()))
}

fn unreachable_socket(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    let hint = if error.kind() == io::ErrorKind::PermissionDenied {
        "run this as root or as the service's user"
    } else {
        "is the node running? Start it with `keyway serve --config FILE` (or `systemctl start \
         keyway`), or name its socket with --socket, KEYWAY_SOCKET or --config"
    };
    Failure::Unreachable(format!("no node answers at {path} ({error}): {hint}"))
}

/// `admin.socket` of a configuration file; the node itself checks the rest.
fn socket_of(config: &Path) -> Result<PathBuf, Failure> {
    let failed = |reason: String| Failure::Failed(format!("{}: {reason}", config.display()));
    let text = std::fs::read_to_string(config).map_err(|error| failed(error.to_string()))?;
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| failed(error.message().to_owned()))?;
    let socket = table
        .get("admin")
        .and_then(|admin| admin.get("socket"))
        .and_then(toml::Value::as_str);
    Ok(socket.unwrap_or(SOCKET_DEFAULT).into())
}

fn encode(body: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    serde_json::to_vec(body)
        .map(Zeroizing::new)
        .map_err(|error| Failure::Failed(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_comes_from_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyway.toml");
        std::fs::write(&path, "[admin]\nsocket = \"/x/y.sock\"\n").unwrap();
        assert_eq!(socket_of(&path).unwrap(), Path::new("/x/y.sock"));
        std::fs::write(&path, "").unwrap();
        assert_eq!(socket_of(&path).unwrap(), Path::new(SOCKET_DEFAULT));
        assert!(socket_of(&directory.path().join("none")).is_err());
    }

    #[test]
    fn refusals_name_their_field() {
        let failure = refusal(
            StatusCode::UNPROCESSABLE_ENTITY,
            br#"{"message":"must not be empty","code":422,"field":"name"}"#,
        );
        assert_eq!(failure.message(), "name: must not be empty (422)");
        assert!(
            refusal(StatusCode::BAD_GATEWAY, b"<html>")
                .message()
                .contains("502")
        );
    }
}
