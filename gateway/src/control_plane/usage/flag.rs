//! Response flags: why the node answered by itself, or what became of an answer, in a few letters that
//! stay the same. Where Envoy has a flag of that meaning, it is Envoy's.
//!
//! | flag | meaning |
//! |---|---|
//! | `DC` | the agent closed first |
//! | `DPE` | the agent's request cannot be used |
//! | `DT` | the agent's request did not arrive in time |
//! | `DR` | the node drains |
//! | `NR` | no provider, or nothing at all, serves this path or model |
//! | `PD` | denied by policy |
//! | `RL` | denied by a limit, a rate or a budget |
//! | `OM` | the node is at a limit of its own (load, usage log, ledger) |
//! | `DF` | the provider's host has no usable address |
//! | `UF` | no connection to the provider (refused, timed out, TLS) |
//! | `UT` | the provider answered too late, or took too long |
//! | `SI` | the provider stopped in the middle of its answer |
//! | `UC` | the provider closed before its answer's end |
//! | `UPE` | the provider's answer was not understood |
//! | `UA` | the provider refused the node's credential |
//! | `UE` | the provider ended its stream with an error event |
//! | `CUT` | the answer had begun and was broken off |
//! | `RT` | more than one attempt |

use crate::handoff::{reason::Reason, record::Outcome};

/// The flags of an exchange; none when it was simply answered. `reason` is a [`Reason`]'s code.
pub(super) fn flags(outcome: Option<Outcome>, reason: &str, attempts: usize) -> Vec<&'static str> {
    let reason = Reason::ALL.iter().find(|known| known.code() == reason);
    let mut flags: Vec<&str> = reason.map(|reason| of(*reason)).into_iter().collect();
    if outcome == Some(Outcome::Cut) {
        flags.push("CUT");
    }
    if attempts > 1 {
        flags.push("RT");
    }
    flags
}

fn of(reason: Reason) -> &'static str {
    match reason {
        Reason::ClientGone => "DC",
        Reason::MalformedRequest
        | Reason::AuthorityRefused
        | Reason::HeadTooLarge
        | Reason::BodyTooLarge
        | Reason::RequestTruncated
        | Reason::ExpectationFailed
        | Reason::UnsupportedEncoding
        | Reason::MalformedJson
        | Reason::MalformedForm
        | Reason::DuplicateKey
        | Reason::ModelMissing
        | Reason::UpgradeRequired
        | Reason::OriginRefused => "DPE",
        Reason::RequestTimeout => "DT",
        Reason::Draining => "DR",
        Reason::UnknownPath
        | Reason::MethodNotAllowed
        | Reason::ModelNotRoutable
        | Reason::DialectUnsupported => "NR",
        Reason::NoAuthorisedProvider
        | Reason::ModelBlocked
        | Reason::PathBlocked
        | Reason::OutputLimitExceeded
        | Reason::Unboundable
        | Reason::PeerRevoked => "PD",
        Reason::TokenCapExceeded
        | Reason::BudgetCapExceeded
        | Reason::AccountTokenCapExceeded
        | Reason::AccountBudgetCapExceeded
        | Reason::RequestRateExceeded
        | Reason::TokenRateExceeded
        | Reason::ConcurrencyExceeded
        | Reason::LimitPassed => "RL",
        Reason::Overloaded | Reason::UsageLogBehind | Reason::LedgerBehind => "OM",
        Reason::ProviderUnresolved => "DF",
        Reason::ConnectFailed | Reason::ConnectTimeout | Reason::TlsFailed => "UF",
        Reason::FirstByteTimeout | Reason::TotalTimeout => "UT",
        Reason::IdleTimeout => "SI",
        Reason::ProviderCut => "UC",
        Reason::ProviderProtocol => "UPE",
        Reason::UpstreamAuthFailed => "UA",
        Reason::ProviderErrorEvent => "UE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_why_and_what_became_of_it() {
        for (outcome, reason, attempts, expected) in [
            (Outcome::Answered, "", 1, &[][..]),
            (Outcome::Answered, "", 2, &["RT"]),
            (Outcome::Denied, "token_cap_exceeded", 0, &["RL"]),
            (Outcome::Cut, "provider_cut", 1, &["UC", "CUT"]),
            (Outcome::ProviderError, "connect_failed", 3, &["UF", "RT"]),
            // Written by a newer version.
            (Outcome::GatewayError, "something_new", 1, &[]),
        ] {
            assert_eq!(flags(Some(outcome), reason, attempts), expected, "{reason}");
        }
    }
}
