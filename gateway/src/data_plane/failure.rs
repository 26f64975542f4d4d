//! `Failure`: why an exchange cannot go on, attached where it happens, rendered only in `respond`.

use std::borrow::Cow;

use crate::handoff::reason::Reason;

/// What went wrong, for the agent and for the operator.
#[derive(Debug)]
pub struct Failure {
    pub reason: Reason,
    /// For the agent: no provider host, no secret.
    pub message: Cow<'static, str>,
    /// For the operator's log only.
    pub detail: Option<String>,
}

impl Failure {
    pub fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            message: message.into(),
            detail: None,
        }
    }

    pub fn with_detail(mut self, detail: impl ToString) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// As [`Failure::from`], with what the operator should know.
    pub fn provider(reason: Reason, detail: impl ToString) -> Self {
        Self::from(reason).with_detail(detail)
    }
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self::new(reason, message(reason))
    }
}

/// What an agent is told unless there is more to say.
fn message(reason: Reason) -> &'static str {
    match reason {
        Reason::MalformedRequest => "the request is not valid HTTP",
        Reason::AuthorityRefused => {
            "the Host of the request is not this endpoint's name; use the base URL that `keyway \
             settings show` prints"
        }
        Reason::HeadTooLarge => "the request's header fields are too large",
        Reason::BodyTooLarge => "the request body is larger than this endpoint takes",
        Reason::RequestTimeout => "the request did not arrive in time",
        Reason::RequestTruncated => "the request body ended early",
        Reason::ExpectationFailed => "only `Expect: 100-continue` is understood",
        Reason::UnsupportedEncoding => "send the request body without content-encoding",
        Reason::MalformedJson => "the request body is not one JSON object",
        Reason::MalformedForm => "the request body is no plain multipart form",
        Reason::DuplicateKey => "a key of the request body is given twice",
        Reason::ModelMissing => "the request body names no `model`",
        Reason::UnknownPath => "no provider API has this path",
        Reason::MethodNotAllowed => "this path does not take this method",
        Reason::UpgradeRequired => "this path takes WebSockets only, over HTTP/1.1",
        Reason::OriginRefused => "web pages of other origins may not use this endpoint",
        Reason::ClientGone => "the client closed the connection",
        Reason::ModelNotRoutable => "no connected provider serves this model",
        Reason::NoAuthorisedProvider => {
            "no policy lets you use a provider of this model; ask the operator of this endpoint"
        }
        Reason::PeerRevoked => "this peer may not use the endpoint any more",
        Reason::DialectUnsupported => "this provider does not take such requests",
        Reason::Overloaded => "the endpoint is at its limit; try again",
        Reason::Draining => "the endpoint is restarting; try again",
        Reason::UsageLogBehind => "the usage log cannot keep up; try again",
        Reason::ProviderUnresolved => "the provider has no usable address",
        Reason::ConnectFailed => "the provider refused the connection",
        Reason::ConnectTimeout => "connecting to the provider took too long",
        Reason::TlsFailed => "the provider's certificate or TLS handshake failed",
        Reason::FirstByteTimeout => "the provider did not answer in time",
        Reason::IdleTimeout => "the provider stopped in the middle of its answer",
        Reason::TotalTimeout => "the answer took longer than this provider is given",
        Reason::ProviderProtocol => "the provider's answer was not understood",
        Reason::UpstreamAuthFailed => {
            "the provider refused the credential this endpoint keeps for it; tell its operator"
        }
        Reason::ProviderErrorEvent => "the provider ended its answer with an error",
        Reason::ProviderCut => "the provider closed the connection before its answer's end",
    }
}
