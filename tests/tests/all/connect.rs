//! Connecting a provider: it is tried before it is saved, and what is wrong is said in its vendor's terms.

mod clouds;

use std::net::TcpListener;

use gateway_tests::terminal::Terminal;

use super::*;

/// `providers connect` with a key on standard input.
async fn connect(node: &Node, words: &[&str], key: &str) -> (bool, String) {
    let mut arguments = vec!["providers", "connect"];
    arguments.extend(words);
    arguments.push("--key-stdin");
    let output = node.cli_any(&arguments, key).await.unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(told).unwrap())
}

fn ca_file(node: &Node, name: &str, standin: &StandIn) -> String {
    let path = node.directory().join(name);
    std::fs::write(&path, standin.ca_pem().unwrap()).unwrap();
    path.display().to_string()
}

async fn providers(node: &Node) -> Vec<Value> {
    let listed = node
        .cli(&["providers", "list", "--output", "json"], "")
        .await
        .unwrap();
    serde_json::from_slice(&listed.stdout).unwrap()
}

#[tokio::test]
async fn what_is_wrong_is_said_and_nothing_is_saved() {
    let options = Options::new(Vendor::OpenAi, Transport::TlsHttp2, KEY);
    let standin = StandIn::start(options).await.unwrap();
    let plain = Options::new(Vendor::OpenAi, Transport::Plain, KEY);
    let plain = StandIn::start(plain).await.unwrap();
    // Its certificate is for 127.0.0.1.
    let mut elsewhere = Options::new(Vendor::OpenAi, Transport::TlsHttp1, KEY);
    elsewhere.listen = "127.0.0.9:0".parse().unwrap();
    let elsewhere = StandIn::start(elsewhere).await.unwrap();
    let node = Node::start(NodeOptions::default()).await.unwrap();
    let ca = ca_file(&node, "ca.pem", &standin);
    let other_ca = ca_file(&node, "other-ca.pem", &elsewhere);
    let (url, other_name) = (standin.url(), elsewhere.url());
    let no_path = format!("{url}/nowhere");
    let tls_to_plain = plain.url().replace("http://", "https://");
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = format!("http://{nobody}");
    let private = "--allow-private";
    for (words, key, parts) in [
        (
            &["--url", url.as_str(), "--ca-file", &ca, private][..],
            "sk-wrong-key",
            &[
                "refuses the key (401 invalid_api_key)",
                "platform.openai.com/api-keys",
            ][..],
        ),
        (
            &["--url", &url, private],
            KEY,
            &["CA that is not trusted here", "--ca-file"],
        ),
        (
            &["--url", &other_name, "--ca-file", &other_ca, private],
            KEY,
            &["for another name"],
        ),
        (
            &["--url", &no_path, "--ca-file", &ca, private],
            KEY,
            &["not as OpenAI API does (404)", "https://api.openai.com"],
        ),
        (&["--url", &url], KEY, &["127.0.0.1", "--allow-private"]),
        (
            &["--url", &nobody, private],
            KEY,
            &["Nothing listens there"],
        ),
        (&["--url", &tls_to_plain, private], KEY, &["http://"]),
    ] {
        let mut arguments = vec!["openai_api"];
        arguments.extend(words);
        let (saved, told) = connect(&node, &arguments, key).await;
        assert!(!saved, "{told}");
        assert!(told.contains("nothing was saved"), "{told}");
        for part in parts {
            assert!(told.contains(part), "no {part:?} in: {told}");
        }
        assert!(!told.contains("sk-wrong"), "{told}");
    }
    assert!(providers(&node).await.is_empty());

    let words = ["openai_api", "--url", &nobody, private, "--no-test"];
    let (saved, told) = connect(&node, &words, KEY).await;
    assert!(saved, "{told}");
}

