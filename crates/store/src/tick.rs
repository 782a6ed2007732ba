//! The ticks of crons: which crons are due, and storing the message of a cron's next tick.
//!
//! An active cron always has the message of its next tick stored already, so that it is delivered on time while no
//! scheduler runs. Once that tick has come, [`fire`] stores the one after it. It is a compare-and-set on the cron's own
//! row (`next_fire_at`, and the schedule that the new tick was computed from), in one statement with the message: each
//! tick is stored once, whatever crashes, and with any number of leaders at work.

use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::{CronId, MessageId, Shard};
use posthaste_core::time::Timestamp;

use crate::error::StoreError;
use crate::reading::{from_postgres, to_postgres};
use crate::statement::statement;

/// A cron whose tick has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueCron {
    pub id: CronId,
    /// As the user wrote it; it was valid when it was stored.
    pub schedule: String,
    /// An IANA name.
    pub time_zone: String,
    /// The tick that has come. Its message is stored.
    pub fired_at: Timestamp,
}

/// What [`due`] saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The database's clock.
    pub now: Timestamp,
    /// Earliest tick first, at most as many as were asked for. Paused crons are never due.
    pub crons: Vec<DueCron>,
    /// The earliest tick after `now`.
    pub upcoming: Option<Timestamp>,
}

/// What follows for a due cron.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    pub cron: DueCron,
    /// The tick to store. `None` ends the cron: it has no tick any more until it is changed.
    pub next: Option<Timestamp>,
}

/// What [`fire`] did for a cron.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fired {
    pub cron: CronId,
    pub next: NextTick,
}

/// What became of a cron's next tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextTick {
    /// Its message is stored now, in this shard.
    Stored { at: Timestamp, shard: Shard },
    /// It already had this message, which stays its only one.
    StoredBefore { at: Timestamp, message: MessageId },
    /// There is none: the cron has ended.
    None,
}

statement! {
    struct DueCrons { aside: Vec<i64> => Array<BigInt>, limit: i64 => BigInt }
    row (Timestamptz, Nullable<Timestamptz>, Nullable<BigInt>, Nullable<Text>, Nullable<Text>, Nullable<Timestamptz>)
    // The clock is read once, in a sub-select: compared with the volatile function itself, no index could be used.
    // The outer join makes one row, with the clock, where nothing is due.
    "WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
     SELECT clock.now,
            (SELECT min(c.next_fire_at) FROM posthaste.crons c
             WHERE c.paused_at IS NULL AND c.next_fire_at > (SELECT now FROM clock)),
            due.id, due.schedule, due.time_zone, due.next_fire_at
     FROM clock LEFT JOIN LATERAL (
         SELECT c.id, c.schedule, c.time_zone, c.next_fire_at
         FROM posthaste.crons c
         WHERE c.paused_at IS NULL AND c.next_fire_at <= (SELECT now FROM clock) AND c.id <> ALL ({aside})
         ORDER BY c.next_fire_at
         LIMIT {limit}
     ) due ON true"
}

type DueRow = (PgTimestamp, Option<PgTimestamp>, Option<i64>, Option<String>, Option<String>, Option<PgTimestamp>);

/// The crons whose tick has come by the database's clock, the earliest `limit` of them and none of `aside`, and the
/// earliest tick to come.
///
/// # Errors
/// Any [`StoreError`].
pub async fn due(conn: &mut AsyncPgConnection, aside: &[CronId], limit: u16) -> Result<Due, StoreError> {
    let statement = DueCrons { aside: aside.iter().map(|id| id.0).collect(), limit: i64::from(limit) };
    let rows: Vec<DueRow> = statement.load(conn).await?;
    let clock = rows.as_slice().first().map(|row| (row.0, row.1));
    let (now, upcoming) = clock.ok_or(StoreError::unexpected("due crons without a clock"))?;
    let crons = rows.into_iter().filter_map(|(_, _, id, schedule, time_zone, fired_at)| {
        let (id, fired_at) = (CronId(id?), from_postgres(fired_at?));
        Some(DueCron { id, schedule: schedule?, time_zone: time_zone?, fired_at })
    });
    Ok(Due { now: from_postgres(now), crons: crons.collect(), upcoming: upcoming.map(from_postgres) })
}

