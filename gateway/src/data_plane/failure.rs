//! `Failure`: why an exchange cannot go on, attached where it happens, rendered only in `respond`.

use std::{borrow::Cow, time::Duration};

use super::limits::Tightest;
use crate::handoff::reason::Reason;

/// When a request that was shed may be tried again.
const SHED_RETRY: Duration = Duration::from_secs(1);

/// What went wrong, for the agent and for the operator.
#[derive(Debug)]
pub struct Failure {
    pub reason: Reason,
    /// For the agent: no provider host, no secret.
    pub message: Cow<'static, str>,
    /// For the operator's log only.
    pub detail: Option<String>,
    /// When the same request may succeed.
    pub retry_after: Option<Duration>,
    /// What is left of the limits that the request would have counted into. Boxed, as few failures have it.
    pub tightest: Option<Box<Tightest>>,
}

impl Failure {
    pub fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            message: message.into(),
            detail: None,
            retry_after: matches!(
                reason,
                Reason::Overloaded
                    | Reason::Draining
                    | Reason::UsageLogBehind
                    | Reason::LedgerBehind
            )
            .then_some(SHED_RETRY),
            tightest: None,
        }
    }

    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    pub fn with_tightest(mut self, tightest: Tightest) -> Self {
        self.tightest = Some(Box::new(tightest));
        self
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
        Reason::ModelBlocked => "no policy lets you use this model",
        Reason::PathBlocked => "no policy lets you use this path",
        Reason::OutputLimitExceeded => "the request wants more output than a guardrail allows",
        Reason::Unboundable => "a hard limit holds, and this request could use any amount",
        Reason::TokenCapExceeded | Reason::AccountTokenCapExceeded => "a token limit is used up",
        Reason::BudgetCapExceeded | Reason::AccountBudgetCapExceeded => "a budget is used up",
        Reason::RequestRateExceeded => "too many requests in this minute",
        Reason::TokenRateExceeded => "too many tokens in this minute",
        Reason::ConcurrencyExceeded => "too many requests at once",
        Reason::LimitPassed => {
            "the answer was ended: it used more than was set aside for it, and a limit is used up"
        }
        Reason::PeerRevoked => "this peer may not use the endpoint any more",
        Reason::DialectUnsupported => "this provider does not take such requests",
        Reason::Overloaded => "the endpoint is at its limit; try again",
        Reason::Draining => "the endpoint is restarting; try again",
        Reason::UsageLogBehind => "the usage log cannot keep up; try again",
        Reason::LedgerBehind => "spending could not be written down in time; try again",
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
