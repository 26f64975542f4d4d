//! The contract of the management API, on the router as it is served, with a store in memory.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use super::{
    auth::Connection,
    router,
    testing::{self, MemoryStore},
};
use crate::control_plane::store::{self, ImportMode};

const BASE: &str = "/api/agent-network";
/// Stands for a provider's key; must not be found in any answer.
const MARKER: &str = "sk-planted-marker";

struct Api {
    router: Router,
    store: Arc<MemoryStore>,
    connection: Option<Connection>,
    _directory: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }

    fn refused(&self, status: u16, field: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let body = self.json();
        assert_eq!(body["code"], status);
        assert!(body["message"].is_string());
        assert_eq!(body["field"].as_str().unwrap_or(""), field, "{}", self.text);
    }
}

impl Api {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (state, store) = testing::state(directory.path()).await;
        let uid = nix::unistd::geteuid().as_raw();
        Self {
            router: router(state),
            store,
            connection: Some(Connection::Unix { uid }),
            _directory: directory,
        }
    }

    async fn send(&self, mut request: Request<Body>) -> Answer {
        if let Some(connection) = self.connection {
            request.extensions_mut().insert(connection);
        }
        let service = TowerToHyperService::new(self.router.clone());
        let response = service.call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(!text.contains(MARKER), "a key came back: {text}");
        assert!(!format!("{:?}", parts.headers).contains(MARKER));
        Answer {
            status: parts.status,
            headers: parts.headers,
            text,
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{BASE}{path}"));
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.send(request.body(body).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(body)).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None).await
    }

    async fn connect(&self) -> String {
        let answer = self.post("/providers", openai()).await.ok();
        answer["id"].as_str().unwrap().to_owned()
    }

    async fn allow(&self, provider_id: &str) -> String {
        let answer = self.post("/policies", policy(provider_id)).await.ok();
        answer["id"].as_str().unwrap().to_owned()
    }
}

fn openai() -> Value {
    json!({
        "provider_id": "openai_api",
        "name": "OpenAI",
        "upstream_url": "https://api.openai.com/",
        "api_key": MARKER,
        "models": [{"id": "gpt-4o-mini", "input_per_1k": 0.00015, "output_per_1k": 0.0006}],
    })
}

