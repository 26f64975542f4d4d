//! Tries a provider for the operator: the address, the certificate and the key that workers use, with
//! one listing of models.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, ensure};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    control_plane::{
        api::state::{ProviderTester, Task, TestReport},
        snapshot::{ProviderState, SnapshotReport},
    },
    data_plane::route::path_join,
    dialect::Dialect,
    handoff::snapshot::{Provider, Target},
};

/// From the connection to the head of the answer.
const TEST_TIMEOUT: Duration = Duration::from_secs(15);

const MODELS_PATH: &str = "/v1/models";

/// Anthropic wants a version with every request (docs.anthropic.com, "Versions").
const ANTHROPIC_VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

pub(super) struct UpstreamTester {
    pub(super) reports: watch::Receiver<Arc<SnapshotReport>>,
}

impl ProviderTester for UpstreamTester {
    fn test(&self, provider_id: String) -> Task<'_, TestReport> {
        let report = Arc::clone(&self.reports.borrow());
        Box::pin(async move {
            let begun = Instant::now();
            let tried = match target(&report, &provider_id) {
                Ok((provider, target)) => timeout(TEST_TIMEOUT, try_target(provider, target))
                    .await
                    .unwrap_or_else(|_| Err(anyhow!("no answer within {TEST_TIMEOUT:?}"))),
                Err(error) => Err(error),
            };
            let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            match tried {
                Ok(status) => TestReport {
                    ok: status.is_success(),
                    status: Some(status.as_u16()),
                    duration_ms,
                    message: meaning(status).to_owned(),
                },
                Err(error) => TestReport {
                    ok: false,
                    status: None,
                    duration_ms,
                    message: format!("{error:#}"),
                },
            }
        })
    }
}

fn target<'a>(
    report: &'a SnapshotReport,
    provider_id: &str,
) -> anyhow::Result<(&'a Provider, &'a Target)> {
    let provider = report
        .snapshot
        .providers
        .iter()
        .find(|provider| *provider.id == *provider_id);
    if let Some(provider) = provider
        && let Some(target) = provider.targets.first()
    {
        return Ok((provider, target));
    }
    let status = report
        .providers
        .iter()
        .find(|status| status.id == provider_id);
    Err(match status.map(|status| &status.state) {
        Some(ProviderState::Unreachable(problem) | ProviderState::Skipped(problem)) => {
            anyhow!("{problem}")
        }
        Some(ProviderState::Disabled) => anyhow!("it is disabled"),
        Some(ProviderState::Ready { .. }) | None => anyhow!("the workers do not know it yet"),
    })
}

async fn try_target(provider: &Provider, target: &Target) -> anyhow::Result<StatusCode> {
    let connect = timeout(
        provider.timeouts.connect,
        TcpStream::connect(target.address),
    );
    let stream = connect
        .await
        .map_err(|_| anyhow!("no connection within {:?}", provider.timeouts.connect))
        .and_then(|connected| connected.map_err(Into::into))
        .with_context(|| format!("connecting to {}", target.address))?;
    let Some(tls) = &target.tls else {
        return ask(provider, target, stream).await;
    };
    // One request: HTTP/1.1 says as much about the provider as HTTP/2.
    let mut config = (*tls.config).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TlsConnector::from(Arc::new(config))
        .connect(tls.server_name.clone(), stream)
        .await
        .context("TLS")?;
    ask(provider, target, stream).await
}

async fn ask<S>(provider: &Provider, target: &Target, stream: S) -> anyhow::Result<StatusCode>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let anthropic = provider.dialects.contains(Dialect::Anthropic);
    let dialect = if anthropic {
        Dialect::Anthropic
    } else {
        Dialect::OpenAi
    };
    let mut path = Vec::new();
    path_join(provider, dialect, MODELS_PATH, &mut path);
    let mut request = Request::get(path.as_slice()).header(header::HOST, target.authority.as_ref());
    if let (Some(auth), Some(credential)) = (&provider.auth, &target.credential) {
        ensure!(
            credential.signer.is_none(),
            "it can be reached; access keys are only tried by a request through the endpoint"
        );
        let value = [auth.prefix.as_bytes(), credential.secret.expose()].concat();
        let mut value = HeaderValue::from_maybe_shared(Bytes::from(value))
            .context("the key does not fit into a header")?;
        value.set_sensitive(true);
        request = request.header(&auth.name, value);
    }
    for (name, value) in &provider.extra_headers {
        request = request.header(name, value);
    }
    if anthropic {
        request = request.header(ANTHROPIC_VERSION.0, ANTHROPIC_VERSION.1);
    }
    let request = request.body(Empty::<Bytes>::new())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .context("HTTP")?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.context("HTTP");
    connection.abort();
    Ok(answer?.status())
}

fn meaning(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200..=299 => "the provider answers and takes the key",
        401 | 403 => "the provider refuses the key",
        404 | 405 => "the provider answers, but lists no models there; check the upstream URL",
        429 => "the provider answers, and limits this key's rate",
        500..=599 => "the provider answers with an error of its own",
        _ => "the provider answers, but not with a listing of models",
    }
}
