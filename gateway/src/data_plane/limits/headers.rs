//! What is left of a caller's limits, in the header fields that its SDK knows.
//!
//! OpenAI: <https://platform.openai.com/docs/guides/rate-limits>; Anthropic:
//! <https://docs.claude.com/en/api/rate-limits>. Other vendors have none, and money has none anywhere.

use std::{fmt, io::Write as _};

use jiff::Timestamp;

use crate::{
    dialect::Dialect,
    handoff::ledger::{Bucket, Unit},
};

/// Bytes of the longest value: a number of 64 bits, a date, a span in hours.
const VALUE_BYTES: usize = 24;
const FIELDS: usize = 6;

/// What is left of the limits that have least left, of those that vendors have fields for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tightest {
    requests: Option<Level>,
    tokens: Option<Level>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Level {
    most: u64,
    left: u64,
    /// Seconds since the epoch.
    now: u64,
    /// Seconds until it begins anew.
    reset: u64,
}

impl Tightest {
    /// `limits` are the buckets that a request counts into, each with its limit; `now` is in seconds since the epoch.
    pub fn of<'a>(limits: impl Iterator<Item = (&'a Bucket, u64)>, now: u64) -> Self {
        let mut tightest = Self::default();
        for (bucket, most) in limits {
            let kept = match bucket.unit() {
                Unit::Requests => &mut tightest.requests,
                Unit::Tokens => &mut tightest.tokens,
                Unit::NanoUsd | Unit::InFlight => continue,
            };
            let level = Level {
                most,
                left: most.saturating_sub(bucket.spent(now)),
                now,
                reset: bucket.seconds_left(now),
            };
            // Of two with as little left, the one that takes longer to begin anew.
            let rank = |level: &Level| (level.left, u64::MAX - level.reset);
            if kept.is_none_or(|kept| rank(&level) < rank(&kept)) {
                *kept = Some(level);
            }
        }
        tightest
    }
}

/// Fields of an answer's head. Empty where no limit holds.
#[derive(Default)]
pub struct RateFields {
    fields: [Field; FIELDS],
    count: usize,
    /// What the provider's own fields are left out of.
    replaced: [Option<&'static Names>; 2],
}

#[derive(Default, Clone, Copy)]
struct Field {
    name: &'static str,
    value: Value,
}

/// A unit's fields in one vendor's words.
struct Names {
    limit: &'static str,
    remaining: &'static str,
    reset: &'static str,
    /// How fields begin that tell of parts of the unit, which the node's limits do not have.
    parts: &'static [&'static str],
}

const OPENAI: [Names; 2] = [
    Names {
        limit: "x-ratelimit-limit-requests",
        remaining: "x-ratelimit-remaining-requests",
        reset: "x-ratelimit-reset-requests",
        parts: &[],
    },
    Names {
        limit: "x-ratelimit-limit-tokens",
        remaining: "x-ratelimit-remaining-tokens",
        reset: "x-ratelimit-reset-tokens",
        parts: &[],
    },
];

const ANTHROPIC: [Names; 2] = [
    Names {
        limit: "anthropic-ratelimit-requests-limit",
        remaining: "anthropic-ratelimit-requests-remaining",
        reset: "anthropic-ratelimit-requests-reset",
        parts: &[],
    },
    Names {
        limit: "anthropic-ratelimit-tokens-limit",
        remaining: "anthropic-ratelimit-tokens-remaining",
        reset: "anthropic-ratelimit-tokens-reset",
        parts: &[
            "anthropic-ratelimit-input-tokens-",
            "anthropic-ratelimit-output-tokens-",
        ],
    },
];

