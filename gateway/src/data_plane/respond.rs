//! The node's own answers: failures in the shape of the caller's SDK, and what the node answers itself.

use std::io;

use super::{
    date::http_date,
    downstream::{Downstream, ReplyHead},
    failure::Failure,
    message::Framing,
    record::Recorder,
};
use crate::{dialect::error_body, handoff::reason::Reason};

/// Seconds after which a shed request may be tried again.
const RETRY_AFTER: &[u8] = b"1";

/// Tells the agent why its exchange cannot go on, in place of a response.
pub async fn failure(
    down: &mut Downstream<'_>,
    recorder: &mut Recorder<'_>,
    failure: &Failure,
) -> io::Result<()> {
    let reason = failure.reason;
    let id = recorder.request_id();
    let body = error_body::render(
        recorder.error_dialect(),
        reason,
        &failure.message,
        id.as_str(),
    );
    let retry = matches!(
        reason,
        Reason::Overloaded | Reason::Draining | Reason::UsageLogBehind
    );
    let mut fields = vec![
        (&b"content-type"[..], &b"application/json"[..]),
        (b"x-keyway-request-id", id.as_bytes()),
    ];
    if retry {
        fields.push((b"retry-after", RETRY_AFTER));
    }
    if let Some((name, value)) = error_body::aws_error_type(recorder.dialect, reason) {
        fields.push((name.as_bytes(), value.as_bytes()));
    }
    // RFC 9110 section 15.5.22; HTTP/2 has no such field.
    if let (Reason::UpgradeRequired, Downstream::H1(_)) = (reason, &*down) {
        fields.push((b"upgrade", b"websocket"));
        fields.push((b"sec-websocket-version", b"13"));
    }
    recorder.failed(reason, reason.status());
    send(down, recorder, reason.status(), fields, &body).await
}

/// An answer that needs no provider.
pub async fn local(
    down: &mut Downstream<'_>,
    recorder: &mut Recorder<'_>,
    status: u16,
    body: &[u8],
) -> io::Result<()> {
    let id = recorder.request_id();
    let fields = vec![
        (&b"content-type"[..], &b"application/json"[..]),
        (b"x-keyway-request-id", id.as_bytes()),
    ];
    send(down, recorder, status, fields, body).await?;
    recorder.answered();
    Ok(())
}

async fn send(
    down: &mut Downstream<'_>,
    recorder: &mut Recorder<'_>,
    status: u16,
    fields: Vec<(&[u8], &[u8])>,
    body: &[u8],
) -> io::Result<()> {
    let framing = Framing::Length(body.len() as u64);
    let date = http_date();
    down.start(ReplyHead {
        status,
        fields: &mut fields.into_iter().chain([(&b"date"[..], &date[..])]),
        framing,
    })?;
    recorder.status = status;
    recorder.response_bytes += body.len() as u64;
    down.push(body);
    down.finish().await
}
