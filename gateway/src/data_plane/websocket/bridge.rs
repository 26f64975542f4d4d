//! A response from a provider that has no WebSockets: the agent's event becomes an HTTP request, and the
//! answer's stream the messages. From there on it is any other exchange.

use std::rc::Rc;

use http::{HeaderName, HeaderValue, Method, header};

use super::session::Session;
use crate::{
    data_plane::{
        alarm::Alarm,
        attempt::Outgoing,
        body,
        buffer::Buffer,
        downstream::{Downstream, events::EventDownstream},
        edit, exchange,
        failure::Failure,
        message::{Fields, Framing, RequestHead, Version},
        record::Recorder,
        relay,
        worker::ExchangeGuard,
    },
    dialect::websocket::{self, Api},
    handoff::reason::Reason,
    policy::Permit,
};

/// See the module.
pub(super) struct Bridge<'b> {
    session: &'b Rc<Session>,
    permit: &'b Permit<'b>,
    lane: Option<&'b str>,
    head: RequestHead,
}

/// The body of the request that asks for the same as `create`.
pub(super) fn http_body(create: Buffer) -> Result<Buffer, Reason> {
    let body = websocket::http_body(create.data()).ok_or(Reason::MalformedJson)?;
    let mut bytes = Buffer::default();
    bytes.extend(&body);
    Ok(bytes)
}

impl<'b> Bridge<'b> {
    pub(super) fn new(
        session: &'b Rc<Session>,
        permit: &'b Permit<'b>,
        lane: Option<&'b str>,
    ) -> Result<Self, Reason> {
        Ok(Self {
            session,
            permit,
            lane,
            head: request_head(&session.head)?,
        })
    }

    /// Whatever happens, the agent is told if it can be.
    pub(super) async fn run(
        &self,
        bytes: Buffer,
        guard: ExchangeGuard,
        alarm: &mut Alarm,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), Failure> {
        let outbox = &self.session.outbox;
        let gone = outbox.closed();
        let mut events = EventDownstream::new(outbox, &gone, self.lane);
        let mut down = Downstream::Events(&mut events);
        let served = self.serve(bytes, guard, &mut down, alarm, recorder).await;
        if let Err(failure) = served {
            exchange::tell(&self.session.worker, failure, &mut down, alarm, recorder).await;
        }
        Ok(())
    }

    async fn serve(
        &self,
        bytes: Buffer,
        mut guard: ExchangeGuard,
        down: &mut Downstream<'_>,
        alarm: &Alarm,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), Failure> {
        let Self {
            session,
            permit,
            head,
            ..
        } = self;
        let classified = Api::Responses.classified();
        let body = body::scan(bytes)?;
        let edits = edit::edits(permit, &body, &classified, recorder.output_bound());
        let outgoing = Outgoing {
            worker: &session.worker,
            head,
            permit,
            body: &body,
            edits: &edits,
            dialect: classified.dialect,
        };
        let mut answer = outgoing.answer(down, alarm, recorder).await?;
        // An answer has begun: the request will not be sent again.
        drop(body);
        guard.hold(0);
        relay::relay(
            &session.worker,
            head,
            permit,
            &mut answer,
            down,
            alarm,
            recorder,
        )
        .await?;
        answer.upstream.finish(&session.worker);
        Ok(())
    }
}

/// The handshake's head as that of a request with a body; what belongs to the handshake goes no further.
fn request_head(handshake: &RequestHead) -> Result<RequestHead, Reason> {
    let mut fields = vec![(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    )];
    for (name, value) in handshake.fields.iter() {
        let name = HeaderName::from_bytes(name).map_err(|_| Reason::MalformedRequest)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| Reason::MalformedRequest)?;
        if name != header::CONTENT_TYPE {
            fields.push((name, value));
        }
    }
    Ok(RequestHead {
        method: Method::POST,
        target: handshake.target.clone(),
        target_authority: None,
        version: Version::Http11,
        fields: Fields::H2(fields),
        framing: Framing::None,
        keep_alive: true,
        expects_continue: false,
        takes_trailers: false,
    })
}
