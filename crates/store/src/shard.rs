//! Epochs and holds: what a change of a shard's owner writes.
//!
//! A takeover raises the shard's epoch, so that outcomes of an owner that was thought dead are refused. A handover marks
//! what the old owner is still delivering as held: the new owner does not start it before the hold ends, and the old
//! owner's outcome is accepted in spite of its epoch, and clears the hold. What is delivered one at a time, or so many at a time, is
//! held before it is sent: so a successor waits for it even if its owner is killed.
//!
//! A queue that is given a limit, or loses it, has its messages in other shards from then on. Their owners move them.

use std::time::Duration;

use diesel::OptionalExtension;
use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::{Epoch, MessageId, QueueId, Shard};

use crate::error::StoreError;
use crate::statement::statement;

statement! {
    struct TakeOver { shards: Vec<i32> => Array<Integer> }
    row (Integer, BigInt)
    "WITH mine AS MATERIALIZED (
        SELECT s.shard FROM posthaste.shards s WHERE s.shard = ANY ({shards}) ORDER BY s.shard FOR UPDATE
     )
     UPDATE posthaste.shards s SET epoch = s.epoch + 1, updated_at = now()
       FROM mine WHERE s.shard = mine.shard
     RETURNING s.shard, s.epoch"
}

/// Raises the epoch of shards whose advisory lock was just taken, and answers the new epochs.
///
/// # Errors
/// Any [`StoreError`]; then nothing was raised, or the answer was lost, and either way calling again is right.
pub async fn take_over(conn: &mut AsyncPgConnection, shards: &[Shard]) -> Result<Vec<(Shard, Epoch)>, StoreError> {
    let statement = TakeOver { shards: shards.iter().map(|shard| shard.0).collect() };
    let raised: Vec<(i32, i64)> = statement.load(conn).await?;
    Ok(raised.into_iter().map(|(shard, epoch)| (Shard(shard), Epoch(epoch))).collect())
}

/// A message to be marked.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    pub id: MessageId,
    /// Attempts that had ended when this one began.
    pub attempt: i32,
    pub shard: Shard,
    pub epoch: Epoch,
    /// How long its delivery may still take, with a margin for writing its outcome; `None`: it is not being delivered, and only moves
    /// to its shard.
    pub remaining: Option<Duration>,
}

statement! {
    /// Shaped as the statement of [`crate::outcome`], for the same reasons. The rows of `shards` are locked, so that a takeover waits
    /// for the holds to commit, and sees them; or they wait for it, and find another epoch.
    struct Holds {
        ids: Vec<i64> => Array<BigInt>,
        attempts: Vec<i32> => Array<Integer>,
        shards: Vec<i32> => Array<Integer>,
        epochs: Vec<i64> => Array<BigInt>,
        remaining: Vec<Option<i64>> => Array<Nullable<BigInt>>,
    }
    row (BigInt, Integer)
    "WITH owned AS MATERIALIZED (
        SELECT s.shard, s.epoch FROM posthaste.shards s WHERE s.shard = ANY ({shards}) ORDER BY s.shard FOR SHARE
     ), held AS MATERIALIZED (
        SELECT i.id, i.remaining, coalesce(posthaste.shard_of(p.queue_id, i.id, p.key_hash, (
                    SELECT q.spread FROM posthaste.queues q WHERE q.id = p.queue_id)), p.shard) AS shard
          FROM (
            SELECT i.id, i.attempt, i.remaining
              FROM unnest({ids}, {attempts}, {shards}, {epochs}, {remaining}) AS i(id, attempt, shard, epoch, remaining)
              JOIN owned s ON s.shard = i.shard AND s.epoch = i.epoch
             ORDER BY i.id
          ) AS i
         CROSS JOIN LATERAL (
            SELECT p.queue_id, p.key_hash, p.shard FROM posthaste.pending p
             WHERE p.message_id = i.id AND p.attempt = i.attempt FOR UPDATE
          ) AS p
     ), all_held AS MATERIALIZED (
        SELECT coalesce(array_agg(h.id), '{}') AS ids, array_agg(h.remaining) AS remaining, array_agg(h.shard) AS shards
          FROM held h
     )
     UPDATE posthaste.pending p
        SET xid = pg_current_xact_id(),
            shard = (SELECT h.shards[array_position(h.ids, p.message_id)] FROM all_held h),
            held_until = coalesce(clock_timestamp() + interval '1 microsecond' *
                         (SELECT h.remaining[array_position(h.ids, p.message_id)] FROM all_held h), p.held_until)
      WHERE p.message_id = ANY ((SELECT h.ids FROM all_held h)::bigint[])
     RETURNING p.message_id, p.shard"
}

