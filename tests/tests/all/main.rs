//! Whole-node tests: a real `keyway serve` process, agents on real sockets, strict stand-ins behind it.
//! Each asserts what the agent got, what the provider saw and what was recorded: they are one behaviour.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod admission;
mod admission_pins;
mod admission_watch;
mod answered;
mod bedrock;
mod capture;
mod catalog;
mod connect;
mod disk;
mod explain;
mod gateways;
mod google;
mod hostile;
mod http1;
mod keyless;
mod lifecycle;
mod limits;
mod metrics;
mod netbird;
mod objects;
mod overlay;
mod postgresql;
mod refused;
mod revoked;
mod secrets;
mod standin;
mod streams;
mod tracing;
mod trailers;
mod tunnel;
mod unlocked;
mod websocket;
mod wireguard;

use std::sync::Arc;

use gateway_tests::{
    machine::{self, Machine},
    node::{Node, Options as NodeOptions},
    skip,
    standin::{Options, StandIn, Transport, Vendor},
};
use serde_json::{Value, json};

/// The provider's key in every test; it must never reach an agent or a log.
const KEY: &str = "sk-standin-4f1d9c27b6aa";
const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

/// An OpenAI stand-in and a ready node in front of it.
async fn openai(transport: Transport) -> (StandIn, Node) {
    pair(Vendor::OpenAi, transport, NodeOptions::default()).await
}

/// An Anthropic stand-in and a ready node in front of it.
async fn anthropic(transport: Transport) -> (StandIn, Node) {
    pair(Vendor::Anthropic, transport, NodeOptions::default()).await
}

/// A stand-in and a ready node in front of it, configured otherwise.
async fn pair(vendor: Vendor, transport: Transport, options: NodeOptions) -> (StandIn, Node) {
    let standin = Options::new(vendor, transport, KEY);
    let standin = StandIn::start(standin).await.unwrap();
    let node = Node::with(options, &standin, vendor, KEY).await.unwrap();
    (standin, node)
}

/// Machines of the test's own; `None`, and the test is skipped, when this host cannot have them.
fn machines<const N: usize>(test: &str) -> Option<[Arc<Machine>; N]> {
    if let Some(reason) = machine::why_not() {
        skip(test, reason);
        return None;
    }
    Some(std::array::from_fn(|_| Arc::new(Machine::start().unwrap())))
}

fn chat(prompt: &str, stream: bool) -> Value {
    let mut body = json!({
        "model": "gpt-4o-mini",
        "stream": stream,
        "messages": [{"role": "user", "content": prompt}],
    });
    if stream {
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}

fn message(prompt: &str, stream: bool) -> Value {
    json!({
        "model": "claude-sonnet-4-6",
        "max_tokens": 100,
        "stream": stream,
        "messages": [{"role": "user", "content": prompt}],
    })
}

#[track_caller]
fn number(row: &Value, field: &str) -> u64 {
    let value = row.get(field).and_then(Value::as_u64);
    value.unwrap_or_else(|| panic!("{field} is no number in {row:#}"))
}

#[track_caller]
fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    let value = row.get(field).and_then(Value::as_str);
    value.unwrap_or_else(|| panic!("{field} is no text in {row:#}"))
}

/// Dollars in a row as whole nano-dollars.
#[track_caller]
fn nano_usd(row: &Value, field: &str) -> u64 {
    let dollars = row.get(field).and_then(Value::as_f64);
    (dollars.unwrap_or_else(|| panic!("{field} is no amount in {row:#}")) * 1e9).round() as u64
}

/// The record must say exactly what the stand-in reported.
#[track_caller]
fn assert_usage(row: &Value, standin: &StandIn) {
    let sums = standin.stats().total();
    let recorded = (
        number(row, "input_tokens"),
        number(row, "output_tokens"),
        number(row, "cached_input_tokens"),
        number(row, "cache_creation_tokens"),
    );
    let reported = (
        sums.input_tokens,
        sums.output_tokens,
        sums.cache_read_input_tokens,
        sums.cache_creation_input_tokens + sums.cache_creation_long_input_tokens,
    );
    assert_eq!(recorded, reported, "{row:#}");
}
