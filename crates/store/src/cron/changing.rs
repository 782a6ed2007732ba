//! Creating and changing crons, each together with the message of its next tick.
//!
//! Promise: a change replaces the future message in its own transaction, and no tick is lost or fired twice by it. A tick that is
//! about to come and whose message is stored, or that has come and is not yet followed, is left to the scheduler, which goes by the
//! new settings from then on. So is what a paused cron has missed when it is resumed.

use std::time::Duration;

use diesel::pg::data_types::PgTimestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use posthaste_core::cron::{Standing, jitter};
use posthaste_core::ids::{CronId, Shard};
use posthaste_core::schedule::Timing;
use posthaste_core::time::Timestamp;

use super::{Cron, NewCron, Row, Settings, clock, micros};
use crate::changing::{Changed, Plan, Undone, outcome};
use crate::error::StoreError;
use crate::reading::to_postgres;
use crate::schema::crons;
use crate::statement::statement;

/// A tick that is as near as this is not taken back: its message may be on its way before the change has committed.
const IMMINENT: Duration = Duration::from_secs(1);

/// When a cron fires next after a time.
pub type Scheduling<'a, E> = &'a (dyn Fn(&Timing, Timestamp) -> Result<Timestamp, E> + Send + Sync);

/// Crons as they are now, and the shards whose owners have something to do.
pub type Stored = (Vec<Cron>, Vec<Shard>);

