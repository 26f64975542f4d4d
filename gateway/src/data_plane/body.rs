//! The request body on its way to a provider: a JSON body that names its model, or that is to be edited, is
//! read, scanned and held whole; one that is signed is held; a form is held up to its model ([`form`]); every
//! other body streams through unread.

mod form;

use std::{borrow::Cow, future::poll_fn, rc::Rc};

use super::{
    alarm::{Alarm, Elapsed},
    buffer::Buffer,
    downstream::Downstream,
    failure::Failure,
    message::{Fields, Framing, RequestHead},
    record::Recorder,
    worker::{ExchangeGuard, Worker},
};
use crate::{
    dialect::{
        Classified, ModelSource, Operation,
        google::model_in_body,
        json::{BodyScanner, OutputWish, ScanError, ScannedBody, inputs::Inputs},
        output::OutputKeys,
        path, undated_model,
    },
    handoff::reason::Reason,
    policy::{Permit, bound::Size},
};
pub use form::Form;

/// Room taken at once for a body of stated length; the rest grows as bytes really come.
const RESERVE_BYTES_LIMIT: usize = 1024 * 1024;

/// See the module.
#[expect(
    clippy::large_enum_variant,
    reason = "one of each request, and most are held"
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
    /// Its beginning is held, the rest still with the agent.
    Form(Form),
}

impl RequestBody {
    /// Whether the provider that was found must get it whole, to sign it, and it is still with the agent.
    pub fn is_to_be_held(&self, permit: &Permit<'_>) -> bool {
        match self {
            // A form is as it was found; no vendor signs such requests.
            Self::None | Self::Held { .. } | Self::Form(_) => false,
            Self::Streamed(_) => permit.provider().is_signed(),
        }
    }

    /// The model asked for, wherever the request says so.
    pub fn model<'a>(&'a self, classified: &Classified<'a>) -> Option<Cow<'a, str>> {
        match (self, classified.model) {
            (_, ModelSource::Path(model)) => path::decode_model(model),
            (Self::Form(form), _) => Some(form.model().into()),
            (Self::Held { scanned, .. }, ModelSource::Body | ModelSource::Form) => {
                let model = scanned.as_ref()?.model.as_deref()?;
                Some(model_in_body(classified.dialect, model).into())
            }
            (Self::None | Self::Streamed(_), ModelSource::Body | ModelSource::Form)
            | (_, ModelSource::None) => None,
        }
    }

    /// What it says about what the request will use, by the keys that the provider reads.
    pub fn size(&self, keys: Option<OutputKeys>) -> Size {
        let output = self.scanned().map(|(_, body)| &body.output);
        Size {
            body_bytes: match self {
                Self::Held { bytes, .. } => bytes.len() as u64,
                Self::Streamed(Framing::Length(length)) => *length,
                Self::None
                | Self::Streamed(Framing::None | Framing::Chunked | Framing::UntilClose)
                | Self::Form(_) => 0,
            },
            output_tokens_max: output
                .zip(keys)
                .and_then(|(output, keys)| output.most(keys)),
            answers: output.map_or(1, OutputWish::answers),
        }
    }

    /// What it makes the model read; `None` for what is not held, or not JSON.
    pub fn inputs(&self, has_keyed_tools: bool) -> Option<Inputs> {
        match self {
            Self::None => Some(Inputs::default()),
            Self::Held { .. } => {
                let (bytes, _) = self.scanned()?;
                Inputs::read(bytes, has_keyed_tools)
            }
            Self::Streamed(_) | Self::Form(_) => None,
        }
    }

    /// A bound on the output can be written into it.
    pub fn may_be_bounded(&self, keys: Option<OutputKeys>) -> bool {
        let scanned = self.scanned().zip(keys);
        // An object without keys is no request, and is passed on as it is.
        scanned.is_some_and(|((_, body), keys)| {
            !body.spans.object_is_empty && body.output.may_be_bounded(keys)
        })
    }

