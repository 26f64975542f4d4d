//! A stand-in for a provider: strict about what it is sent, scripted in what it answers, exact in
//! the usage it reports. It listens on loopback, with TLS or without, and speaks HTTP/1.1 or HTTP/2.
//!
//! Strict: [`check`]. Scripted: [`script`], directives inside the prompt. Exact: [`stats`]. What the
//! vendors' endpoints look like: [`openai`], [`anthropic`], [`bedrock`] and [`google`], and over [`websocket`]s; what
//! they remember: [`kept`]. Bytes on the wire: [`wire`].

mod anthropic;
mod bedrock;
mod check;
mod gateway;
mod google;
mod kept;
mod media;
mod ollama;
mod openai;
mod reply;
mod script;
mod sigv4;
mod stats;
mod websocket;
mod wire;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::Method;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use crate::{certificate::Authority, machine::Machine};
pub use gateway::Gateway;
pub use stats::{Stats, Sums};
use wire::{Gone, Out};

/// Largest request body that is read.
const BODY_BYTES_LIMIT: usize = 64 << 20;
/// Requests kept for tests to look at.
const SEEN_LIMIT: usize = 256;

/// Whose API is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    OpenAi,
    Anthropic,
    /// A bearer key, or access keys that sign: `iam@<region>::<id>:<secret>[:<token>]`.
    Bedrock,
    /// OpenAI's shape, and an error for every field it does not know.
    Mistral,
    /// A server of one's own, with or without a key.
    Vllm,
    /// A server that takes no key: its `/v1` paths and its own.
    Ollama,
    /// Vertex AI, and Google's token endpoint on the same address.
    Vertex,
    /// The Gemini API.
    Gemini,
    /// Hosts of several vendors' models, and Azure: OpenAI's shape, some with Anthropic's beside it.
    Gateway(Gateway),
}

/// What the answers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persona {
    /// `word1 word2 …`
    Test,
    /// Sentences that say they come from a demo provider.
    Demo,
}

/// The transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTP/1.1 without TLS.
    Plain,
    /// TLS; only HTTP/1.1 is offered.
    TlsHttp1,
    /// TLS; HTTP/2 is offered first.
    TlsHttp2,
}

/// How to play a provider.
#[derive(Debug, Clone)]
pub struct Options {
    pub vendor: Vendor,
    pub transport: Transport,
    pub persona: Persona,
    /// The only credential that is let in; `None` wants no credential at all, as a local server does.
    pub key: Option<String>,
    /// A second one that is let in too, for as long as keys are exchanged.
    pub next_key: Option<String>,
    /// Of Vertex AI's tokens, which begin with `ya29.` and the key.
    pub token_lifetime: Duration,
    pub listen: SocketAddr,
}

impl Options {
    /// A test persona on a free loopback port.
    pub fn new(vendor: Vendor, transport: Transport, key: &str) -> Self {
        Self {
            vendor,
            transport,
            persona: Persona::Test,
            key: Some(key.to_owned()),
            next_key: None,
            token_lifetime: Duration::from_secs(3600),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// 1 or 2.
    pub http_version: u8,
    /// Lower-case names in the order of arrival; credential values included.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Fields behind the body, as `headers`.
    pub trailers: Vec<(String, String)>,
    /// Number of the connection, from 1.
    pub connection: u64,
}

impl Seen {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    /// Path without the query.
    pub fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(self.target.as_str(), |(path, _)| path)
    }

    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "method": self.method.as_str(),
            "target": self.target,
            "headers": self.headers,
            "body": STANDARD.encode(&self.body),
        })
    }

    fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }
}

/// A running stand-in; it stops when dropped.
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    ca_pem: Option<String>,
    task: JoinHandle<()>,
}

pub(crate) struct Shared {
    options: Options,
    stats: stats::Ledger,
    kept: kept::Kept,
    /// Of Vertex AI.
    tokens: Option<google::tokens::Tokens>,
    /// Open for answers that the script holds back.
    gate: watch::Sender<bool>,
}

