//! Service accounts whose token cannot be minted, is refused, or ends; neither the key nor a token shows.

use gateway_tests::agent::Agent;

use super::{Shown, *};

const MODEL: &str = "gemini-3.8-flash";
/// Lines of the PEM that are unlike those of any other key.
const OWN_LINES: std::ops::Range<usize> = 4..12;

/// What must not show beside the token, in which [`PROVIDER_KEY`] stands.
pub(super) async fn failures(
    node: &Node,
    alice: &Agent,
    shown: &mut Shown,
) -> Vec<(&'static str, Vec<u8>)> {
    let options = Options::new(Vendor::Vertex, Transport::TlsHttp1, PROVIDER_KEY);
    let standin = StandIn::start(options).await.unwrap();
    let account = standin.service_account().unwrap();
    standin.refuse_tokens(Some(403));
    let name = "a-service-account";
    let connected = json!({
        "provider_id": "vertex_ai_api",
        "name": name,
        "upstream_url": standin.url(),
        "models": [{"id": MODEL}],
        "api_key": account,
        "enabled": true,
        "allow_private_addresses": true,
        "ca_pem": standin.ca_pem(),
    });
    let provider = node.connect_with(connected).await.unwrap();
    node.add_policy(name, "agents", &provider).await.unwrap();
    ask(alice, "fine", 502, shown).await;
    let test = ["providers", "test", name];
    let rotate = ["keys", "rotate", name, "--key-stdin"];
    for arguments in [&test[..], &rotate] {
        let output = node.cli_any(arguments, &account).await.unwrap();
        shown.add("a refused service account", format!("{output:?}"));
    }

    standin.refuse_tokens(None);
    // The same key again: its first token is not waited for as a failed mint's next try is.
    node.cli(&rotate, &account).await.unwrap();
    ask(alice, "fine", 200, shown).await;
    // As after a key was revoked, and where the vendor repeats the token.
    for prompt in ["[[status=401 echo]]", "[[status=500]]"] {
        ask(
            alice,
            prompt,
            if prompt.contains("echo") { 502 } else { 500 },
            shown,
        )
        .await;
    }
    let output = node.cli_any(&test, "").await.unwrap();
    shown.add("a service account", format!("{output:?}"));
    for broken in [
        &account[..account.len() / 2],
        &account.replace("BEGIN", "BEGIN?"),
    ] {
        let output = node.cli_any(&rotate, broken).await.unwrap();
        assert!(!output.status.success(), "{output:?}");
        shown.add("half a service account", format!("{output:?}"));
    }

    let account: Value = serde_json::from_str(&account).unwrap();
    let lines: Vec<&str> = account["private_key"].as_str().unwrap().lines().collect();
    let mut secrets = Vec::new();
    for line in &lines[OWN_LINES] {
        secrets.push(("a private key in PEM", line.as_bytes().to_vec()));
        secrets.push(("a private key", BASE64_STANDARD.decode(line).unwrap()));
    }
    secrets
}

async fn ask(alice: &Agent, prompt: &str, status: u16, shown: &mut Shown) {
    let path = format!(
        "/v1/projects/standin-project/locations/global/publishers/google/models/{MODEL}:generateContent"
    );
    let body = json!({"contents": [{"role": "user", "parts": [{"text": prompt}]}]});
    let answer = alice.post(Version::Http1, &path, &body).await.unwrap();
    assert_eq!(answer.status, status, "{prompt}: {answer:?}");
    shown.add(format!("Vertex {prompt}"), format!("{answer:?}"));
}