#[tokio::test]
async fn a_vendors_models_are_imported_with_their_prices() {
    for (vendor, entry, unpriced) in [
        (Vendor::OpenAi, "openai_api", false),
        (Vendor::Anthropic, "anthropic_api", false),
        (Vendor::Mistral, "mistral_api", false),
        (Vendor::Vllm, "vllm", true),
    ] {
        let options = Options::new(vendor, Transport::Plain, KEY);
        let standin = StandIn::start(options).await.unwrap();
        let node = Node::start(NodeOptions::default()).await.unwrap();
        let url = standin.url();
        let words = [entry, "--url", &url, "--allow-private", "--discover"];
        let (saved, told) = connect(&node, &words, KEY).await;
        assert!(saved, "{told}");
        let provider = providers(&node).await.remove(0);
        let models = provider["models"].as_array().unwrap();
        assert!(!models.is_empty(), "{provider:#}");
        for model in models {
            assert_eq!(model["unpriced"] == true, unpriced, "{model:#}");
        }
        assert_eq!(told.contains("no price known"), unpriced, "{told}");
        assert!(standin.stats().refused.is_empty(), "{:?}", standin.stats());
    }
}

#[tokio::test]
async fn a_stored_key_lists_models_and_tests_new_settings() {
    let (standin, node) = openai(Transport::TlsHttp1).await;
    let provider = providers(&node).await.remove(0);
    let request = json!({"catalog_provider_id": "openai_api", "provider_id": provider["id"]});
    let path = "/api/agent-network/catalog/providers/models";
    let found = node
        .api_ok(http::Method::POST, path, Some(&request))
        .await
        .unwrap();
    assert_eq!(found["models"][0]["id"], "gpt-4o-mini");
    assert_eq!(found["models"][0]["pricing_known"], true);

    let mut changed = provider.clone();
    let path = "/api/agent-network/providers/test";
    let report = node
        .api_ok(http::Method::POST, path, Some(&changed))
        .await
        .unwrap();
    assert_eq!(report["ok"], true, "{report:#}");
    changed["upstream_url"] = json!(format!("{}/nowhere", standin.url()));
    let report = node
        .api_ok(http::Method::POST, path, Some(&changed))
        .await
        .unwrap();
    assert_eq!(report["problem"], "wrong_path", "{report:#}");
    assert_eq!(providers(&node).await.remove(0), provider);
}

#[tokio::test]
async fn somebody_at_a_terminal_is_walked_through() {
    let options = Options::new(Vendor::Vllm, Transport::Plain, KEY);
    let standin = StandIn::start(options).await.unwrap();
    let node = Node::start(NodeOptions::default()).await.unwrap();
    let socket = node.socket();
    let url = standin.url();
    let walked = tokio::task::spawn_blocking(move || {
        let mut terminal = Terminal::run(&socket, &["providers", "connect"])?;
        terminal.answer("What to connect?", "vllm")?;
        terminal.answer("Self-hosted vLLM server", "\r")?;
        terminal.answer("Upstream URL", &format!("{url}\r"))?;
        terminal.answer("Key", "sk-mistyped\r")?;
        terminal.answer("Display name", "GPU one\r")?;
        terminal.wait("refuses the key (401")?;
        terminal.answer("What now?", "\r")?;
        terminal.answer("Key", &format!("{KEY}\r"))?;
        terminal.wait("takes the key; it lists 1 models")?;
        terminal.answer("Which models is it to serve?", "\r")?;
        terminal.answer("Save it?", "\r")?;
        terminal.end()
    });
    let (status, shown) = walked.await.unwrap().unwrap();
    assert!(status.success(), "{shown}");
    assert!(shown.contains("GPU one"), "{shown}");
    assert!(shown.contains("keyway policies add"), "{shown}");
    assert!(
        !shown.contains("sk-mistyped") && !shown.contains(KEY),
        "{shown}"
    );
    let provider = providers(&node).await.remove(0);
    assert_eq!(provider["models"][0]["id"], "Qwen/Qwen3-8B");
}