/// Creates crons, all or none, in their order, with the messages of their first ticks after now.
///
/// # Errors
/// As any transaction; [`StoreError::MissingPartition`] asks for `partition::ensure_partitions`.
pub async fn insert_all<E: Send>(
    conn: &mut AsyncPgConnection,
    new: &[NewCron],
    next: Scheduling<'_, E>,
) -> Result<Changed<Stored, E>, StoreError> {
    let result = conn.transaction(async |conn| {
        let now = clock(conn).await?;
        let (mut stored, mut shards) = (Vec::with_capacity(new.len()), Vec::with_capacity(new.len()));
        for cron in new {
            let row: Row = diesel::insert_into(crons::table)
                .values((
                    crons::queue_id.eq(cron.queue_id.0),
                    crons::created_at.eq(to_postgres(now)),
                    crons::updated_at.eq(to_postgres(now)),
                    crons::paused_at.eq(cron.paused.then(|| to_postgres(now))),
                    Columns::from(&cron.settings),
                ))
                .returning(Row::as_returning())
                .get_result(conn)
                .await?;
            let cron = Cron::from(row);
            let tick = next(&cron.settings.timing(now), now).map_err(Undone::Refused)?;
            let standing = Standing { tick, stored: stores_ahead(&cron) };
            shards.extend(place(conn, &cron, None, standing).await?);
            stored.push(Cron { next_fire_at: Some(tick), ..cron });
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
    next: Scheduling<'_, E>,
) -> Result<Changed<Stored, E>, StoreError> {
    let result = conn.transaction(async |conn| {
        type Locked = (Row, Option<i64>);
        let rows: Vec<Locked> = crons::table
            .filter(crons::id.eq_any(ids.iter().map(|id| id.0)))
            .order(crons::id)
            .select((Row::as_select(), crons::next_message_id))
            .for_update()
            .load(conn)
            .await?;
        // Read after the locks were had: what the scheduler did meanwhile is behind us.
        let now = clock(conn).await?;
        let (mut stored, mut shards) = (Vec::with_capacity(rows.len()), Vec::new());
        for (row, message) in rows {
            let cron = Cron::from(row);
            let planned = plan(&cron).map_err(Undone::Refused)?;
            let updated = update(conn, &planned, &cron, now).await?;
            let standing = cron.next_fire_at.map(|tick| Standing { tick, stored: message.is_some() });
            let timing = |cron: &Cron| cron.settings.timing(cron.created_at);
            let is_retimed = timing(&planned) != timing(&cron);
            if planned == cron || is_under_way(standing, now) || (standing.is_none() && !is_retimed) {
                stored.push(updated);
                continue;
            }
            let tick = match standing {
                Some(standing) if !is_retimed => standing.tick,
                Some(_) | None => next(&timing(&planned), now).map_err(Undone::Refused)?,
            };
            let old = standing.zip(message).map(|(standing, message)| (standing.tick, message));
            let standing = Standing { tick, stored: stores_ahead(&updated) };
            shards.extend(place(conn, &updated, old, standing).await?);
            stored.push(Cron { next_fire_at: Some(tick), ..updated });
        }
        Ok((stored, shards))
    });
    outcome(result.await)
}

/// Whether it is for the scheduler to go on from there: the message is on its way, or the tick has come.
fn is_under_way(standing: Option<Standing>, now: Timestamp) -> bool {
    standing.is_some_and(|standing| standing.tick <= if standing.stored { now.saturating_add(IMMINENT) } else { now })
}

fn stores_ahead(cron: &Cron) -> bool {
    !cron.paused && !cron.settings.rules().stores_when_due()
}

/// Settings, as they are written.
#[derive(Insertable, AsChangeset)]
#[diesel(table_name = crons, treat_none_as_null = true, treat_none_as_default_value = false)]
struct Columns<'a> {
    schedule: Option<&'a str>,
    time_zone: &'a str,
    every_us: Option<i64>,
    at: Option<PgTimestamp>,
    start_at: Option<PgTimestamp>,
    end_at: Option<PgTimestamp>,
    jitter_us: i64,
    missed: &'static str,
    tolerance_us: i64,
    overlap: &'static str,
    method: Option<&'a str>,
    body: Option<&'a str>,
    headers: Option<&'a serde_json::Value>,
}

impl<'a> From<&'a Settings> for Columns<'a> {
    fn from(settings: &'a Settings) -> Columns<'a> {
        Columns {
            schedule: settings.schedule.as_deref(),
            time_zone: &settings.time_zone,
            every_us: settings.every.map(micros),
            at: settings.at.map(to_postgres),
            start_at: settings.start_at.map(to_postgres),
            end_at: settings.end_at.map(to_postgres),
            jitter_us: micros(settings.jitter),
            missed: settings.missed.as_str(),
            tolerance_us: micros(settings.tolerance),
            overlap: settings.overlap.as_str(),
            method: settings.method.as_deref(),
            body: settings.body.as_deref(),
            headers: settings.headers.as_ref(),
        }
    }
}

async fn update(conn: &mut AsyncPgConnection, planned: &Cron, before: &Cron, now: Timestamp) -> QueryResult<Cron> {
    let update = diesel::update(crons::table.find(planned.id.0)).set((
        crons::queue_id.eq(planned.queue_id.0),
        Columns::from(&planned.settings),
        crons::paused_at.eq(planned.paused.then(|| to_postgres(before.paused_at.unwrap_or(now)))),
        (before.paused && !planned.paused).then(|| crons::resumed_at.eq(to_postgres(now))),
        crons::updated_at.eq(diesel::dsl::now),
    ));
    let row: Row = update.returning(Row::as_returning()).get_result(conn).await?;
    Ok(row.into())
}

/// Takes back the message of a tick that is to come, and lets the cron stand at a tick, whose message it stores if that is to be
/// there. The shards whose owners have something to do.
async fn place<E>(
    conn: &mut AsyncPgConnection,
    cron: &Cron,
    old: Option<(Timestamp, i64)>,
    standing: Standing,
) -> Result<Vec<Shard>, Undone<E>> {
    let place = Place {
        cron: cron.id.0,
        old_tick: old.map(|(tick, _)| to_postgres(tick)),
        old_message: old.map(|(_, message)| message),
        tick: to_postgres(standing.tick),
        due: to_postgres(standing.tick.saturating_add(jitter(cron.settings.jitter, cron.id, standing.tick))),
        stored: standing.stored,
    };
    let (new, old): (Option<i32>, Option<i32>) = place.get_result(conn).await?;
    Ok([new, old].into_iter().flatten().map(Shard).collect())
}

statement! {
    /// Returns the shards of the new and of the old message.
    struct Place {
        cron: i64 => BigInt,
        old_tick: Option<PgTimestamp> => Nullable<Timestamptz>,
        old_message: Option<i64> => Nullable<BigInt>,
        tick: PgTimestamp => Timestamptz,
        due: PgTimestamp => Timestamptz,
        stored: bool => Bool,
    }
    row (Nullable<Integer>, Nullable<Integer>)
    "WITH cron AS MATERIALIZED (
         SELECT c.id, c.queue_id, c.method, c.body, c.headers, q.spread,
                c.firings - CASE WHEN {old_message} IS NULL THEN 0 ELSE 1 END + CASE WHEN {stored} THEN 1 ELSE 0 END AS number,
                CASE WHEN {stored} THEN nextval('posthaste.message_ids') END AS message_id
         FROM posthaste.crons c JOIN posthaste.queues q ON q.id = c.queue_id WHERE c.id = {cron}
     ), cancelled AS (
         UPDATE posthaste.pending SET cancelled = true, xid = pg_current_xact_id()
         WHERE message_id = {old_message} RETURNING shard
     ), forgotten AS (
         DELETE FROM posthaste.cron_ticks
         WHERE cron_id = {cron} AND tick = {old_tick} AND NOT ({stored} AND tick = {tick})
     ), message AS (
         INSERT INTO posthaste.messages (id, queue_id, method, body, headers, scheduled_at, cron_id)
         SELECT c.message_id, c.queue_id, c.method, c.body, posthaste.cron_headers(c.headers, {tick}, c.number), {due}, c.id
         FROM cron c WHERE {stored}
     ), ticks AS (
         INSERT INTO posthaste.cron_ticks (cron_id, tick, message_id, number)
         SELECT c.id, {tick}, c.message_id, c.number FROM cron c WHERE {stored}
         ON CONFLICT (cron_id, tick) DO UPDATE SET message_id = excluded.message_id, number = excluded.number,
                outcome = 'fired', reason = NULL, until = NULL, count = NULL
     ), pending AS (
         INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at)
         SELECT c.message_id, c.queue_id, posthaste.shard_of(c.queue_id, c.message_id, NULL, c.spread), {due}
         FROM cron c WHERE {stored}
         RETURNING shard
     ), moved AS (
         UPDATE posthaste.crons c SET next_fire_at = {tick}, next_message_id = cron.message_id, firings = cron.number
         FROM cron WHERE c.id = cron.id
     )
     SELECT (SELECT p.shard FROM pending p), (SELECT c.shard FROM cancelled c)"
}
