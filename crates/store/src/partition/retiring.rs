//! Dropping partitions whose messages are all old, and what is done with those that are not finished yet.
//!
//! A partition is retired in three steps, each of which is right to do again after a crash:
//!
//! 1. it is marked as closing;
//! 2. its two tables are detached, concurrently: nobody who reads or writes messages waits for it, and it waits for them;
//! 3. in one transaction, the detached tables are dropped. If there are messages in them that are still to be delivered (far in the
//!    future, or of a paused queue), small tables for the same ids with only these take their place.
//!
//! Between the steps the messages cannot be seen. So it is not begun while one of them may be delivered soon: a deliverer that
//! looks for one and does not find it looks again later, but a dead letter could not be made of it.

use std::time::Duration;

use diesel::OptionalExtension;
use diesel::sql_types::{BigInt, Bool, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::error::StoreError;
use crate::retention::seconds;
use crate::statement::statement;

/// Messages that are moved to a small table at most. A partition with more of them is kept.
pub const MOST_KEPT: i64 = 10_000;

/// A range of ids whose messages are old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retiring {
    first: i64,
    end: i64,
}

/// What came of retiring the oldest partition that can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retired {
    /// There is none.
    Nothing,
    /// It is gone.
    Dropped,
    /// It has shrunk to the messages that are still to be delivered.
    Shrunk,
    /// It has to be kept: too many of its messages are still to be delivered.
    Kept,
}

/// Retires the oldest partition whose messages all were created, and ended, longer than `age` ago.
///
/// # Errors
/// Any [`StoreError`], among them a timeout where an old transaction stands in the way: what is half done is continued next time.
pub async fn retire(conn: &mut AsyncPgConnection, age: Duration) -> Result<Retired, StoreError> {
    let Some(retiring) = next(conn, age).await? else { return Ok(Retired::Nothing) };
    if waiting(conn, retiring).await? > MOST_KEPT {
        return Ok(Retired::Kept);
    }
    close(conn, retiring).await?;
    detach(conn, retiring).await?;
    replace(conn, retiring).await
}

/// Lets the ids go on in the next partition if the present one began longer than `age` ago (an hour or more).
///
/// # Errors
/// Any [`StoreError`].
pub async fn roll(conn: &mut AsyncPgConnection, age: Duration) -> Result<bool, StoreError> {
    let (rolled,): (bool,) = Roll { age_seconds: seconds(age) }.get_result(conn).await?;
    Ok(rolled)
}

/// The oldest partition that can be retired: one that was begun with, or else one that is old, whose messages are all ended or
/// not due for a while.
///
/// # Errors
/// Any [`StoreError`].
pub async fn next(conn: &mut AsyncPgConnection, age: Duration) -> Result<Option<Retiring>, StoreError> {
    let found: Option<(i64, i64)> =
        Next { age_seconds: seconds(age), most: MOST_KEPT }.get_result(conn).await.optional()?;
    Ok(found.map(|(first, end)| Retiring { first, end }))
}

/// Its messages that are still to be delivered, counted a little beyond [`MOST_KEPT`].
async fn waiting(conn: &mut AsyncPgConnection, Retiring { first, end }: Retiring) -> Result<i64, StoreError> {
    let (waiting,): (i64,) = Waiting { first, end, limit: MOST_KEPT + 1 }.get_result(conn).await?;
    Ok(waiting)
}

/// Step 1.
///
/// # Errors
/// Any [`StoreError`].
pub async fn close(conn: &mut AsyncPgConnection, retiring: Retiring) -> Result<(), StoreError> {
    let _: Vec<(i64,)> = Close { first: retiring.first }.load(conn).await?;
    Ok(())
}

/// Step 2.
///
/// # Errors
/// Any [`StoreError`]; what is detached by then stays so.
pub async fn detach(conn: &mut AsyncPgConnection, retiring: Retiring) -> Result<(), StoreError> {
    for parent in ["messages", "attempts"] {
        let table = retiring.table(parent);
        let attached: Option<(bool,)> =
            Attached { table: format!("posthaste.{table}") }.get_result(conn).await.optional()?;
        let how = match attached {
            None => continue,
            // A run before was interrupted while it waited for others.
            Some((true,)) => "FINALIZE",
            Some((false,)) => "CONCURRENTLY",
        };
        // Not as part of a transaction, and with a limit: it waits for everybody who has touched the table.
        conn.batch_execute("SET lock_timeout = '10s'").await?;
        conn.batch_execute(&format!("ALTER TABLE posthaste.{parent} DETACH PARTITION posthaste.{table} {how}")).await?;
    }
    Ok(())
}

/// Step 3.
///
/// # Errors
/// Any [`StoreError`]; then nothing has changed.
pub async fn replace(conn: &mut AsyncPgConnection, retiring: Retiring) -> Result<Retired, StoreError> {
    let kept = waiting(conn, retiring).await?;
    conn.transaction(async |conn| {
        conn.batch_execute("SET LOCAL lock_timeout = '5s'").await?;
        if kept == 0 {
            let [messages, attempts] = ["messages", "attempts"].map(|parent| retiring.table(parent));
            let (first, drop) =
                (retiring.first, format!("DROP TABLE IF EXISTS posthaste.{messages}, posthaste.{attempts}"));
            conn.batch_execute(&format!("{drop}; DELETE FROM posthaste.partitions WHERE first_id = {first}")).await?;
            return Ok::<_, StoreError>(Retired::Dropped);
        }
        for (parent, id) in [("messages", "id"), ("attempts", "message_id")] {
            conn.batch_execute(&retiring.shrinking(parent, id)).await?;
        }
        Ok(Retired::Shrunk)
    })
    .await
}

