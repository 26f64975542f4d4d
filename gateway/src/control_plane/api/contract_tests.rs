//! The contract of the management API, on the router as it is served, with a store in memory.
#![allow(clippy::unwrap_used)]

mod access;
mod audit;
mod explain;
mod node;
mod original;
mod overlay;
mod peers;
mod policies;
mod providers;
mod revisions;
mod rules;
mod sessions;
mod settings;
mod trial;

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;

use crate::{
    control_plane::identity::{Identity, IdentitySources},
    handoff::objects::ObjectTable,
};

use super::{
    auth::Connection,
    router,
    state::{NodeView, Sessions},
    testing::{self, MemoryStore},
};

const BASE: &str = "/api/agent-network";
/// Stands for a provider's key; must not be found in any answer.
const MARKER: &str = "sk-planted-marker";

struct Api {
    router: Router,
    store: Arc<MemoryStore>,
    node: Arc<dyn NodeView>,
    sessions: Arc<Sessions>,
    objects: Arc<ObjectTable>,
    connection: Option<Connection>,
    log: File,
    _logging: DefaultGuard,
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

    fn ok_text(&self) -> &str {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        &self.text
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
        Self::with_identity(Identity {
            uses_static: true,
            ..Identity::default()
        })
        .await
    }

    async fn with_identity(identity: Identity) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (mut state, store) = testing::state(directory.path()).await;
        state.identity = Arc::new(IdentitySources::fixed(identity));
        let log = tempfile::tempfile().unwrap();
        let uid = nix::unistd::geteuid().as_raw();
        Self {
            node: Arc::clone(&state.node),
            sessions: Arc::clone(&state.sessions),
            objects: Arc::clone(&state.objects),
            router: router(state),
            store,
            connection: Some(Connection::Unix { uid }),
            _logging: logging(&log),
            log,
            _directory: directory,
        }
    }

    /// Everything that was logged on this thread.
    fn logged(&self) -> String {
        let mut text = String::new();
        let mut log = self.log.try_clone().unwrap();
        log.seek(SeekFrom::Start(0)).unwrap();
        log.read_to_string(&mut text).unwrap();
        text
    }

    async fn send(&self, mut request: Request<Body>) -> Answer {
        if let Some(connection) = self.connection {
            request.extensions_mut().insert(connection);
        }
        let path = request.uri().path().to_owned();
        let service = TowerToHyperService::new(self.router.clone());
        let response = service.call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(!text.contains(MARKER), "a key came back: {text}");
        assert!(!format!("{:?}", parts.headers).contains(MARKER));
        let is_api = path.starts_with("/api/");
        assert!(!is_api || parts.headers[header::CACHE_CONTROL] == "no-store");
        assert_eq!(parts.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(parts.headers[header::REFERRER_POLICY], "no-referrer");
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

/// Logs everything into `file` for as long as the guard lives.
fn logging(file: &File) -> DefaultGuard {
    let file = file.try_clone().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || file.try_clone().unwrap())
        .finish();
    tracing::subscriber::set_default(subscriber)
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
