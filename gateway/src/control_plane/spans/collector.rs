//! The collector: where it is, what it is sent, what it answers (OTLP/HTTP,
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>).

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::InstrumentationScope,
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;

use super::{
    attribute::Attributes,
    headers::{self, HeadersError},
};
use crate::{
    config::OtlpConfig,
    control_plane::{
        outbound::{AnswerLimits, retry_after},
        resolve::Lookup,
        semantics,
        server::{Server, ServerError},
        snapshot::Problem,
    },
};

/// An answer says how many spans were not taken.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why spans were not taken; names no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Headers(#[from] HeadersError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("the collector answers {status}")]
    Status {
        status: StatusCode,
        retry_after: Option<Duration>,
    },
}

impl SendError {
    /// The same would be refused again.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Headers(_) | Self::Server(_) => false,
            Self::Status { status, .. } => !matches!(
                *status,
                StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            ),
        }
    }

    /// How long it wants to be left alone.
    pub(super) fn wish(&self) -> Option<Duration> {
        match self {
            Self::Headers(_) | Self::Server(_) => None,
            Self::Status { retry_after, .. } => *retry_after,
        }
    }
}

pub(super) struct Collector {
    server: Server,
    headers: Option<PathBuf>,
    limits: AnswerLimits,
    resource: Resource,
}

impl Collector {
    /// # Errors
    /// When its URL or CA bundle is no good, or a token would pass in the clear.
    pub(super) fn new(config: &OtlpConfig, lookup: Lookup) -> Result<Self, Problem> {
        let ca = config.ca.as_deref();
        let server = match &config.headers {
            Some(_) => Server::with_secret(&config.endpoint, ca, lookup)?,
            None => Server::new(&config.endpoint, ca, lookup)?,
        };
        Ok(Self {
            server,
            headers: config.headers.clone(),
            limits: AnswerLimits {
                time: config.timeout,
                bytes: ANSWER_BYTES_MAX,
            },
            resource: resource(&config.service_name),
        })
    }

    /// A request's body.
    pub(super) fn encode(&self, spans: Vec<Span>) -> Bytes {
        let scope_spans = ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "keyway".to_owned(),
                version: VERSION.to_owned(),
                ..InstrumentationScope::default()
            }),
            spans,
            schema_url: semantics::SCHEMA_URL.to_owned(),
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![scope_spans],
                schema_url: semantics::SCHEMA_URL.to_owned(),
            }],
        };
        request.encode_to_vec().into()
    }

    /// Sends it once; returns how many of its spans the collector refused.
    ///
    /// # Errors
    /// When the collector did not take it.
    pub(super) async fn send(&self, body: &Bytes) -> Result<u64, SendError> {
        let request = self.request(body)?;
        let addresses = self.server.addresses().await?;
        let called = self.server.call(&addresses, self.limits, &request).await;
        let answer = called.map_err(ServerError::Call)?;
        if !answer.status.is_success() {
            return Err(SendError::Status {
                status: answer.status,
                retry_after: retry_after(&answer.headers, SystemTime::now()),
            });
        }
        // It took them, whatever else it says.
        let answer = ExportTraceServiceResponse::decode(answer.body).unwrap_or_default();
        let partial = answer.partial_success.unwrap_or_default();
        Ok(u64::try_from(partial.rejected_spans).unwrap_or(0))
    }

    fn request(&self, body: &Bytes) -> Result<Request<Full<Bytes>>, HeadersError> {
        let mut request = Request::post(format!("{}/v1/traces", self.server.base_path()))
            .header(header::HOST, self.server.authority())
            .header(header::CONTENT_TYPE, PROTOBUF)
            .header(
                header::USER_AGENT,
                concat!("keyway/", env!("CARGO_PKG_VERSION")),
            )
            .body(Full::new(body.clone()))
            .expect("a checked URL's path and host");
        if let Some(path) = &self.headers {
            request.headers_mut().extend(headers::read(path)?);
        }
        Ok(request)
    }
}

/// Who sends the spans.
fn resource(service_name: &str) -> Resource {
    let mut attributes = Attributes::default();
    attributes.text("service.name", service_name);
    attributes.text("service.version", VERSION);
    let mut instance = [0; 16];
    aws_lc_rs::rand::fill(&mut instance).expect("the system has random numbers");
    let instance = u128::from_ne_bytes(instance);
    attributes.text("service.instance.id", format!("{instance:032x}"));
    if let Ok(host) = nix::unistd::gethostname() {
        attributes.text("host.name", host.to_string_lossy());
    }
    Resource {
        attributes: attributes.into_inner(),
        ..Resource::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn config(endpoint: &str, headers: bool) -> OtlpConfig {
        OtlpConfig {
            endpoint: endpoint.to_owned(),
            headers: headers.then(|| "/etc/keyway/otlp-headers".into()),
            ca: None,
            timeout: Duration::from_secs(1),
            queue_spans_limit: 100,
            service_name: "keyway".to_owned(),
        }
    }

    #[test]
    fn a_token_is_never_sent_in_the_clear() {
        let lookup: Lookup = Arc::new(|_| Box::pin(async { Ok(Vec::new()) }));
        for (endpoint, headers, is_good) in [
            ("http://127.0.0.1:4318", true, true),
            ("http://collector.example:4318", false, true),
            ("http://collector.example:4318", true, false),
            ("https://collector.example/otlp", true, true),
            ("collector.example:4318", false, false),
        ] {
            let made = Collector::new(&config(endpoint, headers), Arc::clone(&lookup));
            assert_eq!(made.is_ok(), is_good, "{endpoint} {headers}");
        }
    }

    #[test]
    fn what_helps_to_repeat() {
        for (status, is_final) in [
            (400, true),
            (401, true),
            (404, true),
            (413, true),
            (429, false),
            (500, true),
            (502, false),
            (503, false),
            (504, false),
        ] {
            let error = SendError::Status {
                status: StatusCode::from_u16(status).unwrap(),
                retry_after: None,
            };
            assert_eq!(error.is_final(), is_final, "{status}");
        }
    }
}
