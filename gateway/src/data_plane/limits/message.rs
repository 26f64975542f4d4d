//! What agents are told of a limit that has no room for their request.

use std::time::Duration;

use super::IN_FLIGHT_RETRY;
use crate::{
    data_plane::failure::Failure,
    dialect::elsewhere::Endless,
    handoff::{ledger::Unit, reason::Reason},
    policy::{
        bound::Unbounded,
        charge::{Charge, Origin},
    },
};

/// A limit has less left than the request may use.
pub(super) fn refused(charge: &Charge<'_>, amount: u64, left: u64, now: u64) -> Failure {
    let bucket = charge.bucket;
    let unit = bucket.unit();
    let whose = match charge.origin {
        Origin::Account(rule) => format!("the limit `{rule}`"),
        Origin::Provider => "this provider's limit".to_owned(),
        Origin::Policy => "your limit".to_owned(),
    };
    let most = shown(unit, charge.most);
    let seconds = bucket.seconds_left(now);
    let text = match unit {
        Unit::InFlight => format!("{whose} of {most} is reached; try again when one has ended"),
        Unit::Requests | Unit::Tokens | Unit::NanoUsd => {
            let window = span(u64::from(bucket.window_seconds()));
            let anew = span(seconds);
            match unit {
                Unit::Requests => {
                    format!("{whose} of {most} per {window} is reached; it begins anew in {anew}")
                }
                Unit::Tokens | Unit::NanoUsd | Unit::InFlight if amount > charge.most => format!(
                    "this request may use {}, which is more than {whose} of {most} per {window}; \
                     lower its bound on output",
                    shown(unit, amount)
                ),
                Unit::Tokens | Unit::NanoUsd | Unit::InFlight => format!(
                    "{whose} of {most} per {window} has {} left, and this request may use {}; it \
                     begins anew in {anew}",
                    shown(unit, left),
                    shown(unit, amount)
                ),
            }
        }
    };
    let failure = Failure::new(charge.refusal(), text);
    match unit {
        Unit::InFlight => failure.with_retry_after(IN_FLIGHT_RETRY),
        // It would be refused again.
        Unit::Tokens | Unit::NanoUsd if amount > charge.most => failure,
        Unit::Requests | Unit::Tokens | Unit::NanoUsd => {
            failure.with_retry_after(Duration::from_secs(seconds))
        }
    }
}

/// A guardrail bounds the output.
pub(super) fn output(wanted: Option<u64>, most: u64) -> Failure {
    let text = match wanted {
        Some(wanted) => {
            format!("the request wants up to {wanted} output tokens; a guardrail allows {most}")
        }
        None => format!(
            "a guardrail allows {most} output tokens, and there is no telling how many the request wants: \
             give its bound once, as a whole number"
        ),
    };
    Failure::new(Reason::OutputLimitExceeded, text)
}

/// A hard limit holds, and the request has no upper bound.
pub fn unbounded(why: Unbounded) -> Failure {
    let what = match why {
        Unbounded::Output => "set a bound on its output, such as `max_tokens`",
        Unbounded::Input(why) => endless(why),
        Unbounded::Window => {
            "it has an image, a file or a stored conversation, or is a session, which may fill the model's \
             context window, and how large that is is not known; an operator can set the model's `context`"
        }
        Unbounded::Price => "the price of its model is not known",
        Unbounded::ToolPrice => "the price of a tool that the provider runs is not known",
        Unbounded::Operation => "nothing counts what requests of this kind use",
    };
    Failure::new(
        Reason::Unboundable,
        format!("a hard limit holds, and there is no telling what this request would use: {what}"),
    )
}

fn endless(why: Endless) -> &'static str {
    match why {
        Endless::Unread => "its body is not read",
        Endless::Tools => {
            "it lets the provider run tools, and nothing bounds how often that asks the model"
        }
        Endless::ToolCalls => {
            "it lets the provider run tools; set a bound on how often, `max_tool_calls`"
        }
        Endless::ToolUses => "it lets the provider search; set a bound on how often, `max_uses`",
        Endless::StoredPrompt => "it uses a prompt that the provider keeps",
        Endless::Background => "it runs in the background, and tells what it used only if asked",
        Endless::Compaction => "it lets the provider shorten the conversation by asking a model",
        Endless::Output => "it may have more output than its bound says",
        Endless::Elsewhere => "it lets another model answer, or adds fields that are not read here",
        Endless::Embedding => "it embeds images or files, each of a size of its own",
        Endless::Transcription => {
            "it has what is said written down by another model, which tells its usage afterwards"
        }
    }
}

fn shown(unit: Unit, amount: u64) -> String {
    match unit {
        Unit::Tokens => format!("{amount} tokens"),
        Unit::Requests => format!("{amount} requests"),
        Unit::InFlight => format!("{amount} requests at once"),
        Unit::NanoUsd => {
            let (dollars, rest) = (amount / 1_000_000_000, amount % 1_000_000_000);
            let rest = format!("{rest:09}");
            let cents = rest.trim_end_matches('0');
            format!("${dollars}.{cents:0<2}")
        }
    }
}

/// Two units at most: `3 h 12 min`.
fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, name) in UNITS {
        if rest >= length && parts.len() < 2 {
            parts.push(format!("{} {name}", rest / length));
            rest %= length;
        }
    }
    match parts.is_empty() {
        true => "0 s".to_owned(),
        false => parts.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::handoff::{
        ledger::{Bucket, Words},
        snapshot::access::LimitMode,
    };

    fn told(bucket: Bucket, most: u64, origin: Origin<'_>, amount: u64, left: u64) -> Failure {
        let charge = Charge {
            bucket: &Arc::new(bucket),
            most,
            mode: LimitMode::Soft,
            origin,
        };
        refused(&charge, amount, left, 86_400 - 3 * 3600)
    }

    #[test]
    fn a_refusal_says_what_is_left_and_when_it_begins_anew() {
        const DAY: u32 = 86_400;
        let usd = |cents: u64| cents * 10_000_000;
        let budget = || Bucket::durable(Unit::NanoUsd, DAY, "b", Words::default());
        let found = told(budget(), usd(5000), Origin::Policy, usd(30), usd(12));
        assert_eq!(
            found.message,
            "your limit of $50.00 per 1 d has $0.12 left, and this request may use $0.30; it begins \
             anew in 3 h"
        );
        assert_eq!(found.reason, Reason::BudgetCapExceeded);
        assert_eq!(found.retry_after, Some(Duration::from_secs(3 * 3600)));

        let found = told(budget(), usd(10), Origin::Account("All"), usd(30), usd(10));
        assert_eq!(
            found.message,
            "this request may use $0.30, which is more than the limit `All` of $0.10 per 1 d; lower \
             its bound on output"
        );
        assert_eq!(found.reason, Reason::AccountBudgetCapExceeded);
        assert_eq!(found.retry_after, None);

        let rate = Bucket::volatile(Unit::Requests, 60);
        let found = told(rate, 10, Origin::Provider, 1, 0);
        assert_eq!(
            found.message,
            "this provider's limit of 10 requests per 1 min is reached; it begins anew in 1 min"
        );
        assert_eq!(found.reason, Reason::RequestRateExceeded);

        let at_once = Bucket::volatile(Unit::InFlight, 0);
        let found = told(at_once, 2, Origin::Policy, 1, 0);
        assert_eq!(found.retry_after, Some(IN_FLIGHT_RETRY));
        assert_eq!(found.reason, Reason::ConcurrencyExceeded);
    }
}