fn policy(provider_id: &str) -> Value {
    json!({
        "name": "Everyone",
        "source_groups": ["agents"],
        "destination_provider_ids": [provider_id],
    })
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

fn without(mut body: Value, field: &str) -> Value {
    body.as_object_mut().unwrap().remove(field);
    body
}

#[tokio::test]
async fn a_provider_lives_and_its_key_is_never_shown() {
    let api = Api::new().await;
    let created = api.post("/providers", openai()).await.ok();
    let id = created["id"].as_str().unwrap();
    assert!(id.starts_with("ainp_") && id.len() == 25, "{id}");
    assert_eq!(created["upstream_url"], "https://api.openai.com");
    assert_eq!(created["enabled"], true);
    assert_eq!(created["identity_header_user_id"], "");
    assert_eq!(created["models"][0]["input_per_1k"], 0.00015);
    assert_eq!(created["api_key"], Value::Null);

    let path = format!("/providers/{id}");
    let shown = api.get(&path).await;
    assert!(shown.headers.contains_key(header::ETAG));
    assert_eq!(shown.ok(), created);
    assert_eq!(api.get("/providers").await.ok(), json!([created]));

    let keys = api.get(&format!("{path}/keys")).await.ok();
    let renamed = with(without(openai(), "api_key"), "name", json!("Renamed"));
    let updated = api
        .put(&path, with(renamed, "models", json!([])))
        .await
        .ok();
    assert_eq!(updated["name"], "Renamed");
    assert_eq!(
        updated["models"],
        json!([]),
        "PUT replaces the whole object"
    );
    assert_eq!(updated["created_at"], created["created_at"]);
    let same = api.get(&format!("{path}/keys")).await.ok();
    assert_eq!(same, keys, "an omitted key is kept");

    let with_key = with(openai(), "api_key", json!(format!("{MARKER}-2")));
    api.put(&path, with_key).await.ok();
    let new = api.get(&format!("{path}/keys")).await.ok();
    assert_eq!(new.as_array().unwrap().len(), 1);
    assert_ne!(new[0]["fingerprint"], keys[0]["fingerprint"]);

    assert!(
        api.store
            .values()
            .iter()
            .all(|value| !value.contains(MARKER))
    );
    api.get("/store/export").await;

    assert_eq!(api.delete(&path).await.ok(), json!({}));
    api.get(&path).await.refused(404, "");
    let left = api.store.keys();
    assert!(
        left.iter().all(|key| !key.starts_with("credentials/")),
        "{left:?}"
    );
}

#[tokio::test]
async fn catalog_prices_stay_the_catalogs() {
    let api = Api::new().await;
    let unpriced = with(
        openai(),
        "models",
        json!([{"id": "gpt-4o-mini"}, {"id": "other"}]),
    );
    let mut shown = api.post("/providers", unpriced).await.ok();
    assert_eq!(shown["models"][0]["input_per_1k"], 0.00015);
    assert_eq!(shown["models"][1]["input_per_1k"], 0);
    let path = format!("/providers/{}", shown["id"].as_str().unwrap());
    api.put(&path, shown.clone()).await.ok();
    let stored = || {
        let values = api.store.values();
        values
            .into_iter()
            .find(|value| value.contains("gpt-4o-mini"))
            .unwrap()
    };
    assert!(!stored().contains("0.00015"), "{}", stored());
    shown["models"][0]["input_per_1k"] = json!(0.5);
    api.put(&path, shown).await.ok();
    assert!(stored().contains("0.5"), "{}", stored());
}

#[tokio::test]
async fn keys_rotate_without_a_moment_without_one() {
    let api = Api::new().await;
    let path = format!("/providers/{}/keys", api.connect().await);
    let first = api.get(&path).await.ok();
    let only = first[0]["id"].as_str().unwrap();
    api.delete(&format!("{path}/{only}")).await.refused(412, "");

    let both = json!({"api_key": format!("{MARKER}-2"), "keep_others": true});
    let both = api.post(&path, both).await.ok();
    assert_eq!(both.as_array().unwrap().len(), 2);
    api.delete(&format!("{path}/{only}")).await.ok();

    let rotated = api
        .post(&path, json!({"api_key": format!("{MARKER}-3")}))
        .await
        .ok();
    assert_eq!(rotated.as_array().unwrap().len(), 1);
    api.post(&path, json!({})).await.refused(422, "api_key");

    let report = api.post("/keys/rotate-master", json!({})).await.ok();
    assert_eq!(report["resealed"], 1, "{report}");
    api.post(&path, json!({"api_key": format!("{MARKER}-4")}))
        .await
        .ok();
    let again = api.post("/keys/rotate-master", json!({})).await.ok();
    assert_ne!(again["key_id"], report["key_id"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_provider_is_named() {
    let api = Api::new().await;
    for (body, field) in [
        (without(openai(), "api_key"), "api_key"),
        (with(openai(), "api_key", json!("")), "api_key"),
        (
            with(openai(), "api_key", json!(format!("{MARKER}\n{MARKER}"))),
            "api_key",
        ),
        (without(openai(), "name"), "name"),
        (with(openai(), "name", json!("  ")), "name"),
        (without(openai(), "provider_id"), "provider_id"),
        (with(openai(), "provider_id", json!(MARKER)), "provider_id"),
        (without(openai(), "upstream_url"), "upstream_url"),
        (
            with(openai(), "upstream_url", json!(MARKER)),
            "upstream_url",
        ),
        (
            with(openai(), "models", json!([{"id": ""}])),
            "models[0].id",
        ),
        (
            with(openai(), "models", json!([{"id": "a"}, {"id": "a"}])),
            "models[1].id",
        ),
        (
            with(openai(), "models", json!([{"id": "a", "input_per_1k": -1}])),
            "models[0].input_per_1k",
        ),
        (
            with(openai(), "extra_values", json!({"x-evil": MARKER})),
            "extra_values",
        ),
        (
            with(openai(), "identity_header_user_id", json!("no header")),
            "identity_header_user_id",
        ),
        (with(openai(), "ca_pem", json!(MARKER)), "ca_pem"),
    ] {
        api.post("/providers", body).await.refused(422, field);
    }
    let wrong_type = with(openai(), "enabled", json!(MARKER));
    api.post("/providers", wrong_type).await.refused(400, "");
    let left = api.store.keys();
    assert!(left.iter().all(|key| key.starts_with("seal/")), "{left:?}");

    let keyless = json!({
        "provider_id": "custom", "name": "local", "upstream_url": "http://127.0.0.1:11434",
    });
    let created = api.post("/providers", keyless).await.ok();
    assert_eq!(created["allow_private_addresses"], true);

    let portkey = json!({
        "provider_id": "portkey", "name": "p", "upstream_url": "https://api.portkey.ai",
        "api_key": MARKER, "extra_values": {"X-Portkey-Config": "pc-1"},
    });
    let created = api.post("/providers", portkey).await.ok();
    assert_eq!(created["extra_values"], json!({"x-portkey-config": "pc-1"}));
}

#[tokio::test]
async fn the_first_provider_names_the_endpoint() {
    let api = Api::new().await;
    assert_eq!(api.get("/settings").await.ok()["endpoint"], "");
    api.put("/settings", json!({})).await.refused(404, "");
    let id = api.connect().await;
    let settings = api.get("/settings").await.ok();
    let endpoint = settings["endpoint"].as_str().unwrap().to_owned();
    let label = endpoint.strip_suffix(".agents.example").unwrap();
    assert_eq!(label.split('-').count(), 2);
    assert_eq!(settings["proxy_address"], "agents.example");
    assert_eq!(settings["dedicated"], false);
    api.connect().await;
    assert_eq!(api.get("/settings").await.ok()["endpoint"], endpoint);

    let create = json!({"endpoint": "other.example"});
    api.post("/settings", create).await.refused(409, "");
    let moved = with(settings.clone(), "endpoint", json!("other.example"));
    api.put("/settings", moved).await.refused(422, "endpoint");
    let prompts = with(settings.clone(), "enable_prompt_collection", json!(true));
    api.put("/settings", prompts)
        .await
        .refused(422, "enable_prompt_collection");
    let shorter = with(settings.clone(), "access_log_retention_days", json!(7));
    let updated = api.put("/settings", shorter).await.ok();
    assert_eq!(updated["access_log_retention_days"], 7);

    api.delete("/settings").await.refused(412, "");
    for provider in api.get("/providers").await.ok().as_array().unwrap() {
        let id = provider["id"].as_str().unwrap();
        api.delete(&format!("/providers/{id}")).await.ok();
    }
    api.get(&format!("/providers/{id}")).await.refused(404, "");
    api.delete("/settings").await.ok();

    let both = json!({"endpoint": "a.example", "proxy_address": "example"});
    api.post("/settings", both).await.refused(422, "endpoint");
    let claimed = api
        .post("/settings", json!({"endpoint": "LLM.example"}))
        .await
        .ok();
    assert_eq!(claimed["endpoint"], "llm.example");
    assert_eq!(claimed["dedicated"], true);
    assert_eq!(claimed["proxy_address"], "llm.example");
}

#[tokio::test]
async fn policies_hold_their_providers() {
    let api = Api::new().await;
    let provider = api.connect().await;
    let created = api.post("/policies", policy(&provider)).await.ok();
    let id = created["id"].as_str().unwrap();
    assert!(id.starts_with("ainpol_") && id.len() == 27, "{id}");
    assert_eq!(created["guardrail_ids"], json!([]));
    assert_eq!(created["limits"]["token_limit"]["enabled"], false);
    assert_eq!(
        api.get("/groups").await.ok(),
        json!([{"id": "agents", "name": "agents"}])
    );
    let path = format!("/policies/{id}");
    assert_eq!(api.get(&path).await.ok(), created);

    api.delete(&format!("/providers/{provider}"))
        .await
        .refused(412, "");

    let off = with(policy(&provider), "enabled", json!(false));
    assert_eq!(api.put(&path, off).await.ok()["enabled"], false);
    for (body, field) in [
        (
            with(policy(&provider), "source_groups", json!([])),
            "source_groups",
        ),
        (
            with(policy(&provider), "source_groups", json!(["a/b"])),
            "source_groups",
        ),
        (policy("ainp_missing"), "destination_provider_ids"),
        (
            with(policy(&provider), "guardrail_ids", json!(["x"])),
            "guardrail_ids",
        ),
        (
            with(
                policy(&provider),
                "limits",
                json!({"token_limit": {"enabled": true}}),
            ),
            "limits",
        ),
    ] {
        api.post("/policies", body).await.refused(422, field);
    }
    api.delete(&path).await.ok();
    api.delete(&format!("/providers/{provider}")).await.ok();
}

#[tokio::test]
async fn changes_made_meanwhile_are_not_overwritten() {
    let api = Api::new().await;
    let path = format!("/providers/{}", api.connect().await);
    let etag = api.get(&path).await.headers[header::ETAG].clone();

    api.store
        .before_next_transaction(|keys| keys.touch("providers/"));
    api.put(&path, openai()).await.refused(409, "");

    let stale = Request::builder()
        .method(Method::PUT)
        .uri(format!("{BASE}{path}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::IF_MATCH, etag)
        .body(Body::from(openai().to_string()))
        .unwrap();
    api.send(stale).await.refused(412, "");

    // A policy that came between the look for policies and the deletion wins.
    let id = path.rsplit('/').next().unwrap().to_owned();
    let policy = api.allow(&id).await;
    api.delete(&format!("/policies/{policy}")).await.ok();
    api.store
        .before_next_transaction(|keys| keys.touch("guards/policies"));
    api.delete(&path).await.refused(409, "");

    // What merely depends on other documents is tried again.
    api.store
        .before_next_transaction(|keys| keys.touch("providers/"));
    api.allow(&id).await;
}

#[tokio::test]
async fn peers_have_their_addresses_alone() {
    let api = Api::new().await;
    let peer = json!({
        "name": "build-1", "addresses": ["100.64.0.7", "::ffff:100.64.0.8"],
        "groups": ["agents", "agents"], "user_email": "",
    });
    let created = api.post("/peers", peer.clone()).await.ok();
    assert!(created["id"].as_str().unwrap().starts_with("peer_"));
    assert_eq!(created["addresses"], json!(["100.64.0.7", "100.64.0.8"]));
    assert_eq!(created["groups"], json!(["agents"]));
    api.post("/peers", peer.clone())
        .await
        .refused(422, "addresses");
    let path = format!("/peers/{}", created["id"].as_str().unwrap());
    let blocked = with(peer.clone(), "blocked", json!(true));
    assert_eq!(api.put(&path, blocked).await.ok()["blocked"], true);
    for (field, value) in [
        ("addresses", json!([])),
        ("addresses", json!(["nonsense"])),
        ("addresses", json!(["0.0.0.0"])),
        ("groups", json!(["a b"])),
        ("name", json!("")),
    ] {
        api.post("/peers", with(peer.clone(), field, value))
            .await
            .refused(422, field);
    }
    api.delete(&path).await.ok();
    assert_eq!(api.get("/peers").await.ok(), json!([]));
}

#[tokio::test]
async fn tcp_needs_a_token_that_holds() {
    let mut api = Api::new().await;
    let created = api
        .post("/tokens", json!({"name": "ci", "expires_in_days": 1}))
        .await
        .ok();
    let token = created["token"].as_str().unwrap().to_owned();
    assert!(!api.get("/tokens").await.text.contains(&token));
    assert!(
        api.store
            .values()
            .iter()
            .all(|value| !value.contains(&token))
    );

    let own = nix::unistd::geteuid().as_raw();
    let tcp = Connection::Tcp {
        local: "127.0.0.1:8443".parse().unwrap(),
    };
    let header = |text: String| Some(text);
    for (connection, authorization, host, status) in [
        (Some(Connection::Unix { uid: 0 }), None, "", 200),
        (Some(Connection::Unix { uid: own }), None, "", 200),
        (Some(Connection::Unix { uid: own + 12345 }), None, "", 403),
        (None, None, "localhost", 401),
        (Some(tcp), None, "localhost", 401),
        (
            Some(tcp),
            header(format!("Token {token}")),
            "localhost:8443",
            200,
        ),
        (
            Some(tcp),
            header(format!("Bearer {token}")),
            "127.0.0.1:8443",
            200,
        ),
        (
            Some(tcp),
            header(format!("Basic {token}")),
            "localhost",
            401,
        ),
        (
            Some(tcp),
            header(format!("Token {token}x")),
            "localhost",
            401,
        ),
        (Some(tcp), header("Token ".to_owned()), "localhost", 401),
        (
            Some(tcp),
            header(format!("Token {token}")),
            "evil.example",
            403,
        ),
        (Some(tcp), header(format!("Token {token}")), "", 403),
    ] {
        api.connection = connection;
        let mut request = Request::builder().uri(format!("{BASE}/status"));
        if let Some(authorization) = &authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if !host.is_empty() {
            request = request.header(header::HOST, host);
        }
        let answer = api.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{connection:?} {host}: {}",
            answer.text
        );
    }

    api.connection = Some(Connection::Unix { uid: own });
    let id = created["id"].as_str().unwrap();
    api.delete(&format!("/tokens/{id}")).await.ok();
    api.connection = Some(tcp);
    let revoked = Request::builder()
        .uri(format!("{BASE}/status"))
        .header(header::HOST, "localhost")
        .header(header::AUTHORIZATION, format!("Token {token}"))
        .body(Body::empty())
        .unwrap();
    api.send(revoked).await.refused(401, "");
}

#[tokio::test]
async fn bodies_are_json_and_bounded() {
    let api = Api::new().await;
    let form = Request::builder()
        .method(Method::POST)
        .uri(format!("{BASE}/providers"))
        .header(header::CONTENT_TYPE, "text/plain")
        .body(Body::from(openai().to_string()))
        .unwrap();
    api.send(form).await.refused(415, "");
    let large = with(openai(), "name", json!("x".repeat(super::BODY_BYTES_LIMIT)));
    api.post("/providers", large).await.refused(413, "");
    api.get("/nothing").await.refused(404, "");
    api.call(Method::PATCH, "/providers", None)
        .await
        .refused(405, "");
}

#[tokio::test]
async fn the_rest_answers_in_its_shape() {
    let api = Api::new().await;
    assert_eq!(api.get("/consumption").await.ok(), json!([]));
    assert_eq!(api.get("/status").await.ok()["driver"], "epoll");
    assert!(api.get("/ca").await.text.starts_with("-----BEGIN"));
    let catalog = api.get("/catalog/providers").await.ok();
    let openai = catalog
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["id"] == "openai_api")
        .unwrap();
    assert_eq!(openai["kind"], "provider");
    let models = openai["models"].as_array().unwrap();
    let mini = models.iter().find(|model| model["id"] == "gpt-4o-mini");
    assert_eq!(mini.unwrap()["input_per_1k"], 0.00015);
    let logs = api.get("/access-logs?page_size=1").await.ok();
    assert_eq!(logs["total_pages"], 1);
    assert_eq!(logs["data"][0]["input_tokens"], 1200);
    api.get("/access-logs?page_size=0")
        .await
        .refused(422, "page_size");
    let none = api
        .get("/access-logs?model=gpt-4o-mini&model=other")
        .await
        .ok();
    assert_eq!(none["total_records"], 0);
    let start = api.get("/access-logs/tail").await.ok();
    assert_eq!(start["data"], json!([]));
    let tail = api.get("/access-logs/tail?after=0").await.ok();
    assert_eq!(tail["data"][0]["sequence"], start["sequence"]);
    assert_eq!(tail["sequence"], start["sequence"]);
    let sessions = api.get("/access-log-sessions").await.ok();
    assert_eq!(sessions["data"][0]["session_id"], "session-1");
    let buckets = api.get("/usage/overview?granularity=week").await.ok();
    assert_eq!(buckets[0]["output_tokens"], 640);
    api.get("/usage/overview?granularity=year")
        .await
        .refused(422, "granularity");
    let by_model = api.get("/usage/breakdown?by=model").await.ok();
    assert_eq!(by_model[0]["key"], "gpt-4o");
    api.get("/usage/breakdown").await.refused(422, "by");
    let id = api.connect().await;
    let report = api
        .post(&format!("/providers/{id}/test"), json!({}))
        .await
        .ok();
    assert_eq!(report["ok"], true);
    api.post("/providers/ainp_none/test", json!({}))
        .await
        .refused(404, "");
}

#[tokio::test]
async fn an_export_can_be_read_again() {
    let api = Api::new().await;
    api.connect().await;
    let export = api.get("/store/export").await;
    assert_eq!(export.status, StatusCode::OK);
    let other = MemoryStore::default();
    store::import(&other, export.text.as_bytes(), ImportMode::IntoEmpty)
        .await
        .unwrap();
    assert_eq!(other.values(), api.store.values());
}
