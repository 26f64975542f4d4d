//! One connection of the stand-in: a request is read, judged and answered.

use std::{sync::Arc, time::Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{Shared, State, Trouble};

const HEAD_BYTES_MAX: usize = 8 << 10;
/// The last listing of a reading.
const LAST: &str = "/api/users";

pub(super) async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    // Dropping the set with this task ends the connections too.
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            // Who does not speak TLS, or leaves, is told nothing.
            if let Ok(stream) = acceptor.accept(socket).await {
                let _ = converse(stream, &shared).await;
            }
        });
    }
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> Result<()> {
    while let Some(head) = read_head(&mut stream).await? {
        let answer = shared.state().answer(&head);
        stream.write_all(&answer.bytes).await?;
        stream.flush().await?;
        match answer.end {
            End::Whole { reading } => shared.answered.send_modify(|count| *count += reading),
            End::Cut => return Ok(()),
            End::Stall => {
                stream.read_u8().await?;
            }
        }
    }
    Ok(())
}

/// Up to the empty line; `None` when the client is gone.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < HEAD_BYTES_MAX, "a long head");
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(String::from_utf8(head)?))
}

struct Answer {
    bytes: Vec<u8>,
    end: End,
}

enum End {
    /// With this many readings brought to their end.
    Whole {
        reading: u64,
    },
    Cut,
    Stall,
}

impl State {
    fn answer(&mut self, head: &str) -> Answer {
        let early = self.not_before.take_if(|time| Instant::now() < *time);
        if early.is_some() {
            self.problems.push("it came before Retry-After".to_owned());
        }
        let path = match judge(head) {
            Ok(path) => path,
            Err(problem) => {
                self.problems.push(format!("{problem:#}"));
                return whole(400, "", &error(400, "bad request"));
            }
        };
        if !head.contains(&format!("\r\nauthorization: Token {}\r\n", self.token)) {
            return whole(401, "", &error(401, "token invalid"));
        }
        let listing = match path {
            "/api/peers" => &self.account.peers,
            "/api/groups" => &self.account.groups,
            _ => &self.account.users,
        };
        match self.trouble {
            None => {
                let reading = u64::from(path == LAST);
                Answer {
                    end: End::Whole { reading },
                    ..whole(200, "", &json!(listing))
                }
            }
            Some(Trouble::Status(status)) => whole(status, "", &error(status, "in trouble")),
            Some(Trouble::RateLimited(wait)) => {
                self.not_before = Some(Instant::now() + wait);
                let fields = format!("retry-after: {}\r\n", wait.as_secs());
                whole(429, &fields, &error(429, "too many requests"))
            }
            Some(Trouble::OtherShape) => whole(200, "", &json!([[]])),
            Some(Trouble::HalfJson) => {
                let text = json!(listing).to_string();
                written(200, "", &text[..text.len() / 2], text.len() / 2)
            }
            Some(Trouble::Cut) => half(listing, End::Cut),
            Some(Trouble::Stall) => half(listing, End::Stall),
        }
    }
}

/// Less than it says.
fn half(listing: &[Value], end: End) -> Answer {
    let text = json!(listing).to_string();
    let half = written(200, "", &text[..text.len() / 2], text.len());
    Answer { end, ..half }
}

/// Which listing is asked for, in the way that is documented and no other.
fn judge(head: &str) -> Result<&str> {
    let mut lines = head.lines();
    let line = lines.next().context("no request line")?;
    let path = line.strip_prefix("GET ").context("it is no GET")?;
    let path = path
        .strip_suffix(" HTTP/1.1")
        .context("it is no HTTP/1.1")?;
    ensure!(
        ["/api/peers", "/api/groups", LAST].contains(&path),
        "path {path}"
    );
    for field in lines.filter(|line| !line.is_empty()) {
        let (name, value) = field.split_once(": ").context("it is no field")?;
        match name {
            "host" => {}
            "accept" => ensure!(value == "application/json", "accept {value}"),
            "authorization" => ensure!(value.starts_with("Token nbp_"), "no token"),
            _ => anyhow::bail!("header {name}"),
        }
    }
    Ok(path)
}

fn error(status: u16, message: &str) -> Value {
    json!({"message": message, "code": status})
}

fn whole(status: u16, fields: &str, body: &Value) -> Answer {
    let body = body.to_string();
    written(status, fields, &body, body.len())
}

fn written(status: u16, fields: &str, body: &str, length: usize) -> Answer {
    let bytes = format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: application/json; charset=UTF-8\r\n\
         {fields}content-length: {length}\r\n\r\n{body}"
    );
    Answer {
        bytes: bytes.into_bytes(),
        end: End::Whole { reading: 0 },
    }
}
