//! Crons: create, read, change, delete. Firing them is `tick`'s.
//!
//! A cron is stored together with the message of its first tick, in one statement: there is no active cron without a
//! future message. Who changes both a cron and its message locks the cron's row first.

mod changing;
mod listing;

use diesel::pg::data_types::PgTimestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use posthaste_core::entity::Entity;
use posthaste_core::ids::{CronId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use serde_json::Value;

use crate::change::record_deletions;
use crate::error::StoreError;
use crate::reading::{from_postgres, to_postgres};
use crate::schema::crons;
use crate::statement::statement;

pub use changing::{NextTick, Stored, change, insert_all};
pub use listing::{count, find, of_queues};

/// A cron as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Cron {
    pub id: CronId,
    pub queue_id: QueueId,
    pub schedule: String,
    /// Each of its messages carries it.
    pub body: Option<String>,
    /// A JSON object of header names to values; each of its messages carries them.
    pub headers: Option<Value>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A cron to be created. The caller has validated every field but the queue's existence.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCron {
    pub queue_id: QueueId,
    pub schedule: String,
    /// An IANA time zone's name.
    pub time_zone: String,
    pub body: Option<String>,
    pub headers: Option<Value>,
}

/// A cron that has been deleted, and the shard whose owner has its future message to drop.
#[derive(Debug, Clone, PartialEq)]
pub struct DeletedCron {
    pub cron: Cron,
    pub shard: Option<Shard>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = crons, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: i64,
    queue_id: i64,
    schedule: String,
    body: Option<String>,
    headers: Option<Value>,
    created_at: PgTimestamp,
    updated_at: PgTimestamp,
}

impl From<Row> for Cron {
    fn from(row: Row) -> Cron {
        Cron {
            id: CronId(row.id),
            queue_id: QueueId(row.queue_id),
            schedule: row.schedule,
            body: row.body,
            headers: row.headers,
            created_at: from_postgres(row.created_at),
            updated_at: from_postgres(row.updated_at),
        }
    }
}

/// The database's time, from which a next tick is computed.
async fn clock(conn: &mut AsyncPgConnection) -> Result<Timestamp, StoreError> {
    let (now,): (PgTimestamp,) = Clock {}.get_result(conn).await?;
    Ok(from_postgres(now))
}

/// Creates a cron and the message of its first tick; tells the message's shard. `None`: there is no such queue.
async fn insert(
    conn: &mut AsyncPgConnection,
    cron: &NewCron,
    first: Timestamp,
) -> Result<Option<(Cron, Shard)>, StoreError> {
    let insert = Insert {
        queue: cron.queue_id.0,
        schedule: cron.schedule.clone(),
        time_zone: cron.time_zone.clone(),
        body: cron.body.clone(),
        headers: cron.headers.clone(),
        first: to_postgres(first),
    };
    let stored: Option<(i64, PgTimestamp, i32)> = insert.get_result(conn).await.optional()?;
    Ok(stored.map(|(id, created_at, shard)| {
        let cron = Cron {
            id: CronId(id),
            queue_id: cron.queue_id,
            schedule: cron.schedule.clone(),
            body: cron.body.clone(),
            headers: cron.headers.clone(),
            created_at: from_postgres(created_at),
            updated_at: from_postgres(created_at),
        };
        (cron, Shard(shard))
    }))
}

/// Reads a cron.
///
/// # Errors
/// As any statement.
pub async fn get(conn: &mut AsyncPgConnection, id: CronId) -> Result<Option<Cron>, StoreError> {
    let row = crons::table.find(id.0).select(Row::as_select()).first(conn).await.optional()?;
    Ok(row.map(Cron::from))
}

/// Deletes crons and cancels the messages of their next ticks, all or none. What has fired already is delivered. Ids that do
/// not exist are passed over.
///
/// # Errors
/// As any transaction.
pub async fn delete_all(conn: &mut AsyncPgConnection, ids: &[CronId]) -> Result<Vec<DeletedCron>, StoreError> {
    conn.transaction(async |conn| {
        // Two statements: where the first waits for the scheduler, the next message is younger than its snapshot,
        // and only the second sees it.
        let returning = (Row::as_returning(), crons::next_message_id);
        let gone: Vec<(Row, Option<i64>)> =
            diesel::delete(crons::table.filter(crons::id.eq_any(ids.iter().map(|id| id.0))))
                .returning(returning)
                .get_results(conn)
                .await?;
        let mut deleted = Vec::with_capacity(gone.len());
        for (row, next) in gone {
            let shard = match next {
                Some(message) => Cancel { message }.get_result::<(i32,)>(conn).await.optional()?,
                None => None,
            };
            deleted.push(DeletedCron { cron: row.into(), shard: shard.map(|(shard,)| Shard(shard)) });
        }
        deleted.sort_by_key(|deleted| deleted.cron.id);
        let rows: Vec<(i64, i64)> = deleted.iter().map(|gone| (gone.cron.id.0, gone.cron.queue_id.0)).collect();
        record_deletions(conn, Entity::Cron, &rows).await?;
        Ok::<_, StoreError>(deleted)
    })
    .await
}

statement! {
    struct Clock {}
    row (Timestamptz,)
    "SELECT clock_timestamp()"
}

statement! {
    struct Cancel { message: i64 => BigInt }
    row (Integer,)
    "UPDATE posthaste.pending SET cancelled = true, xid = pg_current_xact_id()
     WHERE message_id = {message} RETURNING shard"
}

statement! {
    /// Returns nothing where the queue does not exist.
    struct Insert {
        queue: i64 => BigInt,
        schedule: String => Text,
        time_zone: String => Text,
        body: Option<String> => Nullable<Text>,
        headers: Option<Value> => Nullable<Jsonb>,
        first: PgTimestamp => Timestamptz,
    }
    row (BigInt, Timestamptz, Integer)
    "WITH queue AS MATERIALIZED (
         SELECT q.id, q.spread, nextval('posthaste.message_ids') AS message_id
         FROM posthaste.queues q WHERE q.id = {queue}
     ), cron AS (
         INSERT INTO posthaste.crons (queue_id, schedule, time_zone, body, headers, next_fire_at, next_message_id)
         SELECT q.id, {schedule}, {time_zone}, {body}, {headers}, {first}, q.message_id FROM queue q
         RETURNING *
     ), message AS (
         INSERT INTO posthaste.messages (id, queue_id, body, headers, scheduled_at, cron_id)
         SELECT next_message_id, queue_id, body, headers, next_fire_at, id FROM cron
     ), tick AS (
         INSERT INTO posthaste.cron_ticks (cron_id, tick, message_id)
         SELECT id, next_fire_at, next_message_id FROM cron
     ), pending AS (
         INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at)
         SELECT c.next_message_id, c.queue_id, posthaste.shard_of(c.queue_id, c.next_message_id, NULL, q.spread),
                c.next_fire_at
         FROM cron c CROSS JOIN queue q
         RETURNING shard
     )
     SELECT c.id, c.created_at, p.shard FROM cron c CROSS JOIN pending p"
}