statement! {
    struct Fire {
        crons: Vec<i64> => Array<BigInt>,
        schedules: Vec<String> => Array<Text>,
        zones: Vec<String> => Array<Text>,
        fired: Vec<PgTimestamp> => Array<Timestamptz>,
        next: Vec<Option<PgTimestamp>> => Array<Nullable<Timestamptz>>,
    }
    row (BigInt, Nullable<Timestamptz>, Nullable<Integer>, Nullable<BigInt>)
    // `locked` is the compare; a row that another transaction holds is waited for and compared again as that one left it.
    // A tick that is in cron_ticks already has its message, and gets no other. It is looked up rather than skipped by ON
    // CONFLICT, so that a conflict which cannot be explained fails the statement and is seen.
    "WITH planned AS MATERIALIZED (
         SELECT * FROM unnest({crons}, {schedules}, {zones}, {fired}, {next})
             AS planned (cron_id, schedule, time_zone, fired_at, next_fire_at)
     ), locked AS MATERIALIZED (
         SELECT c.id AS cron_id, c.queue_id, c.body, c.headers, q.spread, planned.next_fire_at
         FROM planned
         JOIN posthaste.crons c ON c.id = planned.cron_id AND c.next_fire_at = planned.fired_at
             AND c.schedule = planned.schedule AND c.time_zone = planned.time_zone AND c.paused_at IS NULL
         JOIN posthaste.queues q ON q.id = c.queue_id
         ORDER BY c.id
         FOR NO KEY UPDATE OF c
     ), numbered AS MATERIALIZED (
         SELECT locked.*, tick.message_id AS stored_before,
             CASE WHEN locked.next_fire_at IS NOT NULL AND tick.message_id IS NULL
                  THEN nextval('posthaste.message_ids') END AS message_id
         FROM locked
         LEFT JOIN posthaste.cron_ticks tick ON tick.cron_id = locked.cron_id AND tick.tick = locked.next_fire_at
     ), fresh AS MATERIALIZED (
         SELECT numbered.*, posthaste.shard_of(queue_id, message_id, NULL, spread) AS shard
         FROM numbered WHERE message_id IS NOT NULL
     ), ticks AS (
         INSERT INTO posthaste.cron_ticks (cron_id, tick, message_id)
         SELECT cron_id, next_fire_at, message_id FROM fresh
     ), messages AS (
         INSERT INTO posthaste.messages (id, queue_id, body, headers, scheduled_at, cron_id)
         SELECT message_id, queue_id, body, headers, next_fire_at, cron_id FROM fresh
     ), pending AS (
         INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at)
         SELECT message_id, queue_id, shard, next_fire_at FROM fresh
     ), moved AS (
         UPDATE posthaste.crons c
         SET next_fire_at = numbered.next_fire_at, next_message_id = coalesce(numbered.message_id, stored_before)
         FROM numbered WHERE c.id = numbered.cron_id
     )
     SELECT cron_id, next_fire_at, posthaste.shard_of(queue_id, message_id, NULL, spread), stored_before
     FROM numbered"
}

/// Cron, next tick, the shard of its message if that is new, its message if that was there before.
type FiredRow = (i64, Option<PgTimestamp>, Option<i32>, Option<i64>);

/// Stores the next tick of every cron in `firings`, in one transaction, and answers what was done. Crons that are no
/// longer as they were read (fired by another leader, changed, paused, deleted) are left alone and absent from the
/// answer.
///
/// # Errors
/// [`StoreError::MissingPartition`] where the new ids have none: call
/// [`ensure_partitions`](crate::partition::ensure_partitions) and try again. After any error, a lost connection too, the
/// same firings may be sent again: what was stored is not stored twice.
pub async fn fire(conn: &mut AsyncPgConnection, firings: &[Firing]) -> Result<Vec<Fired>, StoreError> {
    let statement = Fire {
        crons: firings.iter().map(|firing| firing.cron.id.0).collect(),
        schedules: firings.iter().map(|firing| firing.cron.schedule.clone()).collect(),
        zones: firings.iter().map(|firing| firing.cron.time_zone.clone()).collect(),
        fired: firings.iter().map(|firing| to_postgres(firing.cron.fired_at)).collect(),
        next: firings.iter().map(|firing| firing.next.map(to_postgres)).collect(),
    };
    let rows: Vec<FiredRow> = statement.load(conn).await?;
    let fired = rows.into_iter().map(|(cron, next, shard, before)| {
        let next = match (next.map(from_postgres), shard, before) {
            (Some(at), Some(shard), _) => NextTick::Stored { at, shard: Shard(shard) },
            (Some(at), None, Some(message)) => NextTick::StoredBefore { at, message: MessageId(message) },
            (Some(_), None, None) | (None, ..) => NextTick::None,
        };
        Fired { cron: CronId(cron), next }
    });
    Ok(fired.collect())
}
