//! Queues: create, read, change, delete.
//!
//! A queue is deleted before its messages are cancelled, never after: from that commit on no insert finds it, so the
//! number of messages left only falls. What slips in between (an insert that read the queue just before) or is missed
//! by [`cancel_messages`] needs no second pass: the deliverer drops a message whose queue is gone. Nothing here locks a
//! queue that is in use, so no insert ever waits.

mod chain;
mod changing;
mod listing;
pub(crate) mod policy;

use diesel::pg::data_types::PgTimestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, SmallInt, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use posthaste_core::entity::Entity;
use posthaste_core::ids::{QueueId, Shard};
use posthaste_core::time::Timestamp;
use serde_json::Value;

use crate::change::record_deletions;
use crate::error::StoreError;
use crate::reading::from_postgres;
use crate::schema::{crons, queues};
use crate::statement::statement;

pub use chain::{Link, follow};
pub use changing::{change, insert_all};
pub use listing::{count, find, of_dead_letter_queues};
use policy::PolicyRow;
pub use policy::{Policy, RateLimit};

/// Rows that one statement of [`cancel_messages`] changes at most.
const CANCEL_STEP: i64 = 10_000;

/// A queue as stored, as far as its owner may see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    pub id: QueueId,
    pub name: String,
    pub callback_url: String,
    pub method: String,
    /// A JSON object of header names to values.
    pub headers: Option<Value>,
    pub dead_letter_queue_id: Option<QueueId>,
    /// Where events about it are stored.
    pub event_queue_id: Option<QueueId>,
    /// Retries after the first attempt; `None` retries until the message is too old.
    pub max_retries: Option<i32>,
    pub policy: Policy,
    /// Since when nothing of it is delivered.
    pub paused_at: Option<Timestamp>,
    /// Why.
    pub paused_reason: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A queue to be created. The caller has validated every field.
#[derive(Debug, Clone, PartialEq)]
pub struct NewQueue {
    pub name: String,
    pub callback_url: String,
    pub method: String,
    pub headers: Option<Value>,
    pub dead_letter_queue_id: Option<QueueId>,
    /// Where events about it are stored.
    pub event_queue_id: Option<QueueId>,
    pub max_retries: Option<i32>,
    pub policy: Policy,
}

/// Whether queues are deleted together with what uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// Only queues without crons and pending messages.
    IfUnused,
    /// With their crons. Their pending messages are left to [`cancel_messages`].
    Force,
}

/// What came of deleting queues.
#[derive(Debug, Clone, PartialEq)]
pub enum Deleted {
    /// The rows as they were. Their history stays readable.
    Deleted(Vec<Queue>),
    /// Nothing changed: one of them has crons or pending messages.
    InUse,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = queues, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: i64,
    name: String,
    callback_url: String,
    method: String,
    headers: Option<Value>,
    dead_letter_queue_id: Option<i64>,
    event_queue_id: Option<i64>,
    max_retries: Option<i32>,
    paused_at: Option<PgTimestamp>,
    paused_reason: Option<String>,
    created_at: PgTimestamp,
    updated_at: PgTimestamp,
    #[diesel(embed)]
    policy: PolicyRow,
}

impl From<Row> for Queue {
    fn from(row: Row) -> Queue {
        Queue {
            id: QueueId(row.id),
            name: row.name,
            callback_url: row.callback_url,
            method: row.method,
            headers: row.headers,
            dead_letter_queue_id: row.dead_letter_queue_id.map(QueueId),
            event_queue_id: row.event_queue_id.map(QueueId),
            max_retries: row.max_retries,
            paused_at: row.paused_at.map(from_postgres),
            paused_reason: row.paused_reason,
            created_at: from_postgres(row.created_at),
            updated_at: from_postgres(row.updated_at),
            policy: row.policy.into(),
        }
    }
}

/// Reads a queue.
///
/// # Errors
/// As any statement.
pub async fn get(conn: &mut AsyncPgConnection, id: QueueId) -> Result<Option<Queue>, StoreError> {
    let row = queues::table.find(id.0).select(Row::as_select()).first(conn).await.optional()?;
    Ok(row.map(Queue::from))
}

