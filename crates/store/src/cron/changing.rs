//! Creating and changing crons, each together with the message of its next tick.
//!
//! Promise: a change replaces the future message in its own transaction, and no tick is fired twice by it. A tick that is
//! about to come, or has come and is not yet followed, is left to fire as it was; the scheduler's next one goes by the new
//! settings.

use std::time::Duration;

use diesel::pg::data_types::PgTimestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::{CronId, Shard};
use posthaste_core::time::Timestamp;
use serde_json::Value;

use super::{Cron, NewCron, Row, clock, insert};
use crate::changing::{Changed, Plan, Undone, outcome};
use crate::error::StoreError;
use crate::reading::{from_postgres, to_postgres};
use crate::schema::crons;
use crate::statement::statement;

/// A tick that is as near as this is not taken back: its message may be on its way before the change has committed.
const IMMINENT: Duration = Duration::from_secs(1);

/// When a schedule, in a time zone, fires next after a time.
pub type NextTick<'a, E> = &'a (dyn Fn(&str, &str, Timestamp) -> Result<Timestamp, E> + Send + Sync);

/// Crons as they are now, and the shards whose owners have something to do.
pub type Stored = (Vec<Cron>, Vec<Shard>);

/// Creates crons, all or none, in their order, with the messages of their first ticks after now.
///
/// # Errors
/// As any transaction; [`StoreError::MissingPartition`] asks for `partition::ensure_partitions`.
pub async fn insert_all<E: Send>(
    conn: &mut AsyncPgConnection,
    new: &[NewCron],
    next: NextTick<'_, E>,
) -> Result<Changed<Stored, E>, StoreError> {
    let result = conn.transaction(async |conn| {
        let now = clock(conn).await?;
        let (mut stored, mut shards) = (Vec::with_capacity(new.len()), Vec::with_capacity(new.len()));
        for cron in new {
            let first = next(&cron.schedule, &cron.time_zone, now).map_err(Undone::Refused)?;
            let (cron, shard) = insert(conn, cron, first).await?.ok_or(Undone::UnknownQueue)?;
            stored.push(cron);
            shards.push(shard);
        }
        Ok((stored, shards))
    });
    outcome(result.await)
}

/// Changes crons, all or none. Ids that do not exist are passed over.
///
/// # Errors
/// As [`insert_all`].
pub async fn change<E: Send>(
    conn: &mut AsyncPgConnection,
    ids: &[CronId],
    plan: Plan<'_, Cron, E>,
    next: NextTick<'_, E>,
) -> Result<Changed<Stored, E>, StoreError> {
    let result = conn.transaction(async |conn| {
        type Locked = (Row, String, Option<PgTimestamp>, Option<i64>);
        let rows: Vec<Locked> = crons::table
            .filter(crons::id.eq_any(ids.iter().map(|id| id.0)))
            .order(crons::id)
            .select((Row::as_select(), crons::time_zone, crons::next_fire_at, crons::next_message_id))
            .for_update()
            .load(conn)
            .await?;
        // Read after the locks were had: what the scheduler did meanwhile is behind us.
        let now = clock(conn).await?;
        let (mut stored, mut shards) = (Vec::with_capacity(rows.len()), Vec::new());
        for (row, time_zone, tick, message) in rows {
            let cron = Cron::from(row);
            let planned = plan(&cron).map_err(Undone::Refused)?;
            let upcoming = tick.map(from_postgres).filter(|at| *at <= now.saturating_add(IMMINENT));
            let updated = update(conn, &planned).await?;
            if planned == cron || upcoming.is_some() {
                stored.push(updated);
                continue;
            }
            let at = next(&planned.schedule, &time_zone, now).map_err(Undone::Refused)?;
            let replace = Replace {
                cron: planned.id.0,
                queue: planned.queue_id.0,
                body: planned.body.clone(),
                headers: planned.headers.clone(),
                old_tick: tick,
                old_message: message,
                tick: to_postgres(at),
            };
            let replaced: Option<(i32, Option<i32>)> = replace.get_result(conn).await.optional()?;
            let (shard, old_shard) = replaced.ok_or(Undone::UnknownQueue)?;
            shards.extend([Some(Shard(shard)), old_shard.map(Shard)].into_iter().flatten());
            stored.push(updated);
        }
        Ok((stored, shards))
    });
    outcome(result.await)
}

async fn update(conn: &mut AsyncPgConnection, cron: &Cron) -> QueryResult<Cron> {
    let row: Row = diesel::update(crons::table.find(cron.id.0))
        .set((
            crons::queue_id.eq(cron.queue_id.0),
            crons::schedule.eq(&cron.schedule),
            crons::body.eq(&cron.body),
            crons::headers.eq(&cron.headers),
            crons::updated_at.eq(diesel::dsl::now),
        ))
        .returning(Row::as_returning())
        .get_result(conn)
        .await?;
    Ok(row.into())
}

statement! {
    /// Cancels the future message and stores another for the next tick, which may be the same. Returns the shards of the
    /// new and of the old message, or nothing where the queue does not exist.
    struct Replace {
        cron: i64 => BigInt,
        queue: i64 => BigInt,
        body: Option<String> => Nullable<Text>,
        headers: Option<Value> => Nullable<Jsonb>,
        old_tick: Option<PgTimestamp> => Nullable<Timestamptz>,
        old_message: Option<i64> => Nullable<BigInt>,
        tick: PgTimestamp => Timestamptz,
    }
    row (diesel::sql_types::Integer, Nullable<diesel::sql_types::Integer>)
    "WITH queue AS MATERIALIZED (
         SELECT q.id, q.spread, nextval('posthaste.message_ids') AS message_id
         FROM posthaste.queues q WHERE q.id = {queue}
     ), cancelled AS (
         UPDATE posthaste.pending SET cancelled = true, xid = pg_current_xact_id()
         WHERE message_id = {old_message} RETURNING shard
     ), forgotten AS (
         DELETE FROM posthaste.cron_ticks WHERE cron_id = {cron} AND tick = {old_tick} AND tick <> {tick}
     ), message AS (
         INSERT INTO posthaste.messages (id, queue_id, body, headers, scheduled_at, cron_id)
         SELECT q.message_id, q.id, {body}, {headers}, {tick}, {cron} FROM queue q
     ), ticks AS (
         INSERT INTO posthaste.cron_ticks (cron_id, tick, message_id)
         SELECT {cron}, {tick}, q.message_id FROM queue q
         ON CONFLICT (cron_id, tick) DO UPDATE SET message_id = excluded.message_id
     ), pending AS (
         INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at)
         SELECT q.message_id, q.id, posthaste.shard_of(q.id, q.message_id, NULL, q.spread), {tick} FROM queue q
         RETURNING shard
     ), moved AS (
         UPDATE posthaste.crons c SET next_fire_at = {tick}, next_message_id = q.message_id
         FROM queue q WHERE c.id = {cron}
     )
     SELECT p.shard, (SELECT shard FROM cancelled) FROM pending p"
}
