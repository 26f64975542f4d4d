//! A node with a stand-in of every vendor behind it, for tests in other languages. Prints one line of JSON
//! about itself and runs until standard input ends.

#![expect(clippy::print_stdout, reason = "a command-line tool")]

use std::net::Ipv4Addr;

use anyhow::Result;
use gateway_tests::{
    node::{Node, Options as NodeOptions},
    standin::{Gateway, Options, StandIn, Transport, Vendor},
};
use serde_json::json;

/// Whose API is played over what, and with which key; an empty one is none.
const PROVIDERS: [(Vendor, Transport, &str); 7] = [
    (
        Vendor::OpenAi,
        Transport::TlsHttp2,
        "sk-standin-openai-52c1",
    ),
    (
        Vendor::Anthropic,
        Transport::TlsHttp1,
        "sk-standin-anthropic-9be0",
    ),
    (Vendor::Mistral, Transport::TlsHttp2, "standin-mistral-77e3"),
    (Vendor::Vllm, Transport::Plain, "token-standin-vllm-1c08"),
    (Vendor::Ollama, Transport::Plain, ""),
    (Vendor::Vertex, Transport::TlsHttp2, "standin-vertex-5d10"),
    (
        Vendor::Gemini,
        Transport::TlsHttp1,
        "AIza-standin-gemini-8c44",
    ),
];

/// AWS Bedrock behind a key, and behind temporary access keys with a model of their own.
const BEDROCK: [(&str, Transport, &str, &[&str]); 2] = [
    (
        "bedrock",
        Transport::TlsHttp1,
        "standin-bedrock-key-3f51",
        &[
            "amazon.nova-lite-v1:0",
            "anthropic.claude-haiku-4-5",
            "meta.llama3-3-70b-instruct-v1:0",
            "cohere.command-r-v1:0",
        ],
    ),
    (
        "bedrock-signed",
        Transport::TlsHttp2,
        "iam@eu-central-1::ASIASTANDIN:standin/Secret+Key0123456789abcdef:standin/Session+Token==",
        &["amazon.nova-pro-v1:0"],
    ),
];

/// A second vLLM server, which takes no key; its model has the name that it serves it under.
const KEYLESS_MODEL: &str = "keyless-qwen";

/// Hosts of other vendors' models: path of the upstream URL, the one model, what its price is taken from, the key.
const GATEWAYS: [(Gateway, &str, &str, &str, &str); 8] = [
    (
        Gateway::AzureOpenAi,
        "",
        "my-deployment",
        "gpt-4o",
        "standin-azure-0b7f",
    ),
    (
        Gateway::OpenRouter,
        "/api/v1",
        "vendor/some-model",
        "",
        "sk-or-standin-5512",
    ),
    (Gateway::Kimi, "", "kimi-k3", "", "sk-kimi-standin-71c2"),
    (
        Gateway::Vercel,
        "",
        "creator/some-model",
        "",
        "vck-standin-90ab",
    ),
    (
        Gateway::Cloudflare,
        "/v1/acct/gw/openai",
        "cloudflare-model",
        "",
        "cf-standin-33d0",
    ),
    (
        Gateway::Cloudflare,
        "/v1/acct/gw/anthropic",
        "cloudflare-claude",
        "",
        "cf-standin-33d0",
    ),
    (
        Gateway::Bifrost,
        "/openai",
        "openai/some-model",
        "",
        "sk-bf-standin-4e1a",
    ),
    (
        Gateway::Bifrost,
        "/anthropic",
        "anthropic/some-model",
        "",
        "sk-bf-standin-4e1a",
    ),
];

#[tokio::main]
async fn main() -> Result<()> {
    let node = Node::start(NodeOptions::default()).await?;
    // Python's clients choose no source address, so their peer is the loopback address itself.
    node.add_peer("sdk", Ipv4Addr::LOCALHOST.into(), "agents")
        .await?;
    let mut standins = Vec::new();
    for (vendor, transport, key) in PROVIDERS {
        let standin = start(vendor, transport, key).await?;
        let provider = node.connect(&standin, vendor, key).await?;
        let name = format!("{vendor:?}").to_lowercase();
        node.add_policy(&name, "agents", &provider).await?;
        standins.push((name, standin));
    }
    let standin = start(Vendor::Vllm, Transport::Plain, "").await?;
    let provider = node
        .connect_with(json!({
            "provider_id": "vllm",
            "name": "vllm-keyless",
            "upstream_url": format!("{}/v1", standin.url()),
            "models": [{"id": KEYLESS_MODEL, "input_per_1k": 0, "output_per_1k": 0}],
            "enabled": true,
            "allow_private_addresses": true,
        }))
        .await?;
    node.add_policy("vllm-keyless", "agents", &provider).await?;
    standins.push(("vllm-keyless".to_owned(), standin));
    for (gateway, base_path, id, base_model, key) in GATEWAYS {
        let standin = start(Vendor::Gateway(gateway), Transport::TlsHttp1, key).await?;
        let mut model = json!({"id": id});
        if !base_model.is_empty() {
            model["base_model"] = json!(base_model);
        }
        let name = format!("{}{base_path}", gateway.catalog_id());
        let provider = node
            .connect_with(json!({
                "provider_id": gateway.catalog_id(),
                "name": name,
                "upstream_url": format!("{}{base_path}", standin.url()),
                "models": [model],
                "api_key": key,
                "enabled": true,
                "allow_private_addresses": true,
                "ca_pem": standin.ca_pem(),
            }))
            .await?;
        node.add_policy(&name, "agents", &provider).await?;
        standins.push((name, standin));
    }
    let mut seen = serde_json::Map::new();
    for (name, transport, key, models) in BEDROCK {
        let standin = start(Vendor::Bedrock, transport, key).await?;
        let models: Vec<_> = models.iter().map(|id| json!({"id": id})).collect();
        let provider = node
            .connect_with(json!({
                "provider_id": "bedrock_api",
                "name": name,
                "upstream_url": standin.url(),
                "models": models,
                "enabled": true,
                "allow_private_addresses": true,
                "ca_pem": standin.ca_pem(),
                "api_key": key,
            }))
            .await?;
        node.add_policy(name, "agents", &provider).await?;
        let ca_file = node.directory().join(format!("{name}-ca.pem"));
        std::fs::write(&ca_file, standin.ca_pem().unwrap_or_default())?;
        seen.insert(
            name.to_owned(),
            json!({"url": format!("{}/standin/seen", standin.url()), "ca_file": ca_file, "key": key}),
        );
        standins.push((name.to_owned(), standin));
    }
    node.wait_ready().await?;
    let agent = node.agent(Ipv4Addr::LOCALHOST.into()).await?;
    let ca_file = node.directory().join("endpoint-ca.pem");
    std::fs::write(&ca_file, &agent.ca_pem)?;
    let ready = json!({
        "base_url": format!("https://{}", agent.authority()),
        "host": node.host(),
        "ca_file": ca_file,
        "socket": node.socket(),
        "seen": seen,
    });
    println!("{ready}");
    tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await?;
    for (name, standin) in &standins {
        anyhow::ensure!(
            standin.stats().refused.is_empty(),
            "{name} refused: {:?}",
            standin.stats().refused
        );
    }
    node.stop().await
}

async fn start(vendor: Vendor, transport: Transport, key: &str) -> Result<StandIn> {
    let mut options = Options::new(vendor, transport, key);
    options.key = (!key.is_empty()).then(|| key.to_owned());
    StandIn::start(options).await
}
