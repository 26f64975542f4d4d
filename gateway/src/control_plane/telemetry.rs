//! The telemetry listener's routes, and `Readiness`: which parts of the node can do their job.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::metrics::{self, Metrics};

/// `/metrics`, `/healthz` (the process answers) and `/readyz` (it may receive traffic; else 503).
pub fn router(metrics: Arc<Metrics>, readiness: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .with_state(metrics)
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .with_state(readiness)
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> Response {
    let headers = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
    (headers, metrics.render()).into_response()
}

#[derive(Serialize)]
struct Live {
    live: bool,
}

async fn health() -> Json<Live> {
    Json(Live { live: true })
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let report = readiness.report();
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report)).into_response()
}

/// The parts of the node. Cheap to clone.
#[derive(Clone, Default)]
pub struct Readiness {
    parts: Arc<Mutex<BTreeMap<&'static str, Part>>>,
}

/// How a part of the node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fitness {
    Ready,
    /// It does its job, but for this.
    Impaired(String),
    NotReady(String),
}

impl From<Result<(), String>> for Fitness {
    fn from(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self::Ready,
            Err(reason) => Self::NotReady(reason),
        }
    }
}

type Check = Arc<dyn Fn() -> Fitness + Send + Sync>;

enum Part {
    Told(Fitness),
    Asked(Check),
}

/// What `/readyz` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadyReport {
    /// Every part is ready.
    pub ready: bool,
    /// By name.
    pub parts: Vec<PartReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartReport {
    pub name: &'static str,
    pub ready: bool,
    /// Why it is not ready, or what it does not do though it is.
    pub reason: String,
}

impl Readiness {
    /// Adds a part, which is not ready until its handle says so.
    pub fn part(&self, name: &'static str) -> ReadyPart {
        let part = ReadyPart {
            name,
            readiness: self.clone(),
        };
        part.not_ready("starting");
        part
    }

    /// Adds a part that is asked at every report; `check` must not block.
    pub fn check<F: Into<Fitness>>(
        &self,
        name: &'static str,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) {
        self.set(name, Part::Asked(Arc::new(move || check().into())));
    }

    pub fn report(&self) -> ReadyReport {
        let parts: Vec<PartReport> = self
            .parts
            .lock()
            .expect("nothing panics under this lock")
            .iter()
            .map(|(name, part)| {
                let fitness = match part {
                    Part::Told(fitness) => fitness.clone(),
                    Part::Asked(check) => check(),
                };
                let (ready, reason) = match fitness {
                    Fitness::Ready => (true, String::new()),
                    Fitness::Impaired(reason) => (true, reason),
                    Fitness::NotReady(reason) => (false, reason),
                };
                PartReport {
                    name,
                    ready,
                    reason,
                }
            })
            .collect();
        ReadyReport {
            ready: parts.iter().all(|part| part.ready),
            parts,
        }
    }

    fn set(&self, name: &'static str, part: Part) {
        self.parts
            .lock()
            .expect("nothing panics under this lock")
            .insert(name, part);
    }
}

/// One part's handle. A part whose handle is dropped is not ready: nobody speaks for it.
pub struct ReadyPart {
    name: &'static str,
    readiness: Readiness,
}

impl ReadyPart {
    pub fn ready(&self) {
        self.readiness.set(self.name, Part::Told(Fitness::Ready));
    }

    pub fn not_ready(&self, reason: impl Into<String>) {
        let fitness = Fitness::NotReady(reason.into());
        self.readiness.set(self.name, Part::Told(fitness));
    }
}

impl Drop for ReadyPart {
    fn drop(&mut self) {
        self.not_ready("stopped");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http_body_util::BodyExt;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    async fn fetch(router: &Router, path: &str) -> (u16, String, String) {
        let request = http::Request::get(path)
            .body(http_body_util::Empty::<bytes::Bytes>::new())
            .unwrap();
        let response = TowerToHyperService::new(router.clone())
            .call(request)
            .await
            .unwrap();
        let status = response.status().as_u16();
        let kind = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn routes_answer() {
        let readiness = Readiness::default();
        let metrics = Arc::new(Metrics::new(Vec::new(), Arc::default()));
        let router = router(metrics, readiness.clone());
        let listeners = readiness.part("listeners");
        readiness.check("usage_log", || Ok(()));

        let (status, _, body) = fetch(&router, "/readyz").await;
        assert_eq!(status, 503);
        assert_eq!(
            body,
            r#"{"ready":false,"parts":[{"name":"listeners","ready":false,"reason":"starting"},{"name":"usage_log","ready":true,"reason":""}]}"#
        );
        listeners.ready();
        assert_eq!(fetch(&router, "/readyz").await.0, 200);

        let (status, _, body) = fetch(&router, "/healthz").await;
        assert_eq!((status, body.as_str()), (200, r#"{"live":true}"#));
        let (status, kind, body) = fetch(&router, "/metrics").await;
        assert_eq!((status, kind.as_str()), (200, metrics::CONTENT_TYPE));
        assert!(body.contains("keyway_build_info{"));
    }

    #[test]
    fn a_part_is_as_ready_as_its_handle_says() {
        let readiness = Readiness::default();
        assert!(readiness.report().ready);
        let part = readiness.part("store");
        assert_eq!(readiness.report().parts[0].reason, "starting");
        part.ready();
        assert!(readiness.report().ready);
        part.not_ready("low on space");
        assert_eq!(readiness.report().parts[0].reason, "low on space");
        part.ready();
        drop(part);
        assert_eq!(readiness.report().parts[0].reason, "stopped");
    }

    #[test]
    fn a_checked_part_is_asked_each_time() {
        let readiness = Readiness::default();
        let reason = Arc::new(Mutex::new(Some("disk full".to_owned())));
        let asked = Arc::clone(&reason);
        readiness.check("usage_log", move || {
            asked.lock().unwrap().clone().map_or(Ok(()), Err)
        });
        assert!(!readiness.report().ready);
        *reason.lock().unwrap() = None;
        assert!(readiness.report().ready);
    }
}
