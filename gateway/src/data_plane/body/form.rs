//! A multipart form: held up to its field `model`, from there on streamed past the same scanner, so that a
//! second model does not reach the provider.

use std::{cell::RefCell, future::poll_fn, rc::Rc};

use super::{Framing, RequestHead};
use crate::{
    data_plane::{
        alarm::{Alarm, Elapsed},
        buffer::Buffer,
        downstream::Downstream,
        failure::Failure,
        record::{Recorder, waited},
        worker::{ExchangeGuard, Worker},
    },
    dialect::form::{FormError, FormScanner},
    handoff::reason::Reason,
};

/// See the module.
pub struct Form {
    /// What came up to the model, and what came with it.
    begun: Buffer,
    scanner: RefCell<FormScanner>,
    model: Box<str>,
    framing: Framing,
}

impl Form {
    pub fn model(&self) -> &str {
        &self.model
    }

    pub fn begun(&self) -> &[u8] {
        self.begun.data()
    }

    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Looks at the next bytes from the agent; there are none at the end.
    ///
    /// # Errors
    ///
    /// For what must not be sent.
    pub fn check(&self, data: &[u8]) -> Result<(), Failure> {
        let mut scanner = self.scanner.borrow_mut();
        let checked = match data {
            [] => scanner.finish(),
            data => scanner.feed(data),
        };
        checked.map_err(refused)
    }
}

/// The body is a form, and the request says so.
pub(super) fn is_form(head: &RequestHead) -> bool {
    const TYPE: &[u8] = b"multipart/";
    head.fields
        .get("content-type")
        .and_then(|value| value.trim_ascii_start().get(..TYPE.len()))
        .is_some_and(|start| start.eq_ignore_ascii_case(TYPE))
}

/// Takes in a form up to its model.
pub(super) async fn receive(
    worker: &Rc<Worker>,
    head: &RequestHead,
    down: &mut Downstream<'_>,
    alarm: &Alarm,
    guard: &mut ExchangeGuard,
    recorder: &mut Recorder<'_>,
) -> Result<Form, Failure> {
    let content_type = head.fields.get("content-type").unwrap_or(b"");
    let mut scanner = FormScanner::new(content_type).map_err(refused)?;
    let mut begun = Buffer::default();
    let limit = worker.config.workers.body_bytes_limit;
    let idle = worker.config.timeouts.request_body_idle;
    while scanner.model().is_none() {
        let arriving = alarm.within(idle, poll_fn(|cx| down.poll_body(cx)));
        let more = waited(&mut recorder.waited_us, arriving)
            .await
            .map_err(|Elapsed| Reason::RequestTimeout)??;
        if !more {
            scanner.finish().map_err(refused)?;
            return Err(Reason::ModelMissing.into());
        }
        let data = down.body_data();
        if begun.len() + data.len() > limit {
            return Err(Failure::new(
                Reason::BodyTooLarge,
                format!(
                    "no `model` in the first {limit} bytes of the form: put it before the file"
                ),
            ));
        }
        scanner.feed(data).map_err(refused)?;
        begun.extend(data);
        recorder.request_bytes += data.len() as u64;
        down.consume_body();
        if !guard.hold(begun.len()) {
            return Err(Reason::Overloaded.into());
        }
    }
    let model: Box<str> = scanner.model().unwrap_or_default().into();
    recorder.set_model(&model);
    Ok(Form {
        begun,
        scanner: RefCell::new(scanner),
        model,
        framing: head.framing,
    })
}

fn refused(error: FormError) -> Failure {
    match error {
        FormError::DuplicateModel => Failure::new(
            Reason::DuplicateKey,
            "the form has the field `model` twice".to_owned(),
        ),
        FormError::Malformed(what) => Failure::new(
            Reason::MalformedForm,
            format!("the request body is no plain form: {what}"),
        ),
    }
}
