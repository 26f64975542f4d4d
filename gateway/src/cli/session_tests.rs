//! The command line against a management API on a real unix socket, as an operator would use it.
#![allow(clippy::unwrap_used)]

mod connect;
mod rules;

use std::path::PathBuf;

use clap::Parser;

use super::{
    Cli, Command, Failure,
    client::Client,
    operate,
    output::{Output, tests::Page},
};
use crate::control_plane::api::{self, serve_unix, testing};

/// Stands for a provider's key.
const MARKER: &str = "sk-planted-marker";

struct Node {
    directory: tempfile::TempDir,
    _listener: api::AdminListener,
}

impl Node {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (state, _) = testing::state(directory.path()).await;
        let socket = directory.path().join("admin.sock");
        let listener = serve_unix(&socket, api::router(state)).await.unwrap();
        std::fs::write(directory.path().join("key"), MARKER).unwrap();
        Self {
            directory,
            _listener: listener,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn run(&self, words: &[&str]) -> Result<String, Failure> {
        let socket = self.file("admin.sock");
        let mut line = vec!["keyway", "--socket", socket.to_str().unwrap()];
        line.extend(words);
        let cli = Cli::try_parse_from(line).unwrap();
        let Command::Operator(command) = cli.command else {
            panic!("{words:?} needs no node");
        };
        let page = Page::default();
        let mut output = Output::to_writer(cli.global.output, page.clone());
        let client = Client::new(&cli.global)?;
        operate(*command, &cli.global, &client, &mut output).await?;
        let text = page.text();
        assert!(!text.contains(MARKER), "a key was printed: {text}");
        Ok(text)
    }

    async fn connect(&self) -> String {
        let key = self.file("key");
        let words = [
            "providers",
            "connect",
            "openai_api",
            "--model",
            "gpt-4o-mini",
            "--key-file",
            key.to_str().unwrap(),
        ];
        self.run(&words).await.unwrap()
    }
}

#[tokio::test]
async fn from_a_key_to_a_policy() {
    let node = Node::start().await;
    let told = node.connect().await;
    assert!(told.contains("https://api.openai.com"), "{told}");
    assert!(told.contains(".agents.example. 5 IN A"), "{told}");
    assert!(told.contains("keyway peers add"), "{told}");
    assert!(told.contains("keyway policies add"), "{told}");
    assert!(!told.contains("no price known"), "{told}");

    let listed = node.run(&["providers", "list"]).await.unwrap();
    assert!(listed.contains("OpenAI API"), "{listed}");
    let words = [
        "policies",
        "add",
        "Everyone",
        "--group",
        "agents",
        "--provider",
        "openai api",
    ];
    let added = node.run(&words).await.unwrap();
    assert!(added.contains("OpenAI API"), "{added}");
    let refused = node
        .run(&["providers", "remove", "OpenAI API"])
        .await
        .unwrap_err();
    assert_eq!(refused.exit_code(), 1);
    assert!(
        refused.message().contains("Everyone"),
        "{}",
        refused.message()
    );

    let disabled = node
        .run(&["providers", "disable", "OpenAI API"])
        .await
        .unwrap();
    assert!(disabled.contains("enabled            no"), "{disabled}");
    let words = [
        "providers",
        "update",
        "OpenAI API",
        "--name",
        "Main",
        "--model",
        "a=1,2",
    ];
    node.run(&words).await.unwrap();
    let json = node
        .run(&["-o", "json", "providers", "show", "Main"])
        .await
        .unwrap();
    let shown: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(shown["models"][0]["output_per_1k"], 2);
    assert_eq!(shown["enabled"], false);
    let words = ["providers", "update", "Main", "--model", "b"];
    let unpriced = node.run(&words).await.unwrap();
    assert!(unpriced.contains("no price known     b\n"), "{unpriced}");
    let tested = node.run(&["providers", "test", "Main"]).await.unwrap();
    assert!(tested.contains("12 ms"), "{tested}");

    node.run(&["policies", "remove", "Everyone"]).await.unwrap();
    node.run(&["providers", "remove", "Main"]).await.unwrap();
}

#[tokio::test]
async fn keys_peers_tokens_and_settings() {
    let node = Node::start().await;
    let early = node.run(&["agent-config", "codex"]).await.unwrap_err();
    assert!(early.message().contains("no endpoint yet"));
    node.connect().await;
    let key = node.file("key");
    let words = [
        "keys",
        "rotate",
        "OpenAI API",
        "--key-file",
        key.to_str().unwrap(),
    ];
    let rotated = node.run(&words).await.unwrap();
    assert_eq!(rotated.lines().count(), 2, "{rotated}");
    let resealed = node.run(&["keys", "rotate-master"]).await.unwrap();
    assert!(resealed.contains("sealed again  2\n"), "{resealed}");

    let words = [
        "peers",
        "add",
        "build-1",
        "--address",
        "100.64.0.7",
        "--group",
        "agents",
    ];
    node.run(&words).await.unwrap();
    node.run(&["peers", "block", "build-1"]).await.unwrap();
    let peers = node.run(&["peers", "list"]).await.unwrap();
    let line = peers.lines().nth(1).unwrap();
    assert!(line.ends_with("denied: it is blocked"), "{peers}");

    let dashboard = node.run(&["dashboard"]).await.unwrap_err();
    assert!(dashboard.message().contains("admin.listen"));
    let created = node
        .run(&["token", "create", "ci", "--role", "auditor"])
        .await
        .unwrap();
    assert!(created.contains("kwt_"), "{created}");
    let tokens = node.run(&["token", "list"]).await.unwrap();
    assert!(
        tokens.contains("never") && tokens.contains("auditor") && !tokens.contains("kwt_"),
        "{tokens}"
    );
    node.run(&["token", "revoke", "ci"]).await.unwrap();

    let settings = node
        .run(&["settings", "set", "--retention-days", "7"])
        .await
        .unwrap();
    assert!(settings.contains("7 days"), "{settings}");
    let snippet = node.run(&["agent-config", "claude-code"]).await.unwrap();
    assert!(snippet.contains(".agents.example"), "{snippet}");
    let pem = node.run(&["ca", "export"]).await.unwrap();
    assert!(pem.starts_with("-----BEGIN"));
}

#[tokio::test]
async fn what_was_used_is_a_table() {
    let node = Node::start().await;
    let usage = node.run(&["usage"]).await.unwrap();
    let today = jiff::Timestamp::now().to_string();
    let expected = format!(
        "\
DAY         INPUT  CACHED  OUTPUT  TOTAL  COST $
{}  1 200     800     640  1 840  0.0384
",
        &today[..10]
    );
    assert_eq!(usage, expected);
    let by_model = node.run(&["usage", "--by", "model"]).await.unwrap();
    assert!(
        by_model.starts_with("MODEL") && by_model.contains("gpt-4o"),
        "{by_model}"
    );
    let by_user = node.run(&["usage", "--by", "user"]).await.unwrap();
    assert!(by_user.contains("ada@example.com"), "{by_user}");
    let logs = node.run(&["logs", "--decision", "allow"]).await.unwrap();
    assert!(
        logs.lines().nth(1).unwrap().contains("ada@example.com"),
        "{logs}"
    );
    let json = node.run(&["logs", "--output", "json"]).await.unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let id = json[0]["id"].as_str().unwrap();
    let shown = node.run(&["logs", "show", id]).await.unwrap();
    for part in [
        "request       POST brave-otter.keyway.test/v1/chat/completions HTTP/1.1",
        "first byte from upstream  180.000  178.400",
        "      1       7       1.500  200",
        "total                 1 840  0.0384",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let csv = node
        .run(&["logs", "export", "--format", "csv", "--since", "1d"])
        .await
        .unwrap();
    assert_eq!(csv.lines().count(), 2, "{csv}");
    let lines = node.run(&["logs", "export"]).await.unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&lines).unwrap(),
        json[0]
    );
    let by_group = node
        .run(&["usage", "--by", "group", "--csv"])
        .await
        .unwrap();
    assert!(by_group.contains("engineers,,1,"), "{by_group}");
    let denied = node.run(&["logs", "--decision", "deny"]).await.unwrap();
    assert_eq!(denied.lines().count(), 1, "{denied}");
    let catalog = node.run(&["catalog", "show", "openai_api"]).await.unwrap();
    assert!(catalog.contains("0.00015"), "{catalog}");
    assert!(node.run(&["status"]).await.unwrap().contains("epoll"));
}

