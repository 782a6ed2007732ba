//! The scheduler's metrics.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use posthaste_core::cron::MOST_COUNTED;
use posthaste_core::ids::CronId;
use posthaste_service::metrics::{Metric, Metrics, MetricsError, OTHER};
use posthaste_store::statistics::Due;
use posthaste_store::tick::{Fired, Firing, Outcome};
use prometheus::{Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec};

/// What a scheduler tells of itself. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct SchedulerMetrics {
    pub sessions_lost: IntCounter,
    last_success: GaugeVec,
    duration: HistogramVec,
    failures: IntCounterVec,
    lateness: Histogram,
    ticks: IntCounterVec,
    leader: Gauge,
    backlog: GaugeVec,
    oldest_due: Gauge,
    oldest_transaction: Gauge,
    /// Queues with a backlog of their own, at most.
    queues: usize,
}

impl SchedulerMetrics {
    pub(crate) fn new(metrics: &Metrics, queues: usize) -> Result<SchedulerMetrics, MetricsError> {
        Ok(SchedulerMetrics {
            leader: metrics.gauge(Metric::Leader)?,
            sessions_lost: metrics.counter(Metric::LockSessionsLost)?,
            last_success: metrics.gauges(Metric::DutyLastSuccess)?,
            duration: metrics.histograms(Metric::DutyDuration)?,
            failures: metrics.counters(Metric::DutyFailures)?,
            lateness: metrics.histogram(Metric::CronLateness)?,
            ticks: metrics.counters(Metric::CronTicks)?,
            backlog: metrics.gauges(Metric::Backlog)?,
            oldest_due: metrics.gauge(Metric::OldestDue)?,
            oldest_transaction: metrics.gauge(Metric::OldestTransaction)?,
            queues,
        })
    }

    /// This one leads from now on.
    pub(crate) fn lead(&self) {
        self.leader.set(1.0);
    }

    /// Another one does, or none: what this one knew of the database is over.
    pub(crate) fn follow(&self) {
        self.leader.set(0.0);
        self.looked(&[], Duration::ZERO);
    }

    /// This is due, the queues with most of it first, and so old is the oldest transaction.
    pub(crate) fn looked(&self, due: &[Due], oldest_transaction: Duration) {
        self.backlog.reset();
        let (named, others) = due.split_at(self.queues.min(due.len()));
        let set = |label: &str, messages: i64| {
            // Bounded far below 2^53.
            self.backlog.with_label_values(&[label]).set(f64::from(u32::try_from(messages).unwrap_or(u32::MAX)));
        };
        for queue in named {
            set(&queue.queue.to_string(), queue.messages);
        }
        set(OTHER, others.iter().map(|queue| queue.messages).sum());
        self.oldest_due.set(due.iter().map(|queue| queue.oldest).max().unwrap_or_default().as_secs_f64());
        self.oldest_transaction.set(oldest_transaction.as_secs_f64());
    }

    /// A duty of this name was done, or failed, after so long.
    pub(crate) fn did(&self, duty: &str, success: bool, took: Duration) {
        self.duration.with_label_values(&[duty]).observe(took.as_secs_f64());
        if success {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            self.last_success.with_label_values(&[duty]).set(now.as_secs_f64());
        } else {
            self.failures.with_label_values(&[duty]).inc();
        }
    }

    /// Of `planned`, this was stored, so long after each one's tick.
    pub(crate) fn fired(&self, planned: &[Firing], fired: &[Fired], late: impl Fn(&Firing) -> Duration) {
        let stored: HashSet<CronId> = fired.iter().map(|fired| fired.cron).collect();
        for firing in planned.iter().filter(|firing| stored.contains(&firing.cron.id)) {
            self.lateness.observe(late(firing).as_secs_f64());
            let missed = firing.step.skipped.map_or(0, |range| range.count.unwrap_or(MOST_COUNTED));
            self.ticks.with_label_values(&["missed"]).inc_by(missed.into());
        }
        for outcome in fired.iter().map(|fired| fired.outcome) {
            match outcome {
                Outcome::Stored { .. } => self.ticks.with_label_values(&["stored"]).inc(),
                Outcome::Overlapped => self.ticks.with_label_values(&["overlap"]).inc(),
                Outcome::StoredBefore { .. } | Outcome::Nothing => {}
            }
        }
    }
}
