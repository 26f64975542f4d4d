//! Opens a WebSocket to a provider: connection, handshake with the credential in it, switch.

use std::{
    iter,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::Method;

use super::{handshake::Opening, messages::Role, socket::WebSocket};
use crate::{
    data_plane::{
        alarm::{Alarm, Elapsed},
        buffer::Buffer,
        failure::Failure,
        inject::{self, BodyFraming, UpstreamRequest},
        join,
        message::{RequestHead, ResponseHead},
        parse::h1,
        record::Recorder,
        transport::Transport,
        upstream::{self, pool::OpenGuard},
        worker::Worker,
    },
    dialect::Dialect,
    handoff::{
        reason::Reason,
        record::Attempt,
        snapshot::{Target, TargetId},
    },
    policy::Permit,
};

/// What a provider may send at once over its socket: whole responses with images in them.
const MESSAGE_BYTES_LIMIT: usize = 64 * 1024 * 1024;
/// A handshake asks no model anything, so its answer comes at once.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(15);

/// A provider's socket that is open.
pub(super) struct Dialled {
    pub(super) socket: WebSocket,
    pub(super) target: TargetId,
    pub(super) _open: OpenGuard,
}

/// Tries the provider's targets until one switches.
///
/// # Errors
/// Those of the last target that was tried; a provider that answered is not asked at another address.
pub(super) async fn dial(
    worker: &Rc<Worker>,
    head: &RequestHead,
    permit: &Permit<'_>,
    dialect: Dialect,
    protocol: Option<&'static str>,
    alarm: &Alarm,
    recorder: &mut Recorder<'_>,
) -> Result<Dialled, Failure> {
    let provider = permit.provider();
    let mut failed = Failure::from(Reason::ProviderUnresolved);
    for target in &provider.targets {
        let mut attempt = Attempt {
            target_id: target.id.0,
            begun_us: recorder.elapsed_us(),
            connect_us: 0,
            status: 0,
        };
        let dialling = Dialling {
            worker,
            head,
            permit,
            dialect,
            target,
        };
        let result = dialling.run(protocol, alarm, &mut attempt).await;
        recorder.attempts.push(attempt);
        match result {
            Ok(socket) => {
                return Ok(Dialled {
                    socket,
                    target: target.id,
                    _open: OpenGuard::new(worker),
                });
            }
            Err(failure) => failed = failure,
        }
        if attempt.connect_us > 0 || alarm.ended().is_some() {
            break;
        }
    }
    Err(failed)
}

struct Dialling<'a> {
    worker: &'a Rc<Worker>,
    head: &'a RequestHead,
    permit: &'a Permit<'a>,
    dialect: Dialect,
    target: &'a Arc<Target>,
}

impl Dialling<'_> {
    async fn run(
        &self,
        protocol: Option<&'static str>,
        alarm: &Alarm,
        attempt: &mut Attempt,
    ) -> Result<WebSocket, Failure> {
        let provider = self.permit.provider();
        let started = Instant::now();
        let mut inbox = Buffer::default();
        let connecting = Box::pin(upstream::open_http1(self.target, &mut inbox));
        let mut transport = match alarm.within(provider.timeouts.connect, connecting).await {
            Ok(result) => result?,
            Err(Elapsed) => {
                return Err(Failure::provider(
                    Reason::ConnectTimeout,
                    self.target.address,
                ));
            }
        };
        let elapsed = u32::try_from(started.elapsed().as_micros());
        attempt.connect_us = elapsed.unwrap_or(u32::MAX).max(1);
        let counters = &self.worker.counters;
        let connect = &counters.provider(provider.slot).connect;
        connect.observe(u64::from(attempt.connect_us));
        let opening = Opening::new(protocol);
        let switching = self.switch(&mut transport, &mut inbox, &opening);
        let answered = match alarm.within(HANDSHAKE_LIMIT, switching).await {
            Ok(result) => result?,
            Err(Elapsed) => return Err(Reason::FirstByteTimeout.into()),
        };
        attempt.status = answered.status;
        counters.provider(provider.slot).responded(answered.status);
        match answered.status {
            101 if opening.is_answered_by(&answered) => {}
            101 => {
                return Err(Failure::provider(
                    Reason::ProviderProtocol,
                    "not the handshake's answer",
                ));
            }
            401 => return Err(Failure::provider(Reason::UpstreamAuthFailed, "status 401")),
            status => {
                let detail = format!("status {status} in place of a WebSocket");
                return Err(Failure::provider(Reason::ProviderProtocol, detail));
            }
        }
        Ok(WebSocket::new(
            transport,
            inbox,
            Role::Client,
            MESSAGE_BYTES_LIMIT,
        ))
    }

    async fn switch(
        &self,
        transport: &mut Transport,
        inbox: &mut Buffer,
        opening: &Opening,
    ) -> Result<ResponseHead, Failure> {
        let mut path = Vec::new();
        let (plain, query) = self
            .head
            .target
            .split_once('?')
            .unwrap_or((&self.head.target, ""));
        join::path_join(
            self.permit.provider(),
            self.dialect,
            plain,
            query,
            &mut path,
        );
        if !query.is_empty() {
            join::query_join(query, &mut path);
        }
        let request = UpstreamRequest {
            method: &Method::GET,
            path: &path,
            permit: self.permit,
            target: self.target,
            body: BodyFraming::Empty,
            identity_in_body: false,
            takes_trailers: false,
            signature: None,
            // A socket outlives the exchange that opens it.
            trace: None,
        };
        let fields = self.head.fields.iter();
        let signature = inject::signature(&request, fields, iter::empty(), SystemTime::now())?;
        let request = UpstreamRequest {
            signature: signature.as_ref(),
            ..request
        };
        // Freed memory is wiped, the credential with it.
        let mut head = Vec::new();
        inject::write_upgrade(
            &request,
            self.head.fields.iter(),
            &opening.lines(),
            &mut head,
        )?;
        let sent = transport.write_all(&[&head]).await;
        drop(head);
        sent.map_err(|e| Failure::provider(Reason::ProviderCut, e))?;
        let limit = self.worker.config.workers.head_bytes_limit;
        loop {
            let parsed = h1::response(inbox.data(), limit, false)
                .map_err(|reason| Failure::provider(reason, "response head"))?;
            if let Some((head, length)) = parsed {
                inbox.consume(length);
                // 100 and 103 may come before it.
                if head.status == 101 || head.status >= 200 {
                    return Ok(head);
                }
                continue;
            }
            let received = (transport.read(inbox).await)
                .map_err(|e| Failure::provider(Reason::ProviderCut, e))?;
            if received == 0 {
                return Err(Failure::provider(
                    Reason::ProviderCut,
                    "closed before the head",
                ));
            }
        }
    }
}
