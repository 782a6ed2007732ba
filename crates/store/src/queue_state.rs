//! Whether a queue is paused: deliverers start nothing of it until it is resumed.
//!
//! What counts is `queues.paused_at`. From the commit on, no attempt starts whose message is read later; the deliverers
//! look twice a second and more, and at once after [`crate::wakeup::notify_queues`]. Nothing of the queue is lost or moved:
//! messages are accepted, wait, and start when it is resumed. What expires meanwhile is then recorded as expired.

use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::QueueId;
use posthaste_core::time::Timestamp;

use crate::error::StoreError;
use crate::reading::from_postgres;
use crate::statement::statement;

statement! {
    struct Pause { queue: i64 => BigInt, reason: Option<String> => Nullable<Text> }
    row (BigInt,)
    "UPDATE posthaste.queues
        SET paused_at = coalesce(paused_at, now()), paused_reason = coalesce({reason}, paused_reason), updated_at = now()
      WHERE id = {queue}
     RETURNING id"
}

/// Pauses a queue. One that is paused already stays so since when it was; its reason changes only if one is given. False:
/// there is no such queue.
///
/// # Errors
/// Any [`StoreError`]; calling again is right.
pub async fn set_paused(conn: &mut AsyncPgConnection, id: QueueId, reason: Option<&str>) -> Result<bool, StoreError> {
    let paused: Vec<(i64,)> = Pause { queue: id.0, reason: reason.map(str::to_owned) }.load(conn).await?;
    Ok(!paused.is_empty())
}

statement! {
    /// The rows are locked in the order of their ids, so that two deliverers cannot wait for each other.
    struct PauseAll { queues: Vec<i64> => Array<BigInt>, reasons: Vec<String> => Array<Text> }
    row (BigInt, Nullable<BigInt>)
    "WITH locked AS MATERIALIZED (
        SELECT q.id FROM posthaste.queues q WHERE q.id = ANY ({queues}) AND q.paused_at IS NULL ORDER BY q.id FOR UPDATE
     ), paused AS (
        UPDATE posthaste.queues q
           SET paused_at = now(), paused_reason = ({reasons}::text[])[array_position({queues}::bigint[], q.id)], updated_at = now()
          FROM locked
         WHERE q.id = locked.id
        RETURNING q.id, q.paused_reason
     )
     SELECT p.id, posthaste.emit_event(p.id, 'queue.paused', jsonb_build_object('reason', p.paused_reason)) FROM paused p"
}

/// Pauses queues for what their receivers answered, with an event each, those that are not paused already, and answers which those were.
///
/// # Errors
/// Any [`StoreError`]; calling again is right.
pub async fn pause_all(
    conn: &mut AsyncPgConnection,
    queues: impl IntoIterator<Item = (QueueId, String)>,
) -> Result<Vec<QueueId>, StoreError> {
    let (queues, reasons) = queues.into_iter().map(|(id, reason)| (id.0, reason)).unzip();
    let paused: Vec<(i64, Option<i64>)> = PauseAll { queues, reasons }.load(conn).await?;
    Ok(paused.into_iter().map(|(id, _event)| QueueId(id)).collect())
}

statement! {
    struct Resume { queue: i64 => BigInt }
    row (BigInt,)
    "UPDATE posthaste.queues SET paused_at = NULL, paused_reason = NULL, updated_at = now() WHERE id = {queue} RETURNING id"
}

/// Resumes a queue, whether it is paused or not. False: there is no such queue.
///
/// # Errors
/// Any [`StoreError`]; calling again is right.
pub async fn resume(conn: &mut AsyncPgConnection, id: QueueId) -> Result<bool, StoreError> {
    let resumed: Vec<(i64,)> = Resume { queue: id.0 }.load(conn).await?;
    Ok(!resumed.is_empty())
}

statement! {
    /// In the order of the index that has only these, and that no other index has: see [`crate::reading`].
    struct Paused {}
    row (BigInt,)
    "SELECT q.id FROM posthaste.queues q WHERE q.paused_at IS NOT NULL ORDER BY q.paused_at, q.id"
}

/// The queues that are paused, those first that have been so for longest.
///
/// # Errors
/// Any [`StoreError`].
pub async fn paused(conn: &mut AsyncPgConnection) -> Result<Vec<QueueId>, StoreError> {
    let paused: Vec<(i64,)> = Paused {}.load(conn).await?;
    Ok(paused.into_iter().map(|(id,)| QueueId(id)).collect())
}

statement! {
    /// In the order of the index that has only these.
    struct Gathering {}
    row (BigInt, Timestamptz)
    "SELECT q.id, q.gathered_at FROM posthaste.queues q WHERE q.gathered_at > now() - interval '10 s' ORDER BY q.gathered_at, q.id"
}

/// The queues whose messages were gathered in one shard a moment ago, and when: who is sending any from another marks them as held, so that the
/// shard's owner knows of them.
///
/// # Errors
/// Any [`StoreError`].
pub async fn gathering(conn: &mut AsyncPgConnection) -> Result<Vec<(QueueId, Timestamp)>, StoreError> {
    let gathering: Vec<(i64, PgTimestamp)> = Gathering {}.load(conn).await?;
    Ok(gathering.into_iter().map(|(id, at)| (QueueId(id), from_postgres(at))).collect())
}
