//! `[tracing]` and `[log]`: who hears of an exchange's trace, and how the node's own log lines look.

use std::{path::PathBuf, time::Duration};

/// Traces of exchanges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TracingConfig {
    /// An agent's trace is gone on with, its word on sampling included.
    pub accept: bool,
    /// Names or ids of providers that are told of the trace; `*` stands for all.
    pub propagate: Vec<String>,
    /// Of traces that begin here.
    pub sample_ratio: Ratio,
    /// Spans tell whose request it was.
    pub identity: bool,
    pub otlp: Option<OtlpConfig>,
}

impl TracingConfig {
    /// Somebody hears of traces.
    pub fn is_on(&self) -> bool {
        self.otlp.is_some() || !self.propagate.is_empty()
    }
}

/// A collector of spans (OTLP over HTTP, protobuf).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpConfig {
    /// `/v1/traces` follows.
    pub endpoint: String,
    /// Headers that it asks for, tokens among them.
    pub headers: Option<PathBuf>,
    /// PEM bundle to trust in place of the system's roots.
    pub ca: Option<PathBuf>,
    /// One request, from the connection to the answer's last byte.
    pub timeout: Duration,
    /// Spans that may wait for it.
    pub queue_spans_limit: usize,
    /// `service.name`.
    pub service_name: String,
}

/// A share of all, in steps of a millionth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ratio {
    per_million: u32,
}

const MILLION: u32 = 1_000_000;

impl Ratio {
    pub const ALL: Self = Self {
        per_million: MILLION,
    };

    /// `None` outside 0 to 1.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then(|| Self {
            per_million: (share * f64::from(MILLION)).round() as u32,
        })
    }

    pub fn share(self) -> f64 {
        f64::from(self.per_million) / f64::from(MILLION)
    }

    /// Whether something with this random number is in it: always the same answer to the same number.
    pub fn takes(self, random: u64) -> bool {
        let drawn = (u128::from(random) * u128::from(MILLION)) >> 64;
        drawn < u128::from(self.per_million)
    }
}

/// Lines on standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    pub format: LogFormat,
    /// A level, or directives such as `info,gateway::control_plane=debug`.
    pub filter: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object per line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_takes_its_share() {
        for (share, taken) in [
            (0.0, [false, false, false]),
            (0.5, [true, true, false]),
            (1.0, [true, true, true]),
        ] {
            let ratio = Ratio::new(share).expect("in range");
            assert_eq!(
                [0, (1 << 63) - 1, u64::MAX].map(|r| ratio.takes(r)),
                taken,
                "{share}"
            );
            assert_eq!(ratio.share(), share);
        }
        for share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Ratio::new(share), None);
        }
    }
}