#[tokio::test]
async fn prices_are_looked_at_before_they_are_taken() {
    let node = Node::start().await;
    let file = node.file("prices.toml");
    std::fs::write(
        &file,
        "[openai]\n\"gpt-9\" = { input = \"1\", output = \"2\" }\n\
         \"gpt-4o\" = { input = \"2.6\", output = \"10\", cache_read = \"1.25\" }\n",
    )
    .unwrap();
    let mut words = vec!["catalog", "update", "--file", file.to_str().unwrap()];
    words.push("--check");
    let checked = node.run(&words).await.unwrap();
    assert!(
        checked.starts_with("Not applied (--check): 1 new, 1 changed, 0 gone.\n"),
        "{checked}"
    );
    let line = checked.lines().find(|line| line.contains(" input "));
    let cells: Vec<_> = line.unwrap().split_whitespace().collect();
    assert_eq!(cells, ["openai", "gpt-4o", "input", "2.5", "2.6"]);
    let none = node.run(&["catalog", "prices"]).await.unwrap();
    assert!(
        none.contains("the prices that the node came with"),
        "{none}"
    );

    words.pop();
    let taken = node.run(&words).await.unwrap();
    assert!(taken.starts_with("In use now: "), "{taken}");
    let known = node.run(&["catalog", "prices"]).await.unwrap();
    assert!(known.contains("prices.toml"), "{known}");
    node.run(&["catalog", "update", "--reset"]).await.unwrap();
    let again = node.run(&["catalog", "update", "--reset"]).await;
    assert!(again.unwrap_err().message().contains("not found"));

    std::fs::write(&file, "[openai]\nm = { input = \"x\", output = \"1\" }\n").unwrap();
    let refused = node.run(&words).await.unwrap_err();
    assert!(
        refused
            .message()
            .contains("the update:2: openai.\"m\".input"),
        "{}",
        refused.message()
    );
    std::fs::write(&file, "{}").unwrap();
    let refused = node.run(&words).await.unwrap_err();
    assert!(
        refused.message().contains("LiteLLM"),
        "{}",
        refused.message()
    );
}

