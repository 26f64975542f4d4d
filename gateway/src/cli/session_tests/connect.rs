//! Connecting a provider: by arguments alone, and walked through with somebody at the terminal.

use serde_json::{Value, json};

use super::*;
use crate::{
    cli::{Operator, prompt::tests::Script, providers},
    control_plane::api::testing::REFUSED_KEY,
};

impl Node {
    /// `providers connect` with these words, and these answers to what it asks.
    async fn walk(&self, words: &[&str], script: &mut Script) -> Result<String, Failure> {
        let socket = self.file("admin.sock");
        let mut line = vec!["keyway", "--socket", socket.to_str().unwrap()];
        line.extend(["providers", "connect"]);
        line.extend(words);
        let cli = Cli::try_parse_from(line).unwrap();
        let client = Client::new(&cli.global)?;
        let Command::Operator(command) = cli.command else {
            panic!("it needs a node");
        };
        let Operator::Providers(providers::Command::Connect(arguments)) = *command else {
            panic!("it connects a provider");
        };
        let page = Page::default();
        let mut output = Output::to_writer(cli.global.output, page.clone());
        let done =
            providers::connect::connect(&arguments, Some(script), &client, &mut output).await;
        done.map(|()| page.text())
    }

    async fn only_provider(&self) -> Value {
        let json = self
            .run(&["-o", "json", "providers", "list"])
            .await
            .unwrap();
        let mut listed: Vec<Value> = serde_json::from_str(&json).unwrap();
        assert_eq!(listed.len(), 1, "{listed:#?}");
        listed.remove(0)
    }
}

#[tokio::test]
async fn everything_is_asked_from_the_vendor_to_the_models() {
    let node = Node::start().await;
    let mut script = Script::new(&[
        ("What to connect", "OpenAI API"),
        ("Upstream URL", ""),
        ("Key", REFUSED_KEY),
        ("Display name", "Main"),
        ("What now?", "another key"),
        ("Key", MARKER),
        ("Which models", "All 3, 2 of them"),
        ("Save it?", ""),
    ]);
    let told = node.walk(&[], &mut script).await.unwrap();
    assert!(script.is_over());
    assert!(told.contains("no price known     brand-new"), "{told}");
    assert!(told.contains("keyway policies add"), "{told}");
    let said = script.said.join("\n");
    assert!(
        said.contains("✗ refuses the key (401)\n  Give another key"),
        "{said}"
    );
    assert!(said.contains("✓ answered (12 ms)"), "{said}");
    assert!(!said.contains(MARKER), "{said}");
    let provider = node.only_provider().await;
    assert_eq!(provider["name"], "Main");
    assert_eq!(provider["models"][1]["unpriced"], true);
    assert_eq!(provider["models"][2]["output_per_1k"], 0.002);
}

