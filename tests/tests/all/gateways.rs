//! AI gateways: each is told who calls in its own way and exactly that, in both shapes, streamed or not; what an
//! agent says of itself does not reach it.

use gateway_tests::{
    agent::{Reply, Session, Version},
    node::{Node, Options as NodeOptions},
    standin::{Gateway, Options, Seen, StandIn, Transport, Vendor},
};
use serde_json::{Value, json};

const KEY: &str = "gateway-standin-61aa";
const USER: &str = "ada@example.com";
/// What an agent might say of itself, or of where its request should go.
const SPOOFED: &[(&str, &str)] = &[
    ("authorization", "Bearer spoofed"),
    ("x-litellm-end-user-id", "root"),
    ("x-litellm-tags", "root"),
    ("x-portkey-metadata", "{\"_user\":\"root\"}"),
    ("x-portkey-config", "pc-root"),
    ("x-bf-dim-netbird_user_id", "root"),
    ("x-bf-dim-person", "root"),
    ("x-bf-vk", "root"),
    ("cf-aig-metadata", "{\"root\":1}"),
    ("ai-reporting-user", "root"),
    ("ai-reporting-tags", "root"),
];

/// How one provider is connected and what it must be told.
struct Case {
    gateway: Gateway,
    /// Path of the upstream URL.
    base_path: &'static str,
    model: &'static str,
    more: Value,
    headers: &'static [(&'static str, &'static str)],
    /// The body's `user` and `metadata.tags` in OpenAI's shape.
    user: Option<&'static str>,
    tags: Option<&'static [&'static str]>,
    /// Shapes that the URL serves.
    openai: bool,
    anthropic: bool,
}

fn case(gateway: Gateway, base_path: &'static str, model: &'static str) -> Case {
    Case {
        gateway,
        base_path,
        model,
        more: json!({}),
        headers: &[],
        user: None,
        tags: None,
        openai: true,
        anthropic: true,
    }
}

fn cases() -> Vec<Case> {
    let silent = || json!({"metadata_disabled": true});
    let edited = || json!({"identity_header_user_id": "person", "identity_header_groups": "teams"});
    vec![
        Case {
            headers: &[
                ("x-litellm-end-user-id", USER),
                ("x-litellm-tags", "agents,beta"),
            ],
            user: Some(USER),
            tags: Some(&["agents", "beta"]),
            ..case(Gateway::LiteLlm, "", "litellm")
        },
        Case {
            more: silent(),
            ..case(Gateway::LiteLlm, "/v1", "litellm-silent")
        },
        Case {
            more: json!({"extra_values": {"x-portkey-config": "pc-own"}}),
            headers: &[
                ("x-portkey-config", "pc-own"),
                (
                    "x-portkey-metadata",
                    r#"{"_user":"ada@example.com","groups":"agents,beta"}"#,
                ),
            ],
            ..case(Gateway::Portkey, "", "portkey")
        },
        Case {
            more: silent(),
            ..case(Gateway::Portkey, "/v1", "portkey-silent")
        },
        Case {
            headers: &[
                ("x-bf-dim-netbird_user_id", USER),
                ("x-bf-dim-netbird_groups", "agents,beta"),
            ],
            anthropic: false,
            ..case(Gateway::Bifrost, "/openai", "bifrost")
        },
        Case {
            more: json!({
                "identity_header_user_id": "x-bf-dim-person",
                "identity_header_groups": "x-bf-dim-teams",
            }),
            headers: &[("x-bf-dim-person", USER), ("x-bf-dim-teams", "agents,beta")],
            openai: false,
            ..case(Gateway::Bifrost, "/anthropic", "bifrost-edited")
        },
        Case {
            headers: &[(
                "cf-aig-metadata",
                r#"{"netbird_user_id":"ada@example.com","netbird_groups":"agents,beta"}"#,
            )],
            anthropic: false,
            ..case(Gateway::Cloudflare, "/v1/acct/gw/openai", "cloudflare")
        },
        Case {
            more: edited(),
            headers: &[(
                "cf-aig-metadata",
                r#"{"person":"ada@example.com","teams":"agents,beta"}"#,
            )],
            openai: false,
            ..case(
                Gateway::Cloudflare,
                "/v1/acct/gw/anthropic",
                "cloudflare-edited",
            )
        },
        Case {
            headers: &[
                ("ai-reporting-user", USER),
                ("ai-reporting-tags", "agents,beta"),
            ],
            ..case(Gateway::Vercel, "", "vercel")
        },
        Case {
            more: silent(),
            ..case(Gateway::Vercel, "/v1", "vercel-silent")
        },
        Case {
            more: json!({"extra_values": {"X-OpenRouter-Title": "Own"}}),
            headers: &[("x-openrouter-title", "Own")],
            user: Some(USER),
            ..case(Gateway::OpenRouter, "/api/v1", "openrouter")
        },
        // Who calls is not what the application is called.
        Case {
            more: silent(),
            headers: &[("x-openrouter-title", "root")],
            ..case(Gateway::OpenRouter, "/api/v1", "openrouter-silent")
        },
        case(Gateway::Kimi, "", "kimi"),
        Case {
            anthropic: false,
            ..case(Gateway::AzureOpenAi, "", "azure")
        },
    ]
}