#[tokio::test]
async fn an_export_never_overwrites() {
    let node = Node::start().await;
    node.connect().await;
    let file = node.file("export.jsonl");
    let words = ["store", "export", file.to_str().unwrap()];
    node.run(&words).await.unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("providers/") && !text.contains(MARKER),
        "{text}"
    );
    assert!(node.run(&words).await.is_err());
}

#[tokio::test]
async fn a_missing_node_is_explained() {
    let node = Node::start().await;
    drop(node._listener);
    let global = ["keyway", "--socket", "/nonexistent/admin.sock", "status"];
    let cli = Cli::try_parse_from(global).unwrap();
    let client = Client::new(&cli.global).unwrap();
    let failure = client.get("/status").await.unwrap_err();
    assert_eq!(failure.exit_code(), 2);
    assert!(failure.message().contains("/nonexistent/admin.sock"));
    assert!(failure.message().contains("keyway serve"));
}

#[tokio::test]
async fn tcp_takes_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let (state, _) = testing::state(directory.path()).await;
    let sessions = std::sync::Arc::clone(&state.sessions);
    let router = api::router(state);
    let socket = directory.path().join("admin.sock");
    let _unix = serve_unix(&socket, router.clone()).await.unwrap();
    let again = serve_unix(&socket, router.clone()).await;
    assert!(again.is_err(), "a socket in use is not taken over");
    let tcp = api::serve_tcp("127.0.0.1:0".parse().unwrap(), router)
        .await
        .unwrap();

    let cli = ["keyway", "--socket", socket.to_str().unwrap(), "status"];
    let local = Client::new(&Cli::try_parse_from(cli).unwrap().global).unwrap();
    let bound = tcp.address().unwrap();
    sessions.reachable_at(bound);
    let code = local.post("/session/codes", &serde_json::json!({})).await;
    let code = code.unwrap();
    let begin = format!("http://{bound}/login#code=");
    assert!(code["url"].as_str().unwrap().starts_with(&begin));
    let created = local
        .post("/tokens", &serde_json::json!({"name": "t"}))
        .await
        .unwrap();
    let url = format!("http://{}", tcp.address().unwrap());
    let remote = |token: &str| Client::with_token(&url, token.to_owned().into()).unwrap();
    let token = created["token"].as_str().unwrap();
    assert_eq!(
        remote(token).get("/status").await.unwrap()["driver"],
        "epoll"
    );
    let refused = remote("kwt_wrong").get("/status").await.unwrap_err();
    assert!(refused.message().contains("401"), "{}", refused.message());
}
