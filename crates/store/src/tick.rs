//! The ticks of crons: which crons are due, and storing what follows.
//!
//! [`fire`] is a compare-and-set on the cron's own row (where it stands, and the revision of its settings that the decision came from),
//! in one statement with the message and the record of the tick: each tick is stored once, whatever crashes, and with any number of
//! leaders at work. What is to follow is decided by [`posthaste_core::cron`].

use std::time::Duration;

use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::cron::{Missed, Overlap, Rules, Standing, Step, jitter};
use posthaste_core::ids::{CronId, MessageId, Shard};
use posthaste_core::schedule::Timing;
use posthaste_core::time::Timestamp;

use crate::cron::duration;
use crate::error::StoreError;
use crate::reading::{from_postgres, to_postgres};
use crate::statement::statement;

/// A cron whose tick has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueCron {
    pub id: CronId,
    /// As the user wrote it; it was valid when it was stored.
    pub timing: Timing,
    pub rules: Rules,
    pub jitter: Duration,
    /// The tick that has come, and whether its message is stored.
    pub standing: Standing,
    /// When it was last resumed.
    pub resumed_at: Option<Timestamp>,
    revision: PgTimestamp,
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
    pub step: Step,
}

/// What [`fire`] did for a cron.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fired {
    pub cron: CronId,
    pub outcome: Outcome,
    /// The tick at which it stands now; `None`: it has ended.
    pub next: Option<Timestamp>,
}

/// What became of the tick that was to be fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There was none.
    Nothing,
    /// Its message is stored now, in this shard, to be due then.
    Stored { due: Timestamp, shard: Shard },
    /// It already had this message, which stays its only one.
    StoredBefore { message: MessageId },
    /// The firing before it has not ended.
    Overlapped,
}

statement! {
    // The clock is read once, in a sub-select: compared with the volatile function itself, no index could be used.
    struct Clock {}
    row (Timestamptz, Nullable<Timestamptz>)
    "WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
     SELECT clock.now,
            (SELECT min(c.next_fire_at) FROM posthaste.crons c
             WHERE c.paused_at IS NULL AND c.next_fire_at > (SELECT now FROM clock))
     FROM clock"
}

type TimingSql = (
    Nullable<Text>,
    Nullable<BigInt>,
    Nullable<Timestamptz>,
    Text,
    Nullable<Timestamptz>,
    Nullable<Timestamptz>,
    Timestamptz,
);
type TimingTuple =
    (Option<String>, Option<i64>, Option<PgTimestamp>, String, Option<PgTimestamp>, Option<PgTimestamp>, PgTimestamp);
type DueTuple = (i64, TimingTuple, (String, i64, String, i64), (PgTimestamp, bool, Option<PgTimestamp>, PgTimestamp));

statement! {
    struct DueCrons { now: PgTimestamp => Timestamptz, aside: Vec<i64> => Array<BigInt>, limit: i64 => BigInt }
    row (
        BigInt,
        TimingSql,
        (Text, BigInt, Text, BigInt),
        (Timestamptz, Bool, Nullable<Timestamptz>, Timestamptz),
    )
    "SELECT c.id, c.schedule, c.every_us, c.at, c.time_zone, c.start_at, c.end_at, c.created_at,
            c.missed, c.tolerance_us, c.overlap, c.jitter_us,
            c.next_fire_at, c.next_message_id IS NOT NULL, c.resumed_at, c.updated_at
     FROM posthaste.crons c
     WHERE c.paused_at IS NULL AND c.next_fire_at <= {now} AND c.id <> ALL ({aside})
     ORDER BY c.next_fire_at
     LIMIT {limit}"
}

/// The crons whose tick has come by the database's clock, the earliest `limit` of them and none of `aside`, and the
/// earliest tick to come.
///
/// # Errors
/// Any [`StoreError`].
pub async fn due(conn: &mut AsyncPgConnection, aside: &[CronId], limit: u16) -> Result<Due, StoreError> {
    let (now, upcoming): (PgTimestamp, Option<PgTimestamp>) = Clock {}.get_result(conn).await?;
    let statement = DueCrons { now, aside: aside.iter().map(|id| id.0).collect(), limit: i64::from(limit) };
    let rows: Vec<DueTuple> = statement.load(conn).await?;
    let crons: Result<Vec<DueCron>, StoreError> = rows.into_iter().map(due_cron).collect();
    Ok(Due { now: from_postgres(now), crons: crons?, upcoming: upcoming.map(from_postgres) })
}

fn due_cron((id, timing, rules, standing): DueTuple) -> Result<DueCron, StoreError> {
    let (schedule, every, at, time_zone, start, end, created) = timing;
    let (missed, tolerance, overlap, jitter) = rules;
    let (tick, stored, resumed_at, revision) = standing;
    let unknown = StoreError::unexpected("a cron with an unknown policy");
    Ok(DueCron {
        id: CronId(id),
        timing: Timing {
            schedule,
            every: every.map(duration),
            at: at.map(from_postgres),
            time_zone,
            start: start.map(from_postgres),
            end: end.map(from_postgres),
            created: from_postgres(created),
        },
        rules: Rules {
            missed: Missed::parse(&missed).ok_or(unknown.clone())?,
            tolerance: duration(tolerance),
            overlap: Overlap::parse(&overlap).ok_or(unknown)?,
        },
        jitter: duration(jitter),
        standing: Standing { tick: from_postgres(tick), stored },
        resumed_at: resumed_at.map(from_postgres),
        revision,
    })
}

