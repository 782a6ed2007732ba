//! One step of a job.

use diesel::OptionalExtension;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use posthaste_core::entity::MessageField;
use posthaste_core::filter::{Comparison, Condition, Filter, Test, Value};
use posthaste_core::ids::{MessageId, Shard};
use posthaste_core::listing::Listing;

use super::{Job, Kind, RowSql, RowTuple, columns, job};
use crate::error::StoreError;
use crate::message::{self, LockPending};
use crate::statement::statement;

/// Messages that one step meets, at most.
const STEP: i64 = 500;

/// What a step did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stepped {
    /// Messages that were cancelled or stored.
    pub done: u64,
    /// Whose owners have something to do.
    pub shards: Vec<Shard>,
    /// There is more to do at once.
    pub more: bool,
}

statement! {
    /// The running jobs, in turn.
    struct Running { after: i64 => BigInt }
    row (BigInt,)
    "SELECT j.id FROM posthaste.jobs j WHERE j.state = 'running' AND j.id > {after} ORDER BY j.id LIMIT 1"
}

statement! {
    struct Lock { id: i64 => BigInt }
    row (RowSql, Double)
    concat!(
        "SELECT ", columns!(), ", extract(epoch FROM clock_timestamp() - j.stepped_at)::float8
           FROM posthaste.jobs j WHERE j.id = {id} AND j.state = 'running' FOR UPDATE"
    )
}

statement! {
    struct Advance { id: i64 => BigInt, cursor: i64 => BigInt, done: i64 => BigInt, finished: bool => Bool }
    row (BigInt,)
    "UPDATE posthaste.jobs
        SET cursor = {cursor}, done = done + {done}, stepped_at = clock_timestamp(),
            state = CASE WHEN {finished} THEN 'finished' ELSE state END,
            finished_at = CASE WHEN {finished} THEN now() END
      WHERE id = {id}
     RETURNING id"
}

/// The first running job after `after`.
///
/// # Errors
/// As any statement.
pub async fn next(conn: &mut AsyncPgConnection, after: i64) -> Result<Option<i64>, StoreError> {
    let next: Option<(i64,)> = Running { after }.get_result(conn).await.optional()?;
    Ok(next.map(|(id,)| id))
}

/// Does the next step of a job, if it still runs.
///
/// # Errors
/// As any transaction; then the step is not done, or, where the connection was lost, perhaps done, and the job says so.
/// [`StoreError::MissingPartition`] asks for `partition::ensure_partitions`.
pub async fn step(conn: &mut AsyncPgConnection, id: i64) -> Result<Stepped, StoreError> {
    conn.transaction(async |conn| {
        let locked: Option<(RowTuple, f64)> = Lock { id }.get_result(conn).await.optional()?;
        // Paused or cancelled meanwhile.
        let Some((row, passed)) = locked else { return Ok(Stepped::default()) };
        let job = job(row)?;
        match allowed(job.rate_per_second, passed) {
            0 => Ok(Stepped::default()),
            limit => perform(conn, &job, limit).await,
        }
    })
    .await
}

/// How many messages a step may meet, so long after the step before it. What was not used of a second is lost.
fn allowed(rate: Option<f64>, passed: f64) -> i64 {
    let Some(rate) = rate else { return STEP };
    let tokens = (rate * passed).clamp(0.0, rate.max(1.0));
    #[expect(clippy::cast_possible_truncation, reason = "it is between 0 and 500")]
    let whole = tokens.min(500.0).floor() as i64;
    whole
}

async fn perform(conn: &mut AsyncPgConnection, job: &Job, limit: i64) -> Result<Stepped, StoreError> {
    let ids = message::ids(conn, &Listing::first(limit, filter(job))).await?;
    let met = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    let last = ids.last().map_or(job.last, |id| id.0);
    let (done, shards) = match job.kind {
        Kind::Purge => cancel(conn, &ids).await?,
        Kind::Replay => {
            let chosen = of_class(conn, &ids, job.error_class.as_deref()).await?;
            store(conn, &chosen, false).await?
        }
        Kind::Redrive => {
            let letters = mark(conn, &ids, job.error_class.as_deref()).await?;
            let (_, here) = cancel(conn, &letters).await?;
            let (done, there) = store(conn, &letters, true).await?;
            (done, [here, there].concat())
        }
    };
    let finished = met < limit;
    let cursor = if finished { job.last } else { last };
    let count = i64::try_from(done).unwrap_or(i64::MAX);
    let advance = Advance { id: job.id, cursor, done: count, finished };
    advance.execute(conn).await?;
    Ok(Stepped { done, shards, more: !finished && job.rate_per_second.is_none() })
}

