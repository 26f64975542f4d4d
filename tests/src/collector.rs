//! A stand-in for a collector of spans: takes what is sent by OTLP over HTTP and keeps it, or does not, as told.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::Span,
};
use prost::Message as _;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use crate::agent::PATIENCE;

/// Requests that wait to be accepted.
const BACKLOG: u32 = 16;

/// An address at which nobody listens yet, and nobody else can.
pub struct Absent {
    socket: TcpSocket,
    pub address: SocketAddr,
}

impl Absent {
    /// # Errors
    /// When there is no free port.
    pub fn new() -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// # Errors
    /// When it cannot listen.
    pub fn appear(self) -> Result<Collector> {
        let listener = self.socket.listen(BACKLOG)?;
        let shared = Arc::new(Shared {
            status: AtomicU16::new(200),
            taken: watch::Sender::default(),
        });
        Ok(Collector {
            address: self.address,
            task: tokio::spawn(accept(listener, Arc::clone(&shared))),
            shared,
        })
    }
}

/// One request as it was taken.
#[derive(Clone)]
pub struct Taken {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Taken {
    fn spans(&self) -> Vec<Span> {
        let request = ExportTraceServiceRequest::decode(self.body.clone()).unwrap_or_default();
        (request.resource_spans.into_iter())
            .flat_map(|of_resource| of_resource.scope_spans)
            .flat_map(|of_scope| of_scope.spans)
            .collect()
    }
}

/// A running collector; it stops when dropped.
pub struct Collector {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    status: AtomicU16,
    taken: watch::Sender<Vec<Taken>>,
}

impl Collector {
    /// # Errors
    /// When there is no free port.
    pub fn start() -> Result<Self> {
        Absent::new()?.appear()
    }

    /// Answers with this status from now on; what is not taken with 200 is not kept.
    pub fn answer(&self, status: u16) {
        self.shared.status.store(status, Ordering::Relaxed);
    }

    /// Requests so far.
    pub fn taken(&self) -> Vec<Taken> {
        self.shared.taken.borrow().clone()
    }

    /// Waits until there are `count` spans and returns all, in the order of their start.
    ///
    /// # Errors
    /// When there are not in time, or more.
    pub async fn spans(&self, count: usize) -> Result<Vec<Span>> {
        let mut taken = self.shared.taken.subscribe();
        let all = |taken: &Vec<Taken>| taken.iter().flat_map(Taken::spans).collect::<Vec<_>>();
        let enough = taken.wait_for(|taken| all(taken).len() >= count);
        let mut spans = match timeout(PATIENCE, enough).await {
            Ok(taken) => all(&*taken.context("the collector is gone")?),
            Err(_) => all(&self.taken()),
        };
        ensure!(spans.len() == count, "{} of {count} spans", spans.len());
        spans.sort_by_key(|span| span.start_time_unix_nano);
        Ok(spans)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Attributes as text.
pub fn attributes(span: &Span) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(flag) => flag.to_string(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::ArrayValue(_)
        | Value::KvlistValue(_)
        | Value::BytesValue(_)
        | Value::StringValueStrindex(_) => format!("{value:?}"),
    };
    (span.attributes.iter())
        .filter_map(|pair| {
            let value = pair.value.as_ref()?.value.as_ref()?;
            Some((pair.key.clone(), text(value)))
        })
        .collect()
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropping the set with this task ends the connections too.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| take(request, Arc::clone(&shared)));
            // Whoever sends sees what became of it.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

async fn take(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes());
    let status = match (&head.method, body) {
        (&Method::POST, Ok(body)) => {
            let status = shared.status.load(Ordering::Relaxed);
            if status == 200 {
                let taken = Taken {
                    path: head.uri.path().to_owned(),
                    headers: head.headers,
                    body,
                };
                shared.taken.send_modify(|all| all.push(taken));
            }
            status
        }
        (_, _) => 400,
    };
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    Ok(response)
}
