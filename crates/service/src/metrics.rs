//! Which metrics there are: names, meanings, labels. What services keep them in is [`registry`].
//!
//! Promise: what a service exposes at `/metrics` is among these, and the README lists each of them; a test compares the two. Names
//! follow Prometheus: base units, `_total` for what only grows. Durations are seconds.
//!
//! Every series also has the label `service` (`api`, `scheduler` or `deliverer`), as all of them may run in one process.

mod queues;
mod registry;
mod serving;

pub use queues::{OTHER, QueueLabels, most_queues};
pub use registry::{Metrics, MetricsError};
pub use serving::{answer, serve_metrics};

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts what was observed, by size; of durations in seconds.
    Durations,
    /// The same of counts.
    Sizes,
}

/// Declares the metrics; the doc line of each is also its help text.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $metric:ident: $kind:ident $name:literal [$($label:literal),*]
        of [$($service:literal),+],)+) => {
        /// A metric.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Metric {
            $($(#[doc = $help])+ $metric,)+
        }

        impl Metric {
            /// All there are.
            pub const ALL: &[Metric] = &[$(Metric::$metric),+];

            /// What it is called.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Metric::$metric => concat!("posthaste_", $name),)+ }
            }

            /// What it means, in one line.
            #[must_use]
            pub fn help(self) -> &'static str {
                match self { $(Metric::$metric => concat!($($help),+).trim(),)+ }
            }

            /// How it behaves.
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self { $(Metric::$metric => Kind::$kind,)+ }
            }

            /// Which services have it.
            #[must_use]
            pub const fn services(self) -> &'static [&'static str] {
                match self { $(Metric::$metric => &[$($service),+],)+ }
            }

            /// By what its series are told apart, besides `service`.
            #[must_use]
            pub const fn labels(self) -> &'static [&'static str] {
                match self { $(Metric::$metric => &[$($label),*],)+ }
            }
        }
    };
}

metrics! {
    /// 1; the label says which version runs
    BuildInfo: Gauge "build_info" ["version"] of ["api", "scheduler", "deliverer"],
    /// Messages stored and answered for: by POST, in batches, to topics; not by SQL
    MessagesAccepted: Counter "messages_accepted_total" ["queue"] of ["api"],
    /// HTTP requests answered, by method and class of the status such as 2xx
    Requests: Counter "http_requests_total" ["method", "status"] of ["api"],
    /// From the head of a request until the head of its answer
    RequestDuration: Durations "http_request_duration_seconds" ["method"] of ["api"],
    /// Waits for a database connection
    PoolWait: Durations "pool_wait_seconds" [] of ["api"],

    /// Messages delivered: the receiver answered 2xx, and that is stored
    MessagesDelivered: Counter "messages_delivered_total" ["queue"] of ["deliverer"],
    /// Attempts that failed and are followed by another
    AttemptsRetried: Counter "attempts_retried_total" ["queue"] of ["deliverer"],
    /// Messages whose last attempt failed
    MessagesFailed: Counter "messages_failed_total" ["queue"] of ["deliverer"],
    /// Failed messages that went on to a dead letter queue
    MessagesDeadLettered: Counter "messages_dead_lettered_total" ["queue"] of ["deliverer"],
    /// Messages that were not delivered in their lifetime
    MessagesExpired: Counter "messages_expired_total" ["queue"] of ["deliverer"],
    /// Messages that were cancelled before they were delivered
    MessagesCancelled: Counter "messages_cancelled_total" ["queue"] of ["deliverer"],
    /// From when an attempt was due until it began; never negative
    DeliveryLateness: Durations "delivery_lateness_seconds" [] of ["deliverer"],
    /// From when a message was to be delivered first until it was, retries included
    EndToEnd: Durations "end_to_end_seconds" [] of ["deliverer"],
    /// From the beginning of an attempt until its answer was read, or until it failed
    AttemptDuration: Durations "attempt_duration_seconds" [] of ["deliverer"],
    /// Attempts under way
    InFlight: Gauge "attempts_in_flight" [] of ["deliverer"],
    /// Keys of messages held in memory, to be delivered next
    WindowKeys: Gauge "window_keys" [] of ["deliverer"],
    /// Shards that there are; all should be owned
    Shards: Gauge "shards" [] of ["deliverer"],
    /// Shards that this process owns
    ShardsOwned: Gauge "shards_owned" [] of ["deliverer"],
    /// Shards that this process gave to another in order
    ShardsHandedOver: Counter "shards_handed_over_total" [] of ["deliverer"],
    /// From taking a shard's lock until its messages can be delivered
    TakeoverDuration: Durations "takeover_seconds" [] of ["deliverer"],
    /// Outcomes stored by one statement
    OutcomeBatchSize: Sizes "outcome_batch_size" [] of ["deliverer"],
    /// How long one such statement took
    OutcomeBatchDuration: Durations "outcome_batch_seconds" [] of ["deliverer"],
    /// Lock sessions that ended though nobody asked for it: all locks of the process were lost
    LockSessionsLost: Counter "lock_sessions_lost_total" [] of ["scheduler", "deliverer"],

    /// 1 while this scheduler leads, else 0
    Leader: Gauge "leader" [] of ["scheduler"],
    /// When a duty of the leader was last done, in seconds since 1970; compare the maximum over all schedulers
    DutyLastSuccess: Gauge "duty_last_success_timestamp_seconds" ["duty"] of ["scheduler"],
    /// How long a duty took, whether it was done or failed
    DutyDuration: Durations "duty_duration_seconds" ["duty"] of ["scheduler"],
    /// How often a duty failed
    DutyFailures: Counter "duty_failures_total" ["duty"] of ["scheduler"],
    /// From when a cron's tick came until what follows it was stored; the tick's own message is stored before it comes
    CronLateness: Durations "cron_lateness_seconds" [] of ["scheduler"],
    /// What became of the ticks of crons: stored, overlap or missed
    CronTicks: Counter "cron_ticks_total" ["outcome"] of ["scheduler"],
    /// Messages that are due and not delivered, paused queues left out; counted by the leader up to 100000 over all queues
    Backlog: Gauge "backlog_messages" ["queue"] of ["scheduler"],
    /// For how long the oldest of them has been due
    OldestDue: Gauge "backlog_oldest_due_seconds" [] of ["scheduler"],
    /// For how long the oldest transaction of the database has been open, which keeps dead rows
    OldestTransaction: Gauge "oldest_transaction_age_seconds" [] of ["scheduler"],
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let mut names = HashSet::new();
        for metric in Metric::ALL {
            let name = metric.name();
            assert!(names.insert(name), "{name} twice");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            assert_eq!(metric.kind() == Kind::Counter, name.ends_with("_total"), "{name}");
            assert!(metric.kind() != Kind::Durations || name.ends_with("_seconds"), "{name}");
            assert!(!metric.help().is_empty() && !metric.help().ends_with('.'), "{name}");
        }
    }
}
