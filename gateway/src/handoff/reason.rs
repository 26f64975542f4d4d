//! Why an exchange did not end well: one closed set, seen alike by agents, records, metrics and tests.

use super::record::Outcome;

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Client,
    Policy,
    Gateway,
    Provider,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = ($code:literal, $source:ident, $status:literal),)*) => {
        /// Why an exchange failed. `code` is its name in metrics, records and tests; `status` the HTTP
        /// status an agent gets when no response has begun.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            pub fn source(self) -> Source {
                match self { $(Self::$name => Source::$source,)* }
            }

            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

reasons! {
    /// Bytes that are no HTTP request (bad head, bare LF, CL with TE, bad chunk, HTTP/2 violation).
    MalformedRequest = ("malformed_request", Client, 400),
    /// `Host`/`:authority` missing, doubled, odd, or not one of this endpoint's names.
    AuthorityRefused = ("authority_refused", Client, 421),
    HeadTooLarge = ("head_too_large", Client, 431),
    BodyTooLarge = ("body_too_large", Client, 413),
    /// The request did not arrive in time.
    RequestTimeout = ("request_timeout", Client, 408),
    /// The agent stopped sending in the middle of its body.
    RequestTruncated = ("request_truncated", Client, 400),
    ExpectationFailed = ("expectation_failed", Client, 417),
    /// A body in a content-encoding that cannot be scanned for the model.
    UnsupportedEncoding = ("unsupported_encoding", Client, 415),
    MalformedJson = ("malformed_json", Client, 400),
    /// A multipart body that is no form, or one that servers might read apart.
    MalformedForm = ("malformed_form", Client, 400),
    /// A key that decides (`model`, `stream`…) given twice.
    DuplicateKey = ("duplicate_key", Client, 400),
    ModelMissing = ("model_missing", Client, 400),
    /// No dialect has this path.
    UnknownPath = ("unknown_path", Client, 404),
    MethodNotAllowed = ("method_not_allowed", Client, 405),
    /// Only a WebSocket, in version 13 of its protocol and over HTTP/1.1, has this path with `GET`.
    UpgradeRequired = ("upgrade_required", Client, 426),
    /// A web page of another origin asks for a WebSocket.
    OriginRefused = ("origin_refused", Client, 403),
    /// The agent went away.
    ClientGone = ("client_gone", Client, 499),
    /// No enabled provider serves the model.
    ModelNotRoutable = ("model_not_routable", Policy, 403),
    /// Providers serve it, but no policy lets the caller reach one.
    NoAuthorisedProvider = ("no_authorised_provider", Policy, 403),
    /// No policy lets the caller use this model.
    ModelBlocked = ("model_blocked", Policy, 403),
    /// No policy lets the caller use this path.
    PathBlocked = ("path_blocked", Policy, 403),
    /// The request wants more output than a guardrail lets it have.
    OutputLimitExceeded = ("output_limit_exceeded", Policy, 403),
    /// A limit is hard, and there is no telling what the request would use.
    Unboundable = ("unboundable", Policy, 403),
    TokenCapExceeded = ("token_cap_exceeded", Policy, 429),
    BudgetCapExceeded = ("budget_cap_exceeded", Policy, 429),
    /// By a budget rule.
    AccountTokenCapExceeded = ("account_token_cap_exceeded", Policy, 429),
    /// By a budget rule.
    AccountBudgetCapExceeded = ("account_budget_cap_exceeded", Policy, 429),
    RequestRateExceeded = ("request_rate_exceeded", Policy, 429),
    TokenRateExceeded = ("token_rate_exceeded", Policy, 429),
    ConcurrencyExceeded = ("concurrency_exceeded", Policy, 429),
    /// An answer was ended that used more than was set aside for it, as a hard limit had no more.
    LimitPassed = ("limit_passed", Policy, 429),
    /// The peer was removed while its connection was open, or in the middle of an answer.
    PeerRevoked = ("peer_revoked", Policy, 403),
    /// The provider's own API has no such requests, such as forms where each request is signed.
    DialectUnsupported = ("dialect_unsupported", Gateway, 501),
    /// Too many exchanges in flight, or too many request bytes held.
    Overloaded = ("overloaded", Gateway, 503),
    Draining = ("draining", Gateway, 503),
    /// The usage log could not keep up.
    UsageLogBehind = ("usage_log_behind", Gateway, 503),
    /// What may be spent of a limit could not be written down in time.
    LedgerBehind = ("ledger_behind", Gateway, 503),
    /// The provider's host has no usable address.
    ProviderUnresolved = ("provider_unresolved", Provider, 502),
    ConnectFailed = ("connect_failed", Provider, 502),
    ConnectTimeout = ("connect_timeout", Provider, 504),
    /// Certificate or handshake.
    TlsFailed = ("tls_failed", Provider, 502),
    FirstByteTimeout = ("first_byte_timeout", Provider, 504),
    IdleTimeout = ("idle_timeout", Provider, 504),
    TotalTimeout = ("total_timeout", Provider, 504),
    /// The answer was no HTTP, or over the limits on heads.
    ProviderProtocol = ("provider_protocol", Provider, 502),
    /// The provider refused the credential kept for it, or no token could be minted from that.
    UpstreamAuthFailed = ("upstream_auth_failed", Provider, 502),
    /// The provider closed before its answer's end.
    ProviderCut = ("provider_cut", Provider, 502),
    /// A stream that had begun ended with the provider's own error event.
    ProviderErrorEvent = ("provider_error_event", Provider, 502),
}

impl Reason {
    /// The code in error bodies: NetBird's for what NetBird denies, ours for the rest.
    pub fn public_code(self) -> std::borrow::Cow<'static, str> {
        if let Some(of_account) = self.code().strip_prefix("account_") {
            return format!("llm_account.{of_account}").into();
        }
        // NetBird counts a refused credential among its policy codes.
        if self.source() == Source::Policy || self == Self::UpstreamAuthFailed {
            format!("llm_policy.{}", self.code()).into()
        } else {
            format!("keyway.{}", self.code()).into()
        }
    }

    /// The outcome recorded for an exchange that failed for this reason before its response began.
    pub fn outcome(self) -> Outcome {
        match self.source() {
            Source::Client if self == Self::ClientGone => Outcome::Cancelled,
            Source::Client => Outcome::ClientError,
            Source::Policy => Outcome::Denied,
            Source::Gateway => Outcome::GatewayError,
            Source::Provider => Outcome::ProviderError,
        }
    }
}
