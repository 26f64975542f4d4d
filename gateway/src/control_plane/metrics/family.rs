//! Metric families from plain numbers.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use super::tally::Tally;

pub(super) type Labels = Vec<(&'static str, String)>;
/// Labels and the number they belong to.
pub(super) type Sample = (Labels, f64);

const MICROS_PER_SECOND: f64 = 1e6;

pub(super) fn counter(name: &str, help: &str, samples: Vec<Sample>) -> MetricFamily {
    let metrics = samples.into_iter().map(|(labels, value)| {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_counter(counter);
        metric
    });
    family(name, help, MetricType::COUNTER, metrics.collect())
}

pub(super) fn gauge(name: &str, help: &str, samples: Vec<Sample>) -> MetricFamily {
    let metrics = samples.into_iter().map(|(labels, value)| {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_gauge(gauge);
        metric
    });
    family(name, help, MetricType::GAUGE, metrics.collect())
}

pub(super) fn plain_counter(name: &str, help: &str, value: f64) -> MetricFamily {
    counter(name, help, vec![(Vec::new(), value)])
}

pub(super) fn plain_gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    gauge(name, help, vec![(Vec::new(), value)])
}

/// Of microseconds, shown in seconds.
pub(super) fn seconds(
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Labels, Tally)>,
) -> MetricFamily {
    histogram(name, help, MICROS_PER_SECOND, samples)
}

/// Of whole numbers, shown as they are.
pub(super) fn numbers(
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Labels, Tally)>,
) -> MetricFamily {
    histogram(name, help, 1.0, samples)
}

fn histogram(
    name: &str,
    help: &str,
    unit: f64,
    samples: impl IntoIterator<Item = (Labels, Tally)>,
) -> MetricFamily {
    let metrics = samples.into_iter().map(|(labels, tally)| {
        let mut total = 0;
        let buckets = tally.bounds.iter().zip(&tally.counts);
        let buckets = buckets.map(|(bound, count)| {
            total += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound as f64 / unit);
            bucket.set_cumulative_count(total);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        // The encoder adds `+Inf` from the count.
        histogram.set_sample_count(tally.count());
        histogram.set_sample_sum(tally.sum as f64 / unit);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(histogram);
        metric
    });
    family(name, help, MetricType::HISTOGRAM, metrics.collect())
}

fn pairs(labels: Labels) -> Vec<LabelPair> {
    let pair = |(name, value): (&str, String)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value);
        pair
    };
    labels.into_iter().map(pair).collect()
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}
