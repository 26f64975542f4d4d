//! Bedrock and Vertex AI: models from lists of their own, a trial that asks a model, and what is wrong in
//! the cloud's terms.

use super::*;

const SIGNED: &str = "iam@eu-central-1::AKIASTANDIN:standin/Secret+Key0123456789abcdef";
const TEMPORARY: &str =
    "iam@eu-central-1::ASIASTANDIN:standin/Secret+Key0123456789abcdef:standin/Session+Token==";

const MODEL: &str = "amazon.nova-lite-v1:0";

async fn play(vendor: Vendor, transport: Transport, key: &str) -> (StandIn, Node, String) {
    let options = Options::new(vendor, transport, key);
    let standin = StandIn::start(options).await.unwrap();
    let node = Node::start(NodeOptions::default()).await.unwrap();
    let url = standin.url();
    (standin, node, url)
}

/// Connects with one model, and takes the provider away again.
async fn try_model(node: &Node, entry: &str, url: &str, model: &str, key: &str) -> (bool, String) {
    let words = [entry, "--url", url, "--allow-private", "--model", model];
    let words = [&words[..], &["--name", "tried"]].concat();
    let (saved, told) = connect(node, &words, key).await;
    if saved {
        let remove = ["providers", "remove", "tried"];
        node.cli(&remove, "").await.unwrap();
    }
    (saved, told)
}

