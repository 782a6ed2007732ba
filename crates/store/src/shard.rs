//! Epochs and holds: what a change of a shard's owner writes.
//!
//! A takeover raises the shard's epoch, so that outcomes of an owner that was thought dead are refused. A handover marks
//! what the old owner is still delivering as held: the new owner does not start it before the hold ends, and the old
//! owner's outcome is accepted in spite of its epoch, and clears the hold.

use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Integer};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::{Epoch, MessageId, Shard};

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

/// A message that is being delivered while its shard goes to another owner.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    pub id: MessageId,
    /// Attempts that had ended when this one began.
    pub attempt: i32,
    pub shard: Shard,
    pub epoch: Epoch,
    /// How long the delivery may still take, with a margin for writing its outcome.
    pub remaining: Duration,
}

statement! {
    /// Shaped as the statement of [`crate::outcome`], for the same reasons.
    struct Holds {
        ids: Vec<i64> => Array<BigInt>,
        attempts: Vec<i32> => Array<Integer>,
        shards: Vec<i32> => Array<Integer>,
        epochs: Vec<i64> => Array<BigInt>,
        remaining: Vec<i64> => Array<BigInt>,
    }
    row (BigInt,)
    "WITH held AS MATERIALIZED (
        SELECT i.id, i.remaining
          FROM (
            SELECT i.id, i.attempt, i.remaining
              FROM unnest({ids}, {attempts}, {shards}, {epochs}, {remaining}) AS i(id, attempt, shard, epoch, remaining)
              JOIN posthaste.shards s ON s.shard = i.shard AND s.epoch = i.epoch
             ORDER BY i.id
          ) AS i
         CROSS JOIN LATERAL (
            SELECT FROM posthaste.pending p WHERE p.message_id = i.id AND p.attempt = i.attempt FOR UPDATE
          ) AS p
     ), all_held AS MATERIALIZED (
        SELECT coalesce(array_agg(h.id), '{}') AS ids, array_agg(h.remaining) AS remaining FROM held h
     )
     UPDATE posthaste.pending p
        SET xid = pg_current_xact_id(),
            held_until = clock_timestamp() + interval '1 microsecond' *
                         (SELECT h.remaining[array_position(h.ids, p.message_id)] FROM all_held h)
      WHERE p.message_id = ANY ((SELECT h.ids FROM all_held h)::bigint[])
     RETURNING p.message_id"
}

/// Marks messages in flight as held, before their shard's lock is released.
///
/// # Errors
/// Any [`StoreError`]; calling again is right.
pub async fn hold(conn: &mut AsyncPgConnection, holds: &[Hold]) -> Result<(), StoreError> {
    if holds.is_empty() {
        return Ok(());
    }
    let statement = Holds {
        ids: holds.iter().map(|hold| hold.id.0).collect(),
        attempts: holds.iter().map(|hold| hold.attempt).collect(),
        shards: holds.iter().map(|hold| hold.shard.0).collect(),
        epochs: holds.iter().map(|hold| hold.epoch.0).collect(),
        remaining: holds.iter().map(|hold| i64::try_from(hold.remaining.as_micros()).unwrap_or(i64::MAX)).collect(),
    };
    statement.execute(conn).await?;
    Ok(())
}
