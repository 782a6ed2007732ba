//! Jobs: what goes over many messages of a queue in steps of a bounded size, while everything else goes on.
//!
//! - *purge* cancels what is pending,
//! - *replay* stores messages that have ended once more, in their queue,
//! - *redrive* stores the dead letters of a queue once more, in the queues that they come from.
//!
//! A step does what it does and moves the job's cursor in one transaction. So each message is met once, whoever is killed in between, and
//! two schedulers that both believe to lead do nothing twice. Only messages that were there when the job was asked for are met;
//! those of a transaction that was still open then may be passed over.

mod step;

use diesel::OptionalExtension;
use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Double, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::entity::MessageField;
use posthaste_core::filter::{Filter, stored};
use posthaste_core::ids::QueueId;
use posthaste_core::listing::Listing;
use posthaste_core::time::Timestamp;
use serde_json::Value;

use crate::error::StoreError;
use crate::message;
use crate::reading::from_postgres;
use crate::statement::statement;

pub use step::{Stepped, next, replay, step};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Purge,
    Replay,
    Redrive,
}

impl Kind {
    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Purge => "purge",
            Kind::Replay => "replay",
            Kind::Redrive => "redrive",
        }
    }

    /// The kind that is written so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Kind> {
        [Kind::Purge, Kind::Replay, Kind::Redrive].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A job to be begun.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    pub kind: Kind,
    pub queue: QueueId,
    /// Which of the queue's messages; what has nothing to do with the kind is left out anyway.
    pub filter: Filter<MessageField>,
    /// Of those, the ones whose last attempt ended so.
    pub error_class: Option<String>,
    pub rate_per_second: Option<f64>,
    /// How many there are; `None`: too many to be counted.
    pub total: Option<i64>,
    /// Who asked for it.
    pub actor: String,
}

/// A job as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub id: i64,
    pub kind: Kind,
    /// `running`, `paused`, `cancelled` or `finished`.
    pub state: String,
    pub queue: QueueId,
    pub error_class: Option<String>,
    pub rate_per_second: Option<f64>,
    pub total: Option<i64>,
    pub done: i64,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    filter: Filter<MessageField>,
    cursor: i64,
    last: i64,
}

type RowSql = (
    (BigInt, Text, Text, BigInt, Nullable<Jsonb>, Nullable<Text>, Nullable<Double>),
    (Nullable<BigInt>, BigInt, BigInt, BigInt, Timestamptz, Nullable<Timestamptz>),
);
type RowTuple = (
    (i64, String, String, i64, Option<Value>, Option<String>, Option<f64>),
    (Option<i64>, i64, i64, i64, PgTimestamp, Option<PgTimestamp>),
);

/// What `SELECT` gives of a job `j`.
macro_rules! columns {
    () => {
        "j.id, j.kind, j.state, j.queue_id, j.filter, j.error_class, j.rate_per_second,
         j.total, j.done, j.cursor, j.last, j.created_at, j.finished_at "
    };
}
use columns;

fn job(row: RowTuple) -> Result<Job, StoreError> {
    let ((id, kind, state, queue, filter, error_class, rate_per_second), counts) = row;
    let (total, done, cursor, last, created_at, finished_at) = counts;
    let filter = match filter {
        None => Some(Filter::default()),
        Some(filter) => stored::read(&filter),
    };
    Ok(Job {
        id,
        kind: Kind::parse(&kind).ok_or(StoreError::unexpected("a job of an unknown kind"))?,
        state,
        queue: QueueId(queue),
        error_class,
        rate_per_second,
        total,
        done,
        created_at: from_postgres(created_at),
        finished_at: finished_at.map(from_postgres),
        filter: filter.ok_or(StoreError::unexpected("a job with a filter that cannot be read"))?,
        cursor,
        last,
    })
}

statement! {
    struct Insert {
        kind: &'static str => Text,
        queue: i64 => BigInt,
        filter: Option<Value> => Nullable<Jsonb>,
        error_class: Option<String> => Nullable<Text>,
        rate: Option<f64> => Nullable<Double>,
        total: Option<i64> => Nullable<BigInt>,
        actor: String => Text,
    }
    row RowSql
    concat!(
        "INSERT INTO posthaste.jobs AS j (kind, queue_id, filter, error_class, rate_per_second, total, last, actor)
         SELECT {kind}, {queue}, {filter}, {error_class}, {rate}, {total},
                (SELECT s.last_value FROM posthaste.message_ids s), {actor}
         RETURNING ",
        columns!()
    )
}

/// Begins a job.
///
/// # Errors
/// As any statement.
pub async fn create(conn: &mut AsyncPgConnection, new: NewJob) -> Result<Job, StoreError> {
    let statement = Insert {
        kind: new.kind.as_str(),
        queue: new.queue.0,
        filter: (!new.filter.is_empty()).then(|| stored::write(&new.filter)),
        error_class: new.error_class,
        rate: new.rate_per_second,
        total: new.total,
        actor: new.actor,
    };
    job(statement.get_result(conn).await?)
}