    /// The bytes and what the scan found.
    pub fn scanned(&self) -> Option<(&[u8], &ScannedBody)> {
        match self {
            Self::Held { bytes, scanned, .. } => Some((bytes.data(), scanned.as_ref()?)),
            Self::None | Self::Streamed(_) | Self::Form(_) => None,
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
    if !is_held(head, classified) {
        return Ok(match head.framing {
            Framing::None => RequestBody::None,
            framing @ (Framing::Length(_) | Framing::Chunked | Framing::UntilClose) => {
                RequestBody::Streamed(framing)
            }
        });
    }
    if classified.model == ModelSource::Form && form::is_form(head) {
        if is_encoded(head) {
            return Err(Reason::UnsupportedEncoding.into());
        }
        let form = form::receive(worker, head, down, alarm, guard, recorder).await?;
        return Ok(RequestBody::Form(form));
    }
    let held = hold(worker, head, true, down, alarm, guard, recorder).await?;
    let Some((_, scanned)) = held.scanned() else {
        return Ok(held);
    };
    note(classified.model, scanned, recorder)?;
    if let (ModelSource::Path(model), true) = (classified.model, classified.is_mistral_at_vertex())
    {
        agree(model, scanned)?;
    }
    recorder.stream |= scanned.stream;
    Ok(held)
}

/// The body's model is the path's, which decides; Mistral's SDK leaves the version out of it.
fn agree(in_path: &str, scanned: &ScannedBody) -> Result<(), Failure> {
    let undated = |id| undated_model(id).unwrap_or(id);
    let in_path = path::decode_model(in_path).unwrap_or_default();
    match scanned.model.as_deref() {
        Some(in_body) if undated(in_body) != undated(&in_path) => Err(Failure::new(
            Reason::DuplicateKey,
            "the body names another model than the path",
        )),
        Some(_) | None => Ok(()),
    }
}

/// Reads a body to its end; one that is scanned has to be one JSON object.
pub async fn hold(
    worker: &Rc<Worker>,
    head: &RequestHead,
    scan: bool,
    down: &mut Downstream<'_>,
    alarm: &Alarm,
    guard: &mut ExchangeGuard,
    recorder: &mut Recorder<'_>,
) -> Result<RequestBody, Failure> {
    if scan && is_encoded(head) {
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
    let mut scanner = scan.then(BodyScanner::default);
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

fn is_encoded(head: &RequestHead) -> bool {
    let encoding = head.fields.get("content-encoding");
    encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity"))
}

/// A request for a model is held, so that it can be sent again; what need not be JSON is not.
fn is_held(head: &RequestHead, classified: &Classified<'_>) -> bool {
    match classified.model {
        ModelSource::Body | ModelSource::Form => true,
        ModelSource::Path(_) => {
            head.framing != Framing::None
                && !matches!(
                    classified.operation,
                    Operation::Unmetered | Operation::Other
                )
        }
        ModelSource::None => false,
    }
}

/// A body that came whole, as the message of a WebSocket.
pub fn whole(bytes: Buffer, recorder: &mut Recorder<'_>) -> Result<RequestBody, Failure> {
    recorder.request_bytes += bytes.len() as u64;
    let body = scan(bytes)?;
    if let Some((_, scanned)) = body.scanned() {
        note(ModelSource::Body, scanned, recorder)?;
    }
    Ok(body)
}

/// A body that is held already.
pub fn scan(bytes: Buffer) -> Result<RequestBody, Failure> {
    let mut scanner = BodyScanner::default();
    scanner.feed(bytes.data()).map_err(scan_failure)?;
    let scanned = scanner.finish().map_err(scan_failure)?;
    Ok(RequestBody::Held {
        bytes,
        scanned: Some(scanned),
        trailers: None,
    })
}

/// What a record keeps of a body.
fn note(
    source: ModelSource<'_>,
    scanned: &ScannedBody,
    recorder: &mut Recorder<'_>,
) -> Result<(), Failure> {
    match (source, &scanned.model) {
        (ModelSource::Body | ModelSource::Form, Some(model)) => recorder.model.clone_from(model),
        (ModelSource::Body | ModelSource::Form, None) => return Err(Reason::ModelMissing.into()),
        // What the body may say beside the path's model decides nothing.
        (ModelSource::Path(_) | ModelSource::None, _) => {}
    }
    if recorder.session_id.is_empty()
        && let Some(session) = &scanned.session_id
    {
        recorder.set_session(session);
    }
    Ok(())
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