statement! {
    struct Fire {
        crons: Vec<i64> => Array<BigInt>,
        revisions: Vec<PgTimestamp> => Array<Timestamptz>,
        stands: Vec<PgTimestamp> => Array<Timestamptz>,
        stored: Vec<bool> => Array<Bool>,
        ticks: Vec<Option<PgTimestamp>> => Array<Nullable<Timestamptz>>,
        dues: Vec<Option<PgTimestamp>> => Array<Nullable<Timestamptz>>,
        caught_up: Vec<bool> => Array<Bool>,
        alone: Vec<bool> => Array<Bool>,
        skipped_first: Vec<Option<PgTimestamp>> => Array<Nullable<Timestamptz>>,
        skipped_last: Vec<Option<PgTimestamp>> => Array<Nullable<Timestamptz>>,
        skipped_count: Vec<Option<i32>> => Array<Nullable<Integer>>,
        reasons: Vec<&'static str> => Array<Text>,
        next: Vec<Option<PgTimestamp>> => Array<Nullable<Timestamptz>>,
        ahead: Vec<bool> => Array<Bool>,
    }
    row (BigInt, Nullable<Timestamptz>, Nullable<Integer>, Nullable<BigInt>, Bool, Nullable<Timestamptz>)
    // `locked` is the compare; a row that another transaction holds is waited for and compared again as that one left it. Crons are
    // looked up one by one, by their ids alone and in the order of these: a planner that believes that there are few would compare each
    // with each, or go by the tick, which many share. LIMIT keeps the comparison out of the look.
    // A tick that is in cron_ticks already has its message, and gets no other. It is looked up rather than skipped by ON
    // CONFLICT, so that a conflict which cannot be explained fails the statement and is seen.
    "WITH planned AS MATERIALIZED (
         SELECT * FROM unnest({crons}, {revisions}, {stands}, {stored}, {ticks}, {dues}, {caught_up}, {alone},
                              {skipped_first}, {skipped_last}, {skipped_count}, {reasons}, {next}, {ahead})
             AS planned (cron_id, revision, stands, stored, tick, due, caught_up, alone,
                         skipped_first, skipped_last, skipped_count, reason, next_fire_at, ahead)
     ), locked AS MATERIALIZED (
         SELECT planned.*, c.queue_id, c.method, c.body, c.headers, c.firings, c.before, q.spread
         FROM (SELECT * FROM planned ORDER BY cron_id) AS planned
         CROSS JOIN LATERAL (
             SELECT c.queue_id, c.method, c.body, c.headers, c.firings, c.next_fire_at, c.updated_at, c.paused_at,
                    c.next_message_id, coalesce(c.next_message_id, c.last_message_id) AS before
             FROM posthaste.crons c WHERE c.id = planned.cron_id
             LIMIT 1 FOR NO KEY UPDATE
         ) AS c
         JOIN posthaste.queues q ON q.id = c.queue_id
         WHERE c.next_fire_at = planned.stands AND (c.next_message_id IS NOT NULL) = planned.stored
             AND c.updated_at = planned.revision AND c.paused_at IS NULL
     ), looked AS MATERIALIZED (
         SELECT locked.*, known.message_id AS stored_before,
                locked.alone AND locked.tick IS NOT NULL AND pending.message_id IS NOT NULL AS overlapped
         FROM locked
         LEFT JOIN LATERAL (
             SELECT t.message_id FROM posthaste.cron_ticks t
             WHERE (t.cron_id, t.tick) >= (locked.cron_id, locked.tick) AND (t.cron_id, t.tick) <= (locked.cron_id, locked.tick)
             ORDER BY t.cron_id, t.tick LIMIT 1
         ) known ON true
         LEFT JOIN LATERAL (
             SELECT p.message_id FROM posthaste.pending p WHERE locked.alone AND p.message_id = locked.before OFFSET 0
         ) pending ON true
     ), numbered AS MATERIALIZED (
         SELECT looked.*, looked.firings + 1 AS number,
                CASE WHEN looked.tick IS NOT NULL AND looked.stored_before IS NULL AND NOT looked.overlapped
                     THEN nextval('posthaste.message_ids') END AS message_id
         FROM looked
     ), fresh AS MATERIALIZED (
         SELECT numbered.*, posthaste.shard_of(queue_id, message_id, NULL, spread) AS shard
         FROM numbered WHERE message_id IS NOT NULL
     ), ticks AS (
         INSERT INTO posthaste.cron_ticks (cron_id, tick, message_id, outcome, number)
         SELECT cron_id, tick, message_id, CASE WHEN caught_up THEN 'caught_up' ELSE 'fired' END, number FROM fresh
     ), skipped AS (
         INSERT INTO posthaste.cron_ticks (cron_id, tick, outcome, reason, until, count)
         SELECT cron_id, skipped_first, 'skipped', reason, skipped_last, skipped_count
         FROM numbered WHERE skipped_first IS NOT NULL
         UNION ALL
         SELECT cron_id, tick, 'skipped', 'overlap', NULL, NULL FROM numbered WHERE overlapped AND stored_before IS NULL
         ON CONFLICT DO NOTHING
     ), messages AS (
         INSERT INTO posthaste.messages (id, queue_id, method, body, headers, scheduled_at, cron_id)
         SELECT message_id, queue_id, method, body, posthaste.cron_headers(headers, tick, number), due, cron_id FROM fresh
     ), pending AS (
         INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at)
         SELECT message_id, queue_id, shard, due FROM fresh
     ), moved AS (
         UPDATE posthaste.crons c
         SET next_fire_at = numbered.next_fire_at,
             next_message_id = CASE WHEN numbered.ahead THEN coalesce(numbered.message_id, numbered.stored_before) END,
             last_message_id = CASE WHEN numbered.ahead THEN numbered.before
                                    ELSE coalesce(numbered.message_id, numbered.stored_before, numbered.before) END,
             firings = CASE WHEN numbered.message_id IS NULL THEN c.firings ELSE numbered.number END
         FROM numbered WHERE c.id = numbered.cron_id
     )
     SELECT cron_id, due, posthaste.shard_of(queue_id, message_id, NULL, spread), stored_before, overlapped, next_fire_at
     FROM numbered"
}

