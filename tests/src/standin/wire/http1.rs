//! HTTP/1.1, server side, by hand: enough to read what a proxy sends and to frame answers at will.

use std::{fmt::Write as _, sync::Arc};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use http::Method;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Framing, Gone, Out};
use crate::standin::{BODY_BYTES_LIMIT, Seen, Shared, answer, websocket};

/// Largest request head that is read.
const HEAD_BYTES_LIMIT: usize = 256 << 10;

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Serves one connection until it ends.
pub(in crate::standin) async fn serve(
    io: impl AsyncRead + AsyncWrite + Send + 'static,
    connection: u64,
    shared: Arc<Shared>,
) -> Result<()> {
    let (reader, writer) = tokio::io::split(io);
    let mut input = Input {
        reader: Box::new(reader),
        buffer: BytesMut::new(),
    };
    let mut writer: Writer = Box::new(writer);
    while let Some(seen) = input.request(connection).await? {
        if seen.header("upgrade").is_some() {
            let io = tokio::io::join(input.reader, writer);
            return websocket::serve(seen, io, input.buffer, shared).await;
        }
        let head_only = seen.method == Method::HEAD;
        let mut out = Out::Http1(Answer {
            input: &mut input,
            writer: &mut writer,
            framing: Framing::Stream,
            head_only,
        });
        let outcome = answer(seen, &mut out, &shared).await;
        let Out::Http1(done) = out else {
            unreachable!("made above");
        };
        if outcome.is_err() || done.framing == Framing::Close {
            if outcome.is_ok() {
                let _ = writer.shutdown().await;
            }
            return Ok(());
        }
    }
    Ok(())
}

struct Input {
    reader: Reader,
    buffer: BytesMut,
}

impl Input {
    /// The next request; `None` when the client closed between two.
    async fn request(&mut self, connection: u64) -> Result<Option<Seen>> {
        let Some(length) = self.head_length().await? else {
            return Ok(None);
        };
        let head = self.buffer.split_to(length);
        let head = std::str::from_utf8(&head).context("a head in UTF-8")?;
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let mut start = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1"), None) =
            (start.next(), start.next(), start.next(), start.next())
        else {
            bail!("a request line: {head:?}");
        };
        let headers = lines.map(field).collect::<Result<Vec<_>>>()?;
        let mut seen = Seen {
            method: method.parse()?,
            target: target.to_owned(),
            http_version: 1,
            headers,
            body: Bytes::new(),
            trailers: Vec::new(),
            connection,
        };
        (seen.body, seen.trailers) = self.body(&seen).await?;
        Ok(Some(seen))
    }

    async fn head_length(&mut self) -> Result<Option<usize>> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                return Ok(Some(end + 4));
            }
            ensure!(self.buffer.len() < HEAD_BYTES_LIMIT, "a head without end");
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                ensure!(self.buffer.is_empty(), "the connection ended inside a head");
                return Ok(None);
            }
        }
    }

    async fn body(&mut self, seen: &Seen) -> Result<(Bytes, Vec<(String, String)>)> {
        match (
            seen.header("transfer-encoding"),
            seen.header("content-length"),
        ) {
            (Some(_), Some(_)) => bail!("both a length and chunks"),
            (Some(_), None) => self.chunked().await,
            (None, Some(length)) => {
                let length: usize = length.parse().context("a content-length")?;
                ensure!(length <= BODY_BYTES_LIMIT, "a body of {length} bytes");
                self.fill(length).await?;
                Ok((self.buffer.split_to(length).freeze(), Vec::new()))
            }
            (None, None) => Ok((Bytes::new(), Vec::new())),
        }
    }

    async fn chunked(&mut self) -> Result<(Bytes, Vec<(String, String)>)> {
        let mut body = BytesMut::new();
        loop {
            let size = self.line().await?;
            let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
                .context("a chunk size")?;
            if size == 0 {
                let mut trailers = Vec::new();
                loop {
                    let line = self.line().await?;
                    if line.is_empty() {
                        return Ok((body.freeze(), trailers));
                    }
                    trailers.push(field(&line)?);
                }
            }
            ensure!(
                body.len() + size <= BODY_BYTES_LIMIT,
                "a body beyond the limit"
            );
            self.fill(size + 2).await?;
            body.extend_from_slice(&self.buffer[..size]);
            ensure!(&self.buffer[size..size + 2] == b"\r\n", "a chunk's end");
            self.buffer.advance(size + 2);
        }
    }

    async fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n") {
                let line = self.buffer.split_to(end);
                self.buffer.advance(2);
                return Ok(String::from_utf8(line.to_vec())?);
            }
            ensure!(self.buffer.len() < HEAD_BYTES_LIMIT, "a line without end");
            self.more().await?;
        }
    }

    async fn fill(&mut self, length: usize) -> Result<()> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(())
    }

    async fn more(&mut self) -> Result<()> {
        let read = self.reader.read_buf(&mut self.buffer).await?;
        ensure!(read > 0, "the connection ended inside a request");
        Ok(())
    }
}

fn field(line: &str) -> Result<(String, String)> {
    let (name, value) = line.split_once(':').context("a field line")?;
    ensure!(!name.contains([' ', '\t', '\n']), "a field name: {name:?}");
    Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
}

/// See [`Out`].
pub(in crate::standin) struct Answer<'a> {
    input: &'a mut Input,
    writer: &'a mut Writer,
    framing: Framing,
    head_only: bool,
}

impl Answer<'_> {
    pub(super) async fn interim(&mut self) -> Result<(), Gone> {
        self.write(b"HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n")
            .await
    }

    pub(super) async fn head(
        &mut self,
        status: u16,
        headers: &[(&str, &str)],
        framing: Framing,
    ) -> Result<(), Gone> {
        self.framing = framing;
        let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head += &match framing {
            Framing::Length(length) => format!("content-length: {length}\r\n\r\n"),
            Framing::Stream => "transfer-encoding: chunked\r\n\r\n".to_owned(),
            Framing::Close => "connection: close\r\n\r\n".to_owned(),
        };
        self.write(head.as_bytes()).await
    }

    pub(super) async fn data(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        if bytes.is_empty() || self.head_only {
            return Ok(());
        }
        match self.framing {
            Framing::Length(_) | Framing::Close => self.write(bytes).await,
            Framing::Stream => {
                let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
                chunk.extend_from_slice(bytes);
                chunk.extend_from_slice(b"\r\n");
                self.write(&chunk).await
            }
        }
    }

    pub(super) async fn end(&mut self, trailers: &[(&str, &str)]) -> Result<(), Gone> {
        match self.framing {
            Framing::Stream if !self.head_only => {
                let mut end = "0\r\n".to_owned();
                for (name, value) in trailers {
                    let _ = write!(end, "{name}: {value}\r\n");
                }
                end += "\r\n";
                self.write(end.as_bytes()).await
            }
            Framing::Stream | Framing::Length(_) | Framing::Close => Ok(()),
        }
    }

    /// Pipelined bytes are kept; a client that only half-closes counts as gone.
    pub(super) async fn peer_gone(&mut self) {
        while self.input.buffer.len() < HEAD_BYTES_LIMIT {
            match self.input.reader.read_buf(&mut self.input.buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        std::future::pending().await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let written = async {
            self.writer.write_all(bytes).await?;
            self.writer.flush().await
        };
        written.await.map_err(|_| Gone::Peer)
    }
}