impl Retiring {
    fn table(self, parent: &str) -> String {
        format!("{parent}_{:012}", self.first)
    }

    /// Puts a table with only the rows of what is still to be delivered in the place of the detached one. Made plain and then
    /// attached, as every partition is.
    fn shrinking(self, parent: &str, id: &str) -> String {
        let Retiring { first, end } = self;
        let table = self.table(parent);
        format!(
            "CREATE TABLE posthaste.{table}_kept (LIKE posthaste.{parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
                 CONSTRAINT partition_bound CHECK ({id} >= {first} AND {id} < {end}));
             INSERT INTO posthaste.{table}_kept
             SELECT t.* FROM posthaste.{table} t
              WHERE t.{id} IN (SELECT p.message_id FROM posthaste.pending p WHERE p.message_id >= {first} AND p.message_id < {end});
             DROP TABLE posthaste.{table};
             ALTER TABLE posthaste.{table}_kept RENAME TO {table};
             ALTER TABLE posthaste.{parent} ATTACH PARTITION posthaste.{table} FOR VALUES FROM ({first}) TO ({end});
             ALTER TABLE posthaste.{table} DROP CONSTRAINT partition_bound"
        )
    }
}

statement! {
    /// What a run before has begun with comes first, and is not asked again whether it is old: it may be out of sight already. Of the
    /// others, those are looked at whose ids are all given. Each question is one look at an index of one partition: the last message
    /// by id (ids rise with time, give or take a moment), the last end of each kind. A partition that has shrunk to what is still to
    /// be delivered is left alone until some of that has ended.
    struct Next { age_seconds: i64 => BigInt, most: i64 => BigInt }
    row (BigInt, BigInt)
    "WITH clock AS MATERIALIZED (
        SELECT clock_timestamp() - make_interval(secs => {age_seconds}) AS old, clock_timestamp() + interval '5 minutes' AS soon
     )
     SELECT p.first_id, p.end_id
       FROM posthaste.partitions p, clock
      WHERE p.closing AND (
                to_regclass(format('posthaste.messages_%s', lpad(p.first_id::text, 12, '0'))) IS NOT NULL AND
                (SELECT count(*) FROM pg_catalog.pg_inherits i
                  WHERE NOT i.inhdetachpending
                    AND i.inhrelid IN (to_regclass(format('posthaste.messages_%s', lpad(p.first_id::text, 12, '0'))),
                                       to_regclass(format('posthaste.attempts_%s', lpad(p.first_id::text, 12, '0'))))) < 2)
         OR p.end_id <= (SELECT last_value FROM posthaste.message_ids)
            AND p.created_at < clock.old
            AND coalesce((SELECT m.created_at FROM posthaste.messages m
                           WHERE m.id >= p.first_id AND m.id < p.end_id ORDER BY m.id DESC LIMIT 1) < clock.old, true)
            AND NOT EXISTS (
                SELECT FROM unnest('{delivered,failed,cancelled,expired}'::text[]) AS o(outcome)
                 CROSS JOIN LATERAL (
                    SELECT a.finished_at FROM posthaste.attempts a
                     WHERE a.message_id >= p.first_id AND a.message_id < p.end_id AND a.outcome = o.outcome
                       AND a.outcome <> 'retried'
                     ORDER BY a.finished_at DESC LIMIT 1) AS last
                 WHERE last.finished_at >= clock.old)
            AND NOT EXISTS (
                SELECT FROM posthaste.pending w LEFT JOIN posthaste.queues q ON q.id = w.queue_id
                 WHERE w.message_id >= p.first_id AND w.message_id < p.end_id
                   AND w.due_at < clock.soon AND q.paused_at IS NULL)
            AND NOT (p.closing AND
                     (SELECT count(*) FROM posthaste.messages m WHERE m.id >= p.first_id AND m.id < p.end_id)
                     <= (SELECT count(*) FROM posthaste.pending w WHERE w.message_id >= p.first_id AND w.message_id < p.end_id)
                     AND EXISTS (SELECT FROM posthaste.pending w WHERE w.message_id >= p.first_id AND w.message_id < p.end_id))
      -- One that has to be kept only where there is no other, for the log.
      ORDER BY (SELECT count(*) > {most} FROM (
                    SELECT FROM posthaste.pending w WHERE w.message_id >= p.first_id AND w.message_id < p.end_id LIMIT {most} + 1
                ) AS waiting), p.first_id
      LIMIT 1"
}

statement! {
    struct Waiting { first: i64 => BigInt, end: i64 => BigInt, limit: i64 => BigInt }
    row (BigInt,)
    "SELECT count(*) FROM (
        SELECT FROM posthaste.pending p WHERE p.message_id >= {first} AND p.message_id < {end} LIMIT {limit}
     ) AS waiting"
}

statement! {
    struct Close { first: i64 => BigInt }
    row (BigInt,)
    "UPDATE posthaste.partitions SET closing = true WHERE first_id = {first} RETURNING first_id"
}

statement! {
    /// Whether detaching it was begun; nothing where it is not attached.
    struct Attached { table: String => Text }
    row (Bool,)
    "SELECT i.inhdetachpending FROM pg_catalog.pg_inherits i WHERE i.inhrelid = to_regclass({table})"
}

statement! {
    struct Roll { age_seconds: i64 => BigInt }
    row (Bool,)
    "SELECT posthaste.roll_partition(make_interval(secs => {age_seconds}))"
}