/// Marks messages that are being delivered as held, and moves them to the shard where they belong: before their shard is handed over,
/// before one is sent whose end a successor must wait for, when their queue gathers its messages. Answers which were
/// marked and where they are; the others had ended, had changed, or the shard has another owner.
///
/// # Errors
/// Any [`StoreError`]; calling again is right.
pub async fn hold(conn: &mut AsyncPgConnection, holds: &[Hold]) -> Result<Vec<(MessageId, Shard)>, StoreError> {
    if holds.is_empty() {
        return Ok(Vec::new());
    }
    let micros = |remaining: Duration| i64::try_from(remaining.as_micros()).unwrap_or(i64::MAX);
    let statement = Holds {
        ids: holds.iter().map(|hold| hold.id.0).collect(),
        attempts: holds.iter().map(|hold| hold.attempt).collect(),
        shards: holds.iter().map(|hold| hold.shard.0).collect(),
        epochs: holds.iter().map(|hold| hold.epoch.0).collect(),
        remaining: holds.iter().map(|hold| hold.remaining.map(micros)).collect(),
    };
    let held: Vec<(i64, i32)> = statement.load(conn).await?;
    Ok(held.into_iter().map(|(id, shard)| (MessageId(id), Shard(shard))).collect())
}

/// Rows that one step moves.
const STEP: i64 = 1_000;

/// How far a queue's rows of one shard have been looked through, in the reading order: priority, due time, id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(i16, PgTimestamp, i64);

impl Place {
    pub const START: Place = Place(i16::MIN, PgTimestamp(i64::MIN), i64::MIN);
}

statement! {
    struct Move {
        shard: i32 => Integer,
        epoch: i64 => BigInt,
        queue: i64 => BigInt,
        priority: i16 => SmallInt,
        due: PgTimestamp => Timestamptz,
        id: i64 => BigInt,
        step: i64 => BigInt,
    }
    row (SmallInt, Timestamptz, BigInt)
    "WITH owned AS MATERIALIZED (
        SELECT s.shard FROM posthaste.shards s WHERE s.shard = {shard} AND s.epoch = {epoch} FOR SHARE
     ), step AS MATERIALIZED (
        SELECT p.message_id, p.priority, p.due_at, posthaste.shard_of(p.queue_id, p.message_id, p.key_hash, (
                    SELECT q.spread FROM posthaste.queues q WHERE q.id = {queue})) AS shard
          FROM owned
         CROSS JOIN LATERAL (
            SELECT p.* FROM posthaste.pending p
             WHERE (p.shard, p.queue_id, p.priority, p.due_at, p.message_id + 0) > (owned.shard, {queue}, {priority}, {due}, {id})
               AND (p.shard, p.queue_id) <= (owned.shard, {queue})
             ORDER BY p.shard, p.queue_id, p.priority, p.due_at, p.message_id + 0
             LIMIT {step}
          ) AS p
     ), locked AS MATERIALIZED (
        SELECT s.message_id, s.shard
          FROM (SELECT s.* FROM step s WHERE s.shard <> {shard} ORDER BY s.message_id) AS s
         CROSS JOIN LATERAL (
            SELECT FROM posthaste.pending p WHERE p.message_id = s.message_id AND p.shard = {shard} FOR UPDATE
          ) AS p
     ), moving AS MATERIALIZED (
        SELECT coalesce(array_agg(l.message_id), '{}') AS ids, array_agg(l.shard) AS shards FROM locked l
     ), moved AS (
        UPDATE posthaste.pending p
           SET xid = pg_current_xact_id(), shard = (SELECT m.shards[array_position(m.ids, p.message_id)] FROM moving m)
         WHERE p.message_id = ANY ((SELECT m.ids FROM moving m)::bigint[])
     )
     SELECT s.priority, s.due_at, s.message_id FROM step s ORDER BY s.priority DESC, s.due_at DESC, s.message_id DESC LIMIT 1"
}

/// Moves those of a queue's rows in a shard that belong to another, a step of at most 1,000 looked at after `place`. Answers how far it
/// came; `None`: there are no more. Of what is being delivered the hold must have been set before.
///
/// # Errors
/// Any [`StoreError`]; calling again is right.
pub async fn move_rows(
    conn: &mut AsyncPgConnection,
    queue: QueueId,
    (shard, epoch): (Shard, Epoch),
    place: Place,
) -> Result<Option<Place>, StoreError> {
    let Place(priority, due, id) = place;
    let statement = Move { shard: shard.0, epoch: epoch.0, queue: queue.0, priority, due, id, step: STEP };
    let last: Option<(i16, PgTimestamp, i64)> = statement.get_result(conn).await.optional()?;
    Ok(last.map(|(priority, due, id)| Place(priority, due, id)))
}
