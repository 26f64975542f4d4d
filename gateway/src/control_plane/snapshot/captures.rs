//! What the settings and a policy's guardrails together say of capturing texts.

use crate::{
    control_plane::resource::{PromptCaptureDoc, SettingsDoc},
    handoff::snapshot::access::Capture,
};

/// Starts with the settings; each guardrail of a policy adds its own.
#[derive(Clone, Copy)]
pub(super) struct Captures {
    is_on: bool,
    redact: bool,
    /// The least of the guardrails that want it.
    text_bytes_max: Option<u64>,
}

impl Captures {
    /// Texts belong to an entry of the access log: without one there are none.
    pub(super) fn of(settings: Option<&SettingsDoc>) -> Self {
        Self {
            is_on: settings.is_some_and(|settings| {
                settings.enable_prompt_collection && settings.enable_log_collection
            }),
            redact: settings.is_some_and(|settings| settings.redact_pii),
            text_bytes_max: None,
        }
    }

    /// What one more guardrail says.
    pub(super) fn read(&mut self, guardrail: &PromptCaptureDoc) {
        self.redact |= guardrail.redact_pii;
        if guardrail.enabled {
            let most = self.text_bytes_max.into_iter().chain([guardrail.max_bytes]);
            self.text_bytes_max = most.min();
        }
    }

    /// What holds for the policy.
    pub(super) fn of_policy(self) -> Option<Capture> {
        let most = self.text_bytes_max.filter(|_| self.is_on)?;
        Some(Capture {
            text_bytes_max: usize::try_from(most).unwrap_or(usize::MAX),
            redact: self.redact,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_must_want_texts_and_either_has_them_redacted() {
        let settings = |log, prompts, redact| SettingsDoc {
            endpoint: String::new(),
            dedicated: false,
            enable_log_collection: log,
            enable_prompt_collection: prompts,
            redact_pii: redact,
            access_log_retention_days: 0,
            prompt_retention_days: 0,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            updated_at: jiff::Timestamp::UNIX_EPOCH,
        };
        let guardrail = |enabled, redact_pii, max_bytes| PromptCaptureDoc {
            enabled,
            redact_pii,
            max_bytes,
        };
        let (off, on) = (guardrail(false, false, 5), guardrail(true, false, 20));
        let redacting = guardrail(false, true, 1);
        let kept = |text_bytes_max, redact| {
            Some(Capture {
                text_bytes_max,
                redact,
            })
        };
        for (settings, guardrails, expected) in [
            (None, &[&on][..], None),
            (Some(settings(true, false, false)), &[&on], None),
            (Some(settings(false, true, false)), &[&on], None),
            (Some(settings(true, true, false)), &[], None),
            (Some(settings(true, true, false)), &[&off], None),
            (
                Some(settings(true, true, false)),
                &[&on, &off],
                kept(20, false),
            ),
            (Some(settings(true, true, true)), &[&on], kept(20, true)),
            (
                Some(settings(true, true, false)),
                &[&on, &redacting],
                kept(20, true),
            ),
            (
                Some(settings(true, true, false)),
                &[&on, &guardrail(true, false, 10)],
                kept(10, false),
            ),
        ] {
            let mut captures = Captures::of(settings.as_ref());
            guardrails.iter().for_each(|doc| captures.read(doc));
            assert_eq!(captures.of_policy(), expected);
        }
    }
}
