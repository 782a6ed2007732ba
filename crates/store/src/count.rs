//! Counts that cost the same at any size: what became of a queue's attempts, and what is still to be delivered.
//!
//! Each batch of outcomes adds a row per queue to `outcome_counts` ([`crate::outcome`]); [`fold`] moves them into
//! `queue_totals`. A total is the sum of both, in one snapshot, so it is exact at every moment: what has committed is
//! counted once. Totals outlive their queue, as its history does.

use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{BigInt, Nullable, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::QueueId;
use posthaste_core::time::Timestamp;

use crate::error::StoreError;
use crate::reading::from_postgres;
use crate::statement::statement;

/// Up to here [`backlog`] counts.
pub const MOST_COUNTED: i64 = 10_000;

/// How many attempts ended how, since ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub delivered: i64,
    /// Messages whose retries were over.
    pub failed: i64,
    /// Attempts that another one followed.
    pub retried: i64,
    pub cancelled: i64,
    pub expired: i64,
    /// Of those that failed or expired, how many were put into the dead letter queue.
    pub dead_lettered: i64,
}

type TotalsSql = (BigInt, BigInt, BigInt, BigInt, BigInt, BigInt);
type TotalsTuple = (i64, i64, i64, i64, i64, i64);

statement! {
    struct TotalsOfQueue { queue: i64 => BigInt }
    row TotalsSql
    "SELECT coalesce(sum(c.delivered), 0)::bigint, coalesce(sum(c.failed), 0)::bigint, coalesce(sum(c.retried), 0)::bigint,
            coalesce(sum(c.cancelled), 0)::bigint, coalesce(sum(c.expired), 0)::bigint,
            coalesce(sum(c.dead_lettered), 0)::bigint
       FROM (
            SELECT t.delivered, t.failed, t.retried, t.cancelled, t.expired, t.dead_lettered
              FROM posthaste.queue_totals t WHERE t.queue_id = {queue}
             UNION ALL
            SELECT c.delivered, c.failed, c.retried, c.cancelled, c.expired, c.dead_lettered
              FROM posthaste.outcome_counts c WHERE c.queue_id = {queue}
       ) AS c"
}

statement! {
    struct TotalsOfAll {}
    row TotalsSql
    "SELECT coalesce(sum(c.delivered), 0)::bigint, coalesce(sum(c.failed), 0)::bigint, coalesce(sum(c.retried), 0)::bigint,
            coalesce(sum(c.cancelled), 0)::bigint, coalesce(sum(c.expired), 0)::bigint,
            coalesce(sum(c.dead_lettered), 0)::bigint
       FROM (
            SELECT t.delivered, t.failed, t.retried, t.cancelled, t.expired, t.dead_lettered FROM posthaste.queue_totals t
             UNION ALL
            SELECT c.delivered, c.failed, c.retried, c.cancelled, c.expired, c.dead_lettered FROM posthaste.outcome_counts c
       ) AS c"
}

/// The totals of a queue, or of all that there ever were. Reads what was not yet folded, the batches of some seconds while
/// a scheduler leads.
///
/// # Errors
/// Any [`StoreError`].
pub async fn totals(conn: &mut AsyncPgConnection, queue: Option<QueueId>) -> Result<Totals, StoreError> {
    let (delivered, failed, retried, cancelled, expired, dead_lettered): TotalsTuple = match queue {
        Some(queue) => TotalsOfQueue { queue: queue.0 }.get_result(conn).await?,
        None => TotalsOfAll {}.get_result(conn).await?,
    };
    Ok(Totals { delivered, failed, retried, cancelled, expired, dead_lettered })
}

statement! {
    /// Whoever deletes a row counts it: of two that fold at once, each row has one that finds it.
    struct Fold { after: i64 => BigInt, limit: i64 => BigInt }
    row (BigInt, Nullable<BigInt>)
    "WITH gone AS MATERIALIZED (
        DELETE FROM posthaste.outcome_counts o
         WHERE o.id = ANY (ARRAY(
            SELECT c.id FROM posthaste.outcome_counts c WHERE c.id > {after} ORDER BY c.id LIMIT {limit}))
        RETURNING o.*
     ), folded AS (
        INSERT INTO posthaste.queue_totals AS t (queue_id, delivered, failed, retried, cancelled, expired, dead_lettered)
        SELECT g.queue_id, sum(g.delivered), sum(g.failed), sum(g.retried), sum(g.cancelled), sum(g.expired),
               sum(g.dead_lettered)
          FROM gone g GROUP BY g.queue_id ORDER BY g.queue_id
        ON CONFLICT (queue_id) DO UPDATE
           SET delivered = t.delivered + excluded.delivered, failed = t.failed + excluded.failed,
               retried = t.retried + excluded.retried, cancelled = t.cancelled + excluded.cancelled,
               expired = t.expired + excluded.expired, dead_lettered = t.dead_lettered + excluded.dead_lettered
     )
     SELECT count(*), max(g.id) FROM gone g"
}

