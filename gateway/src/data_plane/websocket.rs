//! OpenAI's WebSockets. The agent's handshake is completed here (RFC 6455). `/v1/responses` is a
//! [`session`]: every response that an agent asks for is an exchange of its own ([`turn`]), decided, sent to a
//! provider ([`line`], or an HTTP request), metered and recorded like one. `/v1/realtime` is [`realtime`]: one
//! provider and model per socket, every response metered.

mod arriving;
mod bridge;
mod dial;
mod frame;
mod gate;
mod handshake;
mod line;
pub mod mailbox;
pub mod messages;
pub mod payload;
mod pulse;
mod realtime;
mod session;
mod socket;
mod turn;

use std::{rc::Rc, time::Instant};

use super::{
    accept::Peer,
    alarm::Alarm,
    authority,
    downstream::{Downstream, h1::H1Downstream},
    exchange,
    failure::Failure,
    message::RequestHead,
    record::Recorder,
    worker::Worker,
};
use crate::{
    dialect::websocket::Api,
    handoff::{
        counters::Protocol,
        reason::Reason,
        snapshot::{Principal, Snapshot},
    },
};

/// Whether a request is for one of these sockets. Any other's wish for another protocol is ignored, as RFC
/// 9110 section 7.8 allows.
pub fn is_asked_for(head: &RequestHead) -> bool {
    handshake::is_asked_for(head) && Api::of(head.path()).is_some()
}

/// Serves a connection from its handshake to its end.
pub async fn serve(
    worker: Rc<Worker>,
    peer: Peer,
    head: RequestHead,
    mut down: H1Downstream,
    mut alarm: Alarm,
    arrived: Instant,
) {
    let snapshot = worker.snapshot();
    let mut recorder = Recorder::start(&worker, &peer, Some(&head), arrived);
    // Boxed, so that what it took is free while the socket is open.
    let opening = open(&worker, &snapshot, &peer, &head, &alarm, &mut recorder);
    let opened = Box::pin(opening).await;
    let opened = match opened {
        Ok(opened) => down
            .switch(&opened.answer)
            .await
            .map(|()| opened.next)
            .map_err(|_| Reason::ClientGone.into()),
        Err(failure) => Err(failure),
    };
    let next = match opened {
        Ok(next) => next,
        Err(failure) => {
            down.close_after();
            let side = &mut Downstream::H1(&mut down);
            exchange::tell(&worker, failure, side, &mut alarm, &mut recorder).await;
            drop(recorder);
            return down.close(&alarm).await;
        }
    };
    peer.guard.speaks(Protocol::WebSocket);
    let (transport, inbox) = down.into_parts();
    let mut limit = worker.config.workers.body_bytes_limit;
    if let Next::Realtime(_) = &next {
        limit = limit.min(realtime::MESSAGE_BYTES_LIMIT);
    }
    let agent = socket::WebSocket::new(transport, inbox, messages::Role::Server, limit);
    match next {
        Next::Session => {
            recorder.retract();
            drop(snapshot);
            session::run(worker, peer, head, agent, alarm).await;
        }
        Next::Realtime(session) => {
            Box::pin(session.run(&worker, &peer, agent, alarm, recorder)).await;
        }
    }
}

/// A handshake that is accepted.
struct Opened<'s> {
    answer: Vec<u8>,
    next: Next<'s>,
}

enum Next<'s> {
    Session,
    Realtime(Box<realtime::Realtime<'s>>),
}

async fn open<'s>(
    worker: &Rc<Worker>,
    snapshot: &'s Snapshot,
    peer: &Peer,
    head: &'s RequestHead,
    alarm: &Alarm,
    recorder: &mut Recorder<'s>,
) -> Result<Opened<'s>, Failure> {
    let api = Api::of(head.path()).ok_or(Reason::UnknownPath)?;
    let principal = identify(snapshot, peer, head, api, recorder)?;
    let accept = handshake::accept(head)?;
    same_origin(snapshot, head)?;
    let _guard = exchange::admit(worker, alarm).await?;
    match api {
        Api::Responses => Ok(Opened {
            answer: handshake::switching(&accept, None),
            next: Next::Session,
        }),
        Api::Realtime => {
            let session =
                realtime::open(worker, snapshot, principal, head, alarm, recorder).await?;
            Ok(Opened {
                answer: handshake::switching(&accept, session.protocol()),
                next: Next::Realtime(Box::new(session)),
            })
        }
    }
}

/// Who asks for what, as far as the handshake says it. To be asked again for every response: a peer may have
/// been removed.
fn identify<'s>(
    snapshot: &'s Snapshot,
    peer: &Peer,
    head: &'s RequestHead,
    api: Api,
    recorder: &mut Recorder<'s>,
) -> Result<&'s Principal, Failure> {
    let principal = snapshot.peers.get(&peer.address);
    let principal = principal.ok_or(Reason::PeerRevoked)?;
    recorder.principal = Some(principal);
    recorder.set_host(exchange::addressed(head, snapshot)?);
    let classified = api.classified();
    recorder.dialect = Some(classified.dialect);
    recorder.operation = Some(classified.operation);
    recorder.object = classified.object;
    recorder.note_session(head);
    Ok(principal)
}

/// The caller is known by its address, and browsers let any page open a WebSocket: a page may only come from
/// this endpoint itself. Programs send no `Origin`.
fn same_origin(snapshot: &Snapshot, head: &RequestHead) -> Result<(), Reason> {
    let Some(origin) = head.fields.get("origin") else {
        return Ok(());
    };
    let host = (origin.strip_prefix(b"https://")).or_else(|| origin.strip_prefix(b"http://"));
    let own = host.map(|host| authority::of_http1(&snapshot.endpoint, None, std::iter::once(host)));
    match own {
        Some(Ok(_)) => Ok(()),
        Some(Err(_)) | None => Err(Reason::OriginRefused),
    }
}
