//! Crons: create, read, change, delete, trigger. Firing them is `tick`'s.
//!
//! A cron whose messages are stored ahead is stored together with that of its first tick, in one transaction: there is no such cron
//! without a future message while it is active. Who changes both a cron and its message locks the cron's row first.

mod changing;
mod listing;
mod ticks;
mod trigger;

use std::time::Duration;

use diesel::pg::data_types::PgTimestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use posthaste_core::cron::{Missed, Overlap, Rules};
use posthaste_core::entity::Entity;
use posthaste_core::ids::{CronId, QueueId, Shard};
use posthaste_core::schedule::{Schedule, Timing};
use posthaste_core::time::Timestamp;
use serde_json::Value;

use crate::change::record_deletions;
use crate::error::StoreError;
use crate::reading::from_postgres;
use crate::schema::crons;
use crate::statement::statement;

pub use changing::{Scheduling, Stored, change, insert_all};
pub use listing::{count, find, of_queues};
pub use ticks::{Tick, ticks};
pub use trigger::{Triggered, trigger};

/// A cron as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Cron {
    pub id: CronId,
    pub queue_id: QueueId,
    pub settings: Settings,
    pub paused: bool,
    pub paused_at: Option<Timestamp>,
    /// The next tick. While it is paused: the first that has not been fired. `None`: there is none any more.
    pub next_fire_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A cron to be created. The caller has validated every field but the queue's existence.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCron {
    pub queue_id: QueueId,
    pub settings: Settings,
    pub paused: bool,
}

/// What a cron does, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// One of this, `every` and `at`.
    pub schedule: Option<String>,
    /// An IANA time zone's name.
    pub time_zone: String,
    pub every: Option<Duration>,
    pub at: Option<Timestamp>,
    pub start_at: Option<Timestamp>,
    pub end_at: Option<Timestamp>,
    /// By how much a tick's message may be due after the tick.
    pub jitter: Duration,
    pub missed: Missed,
    pub tolerance: Duration,
    pub overlap: Overlap,
    /// `None`: the queue's.
    pub method: Option<String>,
    /// Each of its messages carries it.
    pub body: Option<String>,
    /// A JSON object of header names to values; each of its messages carries them.
    pub headers: Option<Value>,
}

impl Settings {
    /// When a cron with these fires that was created then.
    #[must_use]
    pub fn timing(&self, created: Timestamp) -> Timing {
        Timing {
            schedule: self.schedule.clone(),
            every: self.every,
            at: self.at,
            time_zone: self.time_zone.clone(),
            start: self.start_at,
            end: self.end_at,
            created,
        }
    }

    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules { missed: self.missed, tolerance: self.tolerance, overlap: self.overlap }
    }
}

impl Default for Settings {
    /// As a cron is of which nothing is said; it still needs one of `schedule`, `every` and `at`.
    fn default() -> Settings {
        Settings {
            schedule: None,
            time_zone: Schedule::DEFAULT_TIME_ZONE.to_owned(),
            every: None,
            at: None,
            start_at: None,
            end_at: None,
            jitter: Duration::ZERO,
            missed: Missed::default(),
            tolerance: Rules::TOLERANCE,
            overlap: Overlap::default(),
            method: None,
            body: None,
            headers: None,
        }
    }
}

/// A cron that has been deleted, and the shard whose owner has its future message to drop.
#[derive(Debug, Clone, PartialEq)]
pub struct DeletedCron {
    pub cron: Cron,
    pub shard: Option<Shard>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = crons, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: i64,
    queue_id: i64,
    schedule: Option<String>,
    time_zone: String,
    every_us: Option<i64>,
    at: Option<PgTimestamp>,
    start_at: Option<PgTimestamp>,
    end_at: Option<PgTimestamp>,
    jitter_us: i64,
    missed: String,
    tolerance_us: i64,
    overlap: String,
    method: Option<String>,
    body: Option<String>,
    headers: Option<Value>,
    paused_at: Option<PgTimestamp>,
    next_fire_at: Option<PgTimestamp>,
    created_at: PgTimestamp,
    updated_at: PgTimestamp,
}

impl From<Row> for Cron {
    fn from(row: Row) -> Cron {
        Cron {
            id: CronId(row.id),
            queue_id: QueueId(row.queue_id),
            settings: Settings {
                schedule: row.schedule,
                time_zone: row.time_zone,
                every: row.every_us.map(duration),
                at: row.at.map(from_postgres),
                start_at: row.start_at.map(from_postgres),
                end_at: row.end_at.map(from_postgres),
                jitter: duration(row.jitter_us),
                // The table's constraints let nothing else in.
                missed: Missed::parse(&row.missed).unwrap_or_default(),
                tolerance: duration(row.tolerance_us),
                overlap: Overlap::parse(&row.overlap).unwrap_or_default(),
                method: row.method,
                body: row.body,
                headers: row.headers,
            },
            paused: row.paused_at.is_some(),
            paused_at: row.paused_at.map(from_postgres),
            next_fire_at: row.next_fire_at.map(from_postgres),
            created_at: from_postgres(row.created_at),
            updated_at: from_postgres(row.updated_at),
        }
    }
}

/// From a column in microseconds.
pub(crate) fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The database's time, from which a next tick is computed.
async fn clock(conn: &mut AsyncPgConnection) -> Result<Timestamp, StoreError> {
    let (now,): (PgTimestamp,) = Clock {}.get_result(conn).await?;
    Ok(from_postgres(now))
}

/// Reads a cron.
///
/// # Errors
/// As any statement.
pub async fn get(conn: &mut AsyncPgConnection, id: CronId) -> Result<Option<Cron>, StoreError> {
    let row = crons::table.find(id.0).select(Row::as_select()).first(conn).await.optional()?;
    Ok(row.map(Cron::from))
}

/// Deletes crons and cancels the messages of their next ticks, all or none. What has fired already is delivered. Ids that do
/// not exist are passed over.
///
/// # Errors
/// As any transaction.
pub async fn delete_all(conn: &mut AsyncPgConnection, ids: &[CronId]) -> Result<Vec<DeletedCron>, StoreError> {
    conn.transaction(async |conn| {
        // Two statements: where the first waits for the scheduler, the next message is younger than its snapshot,
        // and only the second sees it.
        let returning = (Row::as_returning(), crons::next_message_id);
        let gone: Vec<(Row, Option<i64>)> =
            diesel::delete(crons::table.filter(crons::id.eq_any(ids.iter().map(|id| id.0))))
                .returning(returning)
                .get_results(conn)
                .await?;
        let mut deleted = Vec::with_capacity(gone.len());
        for (row, next) in gone {
            let shard = match next {
                Some(message) => Cancel { message }.get_result::<(i32,)>(conn).await.optional()?,
                None => None,
            };
            deleted.push(DeletedCron { cron: row.into(), shard: shard.map(|(shard,)| Shard(shard)) });
        }
        deleted.sort_by_key(|deleted| deleted.cron.id);
        let rows: Vec<(i64, i64)> = deleted.iter().map(|gone| (gone.cron.id.0, gone.cron.queue_id.0)).collect();
        record_deletions(conn, Entity::Cron, &rows).await?;
        Ok::<_, StoreError>(deleted)
    })
    .await
}

statement! {
    struct Clock {}
    row (Timestamptz,)
    "SELECT clock_timestamp()"
}

statement! {
    struct Cancel { message: i64 => BigInt }
    row (Integer,)
    "UPDATE posthaste.pending SET cancelled = true, xid = pg_current_xact_id()
     WHERE message_id = {message} RETURNING shard"
}
