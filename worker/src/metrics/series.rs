//! Metrics of the catalogue as values that can be counted.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric as Registered, Registry};

use super::catalogue::{Kind, Metric};

pub(super) type Labels = Vec<(&'static str, String)>;

/// From what is a matter of a request to what is one of a large image or a long clone.
const SECONDS: [f64; 14] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0];

/// A metric with one value for each set of labels.
#[derive(Debug)]
pub(super) struct Series<M: 'static> {
    metric: &'static Metric,
    family: Family<Labels, M>,
}

impl<M: Clone + Registered + EncodeMetric + TypedMetric> Series<M> {
    fn new(metric: &'static Metric, value: fn() -> M) -> Self {
        Self { metric, family: Family::new_with_constructor(value) }
    }

    /// The value of these labels, which are in the order of the catalogue.
    pub(super) fn of<const N: usize>(&self, values: [&str; N]) -> M {
        self.family.get_or_create_owned(&labels(self.metric, values))
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(self.metric.stem(), self.metric.help, self.family.clone());
    }
}

pub(super) fn counters(metric: &'static Metric) -> Series<Counter> {
    Series::new(metric, Counter::default)
}

pub(super) fn histograms(metric: &'static Metric) -> Series<Histogram> {
    Series::new(metric, || Histogram::new(SECONDS))
}

pub(super) fn labels<const N: usize>(metric: &Metric, values: [&str; N]) -> Labels {
    debug_assert_eq!(metric.labels.len(), N, "{}", metric.name);
    metric.labels.iter().copied().zip(values.map(str::to_owned)).collect()
}

/// Writes a metric whose values are looked up at this moment.
pub(super) fn write(
    encoder: &mut DescriptorEncoder<'_>,
    metric: &Metric,
    samples: impl IntoIterator<Item = (Labels, f64)>,
) -> fmt::Result {
    let help = format!("{}.", metric.help);
    let mut family = encoder.encode_descriptor(metric.stem(), &help, None, metric.kind.into())?;
    for (labels, value) in samples {
        let sample = family.encode_family(&labels)?;
        match metric.kind {
            Kind::Counter => ConstCounter::new(value).encode(sample)?,
            Kind::Gauge | Kind::Histogram => ConstGauge::new(value).encode(sample)?,
        }
    }
    Ok(())
}
