//! What became of a cron's ticks.

use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::{CronId, MessageId};
use posthaste_core::time::Timestamp;

use crate::error::StoreError;
use crate::reading::{from_postgres, to_postgres};
use crate::statement::statement;

/// A tick, or several that were skipped together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    pub at: Timestamp,
    /// `upcoming`, `fired`, `caught_up`, `triggered` or `skipped`.
    pub outcome: String,
    /// Why it was skipped: `missed`, `paused` or `overlap`.
    pub reason: Option<String>,
    pub message: Option<MessageId>,
    /// Of those that fired, from 1.
    pub number: Option<i64>,
    /// The last of those that were skipped together.
    pub until: Option<Timestamp>,
    /// How many were; `None`: one, or too many to be counted.
    pub count: Option<i32>,
}

statement! {
    struct Ticks { cron: i64 => BigInt, before: Option<PgTimestamp> => Nullable<Timestamptz>, limit: i64 => BigInt }
    row (Timestamptz, Text, Nullable<Text>, Nullable<BigInt>, Nullable<BigInt>, Nullable<Timestamptz>, Nullable<Integer>, Bool)
    "SELECT t.tick, t.outcome, t.reason, t.message_id, t.number, t.until, t.count, t.tick > clock_timestamp()
       FROM posthaste.cron_ticks t
      WHERE t.cron_id = {cron} AND ({before} IS NULL OR t.tick < {before})
      ORDER BY t.cron_id DESC, t.tick DESC LIMIT {limit}"
}

type TickTuple =
    (PgTimestamp, String, Option<String>, Option<i64>, Option<i64>, Option<PgTimestamp>, Option<i32>, bool);

/// The latest ticks of a cron, latest first: of those before `before`, at most `limit`.
///
/// # Errors
/// As any statement.
pub async fn ticks(
    conn: &mut AsyncPgConnection,
    cron: CronId,
    before: Option<Timestamp>,
    limit: i64,
) -> Result<Vec<Tick>, StoreError> {
    let rows: Vec<TickTuple> = Ticks { cron: cron.0, before: before.map(to_postgres), limit }.load(conn).await?;
    let tick = |(at, outcome, reason, message, number, until, count, is_to_come): TickTuple| Tick {
        at: from_postgres(at),
        outcome: if is_to_come { "upcoming".to_owned() } else { outcome },
        reason,
        message: message.map(MessageId),
        number,
        until: until.map(from_postgres),
        count,
    };
    Ok(rows.into_iter().map(tick).collect())
}
