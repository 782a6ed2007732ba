//! A firing that somebody asks for, beside the schedule.

use diesel::OptionalExtension;
use diesel::sql_types::{BigInt, Integer, Nullable};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::{CronId, MessageId, Shard};

use crate::error::StoreError;
use crate::statement::statement;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Triggered {
    Stored {
        message: MessageId,
        shard: Shard,
    },
    /// Its firings must not overlap, and the last has not ended.
    Unfinished,
}

statement! {
    struct Lock { cron: i64 => BigInt }
    row (BigInt,)
    "SELECT c.id FROM posthaste.crons c WHERE c.id = {cron} FOR UPDATE"
}

statement! {
    /// It is a tick of its own, at the time of asking.
    struct Fire { cron: i64 => BigInt }
    row (Nullable<BigInt>, Nullable<Integer>)
    "WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
     cron AS MATERIALIZED (
         SELECT c.id, c.queue_id, c.method, c.body, c.headers, q.spread,
                CASE WHEN c.overlap = 'allow' OR NOT EXISTS (
                         SELECT FROM posthaste.pending p
                          WHERE p.message_id = c.last_message_id
                             OR p.message_id = c.next_message_id AND p.due_at <= (SELECT now FROM clock))
                     THEN nextval('posthaste.message_ids') END AS message_id
         FROM posthaste.crons c JOIN posthaste.queues q ON q.id = c.queue_id WHERE c.id = {cron}
     ), fresh AS MATERIALIZED (
         SELECT cron.*, clock.now, posthaste.shard_of(cron.queue_id, cron.message_id, NULL, cron.spread) AS shard
         FROM cron CROSS JOIN clock WHERE cron.message_id IS NOT NULL
     ), message AS (
         INSERT INTO posthaste.messages (id, queue_id, method, body, headers, scheduled_at, cron_id)
         SELECT f.message_id, f.queue_id, f.method, f.body, posthaste.cron_headers(f.headers, f.now, NULL), f.now, f.id
         FROM fresh f
     ), pending AS (
         INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at)
         SELECT f.message_id, f.queue_id, f.shard, f.now FROM fresh f
     ), ticks AS (
         INSERT INTO posthaste.cron_ticks (cron_id, tick, message_id, outcome)
         SELECT f.id, f.now, f.message_id, 'triggered' FROM fresh f
     ), moved AS (
         UPDATE posthaste.crons c SET last_message_id = f.message_id
         FROM fresh f WHERE c.id = f.id AND c.overlap = 'skip'
     )
     SELECT cron.message_id, fresh.shard FROM cron LEFT JOIN fresh ON true"
}

/// Stores a message of a cron now, whether it is paused or not; its schedule goes on as before. `None`: there is no such cron.
///
/// # Errors
/// As any transaction; [`StoreError::MissingPartition`] asks for `partition::ensure_partitions`.
pub async fn trigger(conn: &mut AsyncPgConnection, id: CronId) -> Result<Option<Triggered>, StoreError> {
    conn.transaction(async |conn| {
        let cron: Option<(i64,)> = Lock { cron: id.0 }.get_result(conn).await.optional()?;
        if cron.is_none() {
            return Ok(None);
        }
        let (message, shard): (Option<i64>, Option<i32>) = Fire { cron: id.0 }.get_result(conn).await?;
        Ok(Some(match message.zip(shard) {
            Some((message, shard)) => Triggered::Stored { message: MessageId(message), shard: Shard(shard) },
            None => Triggered::Unfinished,
        }))
    })
    .await
}
