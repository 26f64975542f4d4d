//! The node's own answers: failures in the shape of the caller's SDK, and what the node answers itself.

use std::{io, time::Duration};

use super::{
    date::http_date,
    downstream::{Downstream, ReplyHead},
    failure::Failure,
    limits::RateFields,
    message::Framing,
    record::Recorder,
};
use crate::{dialect::error_body, handoff::reason::Reason};

/// Status of a request that a limit has no room for.
const TOO_MANY_REQUESTS: u16 = 429;

/// What SDKs wait for at most before they try again.
const SOON: Duration = Duration::from_secs(60);

/// When a request may be tried again, as header fields tell it.
struct Retry {
    seconds: String,
    millis: String,
    is_soon: bool,
}

impl Retry {
    fn after(after: Duration) -> Self {
        let millis = after.as_millis();
        Self {
            seconds: millis.div_ceil(1000).to_string(),
            millis: millis.to_string(),
            is_soon: after <= SOON,
        }
    }
}

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
    let retry = failure.retry_after.map(Retry::after);
    let mut fields = vec![
        (&b"content-type"[..], &b"application/json"[..]),
        (b"x-keyway-request-id", id.as_bytes()),
    ];
    if let Some(retry) = &retry {
        fields.push((b"retry-after", retry.seconds.as_bytes()));
        fields.push((b"retry-after-ms", retry.millis.as_bytes()));
    }
    // Without a time there is none: the request alone is more than its limit.
    let is_vain = reason.status() == TOO_MANY_REQUESTS;
    if retry.as_ref().map_or(is_vain, |retry| !retry.is_soon) {
        // Both first-party SDKs read it, and would try again within seconds otherwise.
        fields.push((b"x-should-retry", b"false"));
    }
    let rates = failure
        .tightest
        .as_deref()
        .map_or_else(RateFields::default, |tightest| {
            RateFields::new(recorder.error_dialect(), || *tightest, |_| None)
        });
    fields.extend(rates.lines());
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
