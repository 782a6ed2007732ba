//! Where the metrics of a process are kept, and how they are written down.

use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder, exponential_buckets,
};

use super::{Kind, Metric};

/// The metrics of a process. Clones share them; each service makes its own, under its name.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    registry: Registry,
    service: &'static str,
}

/// A metric was made twice, or as what it is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the metric {name}: {problem}")]
pub struct MetricsError {
    name: &'static str,
    problem: String,
}

impl Metrics {
    /// The same, for a service to make its own; begins with which version it is.
    ///
    /// # Errors
    /// It has begun before.
    pub fn of(&self, service: &'static str) -> Result<Metrics, MetricsError> {
        let metrics = Metrics { service, ..self.clone() };
        metrics.gauges(Metric::BuildInfo)?.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        Ok(metrics)
    }

    /// A counter without labels.
    ///
    /// # Errors
    /// As for all: it was made before, or `metric` is no such thing.
    pub fn counter(&self, metric: Metric) -> Result<IntCounter, MetricsError> {
        self.add(metric, Kind::Counter, false, IntCounter::with_opts)
    }

    /// Counters by the metric's labels.
    ///
    /// # Errors
    /// As [`Metrics::counter`].
    pub fn counters(&self, metric: Metric) -> Result<IntCounterVec, MetricsError> {
        self.add(metric, Kind::Counter, true, |opts| IntCounterVec::new(opts, metric.labels()))
    }

    /// A gauge without labels.
    ///
    /// # Errors
    /// As [`Metrics::counter`].
    pub fn gauge(&self, metric: Metric) -> Result<Gauge, MetricsError> {
        self.add(metric, Kind::Gauge, false, Gauge::with_opts)
    }

    /// Gauges by the metric's labels.
    ///
    /// # Errors
    /// As [`Metrics::counter`].
    pub fn gauges(&self, metric: Metric) -> Result<GaugeVec, MetricsError> {
        self.add(metric, Kind::Gauge, true, |opts| GaugeVec::new(opts, metric.labels()))
    }

    /// A histogram without labels.
    ///
    /// # Errors
    /// As [`Metrics::counter`].
    pub fn histogram(&self, metric: Metric) -> Result<Histogram, MetricsError> {
        self.add(metric, metric.kind(), false, |opts| Histogram::with_opts(with_buckets(opts, metric)?))
    }

    /// Histograms by the metric's labels.
    ///
    /// # Errors
    /// As [`Metrics::counter`].
    pub fn histograms(&self, metric: Metric) -> Result<HistogramVec, MetricsError> {
        self.add(metric, metric.kind(), true, |opts| HistogramVec::new(with_buckets(opts, metric)?, metric.labels()))
    }

    /// All metrics of the process in Prometheus' text format.
    ///
    /// # Errors
    /// One of them cannot be written.
    pub fn text(&self) -> Result<Vec<u8>, MetricsError> {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded.map_err(|error| MetricsError { name: "(all)", problem: error.to_string() })?;
        Ok(text)
    }

    fn add<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: Metric,
        kind: Kind,
        labelled: bool,
        make: impl FnOnce(Opts) -> prometheus::Result<C>,
    ) -> Result<C, MetricsError> {
        let fault = |problem: String| MetricsError { name: metric.name(), problem };
        if metric.kind() != kind || metric.labels().is_empty() == labelled {
            return Err(fault(format!("it is a {:?} with the labels {:?}", metric.kind(), metric.labels())));
        }
        if !metric.services().contains(&self.service) {
            return Err(fault(format!("it is no metric of {}", self.service)));
        }
        let opts = Opts::new(metric.name(), metric.help()).const_label("service", self.service);
        let made = make(opts).map_err(|error| fault(error.to_string()))?;
        self.registry.register(Box::new(made.clone())).map_err(|error| fault(error.to_string()))?;
        Ok(made)
    }
}

/// A millisecond to a bit over a minute for durations, 1 to 4,096 for counts; each bound twice the one before.
fn with_buckets(opts: Opts, metric: Metric) -> prometheus::Result<HistogramOpts> {
    let buckets = match metric.kind() {
        Kind::Durations => exponential_buckets(0.001, 2.0, 17)?,
        Kind::Sizes => exponential_buckets(1.0, 2.0, 13)?,
        Kind::Counter | Kind::Gauge => return Err(prometheus::Error::Msg("it is no histogram".to_owned())),
    };
    Ok(HistogramOpts::from(opts).buckets(buckets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_one_process_are_told_apart() {
        let process = Metrics::default();
        let (api, scheduler) = (process.of("api").unwrap(), process.of("scheduler").unwrap());
        api.histogram(Metric::PoolWait).unwrap().observe(0.003);
        process.of("deliverer").unwrap().counter(Metric::LockSessionsLost).unwrap().inc();
        scheduler.counter(Metric::LockSessionsLost).unwrap();
        scheduler.counters(Metric::DutyFailures).unwrap().with_label_values(&["ticks"]).inc();
        let text = String::from_utf8(api.text().unwrap()).unwrap();
        assert!(text.contains("# HELP posthaste_pool_wait_seconds Waits for a database connection\n"), "{text}");
        assert!(text.contains("posthaste_pool_wait_seconds_bucket{service=\"api\",le=\"0.004\"} 1\n"), "{text}");
        assert!(text.contains("posthaste_lock_sessions_lost_total{service=\"deliverer\"} 1\n"), "{text}");
        assert!(text.contains("posthaste_lock_sessions_lost_total{service=\"scheduler\"} 0\n"), "{text}");
        assert!(text.contains("posthaste_duty_failures_total{duty=\"ticks\",service=\"scheduler\"} 1\n"), "{text}");
    }

    #[test]
    fn a_metric_is_made_once_and_as_what_it_is() {
        let metrics = Metrics::default().of("scheduler").unwrap();
        assert!(metrics.of("scheduler").is_err());
        assert!(metrics.histogram(Metric::PoolWait).is_err(), "it is the API's");
        metrics.gauge(Metric::Leader).unwrap();
        assert!(metrics.gauge(Metric::Leader).is_err());
        assert!(metrics.counter(Metric::OldestDue).is_err());
        assert!(metrics.histogram(Metric::OldestDue).is_err());
        assert!(metrics.gauge(Metric::Backlog).is_err());
        assert!(metrics.gauges(Metric::OldestDue).is_err());
    }
}