impl StandIn {
    /// Binds and serves.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(options: Options) -> Result<Self> {
        let listener = std::net::TcpListener::bind(options.listen).context("bind the stand-in")?;
        Self::serve(options, listener)
    }

    /// Serves on another machine's loopback address.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start_on(machine: &Machine, options: Options) -> Result<Self> {
        let listener = machine.within(|| std::net::TcpListener::bind(options.listen))?;
        Self::serve(options, listener)
    }

    fn serve(options: Options, listener: std::net::TcpListener) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let (acceptor, ca_pem) = match options.transport {
            Transport::Plain => (None, None),
            Transport::TlsHttp1 => tls(&[b"http/1.1"])?,
            Transport::TlsHttp2 => tls(&[b"h2", b"http/1.1"])?,
        };
        let scheme = if ca_pem.is_some() { "https" } else { "http" };
        let tokens = match options.vendor {
            Vendor::Vertex => Some(google::tokens::Tokens::new(
                &format!("{scheme}://{address}"),
                options.key.as_deref().unwrap_or_default(),
                options.token_lifetime,
            )?),
            Vendor::OpenAi
            | Vendor::Anthropic
            | Vendor::Bedrock
            | Vendor::Mistral
            | Vendor::Vllm
            | Vendor::Ollama
            | Vendor::Gemini
            | Vendor::Gateway(_) => None,
        };
        let shared = Arc::new(Shared {
            tokens,
            options,
            stats: stats::Ledger::new(SEEN_LIMIT),
            kept: kept::Kept::new(address.port()),
            gate: watch::Sender::new(false),
        });
        let task = tokio::spawn(accept(listener, acceptor, shared.clone()));
        Ok(Self {
            address,
            shared,
            ca_pem,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Base URL without a path.
    pub fn url(&self) -> String {
        let scheme = match self.ca_pem {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://{}", self.address)
    }

    /// The CA to trust, when it speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The JSON of the service account whose tokens are let in; of Vertex AI.
    pub fn service_account(&self) -> Option<String> {
        Some(self.shared.tokens.as_ref()?.service_account())
    }

    /// Has the token endpoint refuse every assertion with this status, or none.
    pub fn refuse_tokens(&self, status: Option<u16>) {
        if let Some(tokens) = &self.shared.tokens {
            tokens.refuse(status);
        }
    }

    /// Lets answers go that the script holds back, or holds them; at first they are held.
    pub fn set_gate(&self, open: bool) {
        self.shared.gate.send_replace(open);
    }

    /// Has every token so far be refused.
    pub fn revoke_tokens(&self) {
        if let Some(tokens) = &self.shared.tokens {
            tokens.revoke();
        }
    }

    /// How many tokens were given out, and what was wrong with assertions that were not as they should be.
    pub fn tokens(&self) -> (u64, Vec<String>) {
        let tokens = self.shared.tokens.as_ref();
        tokens.map_or_else(Default::default, |tokens| {
            (tokens.minted(), tokens.problems())
        })
    }

    /// Sums since the start.
    pub fn stats(&self) -> Stats {
        self.shared.stats.snapshot()
    }

    /// The latest requests, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.stats.seen()
    }

    /// Waits until `wanted` holds for the sums.
    ///
    /// # Errors
    /// When it does not hold within `limit`.
    pub async fn wait_stats(
        &self,
        limit: Duration,
        wanted: impl Fn(&Stats) -> bool,
    ) -> Result<Stats> {
        self.shared.stats.wait(limit, wanted).await
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn tls(protocols: &[&[u8]]) -> Result<(Option<TlsAcceptor>, Option<String>)> {
    let authority = Authority::new("Keyway provider stand-in")?;
    let acceptor = TlsAcceptor::from(authority.server_config(protocols)?);
    Ok((Some(acceptor), Some(authority.ca_pem)))
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    // Dropping the set with this task ends the connections too.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        let _ = socket.set_nodelay(true);
        let number = shared.stats.connection();
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        connections.spawn(async move {
            let outcome = match acceptor {
                None => wire::serve_http1(socket, number, shared.clone()).await,
                Some(acceptor) => match acceptor.accept(socket).await {
                    Err(error) => Err(error.into()),
                    Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                        wire::serve_http2(stream, number, shared.clone()).await
                    }
                    Ok(stream) => wire::serve_http1(stream, number, shared.clone()).await,
                },
            };
            if let Err(error) = outcome {
                shared.stats.wire_error(error.to_string());
            }
        });
    }
}

/// Answers one request: the only place where both sides of the stand-in meet.
async fn answer(seen: Seen, out: &mut Out<'_>, shared: &Shared) -> Result<(), Gone> {
    if seen.path() == "/standin/stats" {
        let body = serde_json::to_vec(&shared.stats.snapshot()).unwrap_or_default();
        return out
            .whole(200, &[("content-type", "application/json")], &body)
            .await;
    }
    if seen.path() == "/standin/seen" {
        let seen: Vec<_> = shared.stats.seen().iter().map(Seen::to_json).collect();
        let body = serde_json::Value::from(seen);
        return reply::json(out, 200, &body).await;
    }
    if let Some(tokens) = &shared.tokens
        && seen.path() == google::tokens::PATH
    {
        return tokens.answer(&seen, out).await;
    }
    let tokens = shared.tokens.as_ref().map(|tokens| tokens.valid());
    let refusal = check::judge(&seen, &shared.options, tokens.as_deref());
    shared.stats.request(seen.clone(), refusal.as_ref());
    let outcome = match refusal {
        Some(refusal) if shared.options.vendor == Vendor::Bedrock => {
            bedrock::refuse(out, &refusal).await
        }
        Some(refusal) => {
            let body = refusal.body(shared.options.vendor);
            out.whole(
                refusal.status,
                &[("content-type", "application/json")],
                &body,
            )
            .await
        }
        None => match shared.options.vendor {
            Vendor::Ollama if seen.path().starts_with("/api/") => {
                ollama::answer(&seen, out, shared).await
            }
            Vendor::Gateway(gateway) => gateway::answer(gateway, seen, out, shared).await,
            Vendor::OpenAi | Vendor::Mistral | Vendor::Vllm | Vendor::Ollama => {
                openai::answer(&seen, out, shared).await
            }
            Vendor::Anthropic => anthropic::answer(&seen, out, shared).await,
            Vendor::Bedrock => bedrock::answer(&seen, out, shared).await,
            Vendor::Vertex | Vendor::Gemini => google::answer(&seen, out, shared).await,
        },
    };
    match &outcome {
        Ok(()) => shared.stats.answered(),
        Err(Gone::Peer) => shared.stats.cancelled(),
        Err(Gone::Scripted) => shared.stats.cut(),
    }
    outcome
}