impl RateFields {
    /// In the words of `dialect`, where it has some: then `tightest` is asked. `of_provider` are the fields of the provider's own answer, which tell of the operator's
    /// account: of each unit the agent is told whichever has less left.
    pub fn new<'h>(
        dialect: Option<Dialect>,
        tightest: impl FnOnce() -> Tightest,
        of_provider: impl Fn(&str) -> Option<&'h [u8]>,
    ) -> Self {
        let mut fields = Self::default();
        let (names, write_reset): (&'static [Names; 2], fn(&Level) -> Value) = match dialect {
            Some(Dialect::OpenAi | Dialect::Azure) => {
                (&OPENAI, |level| Value::new(Span(level.reset)))
            }
            Some(Dialect::Anthropic) => (&ANTHROPIC, date),
            Some(Dialect::Bedrock | Dialect::Vertex | Dialect::Gemini | Dialect::Ollama) | None => {
                return fields;
            }
        };
        let tightest = tightest();
        for (place, level) in [tightest.requests, tightest.tokens].into_iter().enumerate() {
            let names = &names[place];
            let Some(level) = level else { continue };
            let left_there = of_provider(names.remaining).and_then(number);
            if left_there.is_some_and(|left| left < level.left) {
                continue;
            }
            fields.replaced[place] = Some(names);
            fields.add(names.limit, Value::new(level.most));
            fields.add(names.remaining, Value::new(level.left));
            fields.add(names.reset, write_reset(&level));
        }
        fields
    }

    fn add(&mut self, name: &'static str, value: Value) {
        self.fields[self.count] = Field { name, value };
        self.count += 1;
    }

    /// Names and values.
    pub fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (self.fields[..self.count].iter())
            .map(|field| (field.name.as_bytes(), field.value.as_bytes()))
    }

    /// Whether a field of the provider's must not stand beside these.
    pub fn replace(&self, name: &[u8]) -> bool {
        self.replaced.iter().flatten().any(|names| {
            let is = |own: &str| name.eq_ignore_ascii_case(own.as_bytes());
            let begins = |part: &&str| {
                (name.get(..part.len()))
                    .is_some_and(|start| start.eq_ignore_ascii_case(part.as_bytes()))
            };
            is(names.limit)
                || is(names.remaining)
                || is(names.reset)
                || names.parts.iter().any(begins)
        })
    }
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// When a limit begins anew, as RFC 3339 writes it.
fn date(level: &Level) -> Value {
    let at = i64::try_from(level.now.saturating_add(level.reset)).unwrap_or(i64::MAX);
    Value::new(Timestamp::from_second(at).unwrap_or(Timestamp::MAX))
}

/// Seconds as Go's `time.Duration` writes them: `1s`, `6m0s`, `24h0m0s`.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, seconds) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        match (hours, minutes) {
            (0, 0) => write!(out, "{seconds}s"),
            (0, _) => write!(out, "{minutes}m{seconds}s"),
            _ => write!(out, "{hours}h{minutes}m{seconds}s"),
        }
    }
}

/// Text in place.
#[derive(Default, Clone, Copy)]
struct Value {
    bytes: [u8; VALUE_BYTES],
    length: u8,
}

