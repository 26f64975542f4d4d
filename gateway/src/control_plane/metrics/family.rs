//! Metric families from plain numbers.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

/// Label values and the number they belong to.
pub(super) type Sample = (Vec<(&'static str, String)>, f64);

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

/// `counts` are per bucket and one longer than `bounds_us`; what is shown is cumulative, in seconds.
pub(super) fn histogram(
    name: &str,
    help: &str,
    bounds_us: &[u64],
    counts: &[u64],
    sum_us: u64,
) -> MetricFamily {
    let mut total = 0;
    let buckets = bounds_us.iter().zip(counts).map(|(bound, count)| {
        total += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound as f64 / MICROS_PER_SECOND);
        bucket.set_cumulative_count(total);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    // The encoder adds `+Inf` from the count.
    histogram.set_sample_count(counts.iter().sum());
    histogram.set_sample_sum(sum_us as f64 / MICROS_PER_SECOND);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    family(name, help, MetricType::HISTOGRAM, vec![metric])
}

fn pairs(labels: Vec<(&'static str, String)>) -> Vec<LabelPair> {
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
