//! A response on its way from the provider's socket to the agent's.

use std::time::Instant;

use super::Turn;
use crate::{
    data_plane::{
        alarm::Elapsed,
        failure::Failure,
        limits::{Spending, Watch},
        settle,
        websocket::{line::Lane, mailbox::Closed, payload::Payload},
    },
    dialect::{
        meter::ResponsesMessages,
        text,
        websocket::{ServerEventKind, server_event},
    },
    handoff::reason::Reason,
    policy::Permit,
};

/// What messages are, one after another in lines.
const MESSAGES: &[u8] = text::LINES.as_bytes();
/// Status of an error event that names none.
const UNSTATED_ERROR: u16 = 500;

impl<'s> Turn<'_, 's> {
    /// Passes the response on to its end and notes what it used.
    pub(super) async fn follow(
        &mut self,
        permit: &Permit<'s>,
        lane: Lane,
        message: Option<Payload>,
    ) -> Result<(), Failure> {
        let mut meter = ResponsesMessages::default();
        let mut result = self.relay(permit, &lane, message, &mut meter).await;
        settle::settle(
            &self.session.worker,
            permit,
            None,
            meter.metered(),
            self.recorder,
        );
        // Who leaves right after the last event has its whole answer.
        if meter.is_over()
            && matches!(&result, Err(failure) if failure.reason == Reason::ClientGone)
        {
            result = Ok(());
        }
        result.inspect(|()| self.recorder.answered())
    }

    async fn relay(
        &mut self,
        permit: &Permit<'s>,
        lane: &Lane,
        message: Option<Payload>,
        meter: &mut ResponsesMessages,
    ) -> Result<(), Failure> {
        let session = self.session;
        let timeouts = &permit.provider().timeouts;
        let mut limit = timeouts.first_byte;
        self.recorder.spending = Spending::Unknown;
        if let Some(message) = message {
            match self.alarm.within(limit, lane.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(Closed)) => return Err(self.lost()),
                Err(Elapsed) => return Err(self.elapsed(Reason::FirstByteTimeout)),
            }
        }
        let sent = Instant::now();
        self.recorder.marks.sent_us = self.recorder.elapsed_us();
        let mut late = Reason::FirstByteTimeout;
        self.recorder.keep_answer(MESSAGES, b"");
        let mut watch = Watch::over(permit, self.recorder);
        if let Some(watch) = &watch {
            meter.watch(watch.tells_thoughts());
        }
        while !meter.is_over() {
            let event = match self.alarm.within(limit, lane.next()).await {
                Ok(Some(event)) => event,
                Ok(None) => return Err(self.lost()),
                Err(Elapsed) => return Err(self.elapsed(late)),
            };
            (limit, late) = (timeouts.idle, Reason::IdleTimeout);
            let recorder = &mut *self.recorder;
            meter.read(&event);
            let is_first = recorder.status == 0;
            if is_first {
                recorder.marks.first_byte_us = recorder.elapsed_us();
            }
            if is_first || meter.metered().error_event {
                let kind = server_event(&event).kind;
                if is_first && matches!(kind, ServerEventKind::Error(_)) {
                    recorder.spending = Spending::None;
                }
                let status = match kind {
                    // Vendors show parts of a refused key in it.
                    ServerEventKind::Error(Some(401)) => {
                        return Err(Failure::provider(Reason::UpstreamAuthFailed, "error 401"));
                    }
                    ServerEventKind::Error(status) => status.unwrap_or(UNSTATED_ERROR),
                    ServerEventKind::Created | ServerEventKind::Over | ServerEventKind::Other => {
                        200
                    }
                };
                if is_first {
                    recorder.status = status;
                }
            }
            if recorder.object_id.is_empty()
                && let Some(id) = &meter.metered().object
            {
                settle::note_id(&session.worker, permit, Some(id), recorder);
                lane.note(id);
            }
            if recorder.time_to_first_token_us == 0 && meter.metered().content_started {
                recorder.time_to_first_token_us = (sent.elapsed().as_micros() as u64).max(1);
            }
            recorder.response_bytes += event.len() as u64;
            recorder.keep(&event);
            recorder.keep(b"\n");
            let write_idle = session.worker.config.timeouts.response_write_idle;
            match self
                .alarm
                .within(write_idle, session.outbox.push(event))
                .await
            {
                Ok(Ok(())) => {}
                Ok(Err(Closed)) | Err(Elapsed) => return Err(Reason::ClientGone.into()),
            }
            if let (Some(watch), Some(so_far)) = (&mut watch, meter.so_far())
                && watch.is_passed(&so_far, true, self.recorder)
            {
                return Err(Reason::LimitPassed.into());
            }
        }
        Ok(())
    }

    /// Why the provider's socket is closed.
    fn lost(&self) -> Failure {
        match self.session.is_over() {
            true => Reason::ClientGone.into(),
            false => Failure::provider(
                Reason::ProviderCut,
                "the WebSocket closed inside the response",
            ),
        }
    }

    fn elapsed(&self, late: Reason) -> Failure {
        match self.alarm.total_elapsed() {
            true => Reason::TotalTimeout.into(),
            false => late.into(),
        }
    }
}