/// Which messages a job is still to meet.
fn filter(job: &Job) -> Filter<MessageField> {
    let compare =
        |comparison, id| Condition { field: MessageField::Id, test: Test::Compare(comparison, Value::Number(id)) };
    of_queue(job).and(compare(Comparison::Greater, job.cursor)).and(compare(Comparison::LessOrEqual, job.last))
}

fn of_queue(job: &Job) -> Filter<MessageField> {
    Filter::equal(MessageField::QueueId, Value::Number(job.queue.0)).intersect(job.filter.clone())
}

statement! {
    struct Cancel { ids: Vec<i64> => Array<BigInt> }
    row (BigInt, Integer)
    "WITH locked AS MATERIALIZED (
        SELECT p.message_id
          FROM (SELECT i.id FROM unnest({ids}) AS i(id) ORDER BY i.id) AS i
         CROSS JOIN LATERAL (
            SELECT p.message_id FROM posthaste.pending p WHERE p.message_id = i.id AND NOT p.cancelled FOR UPDATE
         ) AS p
     )
     UPDATE posthaste.pending p SET cancelled = true, xid = pg_current_xact_id()
       FROM locked WHERE p.message_id = locked.message_id
     RETURNING p.message_id, p.shard"
}

async fn cancel(conn: &mut AsyncPgConnection, ids: &[MessageId]) -> Result<(u64, Vec<Shard>), StoreError> {
    let rows: Vec<(i64, i32)> = Cancel { ids: ids.iter().map(|id| id.0).collect() }.load(conn).await?;
    Ok(counted(&rows))
}

statement! {
    struct OfClass { ids: Vec<i64> => Array<BigInt>, error_class: String => Text }
    row (BigInt,)
    "SELECT i.id FROM unnest({ids}) AS i(id)
      WHERE {error_class} = (
        SELECT a.error_class FROM posthaste.attempts a WHERE a.message_id = i.id ORDER BY a.number DESC LIMIT 1)"
}

/// Of these messages, those whose last attempt ended so.
pub(super) async fn of_class(
    conn: &mut AsyncPgConnection,
    ids: &[MessageId],
    error_class: Option<&str>,
) -> Result<Vec<MessageId>, StoreError> {
    let Some(error_class) = error_class.map(str::to_owned) else { return Ok(ids.to_vec()) };
    let rows: Vec<(i64,)> = OfClass { ids: ids.iter().map(|id| id.0).collect(), error_class }.load(conn).await?;
    Ok(rows.into_iter().map(|(id,)| MessageId(id)).collect())
}

statement! {
    /// A dead letter is redriven once, whatever other job meets it, and only to a queue that there is.
    struct Mark { ids: Vec<i64> => Array<BigInt>, error_class: Option<String> => Nullable<Text> }
    row (BigInt,)
    "WITH letters AS MATERIALIZED (
        SELECT m.id
          FROM (SELECT i.id FROM unnest({ids}) AS i(id) ORDER BY i.id) AS i
         CROSS JOIN LATERAL (
            SELECT m.id, m.origin FROM posthaste.messages m
             WHERE m.id >= i.id AND m.id <= i.id ORDER BY m.id LIMIT 1 FOR NO KEY UPDATE
         ) AS m
          JOIN posthaste.queues q ON q.id = (m.origin ->> 'queueId')::bigint
         WHERE m.origin ->> 'redrivenAt' IS NULL AND ({error_class} IS NULL OR m.origin ->> 'errorClass' = {error_class})
     )
     UPDATE posthaste.messages m SET origin = m.origin || jsonb_build_object('redrivenAt', now())
       FROM letters l WHERE m.id = l.id
     RETURNING m.id"
}

async fn mark(
    conn: &mut AsyncPgConnection,
    ids: &[MessageId],
    error_class: Option<&str>,
) -> Result<Vec<MessageId>, StoreError> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    LockPending { ids: ids.clone() }.execute(conn).await?;
    let rows: Vec<(i64,)> = Mark { ids, error_class: error_class.map(str::to_owned) }.load(conn).await?;
    Ok(rows.into_iter().map(|(id,)| MessageId(id)).collect())
}

