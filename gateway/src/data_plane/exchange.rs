//! One exchange, from a request's head to its record: the whole story, each stage one call.

use std::{rc::Rc, time::Instant};

use super::{
    accept::Peer,
    alarm::{Alarm, Elapsed, TICK, coarse_now},
    attempt::Outgoing,
    authority, body,
    downstream::Downstream,
    edit,
    failure::Failure,
    io as rt,
    limits::{self, Wish},
    message::{RequestHead, Version},
    record::Recorder,
    relay, respond,
    worker::{ExchangeGuard, Worker},
};
use crate::{
    dialect::{
        self, Classified, ModelSource, Operation,
        model_list::{self, ListedModel},
        path, websocket,
    },
    handoff::{
        reason::Reason,
        snapshot::{Principal, Snapshot},
    },
    policy::{self, Ask, route},
};

/// Listings want a date per model and nobody reads it: 2025-01-01.
const MODELS_CREATED: i64 = 1_735_689_600;

/// Serves one request. Whatever happens, the agent is told if it can be, and one record is kept.
pub async fn run(
    worker: &Rc<Worker>,
    peer: &Peer,
    head: &RequestHead,
    mut down: Downstream<'_>,
    alarm: &mut Alarm,
    arrived: Instant,
) {
    let snapshot = worker.snapshot();
    let mut recorder = Recorder::start(worker, peer, Some(head), arrived);
    let served = serve(
        worker,
        &snapshot,
        peer,
        head,
        &mut down,
        alarm,
        &mut recorder,
    );
    if let Err(failure) = served.await {
        tell(worker, failure, &mut down, alarm, &mut recorder).await;
    }
}

/// Answers what was no readable request.
pub async fn refuse(
    worker: &Rc<Worker>,
    peer: &Peer,
    failure: Failure,
    mut down: Downstream<'_>,
    alarm: &mut Alarm,
    arrived: Instant,
) {
    let snapshot = worker.snapshot();
    let mut recorder = Recorder::start(worker, peer, None, arrived);
    recorder.principal = snapshot.peers.get(&peer.address);
    tell(worker, failure, &mut down, alarm, &mut recorder).await;
}

async fn serve<'s>(
    worker: &Rc<Worker>,
    snapshot: &'s Snapshot,
    peer: &Peer,
    head: &'s RequestHead,
    down: &mut Downstream<'_>,
    alarm: &mut Alarm,
    recorder: &mut Recorder<'s>,
) -> Result<(), Failure> {
    // Asked again for every request: a peer may have been removed while its connection was open.
    let principal = snapshot
        .peers
        .get(&peer.address)
        .ok_or(Reason::PeerRevoked)?;
    recorder.principal = Some(principal);
    recorder.set_host(addressed(head, snapshot)?);
    // Before any refusal, so that it comes in the calling SDK's shape.
    let classified = classify(head)?;
    recorder.dialect = Some(classified.dialect);
    recorder.operation = Some(classified.operation);
    recorder.object = classified.object;
    recorder.stream = classified.streams_by_default();
    let mut guard = admit(worker, alarm).await?;

    recorder.note_session(head);
    if let Some(answer) = local_answer(snapshot, principal, &classified)? {
        return respond::local(down, recorder, 200, &answer)
            .await
            .map_err(|_| Reason::ClientGone.into());
    }

    let mut body =
        body::receive(worker, head, &classified, down, alarm, &mut guard, recorder).await?;
    recorder.marks.received_us = recorder.elapsed_us();
    let model = body.model(&classified);
    if let (ModelSource::Path(_), Some(model)) = (classified.model, &model) {
        recorder.set_model(model);
    }
    let ask = Ask {
        path: head.path(),
        model: model.as_deref(),
        keeper: policy::keeper(&worker.objects, principal, &classified),
    };
    let permit = policy::permit(snapshot, principal, &classified, ask)?;
    recorder.routed(permit.route());
    let wish = Wish {
        ask,
        dialect: classified.dialect,
        operation: classified.operation,
        body: &body,
    };
    let permit = limits::reserve(worker, permit, wish, recorder).await?;
    recorder.marks.reserved_us = recorder.elapsed_us();
    if body.is_to_be_held(&permit) {
        body = body::hold(worker, head, false, down, alarm, &mut guard, recorder).await?;
    }
    recorder.keep_request(&permit, &body);

    alarm.bound_all(
        permit
            .provider()
            .timeouts
            .total
            .map(|total| coarse_now() + TICK + total),
    );
    recorder.asks();
    let bound = recorder.output_bound();
    let edits = edit::edits(&permit, &body, &classified, bound);
    let outgoing = Outgoing {
        worker,
        head,
        permit: &permit,
        body: &body,
        edits: &edits,
        dialect: classified.dialect,
    };
    let mut answer = outgoing.answer(down, alarm, recorder).await?;
    // An answer has begun: the request will not be sent again.
    drop(body);
    guard.hold(0);
    relay::relay(worker, head, &permit, &mut answer, down, alarm, recorder).await?;
    answer.upstream.finish(worker);
    Ok(())
}