#[tokio::test]
async fn bedrocks_models_and_profiles_are_imported() {
    for (transport, key) in [
        (Transport::Plain, KEY),
        (Transport::Plain, SIGNED),
        (Transport::TlsHttp1, TEMPORARY),
    ] {
        let (standin, node, url) = play(Vendor::Bedrock, transport, key).await;
        let mut words = vec![
            "bedrock_api",
            "--url",
            &url,
            "--allow-private",
            "--discover",
        ];
        let ca = standin.ca_pem().map(|_| ca_file(&node, "ca.pem", &standin));
        if let Some(ca) = &ca {
            words.extend(["--ca-file", ca]);
        }
        let (saved, told) = connect(&node, &words, key).await;
        assert!(saved, "{told}");
        let provider = providers(&node).await.remove(0);
        let models = provider["models"].as_array().unwrap();
        let ids: Vec<_> = models.iter().map(|model| text(model, "id")).collect();
        let own = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/a1b2c3";
        assert_eq!(
            ids,
            [
                "amazon.nova-lite-v1:0",
                "amazon.titan-embed-text-v2:0",
                "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
                own,
            ]
        );
        for model in models {
            assert!(model["unpriced"] != true, "{model:#}");
        }
        assert_eq!(models[3]["base_model"], "amazon.nova-lite-v1:0");
        assert_eq!(standin.stats().refused, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_bedrock_trial_asks_a_model_for_one_token() {
    let (standin, node, url) = play(Vendor::Bedrock, Transport::Plain, SIGNED).await;
    let tried = async |model, key| try_model(&node, "bedrock_api", &url, model, key).await;
    let (saved, told) = tried("amazon.nova-lite-v1:0", SIGNED).await;
    assert!(saved, "{told}");
    let seen = standin.seen().pop().unwrap();
    assert_eq!(seen.target, "/model/amazon.nova-lite-v1%3A0/converse");
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(body["inferenceConfig"]["maxTokens"], 1);

    let wrong_secret = SIGNED.replace("Secret", "Other");
    for (model, key, parts) in [
        (
            "vendor.denied-v1:0",
            SIGNED,
            ["no access (403 AccessDeniedException)", "Model access"],
        ),
        (
            "anthropic.claude-sonnet-5",
            SIGNED,
            ["no such model there (400", "us.<model id>"],
        ),
        (
            "amazon.nova-lite-v1:0",
            &wrong_secret,
            ["refuses the key (403 Invalid", "does not fit"],
        ),
    ] {
        let (saved, told) = tried(model, key).await;
        assert!(!saved, "{told}");
        for part in parts {
            assert!(told.contains(part), "no {part:?} in: {told}");
        }
        assert!(!told.contains("standin/"), "{told}");
    }
    // Without a model nothing is asked that could cost something.
    let words = ["bedrock_api", "--url", &url, "--allow-private"];
    let (saved, told) = connect(&node, &words, SIGNED).await;
    assert!(saved, "{told}");
    assert_eq!(&*standin.seen().pop().unwrap().body, b"{}");
}

#[tokio::test]
async fn vertex_models_are_imported_and_one_is_tried() {
    let (standin, node, url) = play(Vendor::Vertex, Transport::Plain, KEY).await;
    let account = standin.service_account().unwrap();
    let words = ["vertex_ai_api", "--url", &url, "--allow-private"];
    let discover = [&words[..], &["--discover", "--name", "tried"]].concat();
    let (saved, told) = connect(&node, &discover, &account).await;
    assert!(saved, "{told}");
    let provider = providers(&node).await.remove(0);
    let models = provider["models"].as_array().unwrap();
    let ids: Vec<_> = models.iter().map(|model| text(model, "id")).collect();
    assert_eq!(
        ids,
        [
            "gemini-3.8-flash",
            "gemini-embedding-2",
            "claude-sonnet-5",
            "mistral-medium-3",
        ]
    );
    assert!(models.iter().all(|model| model["unpriced"] != true));
    let counting = "/v1/projects/standin-project/locations/global/publishers/google/models/gemini-3.8-flash:countTokens";
    assert!(standin.seen().iter().any(|seen| seen.target == counting));
    node.cli(&["providers", "remove", "tried"], "")
        .await
        .unwrap();

    let tried = async |model| try_model(&node, "vertex_ai_api", &url, model, &account).await;
    let (saved, told) = tried("claude-sonnet-5").await;
    assert!(saved, "{told}");
    let (saved, told) = tried("gemini-missing").await;
    assert!(!saved, "{told}");
    for part in [
        "no such model there (404 NOT_FOUND)",
        "gemini-missing",
        "another location",
    ] {
        assert!(told.contains(part), "no {part:?} in: {told}");
    }
    assert_eq!(standin.stats().refused, Vec::<String>::new());

    let other = StandIn::start(Options::new(Vendor::Vertex, Transport::Plain, KEY));
    let other = other.await.unwrap().service_account().unwrap();
    // Its own token endpoint is gone with it; this one knows another key.
    let mut forged: Value = serde_json::from_str(&other).unwrap();
    forged["token_uri"] = json!(format!("{url}/token"));
    let (saved, told) = connect(&node, &words, &forged.to_string()).await;
    assert!(!saved, "{told}");
    for part in ["invalid_grant", "make a new one"] {
        assert!(told.contains(part), "no {part:?} in: {told}");
    }
}

#[tokio::test]
async fn access_keys_and_key_files_are_asked_for_in_parts() {
    let (_bedrock, node, bedrock) = play(Vendor::Bedrock, Transport::Plain, TEMPORARY).await;
    let vertex = StandIn::start(Options::new(Vendor::Vertex, Transport::Plain, KEY));
    let vertex = vertex.await.unwrap();
    let file = node.directory().join("account.json");
    std::fs::write(&file, vertex.service_account().unwrap()).unwrap();
    let (socket, vertex, file) = (node.socket(), vertex.url(), file.display().to_string());
    let walked = tokio::task::spawn_blocking(move || {
        let run = |url: &str, words: &[&str]| {
            let connect = ["providers", "connect", "--url", url, "--allow-private"];
            Terminal::run(&socket, &[&connect[..], words].concat())
        };
        let mut terminal = run(&bedrock, &["bedrock_api", "--model", MODEL])?;
        terminal.answer("Which kind of key?", "\x1b[B\r")?;
        terminal.answer("Access key id", "ASIASTANDIN\r")?;
        terminal.answer("Secret access key", "standin/Secret+Key0123456789abcdef\r")?;
        terminal.answer("Session token", "standin/Session+Token==\r")?;
        terminal.answer("Region", "eu-central-1\r")?;
        terminal.answer("Display name", "\r")?;
        terminal.wait("takes the key; amazon.nova-lite-v1:0 answers")?;
        // Nothing, about who calls.
        terminal.answer("Tell AWS Bedrock API who calls", "n\r")?;
        terminal.answer("Save it?", "\r")?;
        let bedrock = terminal.end()?;

        let mut terminal = run(&vertex, &["vertex_ai_api", "--model", "gemini-3.8-flash"])?;
        terminal.answer("Path of the key file", "/nowhere\r")?;
        terminal.answer("Path of the key file", &format!("{file}\r"))?;
        terminal.answer("Header x-goog-user-project", "\r")?;
        terminal.answer("Display name", "\r")?;
        terminal.wait("takes the key; gemini-3.8-flash answers")?;
        terminal.answer("Save it?", "\r")?;
        anyhow::Ok((bedrock, terminal.end()?))
    });
    let (bedrock, vertex) = walked.await.unwrap().unwrap();
    for (status, shown) in [bedrock, vertex] {
        assert!(status.success(), "{shown}");
        for secret in ["Secret+Key", "Session+Token", "PRIVATE"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    assert_eq!(providers(&node).await.len(), 2);
}
