//! The texts of an exchange, handed over to be kept if the policy that let it through says so. Only bytes that are at
//! hand are copied; finding the text in them is not a worker's work.

use super::Recorder;
use crate::{
    data_plane::body::RequestBody,
    handoff::{
        capture::{CaptureSender, Captured, Part},
        record::CaptureState,
        snapshot::access::Capture,
    },
    policy::Permit,
};

/// How far it is with the texts of an exchange.
pub(super) struct Keeping {
    capture: Capture,
    /// Begun.
    answer: Option<Captured>,
    is_skipped: bool,
}

impl Recorder<'_> {
    /// Hands the request over. To be called once it is let through.
    pub fn keep_request(&mut self, permit: &Permit<'_>, body: &RequestBody) {
        let Some(capture) = permit.policy().capture else {
            return;
        };
        let mut keeping = Keeping {
            capture,
            answer: None,
            is_skipped: false,
        };
        if let Some((bytes, _)) = body.scanned() {
            let captures = &self.worker.captures;
            let mut request = captures.begin(self.id, Part::Request, capture);
            keeping.is_skipped = !(request.extend(bytes) && captures.send(request));
        }
        self.keeping = Some(Box::new(keeping));
    }

    /// The answer's body begins. To be called for those alone that answer: errors may show parts of a key.
    pub fn keep_answer(&mut self, content_type: &[u8], content_encoding: &[u8]) {
        if let Some(keeping) = &mut self.keeping {
            let part = Part::Answer {
                content_type: content_type.into(),
                content_encoding: content_encoding.into(),
            };
            let answer = self.worker.captures.begin(self.id, part, keeping.capture);
            keeping.answer = Some(answer);
        }
    }

    /// The next bytes of the answer, as the provider sent them.
    #[inline]
    pub fn keep(&mut self, bytes: &[u8]) {
        if let Some(keeping) = &mut self.keeping {
            keeping.extend(bytes);
        }
    }
}

impl Keeping {
    fn extend(&mut self, bytes: &[u8]) {
        if let Some(answer) = &mut self.answer
            && !answer.extend(bytes)
        {
            self.answer = None;
            self.is_skipped = true;
        }
    }

    /// Hands over what came of the answer.
    pub(super) fn finish(self, captures: &CaptureSender) -> CaptureState {
        let is_sent = match self.answer {
            Some(answer) if !answer.bytes().is_empty() => captures.send(answer),
            Some(_) | None => true,
        };
        match is_sent && !self.is_skipped {
            true => CaptureState::Kept,
            false => CaptureState::Skipped,
        }
    }
}