#[tokio::test]
async fn parts_headers_and_identity_are_asked_where_an_entry_has_them() {
    let node = Node::start().await;
    let mut script = Script::new(&[
        ("<account_id>", "a1"),
        ("<gateway_id>", "g1"),
        ("Key", MARKER),
        ("Display name", ""),
        ("Which models", "Some"),
        ("Which ones", "resold"),
        ("Tell Cloudflare", "yes"),
        ("for the caller", "who"),
        ("for the caller's groups", ""),
        ("Save it?", ""),
    ]);
    node.walk(&["cloudflare_ai_gateway"], &mut script)
        .await
        .unwrap();
    assert!(script.is_over());
    let provider = node.only_provider().await;
    assert_eq!(
        provider["upstream_url"],
        "https://gateway.ai.cloudflare.com/v1/a1/g1/openai"
    );
    assert_eq!(provider["identity_header_user_id"], "who");
    assert_eq!(provider["identity_header_groups"], "");
    assert_eq!(provider["models"][0]["id"], "resold");
    assert_eq!(provider["models"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_listed_is_named() {
    let node = Node::start().await;
    let mut script = Script::new(&[
        // Though the argument completes it.
        ("Upstream URL", ""),
        ("Key", MARKER),
        ("Which models", "Others"),
        ("Their names", "our-gpt our-mini"),
        ("Save it?", ""),
    ]);
    let words = [
        "azure_openai_api",
        "--part",
        "resource=acme",
        "--name",
        "azure",
    ];
    node.walk(&words, &mut script).await.unwrap();
    assert!(script.is_over());
    assert!(script.said.join("\n").contains("name your deployments"));
    let provider = node.only_provider().await;
    assert_eq!(provider["upstream_url"], "https://acme.openai.azure.com");
    let models = provider["models"].as_array().unwrap();
    let ids: Vec<_> = models.iter().map(|model| model["id"].clone()).collect();
    assert_eq!(json!(ids), json!(["our-gpt", "our-mini"]));
}

#[tokio::test]
async fn nothing_is_saved_before_the_last_yes() {
    let node = Node::start().await;
    for script in [
        &[
            ("Upstream URL", ""),
            ("Key", REFUSED_KEY),
            ("Display name", ""),
            ("What now?", "Stop"),
        ][..],
        &[
            ("Upstream URL", ""),
            ("Key", MARKER),
            ("Display name", ""),
            ("Which models", "Any model"),
            ("Save it?", "no"),
        ],
    ] {
        let mut script = Script::new(script);
        let failure = node.walk(&["openai_api"], &mut script).await.unwrap_err();
        assert!(failure.message().contains("nothing was saved"));
        assert!(script.is_over());
    }
    let listed = node
        .run(&["-o", "json", "providers", "list"])
        .await
        .unwrap();
    assert_eq!(listed, "[]\n");
}

#[tokio::test]
async fn without_a_terminal_all_that_is_missing_is_said_at_once() {
    let node = Node::start().await;
    for (words, parts) in [
        (&["providers", "connect"][..], &["openai_api", "ollama"][..]),
        (
            &["providers", "connect", "cloudflare_ai_gateway"],
            &["--part account_id=", "--part gateway_id=", "--key-file"],
        ),
        (&["providers", "connect", "vllm"], &["--url URL"]),
        (
            &["providers", "connect", "litellm_proxy"],
            &["--url URL", "--key-stdin"],
        ),
    ] {
        let failure = node.run(words).await.unwrap_err();
        assert_eq!(failure.exit_code(), 64, "{words:?}");
        for part in parts {
            assert!(failure.message().contains(part), "{}", failure.message());
        }
    }
}

#[tokio::test]
async fn a_provider_that_does_not_work_is_saved_only_when_told_to() {
    let node = Node::start().await;
    std::fs::write(node.file("bad"), REFUSED_KEY).unwrap();
    let bad = node.file("bad");
    let words = [
        "providers",
        "connect",
        "openai_api",
        "--key-file",
        bad.to_str().unwrap(),
    ];
    let failure = node.run(&words).await.unwrap_err();
    assert_eq!(failure.exit_code(), 1);
    let message = failure.message();
    assert!(
        message.contains("refuses the key (401)\n  Give another key"),
        "{message}"
    );
    assert!(message.contains("--no-test"), "{message}");
    let mut untested = words.to_vec();
    untested.push("--no-test");
    node.run(&untested).await.unwrap();
}

#[tokio::test]
async fn discovered_models_come_beside_named_ones() {
    let node = Node::start().await;
    let key = node.file("key");
    let words = [
        "providers",
        "connect",
        "openai_api",
        "--discover",
        "--model",
        "brand-new=0.1,0.2",
        "--key-file",
        key.to_str().unwrap(),
    ];
    let told = node.run(&words).await.unwrap();
    assert!(
        told.contains("models             brand-new, gpt-4o-mini, resold"),
        "{told}"
    );
    assert!(!told.contains("no price known"), "{told}");
}

#[tokio::test]
async fn a_connected_provider_learns_of_new_models() {
    let node = Node::start().await;
    node.connect().await;
    let listed = node
        .run(&["providers", "models", "OpenAI API"])
        .await
        .unwrap();
    let expected = "\
MODEL        INPUT $/1k  OUTPUT $/1k  SERVED
gpt-4o-mini     0.00015       0.0006  yes
brand-new       unknown      unknown  no
resold            0.001        0.002  no
";
    assert_eq!(listed, expected);
    let words = ["providers", "update", "OpenAI API", "--discover"];
    let told = node.run(&words).await.unwrap();
    assert!(told.contains("gpt-4o-mini, brand-new, resold"), "{told}");
    let listed = node
        .run(&["providers", "models", "OpenAI API"])
        .await
        .unwrap();
    assert_eq!(listed.matches("yes").count(), 3, "{listed}");
}

#[tokio::test]
async fn a_changed_connection_is_tried_before_it_is_saved() {
    let node = Node::start().await;
    node.connect().await;
    let before = node.only_provider().await;
    std::fs::write(node.file("bad"), REFUSED_KEY).unwrap();
    let bad = node.file("bad");
    let update = ["providers", "update", "OpenAI API"];
    let words = [&update[..], &["--key-file", bad.to_str().unwrap()]].concat();
    let failure = node.run(&words).await.unwrap_err();
    let message = failure.message();
    assert!(
        message.contains("nothing was saved: refuses the key (401)"),
        "{message}"
    );
    assert!(message.contains("--no-test"), "{message}");
    assert_eq!(node.only_provider().await, before);

    let renamed = [&update[..], &["--name", "Main"]].concat();
    node.run(&renamed).await.unwrap();
    let untested = ["providers", "update", "Main", "--no-test", "--key-file"];
    node.run(&[&untested[..], &[bad.to_str().unwrap()]].concat())
        .await
        .unwrap();
    // The stored key is tried with what is new.
    let moved = [
        "providers",
        "update",
        "Main",
        "--url",
        "https://elsewhere.example",
    ];
    let failure = node.run(&moved).await.unwrap_err();
    assert!(failure.message().contains("nothing was saved"));
}
