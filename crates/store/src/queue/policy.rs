//! How the messages of a queue are delivered, as it is stored.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Double, Nullable, Text};
use posthaste_core::backoff::{Backoff, Shape};

use crate::schema::queues;

/// How the messages of a queue are delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The waits between attempts; `None`: as the deployment says.
    pub backoff: Option<Backoff>,
    /// So long after it was due a message is not tried again.
    pub max_age_seconds: i64,
    /// Statuses without a retry, as [`FinalStatuses`](posthaste_core::final_status::FinalStatuses) reads them.
    pub final_statuses: Option<Vec<String>>,
    /// `None`: as the deployment says.
    pub connect_timeout_ms: Option<i32>,
    /// `None`: as the deployment says.
    pub timeout_ms: Option<i32>,
    /// Whether messages that expire go to the dead letter queue, too.
    pub dead_letter_expired: bool,
    /// Requests at once; at least 1.
    pub max_concurrency: Option<i32>,
    pub rate_limit: Option<RateLimit>,
    /// With so many messages pending the API takes no more; at least 1.
    pub max_backlog: Option<i32>,
}

/// How many requests may start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// Within the bounds of [`posthaste_core::gate::rate`].
    pub per_second: f64,
    /// At once; at least 1.
    pub burst: i32,
}

impl Policy {
    /// Whether one owner must see all of the queue's messages.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.max_concurrency.is_some() || self.rate_limit.is_some()
    }
}

impl Default for Policy {
    /// As the columns' defaults are.
    fn default() -> Policy {
        Policy {
            backoff: None,
            max_age_seconds: 604_800,
            final_statuses: None,
            connect_timeout_ms: None,
            timeout_ms: None,
            dead_letter_expired: true,
            max_concurrency: None,
            rate_limit: None,
            max_backlog: None,
        }
    }
}

/// The columns of a [`Backoff`]: kind, initial, multiplier, max, schedule, jitter.
pub(crate) type RetrySql = (Nullable<Text>, BigInt, Double, BigInt, Nullable<Array<BigInt>>, Double);
/// The same in Rust.
pub(crate) type RetryTuple = (Option<String>, i64, f64, i64, Option<Vec<i64>>, f64);

/// The waits that the columns describe; `None` where they are the deployment's.
pub(crate) fn backoff((kind, initial, multiplier, max, schedule, jitter): RetryTuple) -> Option<Backoff> {
    let millis = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let shape = match kind?.as_str() {
        "exponential" => Shape::Exponential { initial: millis(initial), multiplier, max: millis(max) },
        "linear" => Shape::Linear { step: millis(initial), max: millis(max) },
        "fixed" => Shape::Fixed { wait: millis(initial) },
        "schedule" => Shape::Schedule { waits: schedule.unwrap_or_default().into_iter().map(millis).collect() },
        // One that a later version has added.
        _ => return None,
    };
    Some(Backoff { shape, jitter })
}

/// The columns that describe these waits; those that their kind does not need have their defaults.
pub(crate) fn columns(backoff: Option<&Backoff>) -> RetryTuple {
    let millis = |wait: Duration| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    let (initial, multiplier, max) = (100, 2.0, 86_400_000);
    let Some(Backoff { shape, jitter }) = backoff else { return (None, initial, multiplier, max, None, 0.0) };
    let jitter = *jitter;
    match shape {
        Shape::Exponential { initial, multiplier, max } => {
            (Some("exponential".to_owned()), millis(*initial), *multiplier, millis(*max), None, jitter)
        }
        Shape::Linear { step, max } => {
            (Some("linear".to_owned()), millis(*step), multiplier, millis(*max), None, jitter)
        }
        Shape::Fixed { wait } => (Some("fixed".to_owned()), millis(*wait), multiplier, max, None, jitter),
        Shape::Schedule { waits } => {
            let waits = waits.iter().copied().map(millis).collect();
            (Some("schedule".to_owned()), initial, multiplier, max, Some(waits), jitter)
        }
    }
}

/// The columns of a [`Policy`], as queues are read and written.
#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = queues, check_for_backend(diesel::pg::Pg), treat_none_as_null = true, treat_none_as_default_value = false)]
pub(super) struct PolicyRow {
    retry_kind: Option<String>,
    retry_initial_ms: i64,
    retry_multiplier: f64,
    retry_max_ms: i64,
    retry_schedule_ms: Option<Vec<i64>>,
    retry_jitter: f64,
    max_age_seconds: i64,
    final_statuses: Option<Vec<String>>,
    connect_timeout_ms: Option<i32>,
    timeout_ms: Option<i32>,
    dead_letter_expired: bool,
    max_concurrency: Option<i32>,
    rate_per_second: Option<f64>,
    rate_burst: Option<i32>,
    max_backlog: Option<i32>,
}

impl From<PolicyRow> for Policy {
    fn from(row: PolicyRow) -> Policy {
        Policy {
            backoff: backoff((
                row.retry_kind,
                row.retry_initial_ms,
                row.retry_multiplier,
                row.retry_max_ms,
                row.retry_schedule_ms,
                row.retry_jitter,
            )),
            max_age_seconds: row.max_age_seconds,
            final_statuses: row.final_statuses,
            connect_timeout_ms: row.connect_timeout_ms,
            timeout_ms: row.timeout_ms,
            dead_letter_expired: row.dead_letter_expired,
            max_concurrency: row.max_concurrency,
            rate_limit: row
                .rate_per_second
                .map(|per_second| RateLimit { per_second, burst: row.rate_burst.unwrap_or(1) }),
            max_backlog: row.max_backlog,
        }
    }
}

impl From<&Policy> for PolicyRow {
    fn from(policy: &Policy) -> PolicyRow {
        let (retry_kind, retry_initial_ms, retry_multiplier, retry_max_ms, retry_schedule_ms, retry_jitter) =
            columns(policy.backoff.as_ref());
        PolicyRow {
            retry_kind,
            retry_initial_ms,
            retry_multiplier,
            retry_max_ms,
            retry_schedule_ms,
            retry_jitter,
            max_age_seconds: policy.max_age_seconds,
            final_statuses: policy.final_statuses.clone(),
            connect_timeout_ms: policy.connect_timeout_ms,
            timeout_ms: policy.timeout_ms,
            dead_letter_expired: policy.dead_letter_expired,
            max_concurrency: policy.max_concurrency,
            rate_per_second: policy.rate_limit.map(|rate| rate.per_second),
            rate_burst: policy.rate_limit.map(|rate| rate.burst),
            max_backlog: policy.max_backlog,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_stored_and_read_again() {
        let second = Duration::from_secs(1);
        let shapes = [
            Shape::Exponential { initial: second, multiplier: 1.5, max: second * 60 },
            Shape::Linear { step: second, max: second * 9 },
            Shape::Fixed { wait: second },
            Shape::Schedule { waits: vec![second, second * 2] },
        ];
        for shape in shapes {
            let stored = Backoff { shape, jitter: 0.25 };
            assert_eq!(backoff(columns(Some(&stored))), Some(stored));
        }
        assert_eq!(backoff(columns(None)), None);
        assert_eq!(backoff((Some("cubic".to_owned()), 1, 1.0, 1, None, 0.0)), None);
    }
}