/// Deletes queues, all or none. Ids that do not exist are passed over.
///
/// # Errors
/// As any transaction; then nothing has changed, or, where the connection was lost, everything may have.
pub async fn delete_all(
    conn: &mut AsyncPgConnection,
    ids: &[QueueId],
    deletion: Deletion,
) -> Result<Deleted, StoreError> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    conn.transaction(async |conn| {
        // From here a cron's insert waits for us: its foreign key asks for the row.
        let rows: Vec<Row> = queues::table
            .filter(queues::id.eq_any(&ids))
            .order(queues::id)
            .select(Row::as_select())
            .for_update()
            .load(conn)
            .await?;
        let with_crons = crons::table.filter(crons::queue_id.eq_any(&ids));
        match deletion {
            Deletion::IfUnused => {
                if diesel::select(diesel::dsl::exists(with_crons)).get_result(conn).await? {
                    return Ok(Deleted::InUse);
                }
                for row in &rows {
                    if !shards_with_messages(conn, QueueId(row.id)).await?.is_empty() {
                        return Ok(Deleted::InUse);
                    }
                }
            }
            Deletion::Force => {
                let gone = diesel::delete(with_crons).returning((crons::id, crons::queue_id)).get_results(conn).await?;
                record_deletions(conn, Entity::Cron, &gone).await?;
            }
        }
        diesel::delete(queues::table.filter(queues::id.eq_any(&ids))).execute(conn).await?;
        let gone: Vec<(i64, i64)> = rows.iter().map(|row| (row.id, row.id)).collect();
        record_deletions(conn, Entity::Queue, &gone).await?;
        Ok::<_, StoreError>(Deleted::Deleted(rows.into_iter().map(Queue::from).collect()))
    })
    .await
}

/// Cancels what is pending of a queue that has been deleted, in steps of a bounded size, each its own transaction.
/// Returns the shards whose owners have something to drop.
///
/// One pass, see the module's description for what it misses.
///
/// # Errors
/// As any statement; the steps before it stay done.
pub async fn cancel_messages(conn: &mut AsyncPgConnection, id: QueueId) -> Result<Vec<Shard>, StoreError> {
    let shards = shards_with_messages(conn, id).await?;
    for &shard in &shards {
        let mut after = (i16::MIN, PgTimestamp(i64::MIN), i64::MIN);
        loop {
            let (priority, due, message) = after;
            let step = CancelStep { shard, queue: id.0, priority, due, message, step: CANCEL_STEP };
            match step.get_result::<(i16, PgTimestamp, i64)>(conn).await.optional()? {
                Some(last) => after = last,
                None => break,
            }
        }
    }
    Ok(shards.into_iter().map(Shard).collect())
}

async fn shards_with_messages(conn: &mut AsyncPgConnection, id: QueueId) -> QueryResult<Vec<i32>> {
    let rows: Vec<(i32,)> = ShardsInUse { queue: id.0 }.load(conn).await?;
    Ok(rows.into_iter().map(|(shard,)| shard).collect())
}

statement! {
    /// The shards that hold messages of a queue, one index probe each. The order is that of the one index that is right, shard
    /// and queue included by `>= AND <=`, lest a planner that believes them to be many reads another for the first.
    struct ShardsInUse { queue: i64 => BigInt }
    row (Integer,)
    "SELECT s FROM generate_series(0, posthaste.shards() - 1) AS s
     CROSS JOIN LATERAL (
         SELECT FROM posthaste.pending p
         WHERE (p.shard, p.queue_id) >= (s, {queue}) AND (p.shard, p.queue_id) <= (s, {queue}) AND NOT p.cancelled
         ORDER BY p.shard, p.queue_id, p.priority, p.due_at, p.message_id + 0 LIMIT 1
     ) AS found"
}

statement! {
    /// Cancels the messages of the next step in reading order; returns the last key of the step, or nothing at the end.
    /// `message_id + 0`: so it stands in the index.
    struct CancelStep {
        shard: i32 => Integer,
        queue: i64 => BigInt,
        priority: i16 => SmallInt,
        due: PgTimestamp => Timestamptz,
        message: i64 => BigInt,
        step: i64 => BigInt,
    }
    row (SmallInt, Timestamptz, BigInt)
    "WITH step AS MATERIALIZED (
         SELECT p.message_id, p.priority, p.due_at FROM posthaste.pending p
         WHERE (p.shard, p.queue_id, p.priority, p.due_at, p.message_id + 0) > ({shard}, {queue}, {priority}, {due}, {message})
           AND (p.shard, p.queue_id) <= ({shard}, {queue})
         ORDER BY p.shard, p.queue_id, p.priority, p.due_at, p.message_id + 0 LIMIT {step}
     ), locked AS MATERIALIZED (
         SELECT p.message_id FROM posthaste.pending p JOIN step USING (message_id)
         WHERE NOT p.cancelled ORDER BY p.message_id FOR UPDATE OF p
     ), cancelled AS (
         UPDATE posthaste.pending p SET cancelled = true, xid = pg_current_xact_id()
         FROM locked WHERE p.message_id = locked.message_id
     )
     SELECT priority, due_at, message_id FROM step ORDER BY priority DESC, due_at DESC, message_id DESC LIMIT 1"
}
