//! `/v1/realtime`: a session with one model at one provider. Messages pass both ways as they are; each
//! response leaves a record when it is done. A session without any leaves one of its own, as does one that the node
//! ends while none is under way.

mod ended;
mod session;
mod shares;

use std::rc::Rc;

use self::{ended::Ended, session::Session};
use super::{
    dial::{Dialled, dial},
    handshake,
    socket::WebSocket,
};
use crate::{
    data_plane::{
        accept::Peer,
        alarm::Alarm,
        body::RequestBody,
        failure::Failure,
        io as rt,
        limits::{self, Wish},
        message::RequestHead,
        record::Recorder,
        worker::Worker,
    },
    dialect::{
        Classified, error_body,
        websocket::{NoModel, realtime},
    },
    handoff::{
        reason::Reason,
        record::Outcome,
        snapshot::{Principal, Snapshot},
    },
    policy::{self, Ask, Permit},
};

/// What both vendors and SDKs call the protocol. Others that agents offer are credentials
/// (`openai-insecure-api-key.…`) and stay with the node.
const PROTOCOL: &str = "realtime";
/// Most that an agent may send at once; vendors take 15 MiB of audio.
pub(super) const MESSAGE_BYTES_LIMIT: usize = 16 * 1024 * 1024;
/// Status of a handshake that came through.
const SWITCHED: u16 = 101;

/// A session whose provider has been reached.
pub(super) struct Realtime<'s> {
    permit: Permit<'s>,
    head: &'s RequestHead,
    classified: Classified<'static>,
    model: String,
    protocol: Option<&'static str>,
    provider: Dialled,
}

/// Decides whether the session may be, and reaches its provider.
pub(super) async fn open<'s>(
    worker: &Rc<Worker>,
    snapshot: &'s Snapshot,
    principal: &'s Principal,
    head: &'s RequestHead,
    alarm: &Alarm,
    recorder: &mut Recorder<'s>,
) -> Result<Realtime<'s>, Failure> {
    let query = head.target.split_once('?').map_or("", |(_, query)| query);
    let (classified, model) = realtime(head.path(), query).map_err(|no| match no {
        NoModel::Missing => {
            let what = "a realtime session names its `model` in the query of its URL";
            Failure::new(Reason::ModelMissing, what)
        }
        NoModel::Doubled => Failure::new(Reason::DuplicateKey, "`model` is given twice"),
    })?;
    recorder.set_model(&model);
    recorder.stream = true;
    recorder.dialect = Some(classified.dialect);
    let ask = Ask {
        path: head.path(),
        model: Some(&model),
        keeper: None,
    };
    let permit = policy::permit(snapshot, principal, &classified, ask)?;
    recorder.provider = Some(permit.provider());
    let wish = Wish {
        ask,
        dialect: classified.dialect,
        operation: classified.operation,
        body: &RequestBody::None,
    };
    let permit = limits::reserve(worker, permit, wish, recorder).await?;
    let is_offered = handshake::protocols(head).any(|offered| offered == PROTOCOL);
    let protocol = is_offered.then_some(PROTOCOL);
    let dialect = classified.dialect;
    let provider = dial(worker, head, &permit, dialect, protocol, alarm, recorder).await?;
    Ok(Realtime {
        permit,
        head,
        classified,
        model: model.into_owned(),
        protocol,
        provider,
    })
}

impl<'s> Realtime<'s> {
    /// The subprotocol that the agent gets.
    pub(super) fn protocol(&self) -> Option<&'static str> {
        self.protocol
    }

    /// Serves the session to its end. `opened` is the handshake's record.
    pub(super) async fn run(
        self: Box<Self>,
        worker: &Rc<Worker>,
        peer: &Peer,
        mut agent: WebSocket,
        alarm: Alarm,
        mut opened: Recorder<'s>,
    ) {
        let Self {
            permit,
            head,
            classified,
            model,
            provider,
            ..
        } = *self;
        let Dialled {
            socket: mut provider,
            target,
            _open: open,
        } = provider;
        let first = opened.reservation.take();
        let mut session =
            Session::new(worker, peer, permit, head, classified, model, target, first);
        let ended = session.serve(&mut agent, &mut provider, &alarm).await;
        let is_told = session.finish(&ended, &alarm);
        if is_told {
            opened.retract();
        } else {
            opened.status = SWITCHED;
            match ended.reason(&alarm) {
                None => opened.answered(),
                Some(reason) => opened.failed(reason, SWITCHED),
            }
            if matches!(ended, Ended::Node(..)) && opened.outcome == Outcome::Denied {
                opened.outcome = Outcome::Cut;
            }
            drop(opened);
        }
        let (to_agent, to_provider) = ended.codes(&alarm);
        if let Some(code) = to_provider {
            let alarm = worker.alarms.alarm(peer.address, peer.slot);
            // Beside the agent's: neither waits for the other to answer.
            rt::spawn(async move {
                provider.close(&alarm, code).await;
                drop(open);
            });
        }
        if let Some(code) = to_agent {
            if let Some(Failure {
                reason, message, ..
            }) = ended.told(&alarm)
            {
                let event = error_body::render_message(reason, &message, "", None);
                agent.messages.push(true, &event);
            }
            agent.close(&alarm, code).await;
        }
    }
}
