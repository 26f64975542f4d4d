//! A node without providers, and beside it a stand-in of everything that the catalog has, for tests of the
//! dashboard. Prints one line of JSON about both and runs until standard input ends.

#![expect(clippy::print_stdout, reason = "a command-line tool")]

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use gateway_tests::{
    node::{Node, Options as NodeOptions, free_port},
    standin::{Gateway, Options, StandIn, Transport, Vendor},
};
use http::Method;
use serde_json::json;

/// In every key, so that a test can look for it where no key may be.
const MARKER: &str = "planted-marker";

/// Catalog id, who plays it, and the path of its upstream URL.
const PLAYED: [(&str, Vendor, &str); 17] = [
    ("openai_api", Vendor::OpenAi, ""),
    ("anthropic_api", Vendor::Anthropic, ""),
    (
        "azure_openai_api",
        Vendor::Gateway(Gateway::AzureOpenAi),
        "",
    ),
    ("bedrock_api", Vendor::Bedrock, ""),
    ("vertex_ai_api", Vendor::Vertex, ""),
    ("gemini_api", Vendor::Gemini, ""),
    ("mistral_api", Vendor::Mistral, ""),
    ("kimi_api", Vendor::Gateway(Gateway::Kimi), ""),
    ("litellm_proxy", Vendor::Gateway(Gateway::LiteLlm), ""),
    ("portkey", Vendor::Gateway(Gateway::Portkey), ""),
    ("bifrost", Vendor::Gateway(Gateway::Bifrost), "/openai"),
    (
        "cloudflare_ai_gateway",
        Vendor::Gateway(Gateway::Cloudflare),
        "/v1/acct/gw/openai",
    ),
    ("vercel_ai_gateway", Vendor::Gateway(Gateway::Vercel), ""),
    (
        "openrouter",
        Vendor::Gateway(Gateway::OpenRouter),
        "/api/v1",
    ),
    ("vllm", Vendor::Vllm, ""),
    ("ollama", Vendor::Ollama, ""),
    ("custom", Vendor::Vllm, ""),
];

#[tokio::main]
async fn main() -> Result<()> {
    let admin = format!("127.0.0.1:{}", free_port()?);
    let node = Node::start(NodeOptions {
        extra: vec![("admin", format!("listen = {admin:?}"))],
        ..NodeOptions::default()
    })
    .await?;
    node.add_peer("alice", Ipv4Addr::LOCALHOST.into(), "agents")
        .await?;
    let token = json!({"name": "dashboard tests"});
    let path = "/api/agent-network/tokens";
    let token = node.api_ok(Method::POST, path, Some(&token)).await?;
    let mut standins = Vec::new();
    let mut shown = Vec::new();
    for (catalog_id, vendor, base_path) in PLAYED {
        let (standin, keys) = start(catalog_id, vendor).await?;
        shown.push(json!({
            "catalog_id": catalog_id,
            "url": format!("{}{base_path}", standin.url()),
            "ca_pem": standin.ca_pem(),
            "key": keys.0,
            "next_key": keys.1,
        }));
        standins.push(standin);
    }
    let ready = json!({
        "url": format!("http://{admin}"),
        "token": token.get("token").context("a new token")?,
        "socket": node.socket(),
        "endpoint": node.endpoint(),
        "host": node.host(),
        "ca_pem": node.agent(Ipv4Addr::LOCALHOST.into()).await?.ca_pem,
        "marker": MARKER,
        "standins": shown,
    });
    println!("{ready}");
    tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await?;
    node.stop().await
}

/// The stand-in, its key and the one that it is exchanged for; no key where there is none.
async fn start(catalog_id: &str, vendor: Vendor) -> Result<(StandIn, (String, String))> {
    let (transport, key) = match vendor {
        Vendor::Ollama => (Transport::Plain, String::new()),
        Vendor::Vllm => (Transport::Plain, format!("token-{MARKER}-{catalog_id}")),
        Vendor::OpenAi
        | Vendor::Anthropic
        | Vendor::Bedrock
        | Vendor::Mistral
        | Vendor::Vertex
        | Vendor::Gemini
        | Vendor::Gateway(_) => (Transport::TlsHttp1, format!("sk-{MARKER}-{catalog_id}")),
    };
    let mut options = Options::new(vendor, transport, &key);
    options.key = (!key.is_empty()).then(|| key.clone());
    options.next_key = (!key.is_empty()).then(|| format!("{key}-next"));
    let next_key = options.next_key.clone().unwrap_or_default();
    let standin = StandIn::start(options).await?;
    // Vertex AI's key is a file.
    let keys = match standin.service_account() {
        Some(file) => (file.clone(), file),
        None => (key, next_key),
    };
    Ok((standin, keys))
}