/// The name by which the node was addressed; one reading of it serves every decision.
pub fn addressed<'a>(head: &'a RequestHead, snapshot: &Snapshot) -> Result<&'a str, Reason> {
    let endpoint = &snapshot.endpoint;
    let target = head.target_authority.as_ref().map(String::as_bytes);
    let hosts = head
        .fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"host"));
    let hosts = hosts.map(|(_, value)| value);
    let authority = match head.version {
        Version::Http10 | Version::Http11 => authority::of_http1(endpoint, target, hosts),
        Version::Http2 => authority::of_http2(endpoint, target, hosts),
    };
    authority.map(|authority| authority.host)
}

fn classify(head: &RequestHead) -> Result<Classified<'_>, Failure> {
    let path = head.path();
    let anthropic = head.fields.get("anthropic-version").is_some();
    dialect::classify(&head.method, path, anthropic).ok_or_else(|| {
        match dialect::allowed_methods(path, anthropic) {
            Some(methods) => Failure::new(
                Reason::MethodNotAllowed,
                format!("this path takes {methods}"),
            ),
            None if websocket::Api::of(path).is_some() => Reason::UpgradeRequired.into(),
            None => Reason::UnknownPath.into(),
        }
    })
}

/// What the node answers by itself: what the caller may use, and that the node is there.
fn local_answer(
    snapshot: &Snapshot,
    principal: &Principal,
    classified: &Classified<'_>,
) -> Result<Option<Vec<u8>>, Failure> {
    let dialect = classified.dialect;
    let usable = || {
        route::usable_models(snapshot, principal, dialect)
            .into_iter()
            .map(|(id, provider)| ListedModel {
                id,
                provider: &provider.name,
                created: MODELS_CREATED,
            })
    };
    match classified.operation {
        Operation::ListModels => Ok(Some(model_list::render_models(dialect, usable()))),
        Operation::GetModel => {
            let ModelSource::Path(wanted) = classified.model else {
                return Ok(None);
            };
            let wanted = path::decode_model(wanted).ok_or(Reason::ModelNotRoutable)?;
            let model = usable()
                .find(|m| m.id == wanted)
                .ok_or(Reason::ModelNotRoutable)?;
            Ok(Some(model_list::render_model(dialect, model)))
        }
        Operation::Hello => Ok(Some(b"{}".to_vec())),
        Operation::ChatCompletions
        | Operation::Completions
        | Operation::Responses
        | Operation::StoredResponse
        | Operation::ResponsesInputTokens
        | Operation::Realtime
        | Operation::Embeddings
        | Operation::Messages
        | Operation::CountTokens
        | Operation::Invoke
        | Operation::InvokeStream
        | Operation::Converse
        | Operation::ConverseStream
        | Operation::GenerateContent
        | Operation::StreamGenerateContent
        | Operation::CountContentTokens
        | Operation::EmbedContent
        | Operation::Unmetered
        | Operation::Other => Ok(None),
    }
}

/// Waits, bounded, until the node may take one more exchange.
pub async fn admit(worker: &Rc<Worker>, alarm: &Alarm) -> Result<ExchangeGuard, Failure> {
    if worker.is_draining() {
        return Err(Reason::Draining.into());
    }
    let guard = worker.admit_exchange().ok_or(Reason::Overloaded)?;
    if !worker.has_log_room() {
        let room = async {
            while !worker.has_log_room() {
                rt::sleep(TICK).await;
            }
        };
        let wait = worker.config.timeouts.usage_log_wait;
        alarm
            .within(wait, room)
            .await
            .map_err(|Elapsed| Reason::UsageLogBehind)?;
    }
    Ok(guard)
}

/// Tells the agent why its exchange ends here.
pub async fn tell(
    worker: &Worker,
    mut failure: Failure,
    down: &mut Downstream<'_>,
    alarm: &mut Alarm,
    recorder: &mut Recorder<'_>,
) {
    alarm.bound_all(None);
    if let Some(reason) = alarm.ended() {
        // Whichever wait it was.
        failure = reason.into();
    }
    let reason = failure.reason;
    let begun = recorder.status != 0;
    tracing::debug!(
        request = recorder.request_id().as_str(),
        trace_id = recorder.trace.id().map(tracing::field::display),
        reason = reason.code(),
        detail = failure.detail.as_deref().unwrap_or(""),
        "exchange failed"
    );
    if reason == Reason::ClientGone {
        recorder.failed(reason, recorder.status);
        down.abort();
        return;
    }
    let told = async {
        if begun {
            relay::break_off(down, recorder, &failure).await
        } else {
            respond::failure(down, recorder, &failure).await
        }
    };
    let sent = alarm
        .last_words(worker.config.timeouts.response_write_idle, told)
        .await;
    if begun || !matches!(sent, Ok(Ok(()))) {
        down.abort();
    }
}
