//! Whether a queue, or all together, has as many pending messages as it may have.

use diesel::OptionalExtension;
use diesel::sql_types::{BigInt, Integer, Nullable};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::QueueId;

use crate::error::StoreError;
use crate::statement::statement;

statement! {
    struct Limit { queue: i64 => BigInt }
    row (Nullable<Integer>,)
    "SELECT q.max_backlog FROM posthaste.queues q WHERE q.id = {queue}"
}

/// How many messages of a queue may be pending; `None`: any number, or there is no such queue.
///
/// # Errors
/// As any statement.
pub async fn limit(conn: &mut AsyncPgConnection, queue: QueueId) -> Result<Option<i64>, StoreError> {
    let row: Option<(Option<i32>,)> = Limit { queue: queue.0 }.get_result(conn).await.optional()?;
    Ok(row.and_then(|(limit,)| limit).map(i64::from))
}

statement! {
    /// In the order of the one index that begins with the queue, see [`crate::count`].
    struct OfQueue { queue: i64 => BigInt, limit: i64 => BigInt }
    row (BigInt,)
    "SELECT count(*) FROM (
        SELECT FROM posthaste.pending p WHERE p.queue_id >= {queue} AND p.queue_id <= {queue}
         ORDER BY p.queue_id, p.message_id + 0 LIMIT {limit}) AS counted"
}

statement! {
    struct OfAll { limit: i64 => BigInt }
    row (BigInt,)
    "SELECT count(*) FROM (SELECT FROM posthaste.pending p ORDER BY p.message_id LIMIT {limit}) AS counted"
}

/// Whether so many messages are pending, of a queue or of all.
///
/// # Errors
/// As any statement.
pub async fn reaches(conn: &mut AsyncPgConnection, queue: Option<QueueId>, limit: i64) -> Result<bool, StoreError> {
    let (counted,): (i64,) = match queue {
        Some(queue) => OfQueue { queue: queue.0, limit }.get_result(conn).await?,
        None => OfAll { limit }.get_result(conn).await?,
    };
    Ok(counted >= limit)
}