statement! {
    struct Get { id: i64 => BigInt }
    row RowSql
    concat!("SELECT ", columns!(), "FROM posthaste.jobs j WHERE j.id = {id}")
}

/// A job, if there is one with this id.
///
/// # Errors
/// As any statement.
pub async fn get(conn: &mut AsyncPgConnection, id: i64) -> Result<Option<Job>, StoreError> {
    let row: Option<RowTuple> = Get { id }.get_result(conn).await.optional()?;
    row.map(job).transpose()
}

statement! {
    struct List { queue: Option<i64> => Nullable<BigInt>, limit: i64 => BigInt }
    row RowSql
    concat!(
        "SELECT ", columns!(),
        "FROM posthaste.jobs j WHERE {queue} IS NULL OR j.queue_id = {queue} ORDER BY j.id DESC LIMIT {limit}"
    )
}

/// The latest jobs, of one queue or of all.
///
/// # Errors
/// As any statement.
pub async fn list(conn: &mut AsyncPgConnection, queue: Option<QueueId>, limit: i64) -> Result<Vec<Job>, StoreError> {
    let rows: Vec<RowTuple> = List { queue: queue.map(|id| id.0), limit }.load(conn).await?;
    rows.into_iter().map(job).collect()
}

/// A queue that a job stores messages in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub queue: QueueId,
    pub name: String,
    pub callback_url: String,
    /// How many.
    pub messages: i64,
}

statement! {
    struct Origins { ids: Vec<i64> => Array<BigInt>, error_class: Option<String> => Nullable<Text> }
    row (BigInt, Text, Text, BigInt)
    "SELECT q.id, q.name, q.callback_url, count(*)
       FROM unnest({ids}) AS i(id)
      CROSS JOIN LATERAL (
        SELECT m.origin FROM posthaste.messages m WHERE m.id >= i.id AND m.id <= i.id ORDER BY m.id LIMIT 1
      ) AS m
       JOIN posthaste.queues q ON q.id = (m.origin ->> 'queueId')::bigint
      WHERE {error_class} IS NULL OR m.origin ->> 'errorClass' = {error_class}
      GROUP BY q.id ORDER BY count(*) DESC, q.id LIMIT 100"
}

/// Where the dead letters of a list come from that failed so, if that is said: those queues first that most come from, at most 100.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`].
pub async fn origins(
    conn: &mut AsyncPgConnection,
    listing: &Listing<MessageField>,
    error_class: Option<&str>,
) -> Result<Vec<Target>, StoreError> {
    let ids = message::ids(conn, listing).await?.into_iter().map(|id| id.0).collect();
    let statement = Origins { ids, error_class: error_class.map(str::to_owned) };
    let rows: Vec<(i64, String, String, i64)> = statement.load(conn).await?;
    let target = |(id, name, callback_url, messages)| Target { queue: QueueId(id), name, callback_url, messages };
    Ok(rows.into_iter().map(target).collect())
}

/// How many messages of a list have a last attempt that ended so.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`].
pub async fn count_of_class(
    conn: &mut AsyncPgConnection,
    listing: &Listing<MessageField>,
    error_class: &str,
) -> Result<i64, StoreError> {
    let ids = message::ids(conn, listing).await?;
    Ok(i64::try_from(step::of_class(conn, &ids, Some(error_class)).await?.len()).unwrap_or(i64::MAX))
}

/// What a job may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Pause,
    Resume,
    Cancel,
}

statement! {
    /// One that has ended stays as it is.
    struct Tell { id: i64 => BigInt, state: &'static str => Text }
    row RowSql
    concat!(
        "UPDATE posthaste.jobs j
            SET state = CASE WHEN j.state IN ('running', 'paused') THEN {state} ELSE j.state END, stepped_at = now(),
                finished_at = CASE WHEN j.state IN ('running', 'paused') AND {state} = 'cancelled' THEN now()
                                   ELSE j.finished_at END
          WHERE j.id = {id}
         RETURNING ",
        columns!()
    )
}

/// Pauses, resumes or cancels a job, and answers how it stands then; one that has ended stays as it is. What it has done stays
/// done.
///
/// # Errors
/// As any statement; calling again is right.
pub async fn tell(conn: &mut AsyncPgConnection, id: i64, order: Order) -> Result<Option<Job>, StoreError> {
    let state = match order {
        Order::Pause => "paused",
        Order::Resume => "running",
        Order::Cancel => "cancelled",
    };
    let row: Option<RowTuple> = Tell { id, state }.get_result(conn).await.optional()?;
    row.map(job).transpose()
}
