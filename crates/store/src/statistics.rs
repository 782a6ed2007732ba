//! What an operator watches and only the database knows: what is late, and what keeps dead rows.

use std::time::Duration;

use diesel::sql_types::{BigInt, Double, Nullable};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::QueueId;

use crate::error::StoreError;
use crate::statement::statement;

/// Up to so many messages are counted, those first that have been due for longest. Reading them takes some 30 ms.
pub const MOST_COUNTED: i64 = 100_000;

/// What is due and not delivered, of a queue that is not paused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Due {
    pub queue: QueueId,
    /// Of the [`MOST_COUNTED`] of all queues that have been due for longest.
    pub messages: i64,
    /// For how long the first of them has been due.
    pub oldest: Duration,
}

statement! {
    struct AllDue { limit: i64 => BigInt }
    row (BigInt, BigInt, Double)
    "WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
     SELECT d.queue_id, count(*), extract(epoch FROM (SELECT now FROM clock) - min(d.due_at))::double precision
       FROM (
            SELECT p.queue_id, p.due_at FROM posthaste.pending p
             WHERE p.due_at <= (SELECT now FROM clock) AND NOT p.cancelled
               AND p.queue_id <> ALL (ARRAY(SELECT q.id FROM posthaste.queues q WHERE q.paused_at IS NOT NULL))
             ORDER BY p.due_at, p.message_id + 0 LIMIT {limit}
       ) AS d
      GROUP BY d.queue_id
      ORDER BY count(*) DESC, d.queue_id"
}

/// What is due and not delivered, the queues with most of it first.
///
/// # Errors
/// Any [`StoreError`].
pub async fn due(conn: &mut AsyncPgConnection) -> Result<Vec<Due>, StoreError> {
    let rows: Vec<(i64, i64, f64)> = AllDue { limit: MOST_COUNTED }.load(conn).await?;
    let due = |(queue, messages, oldest): (i64, i64, f64)| Due {
        queue: QueueId(queue),
        messages,
        oldest: Duration::try_from_secs_f64(oldest.max(0.0)).unwrap_or(Duration::MAX),
    };
    Ok(rows.into_iter().map(due).collect())
}

statement! {
    /// Only those of this database hold back what may be cleaned up in it. Of other roles' sessions one sees when their
    /// transactions began only with the privileges of pg_read_all_stats.
    struct OldestTransaction {}
    row (Nullable<Double>,)
    "SELECT extract(epoch FROM clock_timestamp() - least(
                (SELECT min(a.xact_start) FROM pg_stat_activity a
                  WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()),
                (SELECT min(x.prepared) FROM pg_prepared_xacts x WHERE x.database = current_database())))::double precision"
}

/// For how long the oldest open transaction of the database has been open; zero where there is none.
///
/// # Errors
/// Any [`StoreError`].
pub async fn oldest_transaction(conn: &mut AsyncPgConnection) -> Result<Duration, StoreError> {
    let (seconds,): (Option<f64>,) = OldestTransaction {}.get_result(conn).await?;
    Ok(Duration::try_from_secs_f64(seconds.unwrap_or(0.0).max(0.0)).unwrap_or(Duration::MAX))
}
