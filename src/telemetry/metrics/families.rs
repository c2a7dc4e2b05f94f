//! Families of series, one after the other, as the `prometheus` crate's encoder takes them. Not
//! gathered by its registry: that sorts tens of thousands of series which are in order already.

use crate::meter::{BOUNDS_US, Distribution};
use prometheus::TextEncoder;
use prometheus::proto::{self, LabelPair, Metric, MetricFamily, MetricType};

/// Names and values.
pub(super) type Labels<'a> = Vec<(&'static str, &'a str)>;

/// A page in the making: the text so far.
#[derive(Default)]
pub(super) struct Families(pub(super) String);

impl Families {
    pub(super) fn counter<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'a>, u64)>,
    ) {
        let values = values.into_iter().map(|(labels, n)| (labels, n as f64));
        self.add(name, help, true, values);
    }

    pub(super) fn gauge<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        self.add(name, help, false, values);
    }

    pub(super) fn add<'a>(
        &mut self,
        name: &str,
        help: &str,
        grows: bool,
        values: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        let metrics = values.into_iter().map(|(labels, value)| {
            let mut metric = Metric::from_label(label_pairs(labels));
            if grows {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            } else {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
            metric
        });
        let kind = if grows {
            MetricType::COUNTER
        } else {
            MetricType::GAUGE
        };
        self.family(name, help, kind, metrics.collect());
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, distribution: &Distribution) {
        let mut histogram = proto::Histogram::default();
        let mut cumulative = 0;
        let mut buckets = Vec::new();
        for (bound, count) in BOUNDS_US.iter().zip(distribution.counts) {
            cumulative += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound as f64 / 1e6);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        histogram.set_bucket(buckets);
        // Also what the encoder writes for +Inf.
        histogram.set_sample_count(distribution.counts.iter().sum());
        histogram.set_sample_sum(distribution.sum_us as f64 / 1e6);
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        self.family(name, help, MetricType::HISTOGRAM, vec![metric]);
    }

    /// A family without metrics is left out: the encoder refuses it.
    fn family(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        // Fails for a family without a name, and memory takes every byte.
        let encoded = TextEncoder::new().encode_utf8(&[family], &mut self.0);
        debug_assert!(encoded.is_ok(), "{encoded:?}");
    }
}

fn label_pairs(labels: Labels<'_>) -> Vec<LabelPair> {
    let pair = |(name, value): (&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    labels.into_iter().map(pair).collect()
}

/// One series, without labels.
pub(super) fn one<T>(value: T) -> [(Labels<'static>, T); 1] {
    [(vec![], value)]
}
