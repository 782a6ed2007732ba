//! What a deliverer tells of itself: its metrics, and where its spans go. Threads share them: each figure is one for the process.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use posthaste_core::ids::QueueId;
use posthaste_core::transition::Verdict;
use posthaste_service::metrics::{Metric, Metrics, MetricsError, QueueLabels};
use posthaste_service::traces::Traces;
use posthaste_store::outcome::Outcome;
use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec};

/// What a deliverer tells of itself. Clones share it, but are many handles to copy: a thread makes one, and its deliveries share that.
#[derive(Debug, Clone)]
pub(crate) struct DelivererMetrics {
    pub traces: Traces,
    /// From when an attempt was due until it began.
    pub lateness: Histogram,
    pub end_to_end: Histogram,
    pub attempt_duration: Histogram,
    pub window_keys: Gauge,
    pub shards_owned: Gauge,
    pub handed_over: IntCounter,
    pub takeover: Histogram,
    pub sessions_lost: IntCounter,
    in_flight: Gauge,
    batch_size: Histogram,
    batch_duration: Histogram,
    delivered: IntCounterVec,
    retried: IntCounterVec,
    failed: IntCounterVec,
    dead_lettered: IntCounterVec,
    expired: IntCounterVec,
    cancelled: IntCounterVec,
    labels: QueueLabels,
}

impl DelivererMetrics {
    pub(crate) fn new(
        metrics: &Metrics,
        traces: Traces,
        labels: QueueLabels,
        shards: u16,
    ) -> Result<DelivererMetrics, MetricsError> {
        metrics.gauge(Metric::Shards)?.set(f64::from(shards));
        Ok(DelivererMetrics {
            traces,
            lateness: metrics.histogram(Metric::DeliveryLateness)?,
            end_to_end: metrics.histogram(Metric::EndToEnd)?,
            attempt_duration: metrics.histogram(Metric::AttemptDuration)?,
            window_keys: metrics.gauge(Metric::WindowKeys)?,
            shards_owned: metrics.gauge(Metric::ShardsOwned)?,
            handed_over: metrics.counter(Metric::ShardsHandedOver)?,
            takeover: metrics.histogram(Metric::TakeoverDuration)?,
            sessions_lost: metrics.counter(Metric::LockSessionsLost)?,
            in_flight: metrics.gauge(Metric::InFlight)?,
            batch_size: metrics.histogram(Metric::OutcomeBatchSize)?,
            batch_duration: metrics.histogram(Metric::OutcomeBatchDuration)?,
            delivered: metrics.counters(Metric::MessagesDelivered)?,
            retried: metrics.counters(Metric::AttemptsRetried)?,
            failed: metrics.counters(Metric::MessagesFailed)?,
            dead_lettered: metrics.counters(Metric::MessagesDeadLettered)?,
            expired: metrics.counters(Metric::MessagesExpired)?,
            cancelled: metrics.counters(Metric::MessagesCancelled)?,
            labels,
        })
    }

    /// Counts an attempt as under way until what it returns is dropped.
    pub(crate) fn in_flight(self: &Rc<Self>) -> InFlight {
        self.in_flight.inc();
        InFlight(Rc::clone(self))
    }

    /// A batch of so many outcomes was stored, in so long.
    pub(crate) fn stored(&self, outcomes: usize, took: Duration) {
        // Far below 2^53.
        self.batch_size.observe(f64::from(u32::try_from(outcomes).unwrap_or(u32::MAX)));
        self.batch_duration.observe(took.as_secs_f64());
    }
}

/// An attempt under way.
#[derive(Debug)]
pub(crate) struct InFlight(Rc<DelivererMetrics>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

/// One thread's part of a gauge that is the sum over all.
#[derive(Debug)]
pub(crate) struct Share {
    gauge: Gauge,
    part: f64,
}

impl Share {
    pub(crate) fn of(gauge: Gauge) -> Share {
        Share { gauge, part: 0.0 }
    }

    pub(crate) fn set(&mut self, part: usize) {
        let part = f64::from(u32::try_from(part).unwrap_or(u32::MAX));
        self.gauge.add(part - self.part);
        self.part = part;
    }
}

/// Counts stored outcomes by queue. Looking a counter up by its labels costs more than counting, so each thread remembers its own.
#[derive(Debug)]
pub(crate) struct Counting {
    metrics: Rc<DelivererMetrics>,
    queues: HashMap<QueueId, Counters>,
}

#[derive(Debug)]
struct Counters {
    delivered: IntCounter,
    retried: IntCounter,
    failed: IntCounter,
    dead_lettered: IntCounter,
    expired: IntCounter,
    cancelled: IntCounter,
}

/// Queues whose counters a thread remembers, at most.
const REMEMBERED: usize = 10_000;

impl Counting {
    pub(crate) fn new(metrics: Rc<DelivererMetrics>) -> Counting {
        Counting { metrics, queues: HashMap::new() }
    }

    /// A batch is written: since then.
    pub(crate) fn stored(&self, outcomes: usize, since: Instant) {
        self.metrics.stored(outcomes, since.elapsed());
    }

    /// An outcome counted.
    pub(crate) fn count(&mut self, outcome: &Outcome, dead_lettered: bool) {
        if self.queues.len() >= REMEMBERED {
            self.queues.clear();
        }
        let metrics = &self.metrics;
        let counters = self.queues.entry(outcome.queue).or_insert_with(|| {
            let label = metrics.labels.label(outcome.queue.0);
            let of = |counters: &IntCounterVec| counters.with_label_values(&[&label]);
            Counters {
                delivered: of(&metrics.delivered),
                retried: of(&metrics.retried),
                failed: of(&metrics.failed),
                dead_lettered: of(&metrics.dead_lettered),
                expired: of(&metrics.expired),
                cancelled: of(&metrics.cancelled),
            }
        });
        match outcome.verdict {
            Verdict::Delivered => counters.delivered.inc(),
            Verdict::Retried { .. } => counters.retried.inc(),
            Verdict::Failed => counters.failed.inc(),
            Verdict::Expired => counters.expired.inc(),
            Verdict::Cancelled => counters.cancelled.inc(),
        }
        if dead_lettered {
            counters.dead_lettered.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up() {
        let metrics = Metrics::default().of("deliverer").unwrap();
        let metrics = DelivererMetrics::new(&metrics, Traces::default(), QueueLabels::new(1), 64).unwrap();
        let metrics = Rc::new(metrics);
        let (mut one, mut other) = (Share::of(metrics.window_keys.clone()), Share::of(metrics.window_keys.clone()));
        one.set(5);
        other.set(7);
        one.set(2);
        assert!((metrics.window_keys.get() - 9.0).abs() < f64::EPSILON);

        let (first, second) = (metrics.in_flight(), metrics.in_flight());
        drop(first);
        assert!((metrics.in_flight.get() - 1.0).abs() < f64::EPSILON);
        drop(second);
        assert!(metrics.in_flight.get().abs() < f64::EPSILON);
    }
}
