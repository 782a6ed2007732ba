//! Where a queue's messages go, and how: what deliverers need of a queue, and remember for as long as its revision stands.
//!
//! `queues.revision` changes with every change of the queue, its secrets and its credentials, and no two states of any queue share
//! one. So who knows a revision knows the settings, and who reads them later than the revision reads newer ones at worst.

use std::collections::HashMap;
use std::time::Duration;

use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Double, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::backoff::Backoff;
use posthaste_core::final_status::FinalStatuses;
use posthaste_core::gate::flow::{Flow, QueueLimits};
use posthaste_core::gate::rate::Rate;
use posthaste_core::ids::QueueId;
use posthaste_core::time::Timestamp;
use serde_json::{Map, Value};

use crate::error::StoreError;
use crate::payload::{Timeouts, object, timeouts_of};
use crate::queue::policy::{RetrySql, RetryTuple, backoff};
use crate::queue_secret::SealedSecret;
use crate::reading::from_postgres;
use crate::statement::statement;
use crate::{queue_credentials, queue_secret};

/// The settings of a queue.
#[derive(Debug, Clone)]
pub struct Settings {
    pub queue: QueueId,
    pub revision: i64,
    pub name: String,
    pub callback_url: String,
    pub method: String,
    pub headers: Option<Map<String, Value>>,
    /// `None`: as the deployment says.
    pub backoff: Option<Backoff>,
    /// Retries after the first attempt; `None` retries until the maximum age.
    pub max_retries: Option<u32>,
    pub max_age: Duration,
    pub final_statuses: FinalStatuses,
    /// `None`: as the deployment says.
    pub timeouts: Timeouts,
    pub limits: QueueLimits,
    /// Nothing of it starts before: its messages are being gathered in one shard, and what is still being sent from others is not
    /// known yet.
    pub not_before: Option<Timestamp>,
    /// Up to when its rate counts as used.
    pub used_until: Option<Timestamp>,
    /// What its requests are signed with.
    pub secrets: Vec<SealedSecret>,
    /// What it shows its receiver; sealed.
    pub credentials: Option<Vec<u8>>,
}

statement! {
    struct Targets { ids: Vec<i64> => Array<BigInt> }
    row (
        (BigInt, BigInt, Text, Text, Text, Nullable<Jsonb>),
        RetrySql,
        (Nullable<Integer>, BigInt, Nullable<Array<Text>>),
        (Nullable<Integer>, Nullable<Integer>),
        (Nullable<Integer>, Nullable<Double>, Nullable<Integer>, Nullable<Timestamptz>, Nullable<Timestamptz>),
    )
    "SELECT q.id, q.revision, q.name, q.callback_url, q.method, q.headers,
            q.retry_kind, q.retry_initial_ms, q.retry_multiplier, q.retry_max_ms, q.retry_schedule_ms, q.retry_jitter,
            q.max_retries, q.max_age_seconds, q.final_statuses, q.connect_timeout_ms, q.timeout_ms,
            q.max_concurrency, q.rate_per_second, q.rate_burst, q.gathered_at, r.until
       FROM unnest({ids}) AS i(id)
      CROSS JOIN LATERAL (SELECT q.* FROM posthaste.queues q WHERE q.id = i.id OFFSET 0) AS q
       LEFT JOIN LATERAL (
            SELECT r.until FROM posthaste.rate_reservations r WHERE r.queue_id = i.id OFFSET 0
       ) AS r ON true"
}

/// Reads the settings of queues. A queue that is missing from the answer was deleted.
///
/// # Errors
/// Any [`StoreError`].
pub async fn settings(conn: &mut AsyncPgConnection, queues: &[QueueId]) -> Result<Vec<Settings>, StoreError> {
    type Row = (
        (i64, i64, String, String, String, Option<Value>),
        RetryTuple,
        (Option<i32>, i64, Option<Vec<String>>),
        (Option<i32>, Option<i32>),
        (Option<i32>, Option<f64>, Option<i32>, Option<PgTimestamp>, Option<PgTimestamp>),
    );
    let rows: Vec<Row> = Targets { ids: queues.iter().map(|id| id.0).collect() }.load(conn).await?;
    // After the revisions, so that they are of these or of later ones.
    let mut secrets: HashMap<QueueId, Vec<SealedSecret>> = HashMap::new();
    for secret in queue_secret::sealed(conn, queues).await? {
        secrets.entry(secret.queue).or_default().push(secret);
    }
    let mut credentials: HashMap<QueueId, Vec<u8>> =
        queue_credentials::sealed(conn, queues).await?.into_iter().collect();
    Ok(rows
        .into_iter()
        .map(
            |(
                (id, revision, name, callback_url, method, headers),
                retry,
                (max_retries, max_age, finals),
                timeouts,
                flow,
            )| {
                let (max_concurrency, rate, burst, gathered_at, used_until) = flow;
                Settings {
                    queue: QueueId(id),
                    revision,
                    name,
                    callback_url,
                    method,
                    headers: headers.and_then(object),
                    backoff: backoff(retry),
                    max_retries: max_retries.map(|retries| u32::try_from(retries).unwrap_or(0)),
                    max_age: Duration::from_secs(u64::try_from(max_age).unwrap_or(0)),
                    // What somebody has stored past the API's checks makes nothing final.
                    final_statuses: FinalStatuses::parse(&finals.unwrap_or_default()).unwrap_or_default(),
                    timeouts: timeouts_of(timeouts),
                    limits: limits_of(max_concurrency, rate, burst),
                    not_before: gathered_at.map(|at| from_postgres(at).saturating_add(Flow::GATHERING)),
                    used_until: used_until.map(from_postgres),
                    secrets: secrets.remove(&QueueId(id)).unwrap_or_default(),
                    credentials: credentials.remove(&QueueId(id)),
                }
            },
        )
        .collect())
}

/// From columns.
pub(crate) fn limits_of(max_concurrency: Option<i32>, per_second: Option<f64>, burst: Option<i32>) -> QueueLimits {
    QueueLimits {
        max_concurrency: max_concurrency.and_then(|most| usize::try_from(most).ok()),
        rate: per_second.map(|rate| Rate::new(rate, burst.and_then(|burst| u32::try_from(burst).ok()).unwrap_or(1))),
    }
}
