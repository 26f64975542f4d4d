//! One exchange, from a request's head to its record: the whole story, each stage one call.

use std::{future::poll_fn, io, rc::Rc, sync::Arc, task::Poll, time::Instant};

use super::{
    accept::Peer,
    alarm::{Alarm, Elapsed},
    attempt,
    body::{self, RequestBody},
    downstream::Downstream,
    failure::Failure,
    message::RequestHead,
    record::Recorder,
    relay, respond,
    worker::Worker,
};
use crate::{
    dialect::{self, Classified, Operation},
    handoff::{reason::Reason, snapshot::{Principal, Snapshot}},
};

/// Serves one request. Whatever happens, the agent is told if it can be, and one record is kept.
pub async fn run(
    worker: &Rc<Worker>,
    peer: &Peer,
    head: RequestHead,
    mut down: Downstream<'_>,
    alarm: &mut Alarm,
    arrived: Instant,
) {
    let mut recorder = Recorder::start(worker, peer.address, Some(&head), arrived);
    if let Err(failure) = serve(worker, peer, &head, &mut down, alarm, &mut recorder).await {
        tell(worker, failure, &mut down, alarm, &mut recorder).await;
    }
}

/// Answers what was no readable request.
pub async fn refuse(
    worker: &Rc<Worker>,
    peer: &Peer,
    failure: Failure,
    mut down: Downstream<'_>,
    alarm: &Alarm,
    arrived: Instant,
) {
    let mut recorder = Recorder::start(worker, peer.address, None, arrived);
    recorder.principal = worker.snapshot().peers.get(&peer.address).cloned();
    tell(worker, failure, &mut down, alarm, &mut recorder).await;
}

async fn serve(
    worker: &Rc<Worker>,
    peer: &Peer,
    head: &RequestHead,
    down: &mut Downstream<'_>,
    alarm: &mut Alarm,
    recorder: &mut Recorder,
) -> Result<(), Failure> {
    let snapshot = worker.snapshot();
    // Asked again for every request: a peer may have been removed while its connection was open.
    let principal = snapshot.peers.get(&peer.address).ok_or(Reason::PeerRevoked)?;
    recorder.principal = Some(Arc::clone(principal));
    let host = authority::check(head, &snapshot.endpoint)?;
    recorder.set_host(host);
    let mut guard = admit(worker, alarm).await?;

    let classified = classify(head)?;
    recorder.dialect = Some(classified.dialect);
    recorder.operation = Some(classified.operation);
    if let Some(session) = dialect::session::session_id(head.fields.iter()) {
        recorder.set_session(session);
    }
    if let Some(answer) = local_answer(&snapshot, principal, &classified)? {
        return respond::local(down, recorder, 200, &answer)
            .await
            .map_err(|_| Reason::ClientGone.into());
    }

    let body = body::receive(worker, head, &classified, down, alarm, &mut guard, recorder).await?;
    let route = route::route(&snapshot, principal, &classified, body.model(&classified), head.path())?;
    recorder.provider = Some(Arc::clone(route.provider));
    recorder.policy = Some(Arc::clone(&route.grant.policy));
    let permit = policy::permit(principal, &route)?;

    alarm.bound_all(permit.provider().timeouts.total.map(|total| Instant::now() + total));
    recorder.overhead_us = u32::try_from(recorder.elapsed_us()).unwrap_or(u32::MAX);
    let answered = attempt::answer(worker, head, &permit, &body, down, alarm, recorder).await?;
    drop(body);
    guard.hold(0);
    relay::relay(worker, head, &permit, answered, down, alarm, recorder).await
}

/// Waits, bounded, until the node may take one more exchange.
async fn admit(worker: &Rc<Worker>, alarm: &Alarm) -> Result<ExchangeGuard, Failure> {
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
        alarm.within(wait, room).await.map_err(|Elapsed| Reason::UsageLogBehind)?;
    }
    Ok(guard)
}

/// Tells the agent why its exchange ends here.
async fn tell(
    worker: &Worker,
    failure: Failure,
    down: &mut Downstream<'_>,
    alarm: &mut Alarm,
    recorder: &mut Recorder,
) {
    alarm.bound_all(None);
    let reason = failure.reason;
    let begun = recorder.status != 0;
    tracing::debug!(
        request = recorder.request_id(),
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
    let sent = alarm.within(worker.config.timeouts.response_write_idle, told).await;
    if begun || !matches!(sent, Ok(Ok(()))) {
        down.abort();
    }
}
