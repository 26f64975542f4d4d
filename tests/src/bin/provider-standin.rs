//! `provider-standin serve`: the stand-in as a program, for the demo and for tests in other languages.
//! `provider-standin agent`: an agent's streaming request, so that the demo needs no other client;
//! `provider-standin probe`: what somebody outside meets.

#![expect(clippy::print_stdout, reason = "a command-line tool")]

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use clap::{Parser, Subcommand, ValueEnum};
use gateway_tests::{
    agent::{Agent, Version},
    standin::{Options, Persona, StandIn, Transport, Vendor},
};
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

#[derive(Parser)]
#[command(about = "A provider that is none: strict, scripted, and plainly labelled")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Play a provider; the key is read from standard input, one line.
    Serve {
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        #[arg(long, value_enum, default_value = "openai")]
        vendor: VendorName,
        #[arg(long, value_enum, default_value = "tls-http2")]
        transport: TransportName,
        /// Answer with sentences that say where they come from.
        #[arg(long)]
        demo: bool,
        /// Where to write the CA to trust.
        #[arg(long)]
        ca_out: Option<PathBuf>,
    },
    /// Send one streaming chat request without a key and print the answer as it comes.
    Agent {
        /// The endpoint's address.
        #[arg(long)]
        connect: SocketAddr,
        /// The endpoint's name.
        #[arg(long)]
        host: String,
        /// The endpoint's CA.
        #[arg(long)]
        ca_file: PathBuf,
        /// Source address.
        #[arg(long)]
        source: Option<IpAddr>,
        #[arg(long)]
        model: String,
        #[arg(long)]
        prompt: String,
    },
    /// Knock at an address without a word and say what comes.
    Probe {
        #[arg(long)]
        connect: SocketAddr,
        #[arg(long)]
        source: Option<IpAddr>,
    },
}

/// A listener that says nothing for so long is waiting for a client's hello.
const PROBE_TIME: Duration = Duration::from_secs(2);
/// Where lines of an answer are broken.
const COLUMNS: usize = 96;

#[derive(Clone, Copy, ValueEnum)]
enum VendorName {
    Openai,
    Anthropic,
}

#[derive(Clone, Copy, ValueEnum)]
enum TransportName {
    Plain,
    TlsHttp1,
    TlsHttp2,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Task::Serve {
            listen,
            vendor,
            transport,
            demo,
            ca_out,
        } => {
            let mut key = String::new();
            std::io::stdin().read_to_string(&mut key)?;
            let options = Options {
                vendor: match vendor {
                    VendorName::Openai => Vendor::OpenAi,
                    VendorName::Anthropic => Vendor::Anthropic,
                },
                transport: match transport {
                    TransportName::Plain => Transport::Plain,
                    TransportName::TlsHttp1 => Transport::TlsHttp1,
                    TransportName::TlsHttp2 => Transport::TlsHttp2,
                },
                persona: match demo {
                    true => Persona::Demo,
                    false => Persona::Test,
                },
                next_key: None,
                key: Some(key.trim().to_owned()).filter(|key| !key.is_empty()),
                listen,
                ..Options::new(Vendor::OpenAi, Transport::Plain, "")
            };
            serve(options, ca_out).await
        }
        Task::Agent {
            connect,
            host,
            ca_file,
            source,
            model,
            prompt,
        } => {
            let ca_pem = std::fs::read_to_string(&ca_file)
                .with_context(|| format!("read {}", ca_file.display()))?;
            let agent = Agent {
                source,
                endpoint: connect,
                host,
                ca_pem,
                machine: None,
            };
            ask(&agent, &model, &prompt).await
        }
        Task::Probe { connect, source } => {
            let agent = Agent {
                source,
                endpoint: connect,
                host: String::new(),
                ca_pem: String::new(),
                machine: None,
            };
            println!("{}", probe(&agent).await);
            Ok(())
        }
    }
}

async fn serve(options: Options, ca_out: Option<PathBuf>) -> Result<()> {
    let standin = StandIn::start(options).await?;
    if let (Some(path), Some(ca)) = (ca_out, standin.ca_pem()) {
        std::fs::write(&path, ca).with_context(|| format!("write {}", path.display()))?;
    }
    println!("{}", json!({"url": standin.url()}));
    std::future::pending().await
}

async fn ask(agent: &Agent, model: &str, prompt: &str) -> Result<()> {
    let body = json!({
        "model": model,
        "stream": true,
        "messages": [{"role": "user", "content": prompt}],
    });
    let mut session = agent.session(Version::Http2).await?;
    let headers = [
        ("content-type", "application/json"),
        ("user-agent", "keyway-demo-agent"),
    ];
    let body = Bytes::from(body.to_string());
    let mut response = session
        .begin(Method::POST, "/v1/chat/completions", &headers, body)
        .await?;
    let ok = response.status().is_success();
    let status = response.status();
    let mut pending = Vec::new();
    let mut column = 0;
    while let Some(frame) = response.frame().await {
        pending.extend_from_slice(&frame?.into_data().unwrap_or_default());
        if ok {
            print_events(&mut pending, &mut column)?;
        }
    }
    println!();
    ensure!(ok, "{status}: {}", String::from_utf8_lossy(&pending));
    Ok(())
}

/// `served` only when a listener is willing to go on.
async fn probe(agent: &Agent) -> &'static str {
    let mut stream = match tokio::time::timeout(PROBE_TIME, agent.tcp()).await {
        Err(_) => return "no answer",
        Ok(Err(error)) => {
            let kind = error.downcast_ref().map(std::io::Error::kind);
            return match kind {
                Some(std::io::ErrorKind::ConnectionRefused) => "connection refused",
                Some(_) | None => "connected, and closed before a word was said",
            };
        }
        Ok(Ok(stream)) => stream,
    };
    match tokio::time::timeout(PROBE_TIME, stream.read_u8()).await {
        Err(_) | Ok(Ok(_)) => "served",
        Ok(Err(_)) => "connected, and closed before a word was said",
    }
}

/// Prints the text of every whole event and leaves the rest.
fn print_events(pending: &mut Vec<u8>, column: &mut usize) -> Result<()> {
    while let Some(end) = pending.windows(2).position(|two| two == b"\n\n") {
        let event: Vec<u8> = pending.drain(..end + 2).collect();
        let event = String::from_utf8_lossy(&event);
        let Some(data) = event.trim().strip_prefix("data: ") else {
            continue;
        };
        let chunk: Value = serde_json::from_str(data).unwrap_or_default();
        if let Some(text) = chunk
            .pointer("/choices/0/delta/content")
            .and_then(Value::as_str)
        {
            print_wrapped(text, column);
            std::io::stdout().flush()?;
        }
    }
    Ok(())
}

/// Breaks lines between words.
fn print_wrapped(text: &str, column: &mut usize) {
    for word in text.split_inclusive(' ') {
        if *column + word.trim_end().chars().count() > COLUMNS {
            println!();
            *column = 0;
        }
        print!("{word}");
        *column += word.chars().count();
    }
}
