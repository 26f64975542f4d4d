//! From samples to the rows that people read: medians, paired ratios, and whether targets are met.

pub(crate) mod table;

use anyhow::Result;
use serde::Serialize;

use crate::{
    case::{Case, Target},
    machine::Machine,
    rounds::{IdleSample, Rounds, Sample},
    stats::{Spread, median},
};

/// The proxy whose CPU time is divided by the others'.
pub(crate) const REFERENCE: &str = "nginx";
/// The proxy that has targets.
pub(crate) const OURS: &str = "keyway";

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// The bench's own arguments.
    pub(crate) arguments: String,
    pub(crate) settings: Vec<String>,
    pub(crate) proxies: Vec<ProxyVersion>,
    pub(crate) cases: Vec<CaseReport>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ProxyVersion {
    pub(crate) name: &'static str,
    pub(crate) version: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct CaseReport {
    pub(crate) title: &'static str,
    pub(crate) target: Option<Target>,
    pub(crate) rows: Rows,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rows {
    Load(Vec<Row<LoadFigures>>),
    Idle(Vec<Row<IdleFigures>>),
}

#[derive(Debug, Serialize)]
pub(crate) struct Row<T> {
    pub(crate) proxy: &'static str,
    #[serde(flatten)]
    pub(crate) measured: Measured<T>,
    /// Of the case's target; only for [`OURS`].
    pub(crate) met: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measured<T> {
    Figures(T),
    /// Why the proxy could not be measured.
    Error(String),
}

/// Medians over the rounds; times per request or event.
#[derive(Debug, Serialize)]
pub(crate) struct LoadFigures {
    pub(crate) per_second: f64,
    pub(crate) cpu_us: f64,
    pub(crate) control_plane_us: f64,
    pub(crate) catch_up_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) proxy_share: f64,
    pub(crate) driver_share: f64,
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
    /// The reference's CPU time ÷ this one's, in the same round.
    pub(crate) ratio: Option<Spread>,
    pub(crate) ratio_with_catch_up: Option<Spread>,
}

#[derive(Debug, Serialize)]
pub(crate) struct IdleFigures {
    pub(crate) rss_kib: f64,
    pub(crate) pss_kib: f64,
}

impl CaseReport {
    pub(crate) fn load(case: Case, rounds: Vec<(&'static str, Rounds<Sample>)>) -> Self {
        let reference: Vec<Sample> = rounds
            .iter()
            .find(|(proxy, _)| *proxy == REFERENCE)
            .and_then(|(_, rounds)| rounds.as_ref().ok())
            .cloned()
            .unwrap_or_default();
        let rows = rounds.into_iter().map(|(proxy, rounds)| {
            let figures = rounds.map(|samples| LoadFigures::of(&samples, &reference));
            Row::new(case, proxy, figures, LoadFigures::meets)
        });
        Self {
            title: case.title(),
            target: case.target(),
            rows: Rows::Load(rows.collect()),
        }
    }

    pub(crate) fn idle(case: Case, rounds: Vec<(&'static str, Rounds<IdleSample>)>) -> Self {
        let rows = rounds.into_iter().map(|(proxy, rounds)| {
            let figures = rounds.map(|samples| IdleFigures::of(&samples));
            Row::new(case, proxy, figures, IdleFigures::meets)
        });
        Self {
            title: case.title(),
            target: case.target(),
            rows: Rows::Idle(rows.collect()),
        }
    }
}

impl<T> Row<T> {
    fn new(
        case: Case,
        proxy: &'static str,
        figures: Result<T>,
        meets: impl Fn(&T, Target) -> Option<bool>,
    ) -> Self {
        let met = match (&figures, case.target()) {
            (Ok(figures), Some(target)) if proxy == OURS => meets(figures, target),
            _ => None,
        };
        let measured = match figures {
            Ok(figures) => Measured::Figures(figures),
            Err(error) => Measured::Error(format!("{error:#}")),
        };
        Self {
            proxy,
            measured,
            met,
        }
    }
}

impl LoadFigures {
    fn of(samples: &[Sample], reference: &[Sample]) -> Self {
        let over = |value: fn(&Sample) -> f64| median(samples.iter().map(value));
        let ratio = |value: fn(&Sample) -> f64| {
            let pairs = reference.iter().zip(samples);
            Spread::of(pairs.map(|(reference, sample)| reference.cpu_us() / value(sample)))
        };
        Self {
            per_second: over(|s| s.per_second),
            cpu_us: over(Sample::cpu_us),
            control_plane_us: over(|s| s.control_us),
            catch_up_us: over(|s| s.catch_up_us),
            p50_us: over(|s| s.latency.p50_us),
            p99_us: over(|s| s.latency.p99_us),
            proxy_share: over(|s| s.proxy_share),
            driver_share: over(|s| s.driver_share),
            failed: samples.iter().map(|s| s.failed).sum(),
            first_failure: samples.iter().find_map(|s| s.first_failure.clone()),
            ratio: ratio(Sample::cpu_us),
            ratio_with_catch_up: ratio(Sample::cpu_with_catch_up_us),
        }
    }

    /// A run with failed requests meets nothing.
    fn meets(&self, target: Target) -> Option<bool> {
        match target {
            Target::Ratio(least) => {
                let ratio = self.ratio?;
                Some(self.failed == 0 && ratio.median >= least)
            }
            Target::IdleKib(_) => None,
        }
    }
}

impl IdleFigures {
    fn of(samples: &[IdleSample]) -> Self {
        Self {
            rss_kib: median(samples.iter().map(|s| s.rss_kib)),
            pss_kib: median(samples.iter().map(|s| s.pss_kib)),
        }
    }

    fn meets(&self, target: Target) -> Option<bool> {
        match target {
            Target::IdleKib(most) => Some(self.rss_kib <= most),
            Target::Ratio(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(data_us: f64, catch_up_us: f64, failed: u64) -> Sample {
        Sample {
            per_second: 1e6 / data_us,
            data_us,
            control_us: 0.0,
            catch_up_us,
            latency: crate::driver::Latency::default(),
            proxy_share: 1.0,
            driver_share: 0.5,
            failed,
            first_failure: None,
        }
    }

    fn ours(nginx: &[f64], keyway: &[f64], failed: u64) -> (LoadFigures, Option<bool>) {
        let nginx = nginx.iter().map(|us| sample(*us, 0.0, 0)).collect();
        let keyway = keyway.iter().map(|us| sample(*us, 2.0, failed)).collect();
        let rounds = vec![(REFERENCE, Ok(nginx)), (OURS, Ok(keyway))];
        let Rows::Load(mut rows) = CaseReport::load(Case::Http1, rounds).rows else {
            panic!("a load has load rows");
        };
        let row = rows.remove(1);
        match row.measured {
            Measured::Figures(figures) => (figures, row.met),
            Measured::Error(error) => panic!("{error}"),
        }
    }

    #[test]
    fn ratios_are_paired_and_their_median_judged() {
        // One disturbed round makes both slower and changes no ratio.
        let (figures, met) = ours(&[14.0, 42.0, 14.0], &[10.0, 30.0, 10.0], 0);
        assert_eq!(figures.ratio.map(|r| (r.min, r.max)), Some((1.4, 1.4)));
        assert_eq!(met, Some(true));
        let with_catch_up = figures.ratio_with_catch_up.expect("nginx ran");
        assert!((with_catch_up.median - 14.0 / 12.0).abs() < 1e-9);
    }

    #[test]
    fn slow_or_failing_runs_meet_nothing() {
        assert_eq!(ours(&[12.0], &[10.0], 0).1, Some(false));
        assert_eq!(ours(&[20.0], &[10.0], 1).1, Some(false));
    }
}
