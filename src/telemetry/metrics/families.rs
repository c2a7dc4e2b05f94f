//! Families of series in Prometheus' text exposition 0.0.4, one after the other, as they are told.
//!
//! Of our own: the `prometheus` crate wants an object with texts of its own for each label of each
//! series, which with 1,000 routes is most of what a scrape costs. Its encoder is what the test
//! holds this one to.

use crate::meter::{BOUNDS_US, Distribution};
use std::fmt::{Display, Write};

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
        self.family(name, help, "counter", values);
    }

    pub(super) fn gauge<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        self.family(name, help, "gauge", values);
    }

    pub(super) fn add(&mut self, name: &str, help: &str, grows: bool, value: f64) {
        let kind = if grows { "counter" } else { "gauge" };
        self.family(name, help, kind, one(value));
    }

    /// A family without series is left out.
    fn family<'a, N: Display>(
        &mut self,
        name: &str,
        help: &str,
        kind: &str,
        values: impl IntoIterator<Item = (Labels<'a>, N)>,
    ) {
        let values = values.into_iter().map(|(labels, value)| {
            let mut text = String::new();
            labels
                .iter()
                .for_each(|(label, value)| pair(&mut text, label, value));
            (text, value)
        });
        self.prepared(name, help, kind, values);
    }

    /// The same with labels as [`pair`] writes them.
    pub(super) fn prepared<L: AsRef<str>, N: Display>(
        &mut self,
        name: &str,
        help: &str,
        kind: &str,
        values: impl IntoIterator<Item = (L, N)>,
    ) {
        let mut first = true;
        for (labels, value) in values {
            if std::mem::take(&mut first) {
                self.head(name, help, kind);
            }
            let (text, labels) = (&mut self.0, labels.as_ref());
            text.push_str(name);
            if !labels.is_empty() {
                text.push('{');
                text.push_str(labels);
                text.push('}');
            }
            // Writing to a String does not fail, here and below.
            let _ = writeln!(text, " {value}");
        }
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, distribution: &Distribution) {
        self.head(name, help, "histogram");
        let text = &mut self.0;
        let mut cumulative = 0;
        for (bound, count) in BOUNDS_US.iter().zip(distribution.counts) {
            cumulative += count;
            let bound = *bound as f64 / 1e6;
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {cumulative}");
        }
        let all: u64 = distribution.counts.iter().sum();
        let sum = distribution.sum_us as f64 / 1e6;
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {all}");
        let _ = writeln!(text, "{name}_sum {sum}\n{name}_count {all}");
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        debug_assert!(!help.contains(['\\', '\n']), "{help}");
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }
}

/// Adds a label to a series' ones: `name="value"`.
pub(super) fn pair(labels: &mut String, name: &str, value: &str) {
    if !labels.is_empty() {
        labels.push(',');
    }
    labels.push_str(name);
    labels.push_str("=\"");
    for part in value.split_inclusive(['\\', '"', '\n']) {
        let escaped = match part.as_bytes().last() {
            Some(b'\\') => "\\\\",
            Some(b'"') => "\\\"",
            Some(b'\n') => "\\n",
            _ => {
                labels.push_str(part);
                continue;
            }
        };
        labels.push_str(&part[..part.len() - 1]);
        labels.push_str(escaped);
    }
    labels.push('"');
}

/// One series, without labels.
pub(super) fn one<T>(value: T) -> [(Labels<'static>, T); 1] {
    [(vec![], value)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::TextEncoder;
    use prometheus::proto::{self, LabelPair, Metric, MetricFamily, MetricType};

    fn by_the_crate(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> String {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        let mut text = String::new();
        TextEncoder::new()
            .encode_utf8(&[family], &mut text)
            .unwrap();
        text
    }

    fn labels(labels: &Labels<'_>) -> Vec<LabelPair> {
        let pair = |(name, value): &(&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        labels.iter().map(pair).collect()
    }

    #[test]
    fn the_text_is_that_of_the_prometheus_crate() {
        let series: Vec<(Labels<'_>, u64)> = vec![
            (vec![], 0),
            (vec![("route", "a.org")], 1),
            (
                vec![("party", ""), ("route", "*.\"q\" \\d\\ \n<b> ü \\")],
                9_007_199_254_740_991,
            ),
            (vec![("a", "\"\"\n\n\\\\"), ("b", "}"), ("c", ",")], 42),
        ];
        let metrics = |set: fn(&mut Metric, f64)| -> Vec<Metric> {
            let metric = |(names, value): &(Labels<'_>, u64)| {
                let mut metric = Metric::from_label(labels(names));
                set(&mut metric, *value as f64);
                metric
            };
            series.iter().map(metric).collect()
        };
        let mut ours = Families::default();
        ours.counter("c_total", "What it counts", series.clone());
        let theirs = metrics(|metric, value| {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        });
        assert_eq!(
            ours.0,
            by_the_crate("c_total", "What it counts", MetricType::COUNTER, theirs)
        );
        let mut ours = Families::default();
        let halves = series
            .iter()
            .map(|(labels, n)| (labels.clone(), *n as f64 / 8.0));
        ours.gauge("g", "What it is", halves);
        let theirs = metrics(|metric, value| {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value / 8.0);
            metric.set_gauge(gauge);
        });
        assert_eq!(
            ours.0,
            by_the_crate("g", "What it is", MetricType::GAUGE, theirs)
        );
    }

    #[test]
    fn a_histogram_is_that_of_the_prometheus_crate() {
        let mut distribution = Distribution::default();
        for (n, count) in (1..).zip(&mut distribution.counts) {
            *count = n;
        }
        distribution.sum_us = 1_234_567;
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
        histogram.set_sample_count(distribution.counts.iter().sum());
        histogram.set_sample_sum(distribution.sum_us as f64 / 1e6);
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        let theirs = by_the_crate("h_seconds", "How long", MetricType::HISTOGRAM, vec![metric]);
        let mut ours = Families::default();
        ours.histogram("h_seconds", "How long", &distribution);
        assert_eq!(ours.0, theirs);
    }

    #[test]
    fn a_family_without_series_is_left_out() {
        let mut families = Families::default();
        families.counter("c_total", "What it counts", []);
        assert_eq!(families.0, "");
    }

    #[test]
    fn the_type_of_the_page_is_that_of_the_crate() {
        assert_eq!(super::super::CONTENT_TYPE, prometheus::TEXT_FORMAT);
    }
}
