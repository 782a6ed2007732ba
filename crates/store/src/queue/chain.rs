//! Where what a queue cannot deliver goes, and where that goes: queues that name queues.

use diesel::sql_types::{BigInt, Integer};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::QueueId;

use crate::error::StoreError;
use crate::statement::statement;

/// By which name a queue names another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    DeadLetters,
    Events,
}

/// Queues that are followed at most: a chain that is longer is too long, or a loop.
const MOST: i32 = 32;

statement! {
    struct DeadLetters { start: i64 => BigInt, most: i32 => Integer }
    row (BigInt, Integer)
    "WITH RECURSIVE chain AS (
        SELECT q.id, q.dead_letter_queue_id AS next, 1 AS place FROM posthaste.queues q WHERE q.id = {start}
         UNION ALL
        SELECT q.id, q.dead_letter_queue_id, c.place + 1
          FROM chain c JOIN posthaste.queues q ON q.id = c.next WHERE c.place < {most}
     )
     SELECT c.id, c.place FROM chain c ORDER BY c.place"
}

statement! {
    struct Events { start: i64 => BigInt, most: i32 => Integer }
    row (BigInt, Integer)
    "WITH RECURSIVE chain AS (
        SELECT q.id, q.event_queue_id AS next, 1 AS place FROM posthaste.queues q WHERE q.id = {start}
         UNION ALL
        SELECT q.id, q.event_queue_id, c.place + 1
          FROM chain c JOIN posthaste.queues q ON q.id = c.next WHERE c.place < {most}
     )
     SELECT c.id, c.place FROM chain c ORDER BY c.place"
}

/// A queue, the queue that it names, and so on, at most 32. Nothing: there is no such queue.
///
/// # Errors
/// As any statement.
pub async fn follow(conn: &mut AsyncPgConnection, link: Link, start: QueueId) -> Result<Vec<QueueId>, StoreError> {
    let rows: Vec<(i64, i32)> = match link {
        Link::DeadLetters => DeadLetters { start: start.0, most: MOST }.load(conn).await?,
        Link::Events => Events { start: start.0, most: MOST }.load(conn).await?,
    };
    Ok(rows.into_iter().map(|(id, _)| QueueId(id)).collect())
}
