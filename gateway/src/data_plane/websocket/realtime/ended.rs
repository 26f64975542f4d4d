//! How a session ends: what its records say, and what each side is told.

use crate::{
    data_plane::{
        alarm::Alarm,
        failure::Failure,
        websocket::{messages::CloseCode, socket::Broken},
    },
    handoff::reason::{Reason, Source},
};

/// How a session ends.
pub(super) enum Ended {
    /// The agent is gone, or closes.
    Agent(Result<Option<CloseCode>, Broken>),
    Provider(Result<Option<CloseCode>, Broken>),
    /// The node ends it.
    Node(CloseCode, Option<Failure>),
}

impl Ended {
    /// The node ends it, for a reason that the agent hears.
    pub(super) fn by_node(failure: Failure) -> Self {
        let code = match failure.reason.source() {
            Source::Policy => CloseCode::POLICY,
            Source::Gateway => CloseCode::TRY_AGAIN,
            Source::Client | Source::Provider => CloseCode::FAILED,
        };
        Self::Node(code, Some(failure))
    }

    /// Why it did not end well.
    pub(super) fn reason(&self, alarm: &Alarm) -> Option<Reason> {
        match self {
            _ if alarm.ended().is_some() => alarm.ended(),
            Self::Agent(Ok(_)) | Self::Provider(Ok(_)) => None,
            Self::Agent(Err(Broken::Gone)) => Some(Reason::ClientGone),
            Self::Agent(Err(Broken::Violation(_))) => Some(Reason::MalformedRequest),
            Self::Provider(Err(Broken::Gone)) => Some(Reason::ProviderCut),
            Self::Provider(Err(Broken::Violation(_))) => Some(Reason::ProviderProtocol),
            Self::Node(_, failure) => failure.as_ref().map(|failure| failure.reason),
        }
    }

    /// What the agent hears before the end, unless it knows.
    pub(super) fn told(self, alarm: &Alarm) -> Option<Failure> {
        let reason = match &self {
            Self::Agent(_) => alarm.ended(),
            Self::Provider(_) | Self::Node(..) => self.reason(alarm),
        }?;
        Some(match self {
            Self::Node(_, Some(failure)) if failure.reason == reason => failure,
            Self::Agent(_) | Self::Provider(_) | Self::Node(..) => reason.into(),
        })
    }

    /// The codes that the agent and the provider get; `None`: nothing, as it is gone.
    pub(super) fn codes(
        &self,
        alarm: &Alarm,
    ) -> (Option<Option<CloseCode>>, Option<Option<CloseCode>>) {
        let going = Some(Some(CloseCode::GOING_AWAY));
        match (self, alarm.ended()) {
            (_, Some(Reason::PeerRevoked)) => (Some(Some(CloseCode::POLICY)), going),
            (_, Some(_)) => (going, going),
            (Self::Agent(Ok(code)), None) => (Some(*code), Some(*code)),
            (Self::Agent(Err(Broken::Gone)), None) => (None, going),
            (Self::Agent(Err(Broken::Violation(code))), None) => (Some(Some(*code)), going),
            (Self::Provider(Ok(code)), None) => (Some(*code), Some(*code)),
            (Self::Provider(Err(Broken::Gone)), None) => (Some(Some(CloseCode::FAILED)), None),
            (Self::Provider(Err(Broken::Violation(code))), None) => {
                (Some(Some(CloseCode::FAILED)), Some(Some(*code)))
            }
            (Self::Node(code, _), None) => (Some(Some(*code)), going),
        }
    }
}