/// Cron, when the message is due, its shard if it is new, the message if that was there before, whether it was left out, the next tick.
type FiredRow = (i64, Option<PgTimestamp>, Option<i32>, Option<i64>, bool, Option<PgTimestamp>);

/// Stores what follows for every cron in `firings`, in one transaction, and answers what was done. Crons that are no
/// longer as they were read (fired by another leader, changed, paused, deleted) are left alone and absent from the
/// answer.
///
/// # Errors
/// [`StoreError::MissingPartition`] where the new ids have none: call
/// [`ensure_partitions`](crate::partition::ensure_partitions) and try again. After any error, a lost connection too, the
/// same firings may be sent again: what was stored is not stored twice.
pub async fn fire(conn: &mut AsyncPgConnection, firings: &[Firing]) -> Result<Vec<Fired>, StoreError> {
    fn each<T>(firings: &[Firing], of: impl Fn(&Firing) -> T) -> Vec<T> {
        firings.iter().map(of).collect()
    }
    let due = |firing: &Firing| {
        let fire = firing.step.fire?;
        Some(to_postgres(fire.tick.saturating_add(jitter(firing.cron.jitter, firing.cron.id, fire.tick))))
    };
    let reason = |firing: &Firing| {
        let is_of_the_pause = firing.step.skipped.zip(firing.cron.resumed_at).is_some_and(|(of, at)| of.first <= at);
        if is_of_the_pause { "paused" } else { "missed" }
    };
    let statement = Fire {
        crons: each(firings, |firing| firing.cron.id.0),
        revisions: each(firings, |firing| firing.cron.revision),
        stands: each(firings, |firing| to_postgres(firing.cron.standing.tick)),
        stored: each(firings, |firing| firing.cron.standing.stored),
        ticks: each(firings, |firing| firing.step.fire.map(|fire| to_postgres(fire.tick))),
        dues: each(firings, due),
        caught_up: each(firings, |firing| firing.step.fire.is_some_and(|fire| fire.caught_up)),
        alone: each(firings, |firing| firing.cron.rules.overlap == Overlap::Skip),
        skipped_first: each(firings, |firing| firing.step.skipped.map(|range| to_postgres(range.first))),
        skipped_last: each(firings, |firing| firing.step.skipped.map(|range| to_postgres(range.last))),
        skipped_count: each(firings, |firing| firing.step.skipped?.count.and_then(|count| i32::try_from(count).ok())),
        reasons: each(firings, reason),
        next: each(firings, |firing| firing.step.next.map(|next| to_postgres(next.tick))),
        ahead: each(firings, |firing| firing.step.next.is_some_and(|next| next.stored)),
    };
    let rows: Vec<FiredRow> = statement.load(conn).await?;
    let fired = rows.into_iter().map(|(cron, due, shard, before, overlapped, next)| {
        let outcome = match (due.map(from_postgres), shard, before) {
            (Some(due), Some(shard), _) => Outcome::Stored { due, shard: Shard(shard) },
            (_, _, Some(message)) => Outcome::StoredBefore { message: MessageId(message) },
            _ if overlapped => Outcome::Overlapped,
            _ => Outcome::Nothing,
        };
        Fired { cron: CronId(cron), outcome, next: next.map(from_postgres) }
    });
    Ok(fired.collect())
}