impl Value {
    /// Cut where it does not fit, as nothing of these is longer.
    fn new(shown: impl fmt::Display) -> Self {
        let mut bytes = [0; VALUE_BYTES];
        let mut rest = &mut bytes[..];
        // Fails when it is full.
        let _ = write!(rest, "{shown}");
        let length = (VALUE_BYTES - rest.len()) as u8;
        Self { bytes, length }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T22:00:00Z.
    const NOW: u64 = 1_795_471_200;

    fn bucket(unit: Unit, window: u32, spent: u64) -> Bucket {
        let bucket = Bucket::volatile(unit, window);
        bucket.spend(NOW, spent, u64::MAX).unwrap();
        bucket
    }

    fn told(dialect: Dialect, limits: &[(Bucket, u64)], provider: &[(&str, &str)]) -> String {
        let limits = limits.iter().map(|(bucket, most)| (bucket, *most));
        let tightest = Tightest::of(limits, NOW);
        let header = |name: &str| {
            let found = provider
                .iter()
                .find(|(own, _)| own.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_bytes())
        };
        let fields = RateFields::new(Some(dialect), || tightest, header);
        let own = (provider.iter())
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .filter(|(name, _)| !fields.replace(name));
        let lines: Vec<_> = own
            .chain(fields.lines())
            .map(|(name, value)| [name, b": ", value].concat())
            .collect();
        String::from_utf8(lines.join(&b'\n')).unwrap()
    }

    #[test]
    fn each_vendors_fields_tell_of_the_limit_with_least_left() {
        let limits = [
            (bucket(Unit::Requests, 60, 4), 10),
            (bucket(Unit::Tokens, 60, 100), 1000),
            (bucket(Unit::Tokens, 86_400, 5000), 5400),
            (bucket(Unit::NanoUsd, 60, 1), 2),
            (bucket(Unit::InFlight, 0, 1), 2),
        ];
        let openai = "x-ratelimit-limit-requests: 10\n\
            x-ratelimit-remaining-requests: 6\n\
            x-ratelimit-reset-requests: 1m0s\n\
            x-ratelimit-limit-tokens: 5400\n\
            x-ratelimit-remaining-tokens: 400\n\
            x-ratelimit-reset-tokens: 2h0m0s";
        assert_eq!(told(Dialect::OpenAi, &limits, &[]), openai);
        assert_eq!(told(Dialect::Azure, &limits, &[]), openai);
        assert_eq!(
            told(Dialect::Anthropic, &limits, &[]),
            "anthropic-ratelimit-requests-limit: 10\n\
            anthropic-ratelimit-requests-remaining: 6\n\
            anthropic-ratelimit-requests-reset: 2026-11-23T22:01:00Z\n\
            anthropic-ratelimit-tokens-limit: 5400\n\
            anthropic-ratelimit-tokens-remaining: 400\n\
            anthropic-ratelimit-tokens-reset: 2026-11-24T00:00:00Z"
        );
        for silent in [
            Dialect::Bedrock,
            Dialect::Vertex,
            Dialect::Gemini,
            Dialect::Ollama,
        ] {
            assert_eq!(told(silent, &limits, &[]), "");
        }
        assert_eq!(told(Dialect::OpenAi, &limits[3..], &[]), "");
    }

    #[test]
    fn what_is_overdrawn_has_nothing_left_and_the_longer_wait_counts() {
        let limits = [
            (bucket(Unit::Tokens, 60, 70), 50),
            (bucket(Unit::Tokens, 3600, 70), 70),
        ];
        assert_eq!(
            told(Dialect::OpenAi, &limits, &[]),
            "x-ratelimit-limit-tokens: 70\n\
            x-ratelimit-remaining-tokens: 0\n\
            x-ratelimit-reset-tokens: 1h0m0s"
        );
    }

    #[test]
    fn of_the_providers_limit_and_ours_the_tighter_is_told() {
        let limits = [(bucket(Unit::Tokens, 60, 100), 1000)];
        let ours = "x-ratelimit-limit-tokens: 1000\n\
            x-ratelimit-remaining-tokens: 900\n\
            x-ratelimit-reset-tokens: 1m0s";
        let requests = ("X-RateLimit-Remaining-Requests", "3");
        let looser = [
            requests,
            ("X-RateLimit-Remaining-Tokens", "900"),
            ("x-ratelimit-reset-tokens", "6ms"),
        ];
        let told_requests = "X-RateLimit-Remaining-Requests: 3\n";
        assert_eq!(
            told(Dialect::OpenAi, &limits, &looser),
            format!("{told_requests}{ours}")
        );
        let tighter = [
            ("x-ratelimit-remaining-tokens", "899"),
            ("x-ratelimit-reset-tokens", "6ms"),
        ];
        assert_eq!(
            told(Dialect::OpenAi, &limits, &tighter),
            "x-ratelimit-remaining-tokens: 899\nx-ratelimit-reset-tokens: 6ms"
        );
        let odd = [("x-ratelimit-remaining-tokens", "many")];
        assert_eq!(told(Dialect::OpenAi, &limits, &odd), ours);
        let parts = [
            ("anthropic-ratelimit-tokens-remaining", "80000"),
            ("anthropic-ratelimit-input-tokens-remaining", "50000"),
            (
                "Anthropic-RateLimit-Output-Tokens-Reset",
                "2026-11-23T22:00:01Z",
            ),
            ("anthropic-ratelimit-requests-remaining", "9"),
        ];
        assert_eq!(
            told(Dialect::Anthropic, &limits, &parts),
            "anthropic-ratelimit-requests-remaining: 9\n\
            anthropic-ratelimit-tokens-limit: 1000\n\
            anthropic-ratelimit-tokens-remaining: 900\n\
            anthropic-ratelimit-tokens-reset: 2026-11-23T22:01:00Z"
        );
        assert_eq!(
            told(Dialect::OpenAi, &[], &looser[1..]),
            "X-RateLimit-Remaining-Tokens: 900\nx-ratelimit-reset-tokens: 6ms"
        );
    }

    #[test]
    fn spans_are_written_as_go_does() {
        for (seconds, text) in [
            (0, "0s"),
            (1, "1s"),
            (60, "1m0s"),
            (360, "6m0s"),
            (3600, "1h0m0s"),
            (3661, "1h1m1s"),
            (86_400, "24h0m0s"),
            (u64::from(u32::MAX), "1193046h28m15s"),
        ] {
            assert_eq!(Value::new(Span(seconds)).as_bytes(), text.as_bytes());
        }
        assert_eq!(Value::new(u64::MAX).as_bytes(), b"18446744073709551615");
    }
}