/// What [`fold`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folded {
    pub rows: u64,
    /// The greatest id among them: where to go on.
    pub last: Option<i64>,
}

/// Moves the first `limit` rows beyond the id `after` into the totals, in one statement.
///
/// Rows do not become visible in the order of their ids, so one beyond which was gone on before may show up late: begin
/// anew, from `i64::MIN`, now and then.
///
/// # Errors
/// Any [`StoreError`]; after any, a lost connection too, calling again counts nothing twice.
pub async fn fold(conn: &mut AsyncPgConnection, after: i64, limit: u16) -> Result<Folded, StoreError> {
    let (rows, last): (i64, Option<i64>) = Fold { after, limit: i64::from(limit) }.get_result(conn).await?;
    Ok(Folded { rows: u64::try_from(rows).unwrap_or(0), last })
}

/// What is still to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that have not ended, at most [`MOST_COUNTED`].
    pub pending: i64,
    /// There are more than that.
    pub is_capped: bool,
    /// When the first of them is or was to be tried next; `None` without messages.
    pub oldest_due: Option<Timestamp>,
}

statement! {
    /// The order is that of the one index that begins with the queue, and `>= AND <=` keeps the planner from dropping the
    /// queue from it: by the primary key alone it could wade through all other queues' messages. The first due is one look
    /// per shard and priority that it has there.
    struct BacklogOfQueue { queue: i64 => BigInt, limit: i64 => BigInt }
    row (BigInt, Nullable<Timestamptz>)
    "SELECT (SELECT count(*) FROM (
                SELECT FROM posthaste.pending p WHERE p.queue_id >= {queue} AND p.queue_id <= {queue}
                 ORDER BY p.queue_id, p.message_id + 0 LIMIT {limit}) AS counted),
            (SELECT min(first.due_at)
               FROM generate_series(0, posthaste.shards() - 1) AS s
              CROSS JOIN LATERAL (
                WITH RECURSIVE band AS (
                    (SELECT p.priority, p.due_at FROM posthaste.pending p
                      WHERE (p.shard, p.queue_id) >= (s, {queue}) AND (p.shard, p.queue_id) <= (s, {queue})
                      ORDER BY p.shard, p.queue_id, p.priority, p.due_at, p.message_id + 0 LIMIT 1)
                    UNION ALL
                    SELECT n.priority, n.due_at
                      FROM band
                     CROSS JOIN LATERAL (
                        SELECT p.priority, p.due_at FROM posthaste.pending p
                         WHERE (p.shard, p.queue_id, p.priority) > (s, {queue}, band.priority)
                           AND (p.shard, p.queue_id) <= (s, {queue})
                         ORDER BY p.shard, p.queue_id, p.priority, p.due_at, p.message_id + 0 LIMIT 1
                      ) AS n
                )
                SELECT band.due_at FROM band) AS first)"
}

statement! {
    struct BacklogOfAll { limit: i64 => BigInt }
    row (BigInt, Nullable<Timestamptz>)
    "SELECT (SELECT count(*) FROM (SELECT FROM posthaste.pending p ORDER BY p.message_id LIMIT {limit}) AS counted),
            (SELECT p.due_at FROM posthaste.pending p ORDER BY p.due_at, p.message_id + 0 LIMIT 1)"
}

/// What is still to be delivered of a queue, or of all.
///
/// # Errors
/// Any [`StoreError`].
pub async fn backlog(conn: &mut AsyncPgConnection, queue: Option<QueueId>) -> Result<Backlog, StoreError> {
    let limit = MOST_COUNTED + 1;
    let (counted, oldest): (i64, Option<PgTimestamp>) = match queue {
        Some(queue) => BacklogOfQueue { queue: queue.0, limit }.get_result(conn).await?,
        None => BacklogOfAll { limit }.get_result(conn).await?,
    };
    Ok(Backlog {
        pending: counted.min(MOST_COUNTED),
        is_capped: counted > MOST_COUNTED,
        oldest_due: oldest.map(from_postgres),
    })
}