/// A node with every gateway behind it, and Ada, who is in two groups that may and in one that may not.
async fn node() -> (Node, Vec<(Gateway, StandIn)>) {
    let node = Node::start(NodeOptions::default()).await.unwrap();
    let mut standins = Vec::new();
    for gateway in Gateway::ALL {
        let options = Options::new(Vendor::Gateway(gateway), Transport::TlsHttp2, KEY);
        standins.push((gateway, StandIn::start(options).await.unwrap()));
    }
    let mut providers = Vec::new();
    for case in cases() {
        let standin = standin(&standins, case.gateway);
        let mut body = json!({
            "provider_id": case.gateway.catalog_id(),
            "name": case.model,
            "upstream_url": format!("{}{}", standin.url(), case.base_path),
            "models": [{"id": case.model, "input_per_1k": 0.001, "output_per_1k": 0.002}],
            "api_key": KEY,
            "enabled": true,
            "allow_private_addresses": true,
            "ca_pem": standin.ca_pem(),
        });
        let more = case.more.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(more);
        providers.push(node.connect_with(body).await.unwrap());
    }
    let peer = "peers add ada --address 127.0.0.2 --user-id ada --user-email ada@example.com \
        --group strangers --group beta --group agents";
    let words: Vec<_> = peer.split_whitespace().collect();
    node.cli(&words, "").await.unwrap();
    for provider in &providers {
        for group in ["agents", "beta"] {
            let name = format!("{group}-{provider}");
            node.add_policy(&name, group, provider).await.unwrap();
        }
    }
    node.wait_ready().await.unwrap();
    (node, standins)
}

fn standin(standins: &[(Gateway, StandIn)], wanted: Gateway) -> &StandIn {
    let found = standins.iter().find(|(gateway, _)| *gateway == wanted);
    &found.unwrap().1
}

/// Sends one request and returns what the gateway saw of it.
async fn seen(
    session: &mut Session,
    gateway: Gateway,
    standin: &StandIn,
    path: &str,
    body: &Value,
) -> (Seen, Reply) {
    let mut headers = SPOOFED.to_vec();
    if gateway == Gateway::OpenRouter {
        headers.push(("x-openrouter-title", "root"));
    }
    if path.ends_with("messages") {
        headers.push(("anthropic-version", "2023-06-01"));
    }
    let reply = session.post(path, body, &headers).await.unwrap();
    assert_eq!(reply.status, 200, "{path} {body}: {reply:?}");
    (standin.seen().pop().unwrap(), reply)
}

#[tokio::test]
async fn each_is_told_who_calls_in_its_own_way() {
    let (node, standins) = node().await;
    let mut session = node
        .alice()
        .await
        .unwrap()
        .session(Version::Http1)
        .await
        .unwrap();
    for case in cases() {
        let standin = standin(&standins, case.gateway);
        for stream in [false, true] {
            let messages = json!([{"role": "user", "content": "one two [[events=3]]"}]);
            if case.openai {
                let body = json!({"model": case.model, "messages": messages, "stream": stream,
                    "user": "root", "metadata": {"tags": ["root"], "kept": 1}});
                let path = "/v1/chat/completions";
                let (seen, reply) =
                    self::seen(&mut session, case.gateway, standin, path, &body).await;
                let told: Value = serde_json::from_slice(&seen.body).unwrap();
                let silent_or = |told: Option<&'static str>| told.unwrap_or("root");
                assert_eq!(told["user"], silent_or(case.user), "{}", case.model);
                let tags = json!(case.tags.unwrap_or(&["root"]));
                assert_eq!(told["metadata"]["tags"], tags, "{}", case.model);
                assert_eq!(told["metadata"]["kept"], 1);
                told_exactly(&case, &seen);
                if stream {
                    assert_eq!(reply.streamed_text().trim(), "word1 word2 word3");
                }
            }
            if case.anthropic {
                let body = json!({"model": case.model, "messages": messages, "stream": stream,
                    "max_tokens": 9, "metadata": {"user_id": "own"}});
                let path = "/v1/messages";
                let (seen, reply) =
                    self::seen(&mut session, case.gateway, standin, path, &body).await;
                assert_eq!(
                    seen.body,
                    body.to_string(),
                    "{}: as it was sent",
                    case.model
                );
                told_exactly(&case, &seen);
                if stream {
                    assert_eq!(reply.streamed_text().trim(), "word1 word2 word3");
                }
            }
        }
    }
    let shapes = |case: &Case| usize::from(case.openai) + usize::from(case.anthropic);
    let rows = node
        .records(cases().iter().map(|case| 2 * shapes(case)).sum())
        .await
        .unwrap();
    for case in cases() {
        let of_case: Vec<_> = rows
            .iter()
            .filter(|row| row["model"] == case.model)
            .collect();
        assert_eq!(of_case.len(), 2 * shapes(&case), "{}", case.model);
        for row in of_case {
            let counted = (&row["input_tokens"], &row["output_tokens"]);
            assert_eq!(counted, (&json!(2), &json!(3)), "{row}");
            assert_eq!(row["catalog_id"], case.gateway.catalog_id(), "{row}");
        }
    }
    for (gateway, standin) in &standins {
        assert_eq!(standin.stats().refused, Vec::<String>::new(), "{gateway:?}");
    }
}

/// The identity headers are these and no others.
fn told_exactly(case: &Case, seen: &Seen) {
    let of_gateways = [
        "x-litellm-",
        "x-portkey-",
        "x-bf-",
        "cf-aig-",
        "ai-reporting-",
        "x-openrouter-",
    ];
    let mut told: Vec<(&str, &str)> = (seen.headers.iter())
        .filter(|(name, _)| of_gateways.iter().any(|prefix| name.starts_with(prefix)))
        .filter(|(name, _)| !["x-portkey-api-key", "cf-aig-authorization"].contains(&name.as_str()))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    told.sort_unstable();
    let mut expected = case.headers.to_vec();
    expected.sort_unstable();
    assert_eq!(told, expected, "{}", case.model);
}
