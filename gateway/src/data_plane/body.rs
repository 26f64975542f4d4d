//! The request body on its way to a provider: a JSON body that names its model, or that is to be edited, is
//! read, scanned and held whole; one that is signed is held; every other body streams through unread.

use std::{borrow::Cow, future::poll_fn, rc::Rc};

use super::{
    alarm::{Alarm, Elapsed},
    buffer::Buffer,
    downstream::Downstream,
    failure::Failure,
    message::{Fields, Framing, RequestHead},
    policy::Permit,
    record::Recorder,
    worker::{ExchangeGuard, Worker},
};
use crate::{
    dialect::{
        Classified, ModelSource, Operation,
        json::{BodyScanner, ScanError, ScannedBody},
        path,
    },
    handoff::reason::Reason,
};

/// Room taken at once for a body of stated length; the rest grows as bytes really come.
const RESERVE_BYTES_LIMIT: usize = 1024 * 1024;

/// See the module.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one per exchange, and it does not move"
)]
pub enum RequestBody {
    None,
    /// Held whole, so that it can be sent again as long as no answer came.
    Held {
        bytes: Buffer,
        /// `None`: it is held as it is.
        scanned: Option<ScannedBody>,
        trailers: Option<Fields>,
    },
    /// Still with the agent.
    Streamed(Framing),
}

/// Why a body is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// To be signed.
    AsIs,
    /// To be read and edited: it has to be one JSON object.
    Scanned,
}

impl RequestBody {
    /// Whether the provider that was found must get a body whole that is still with the agent.
    pub fn to_be_held(&self, permit: &Permit<'_>, operation: Operation) -> Option<Hold> {
        let provider = permit.provider();
        match self {
            Self::None | Self::Held { .. } => None,
            Self::Streamed(_)
                if operation.has_request_metadata() && provider.identity.is_some() =>
            {
                Some(Hold::Scanned)
            }
            Self::Streamed(_) => provider.is_signed().then_some(Hold::AsIs),
        }
    }

    /// The model asked for, wherever the request says so.
    pub fn model<'a>(&'a self, classified: &Classified<'a>) -> Option<Cow<'a, str>> {
        match (self, classified.model) {
            (_, ModelSource::Path(model)) => path::decode_model(model),
            (Self::Held { scanned, .. }, ModelSource::Body) => {
                scanned.as_ref()?.model.as_deref().map(Cow::Borrowed)
            }
            (Self::None | Self::Streamed(_), ModelSource::Body) | (_, ModelSource::None) => None,
        }
    }

    /// The bytes and what the scan found.
    pub fn scanned(&self) -> Option<(&[u8], &ScannedBody)> {
        match self {
            Self::Held { bytes, scanned, .. } => Some((bytes.data(), scanned.as_ref()?)),
            Self::None | Self::Streamed(_) => None,
        }
    }
}

/// Takes in as much of the body as must be known before the request can be routed.
pub async fn receive(
    worker: &Rc<Worker>,
    head: &RequestHead,
    classified: &Classified<'_>,
    down: &mut Downstream<'_>,
    alarm: &Alarm,
    guard: &mut ExchangeGuard,
    recorder: &mut Recorder<'_>,
) -> Result<RequestBody, Failure> {
    if classified.model != ModelSource::Body {
        return Ok(match head.framing {
            Framing::None => RequestBody::None,
            framing @ (Framing::Length(_) | Framing::Chunked | Framing::UntilClose) => {
                RequestBody::Streamed(framing)
            }
        });
    }
    let held = hold(worker, head, Hold::Scanned, down, alarm, guard, recorder).await?;
    let Some((_, scanned)) = held.scanned() else {
        return Ok(held);
    };
    match &scanned.model {
        Some(model) => recorder.model.clone_from(model),
        None => return Err(Reason::ModelMissing.into()),
    }
    recorder.stream = scanned.stream;
    if recorder.session_id.is_empty()
        && let Some(session) = &scanned.session_id
    {
        recorder.set_session(session);
    }
    Ok(held)
}

/// Reads a body to its end.
pub async fn hold(
    worker: &Rc<Worker>,
    head: &RequestHead,
    hold: Hold,
    down: &mut Downstream<'_>,
    alarm: &Alarm,
    guard: &mut ExchangeGuard,
    recorder: &mut Recorder<'_>,
) -> Result<RequestBody, Failure> {
    let is_encoded = head
        .fields
        .get("content-encoding")
        .is_some_and(|v| !v.eq_ignore_ascii_case(b"identity"));
    if hold == Hold::Scanned && is_encoded {
        return Err(Reason::UnsupportedEncoding.into());
    }
    let limit = worker.config.workers.body_bytes_limit;
    let stated = match head.framing {
        Framing::Length(length) if length > limit as u64 => return Err(Reason::BodyTooLarge.into()),
        Framing::Length(length) => length as usize,
        Framing::None | Framing::Chunked | Framing::UntilClose => 0,
    };
    let mut bytes = Buffer::default();
    if stated > 0 {
        bytes.space(stated.min(RESERVE_BYTES_LIMIT));
    }
    let mut scanner = (hold == Hold::Scanned).then(BodyScanner::default);
    let idle = worker.config.timeouts.request_body_idle;
    while alarm
        .within(idle, poll_fn(|cx| down.poll_body(cx)))
        .await
        .map_err(|Elapsed| Reason::RequestTimeout)??
    {
        let data = down.body_data();
        if bytes.len() + data.len() > limit {
            return Err(Reason::BodyTooLarge.into());
        }
        if let Some(scanner) = &mut scanner {
            scanner.feed(data).map_err(scan_failure)?;
        }
        bytes.extend(data);
        recorder.request_bytes += data.len() as u64;
        down.consume_body();
        if !guard.hold(bytes.len().max(stated)) {
            return Err(Reason::Overloaded.into());
        }
    }
    let scanned = scanner.map(BodyScanner::finish).transpose();
    let scanned = scanned.map_err(scan_failure)?;
    let trailers = down.take_trailers();
    Ok(RequestBody::Held {
        bytes,
        scanned,
        trailers,
    })
}

fn scan_failure(error: ScanError) -> Failure {
    match error {
        ScanError::DuplicateKey { offset, key } => Failure::new(
            Reason::DuplicateKey,
            format!("`{key}` is given twice, again at byte {offset}"),
        ),
        ScanError::Malformed { offset, what } => Failure::new(
            Reason::MalformedJson,
            format!("the request body is not one JSON object: {what} at byte {offset}"),
        ),
        ScanError::TooDeep { offset } => Failure::new(
            Reason::MalformedJson,
            format!("the request body is nested too deep at byte {offset}"),
        ),
    }
}
