//! A node with an OpenAI and an Anthropic stand-in behind it, for tests in other languages. Prints one
//! line of JSON about itself and runs until standard input ends.

#![expect(clippy::print_stdout, reason = "a command-line tool")]

use std::net::Ipv4Addr;

use anyhow::Result;
use gateway_tests::{
    node::{Node, Options as NodeOptions},
    standin::{Options, StandIn, Transport, Vendor},
};
use serde_json::json;

const OPENAI_KEY: &str = "sk-standin-openai-52c1";
const ANTHROPIC_KEY: &str = "sk-standin-anthropic-9be0";

#[tokio::main]
async fn main() -> Result<()> {
    let openai = Options::new(Vendor::OpenAi, Transport::TlsHttp2, OPENAI_KEY);
    let openai = StandIn::start(openai).await?;
    let anthropic = Options::new(Vendor::Anthropic, Transport::TlsHttp1, ANTHROPIC_KEY);
    let anthropic = StandIn::start(anthropic).await?;
    let node = Node::start(NodeOptions::default()).await?;
    let first = node.connect(&openai, Vendor::OpenAi, OPENAI_KEY).await?;
    let second = node
        .connect(&anthropic, Vendor::Anthropic, ANTHROPIC_KEY)
        .await?;
    // Python's clients choose no source address, so their peer is the loopback address itself.
    node.add_peer("sdk", Ipv4Addr::LOCALHOST.into(), "agents")
        .await?;
    node.add_policy("openai", "agents", &first).await?;
    node.add_policy("anthropic", "agents", &second).await?;
    node.wait_ready().await?;
    let agent = node.agent(Ipv4Addr::LOCALHOST.into()).await?;
    let ca_file = node.directory().join("endpoint-ca.pem");
    std::fs::write(&ca_file, &agent.ca_pem)?;
    let ready = json!({
        "base_url": format!("https://{}", agent.authority()),
        "host": node.host(),
        "ca_file": ca_file,
        "socket": node.socket(),
    });
    println!("{ready}");
    tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await?;
    for (name, standin) in [("openai", &openai), ("anthropic", &anthropic)] {
        anyhow::ensure!(
            standin.stats().refused.is_empty(),
            "{name} refused: {:?}",
            standin.stats().refused
        );
    }
    node.stop().await
}