statement! {
    /// A replay is a message of its own, with the identity of what it repeats. What a dead letter does not have of what it comes from, its
    /// origin tells.
    struct Store { ids: Vec<i64> => Array<BigInt>, redrive: bool => Bool }
    row (BigInt, Integer)
    "WITH chosen AS MATERIALIZED (
        SELECT m.id, m.method, m.body, m.body_binary, m.headers, m.traceparent, m.tracestate, s.*
          FROM (SELECT i.id FROM unnest({ids}) AS i(id) ORDER BY i.id) AS i
         CROSS JOIN LATERAL (
            SELECT m.* FROM posthaste.messages m WHERE m.id >= i.id AND m.id <= i.id ORDER BY m.id LIMIT 1
         ) AS m
         CROSS JOIN LATERAL (
            SELECT m.queue_id AS target, m.ordering_key, m.priority, m.connect_timeout_ms, m.timeout_ms,
                   coalesce(m.replay_of, m.id) AS repeats
             WHERE NOT {redrive}
             UNION ALL
            SELECT (m.origin ->> 'queueId')::bigint, m.origin ->> 'orderingKey', (m.origin ->> 'priority')::smallint,
                   (m.origin ->> 'connectTimeoutMs')::integer, (m.origin ->> 'timeoutMs')::integer,
                   coalesce((m.origin ->> 'replayOf')::bigint, m.origin_message_id)
             WHERE {redrive}
         ) AS s
     ), numbered AS MATERIALIZED (
        SELECT c.*, q.spread, hashtextextended(c.ordering_key, 0) AS key_hash, nextval('posthaste.message_ids') AS new_id
          FROM chosen c JOIN posthaste.queues q ON q.id = c.target
     ), placed AS MATERIALIZED (
        SELECT n.*, posthaste.shard_of(n.target, n.new_id, n.key_hash, n.spread) AS shard FROM numbered n
     ), message AS (
        INSERT INTO posthaste.messages (id, queue_id, method, body, body_binary, headers, scheduled_at, ordering_key, priority,
                                        connect_timeout_ms, timeout_ms, traceparent, tracestate, replay_of)
        SELECT p.new_id, p.target, p.method, p.body, p.body_binary, p.headers, now(), p.ordering_key, p.priority,
               p.connect_timeout_ms, p.timeout_ms, p.traceparent, p.tracestate, p.repeats
          FROM placed p
     ), pending AS (
        INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at, key_hash, priority)
        SELECT p.new_id, p.target, p.shard, now(), p.key_hash, coalesce(p.priority, 0) FROM placed p
     )
     SELECT p.new_id, p.shard FROM placed p ORDER BY p.new_id"
}

async fn store(
    conn: &mut AsyncPgConnection,
    ids: &[MessageId],
    redrive: bool,
) -> Result<(u64, Vec<Shard>), StoreError> {
    let rows: Vec<(i64, i32)> = Store { ids: ids.iter().map(|id| id.0).collect(), redrive }.load(conn).await?;
    Ok(counted(&rows))
}

fn counted(rows: &[(i64, i32)]) -> (u64, Vec<Shard>) {
    let mut shards: Vec<Shard> = rows.iter().map(|(_, shard)| Shard(*shard)).collect();
    shards.sort_unstable();
    shards.dedup();
    (u64::try_from(rows.len()).unwrap_or(u64::MAX), shards)
}

/// Stores a message once more, which has ended; answers the new one's id and shard. `None`: there is no such message, or its queue
/// is gone.
///
/// # Errors
/// As any statement. [`StoreError::MissingPartition`] asks for `partition::ensure_partitions`.
pub async fn replay(conn: &mut AsyncPgConnection, id: MessageId) -> Result<Option<(MessageId, Shard)>, StoreError> {
    let statement = Store { ids: vec![id.0], redrive: false };
    let row: Option<(i64, i32)> = statement.get_result(conn).await.optional()?;
    Ok(row.map(|(id, shard)| (MessageId(id), Shard(shard))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_allows_whole_messages_and_saves_up_one_second() {
        assert_eq!(allowed(None, 0.0), STEP);
        assert_eq!(allowed(Some(10.0), 0.05), 0);
        assert_eq!(allowed(Some(10.0), 0.5), 5);
        assert_eq!(allowed(Some(10.0), 3600.0), 10);
        assert_eq!(allowed(Some(0.1), 5.0), 0);
        assert_eq!(allowed(Some(0.1), 11.0), 1);
        assert_eq!(allowed(Some(100_000.0), 1.0), STEP);
        assert_eq!(allowed(Some(1.0), -5.0), 0);
    }
}
