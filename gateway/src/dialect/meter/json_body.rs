//! A response that is one JSON object: its end, and its top-level `usage`.

use super::{Metered, anthropic, openai_usage};
use crate::{dialect::json::capture::Capture, handoff::record::Usage};

/// How `usage` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UsageShape {
    OpenAi,
    Anthropic,
}

#[derive(Debug)]
pub(super) struct JsonBody {
    capture: Capture,
    shape: Option<UsageShape>,
}

impl JsonBody {
    /// Without a `shape` only the end is watched for.
    pub(super) fn new(shape: Option<UsageShape>) -> Self {
        Self {
            capture: Capture::new(if shape.is_some() { &["usage"] } else { &[] }),
            shape,
        }
    }

    pub(super) fn feed(&mut self, input: &[u8], metered: &mut Metered) {
        metered.content_started = true;
        if metered.complete {
            return;
        }
        self.capture.feed(input);
        metered.complete = self.capture.ended();
    }

    /// Usage, once it was read whole.
    pub(super) fn usage(&self) -> Option<Usage> {
        let value = self.capture.value()?;
        match self.shape? {
            UsageShape::OpenAi => openai_usage::read(value),
            UsageShape::Anthropic => anthropic::read(value),
        }
    }

    /// It is no JSON object after all.
    pub(super) fn failed(&self) -> bool {
        self.capture.failed()
    }
}
