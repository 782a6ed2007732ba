//! Messages: insert in batches, read, delete.
//!
//! A message and its pending row are one statement and so one commit: there is no message that nobody will deliver. A
//! message's state is not stored with it but read from what the deliverer writes: its pending row while it has one, or
//! else its final attempt.

mod changing;
mod insertion;
mod keyed;
mod listing;
mod sending;
mod together;

use diesel::OptionalExtension;
use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{BigInt, Binary, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::{CronId, MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use serde_json::Value;

use crate::error::StoreError;
use crate::reading::from_postgres;
use crate::statement::statement;

pub use crate::attempt::of as attempts;
pub(crate) use changing::Lock as LockPending;
pub use changing::{Changes, change, delete_all};
pub use insertion::{Accepted, Batch, IdempotencyKey, NewMessage, Verdict, insert};
pub use keyed::insert_keyed;
pub use listing::{count, find, ids, of_crons, of_queues};
pub use sending::Sending;
pub use together::{OnError, Together, insert_together};

/// What a message carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Without U+0000, which Postgres' `text` cannot hold.
    Text(String),
    Binary(Vec<u8>),
}

impl Body {
    /// Its size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Body::Text(text) => text.len(),
            Body::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether it has no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A message as stored, and how far it has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub id: MessageId,
    pub queue_id: QueueId,
    pub body: Option<Body>,
    pub headers: Option<Value>,
    /// When it was asked to be delivered. Retries do not move it.
    pub scheduled_at: Timestamp,
    pub cron_id: Option<CronId>,
    /// From then on it is not sent any more.
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub progress: Progress,
    pub sending: Sending,
    pub provenance: Provenance,
}

/// What a message that nobody has asked for comes from; all `None` of those that somebody has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Provenance {
    /// Of a dead letter: what failed, and why; a JSON object.
    pub origin: Option<Value>,
    /// Of a replay: the message that it repeats; of a replay of a replay the first.
    pub replay_of: Option<MessageId>,
    /// Of an event: which.
    pub event_type: Option<String>,
}

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It will be attempted (again) at `due_at`, unless it has been cancelled and its owner not yet noticed.
    Pending { attempts_ended: i32, due_at: Timestamp },
    /// It has come to its end with attempt `number`.
    Ended { ending: Ending, number: i32, at: Timestamp },
    /// Its attempts are no longer kept.
    Forgotten,
}

impl Progress {
    /// In one word.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match self {
            Progress::Pending { .. } => "pending",
            Progress::Ended { ending, .. } => ending.as_str(),
            Progress::Forgotten => "unknown",
        }
    }
}

/// How a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A 2xx answer.
    Delivered,
    /// The last attempt that it was allowed failed.
    Failed,
    /// Without a further request.
    Cancelled,
    /// Without a further request: it was too old.
    Expired,
}

impl Ending {
    /// As `attempts.outcome` calls it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Ending::Delivered => "delivered",
            Ending::Failed => "failed",
            Ending::Cancelled => "cancelled",
            Ending::Expired => "expired",
        }
    }
}

/// A message that has been deleted, and the shard whose owner has something to drop if it was still pending.
#[derive(Debug, Clone, PartialEq)]
pub struct DeletedMessage {
    pub message: Message,
    pub shard: Option<Shard>,
}

/// Reads a message.
///
/// # Errors
/// As any statement.
pub async fn get(conn: &mut AsyncPgConnection, id: MessageId) -> Result<Option<Message>, StoreError> {
    let row = Get { id: id.0 }.get_result::<Row>(conn).await.optional()?;
    Ok(row.map(Message::from))
}

/// Deletes a message and its attempts; cancels it if it is pending.
///
/// # Errors
/// As any statement.
pub async fn delete(conn: &mut AsyncPgConnection, id: MessageId) -> Result<Option<DeletedMessage>, StoreError> {
    let row = Delete { id: id.0 }.get_result::<Row>(conn).await.optional()?;
    Ok(row.map(|row| {
        let shard = row.10.map(Shard);
        DeletedMessage { message: row.into(), shard }
    }))
}

/// As the statements below return it: the message's columns, those of its pending row, those of its final attempt.
type Row = (
    i64,
    i64,
    Option<String>,
    Option<Vec<u8>>,
    Option<Value>,
    PgTimestamp,
    Option<i64>,
    Option<PgTimestamp>,
    PgTimestamp,
    PgTimestamp,
    Option<i32>,
    Option<i32>,
    Option<PgTimestamp>,
    Option<i32>,
    Option<String>,
    Option<PgTimestamp>,
    (Option<i32>, Option<i32>, Option<String>, Option<String>, Option<String>, Option<i16>),
    (Option<Value>, Option<i64>, Option<String>),
);

type SqlRow = (
    BigInt,
    BigInt,
    Nullable<Text>,
    Nullable<Binary>,
    Nullable<Jsonb>,
    Timestamptz,
    Nullable<BigInt>,
    Nullable<Timestamptz>,
    Timestamptz,
    Timestamptz,
    Nullable<Integer>,
    Nullable<Integer>,
    Nullable<Timestamptz>,
    Nullable<Integer>,
    Nullable<Text>,
    Nullable<Timestamptz>,
    (Nullable<Integer>, Nullable<Integer>, Nullable<Text>, Nullable<Text>, Nullable<Text>, Nullable<SmallInt>),
    (Nullable<Jsonb>, Nullable<BigInt>, Nullable<Text>),
);

impl From<Row> for Message {
    fn from(row: Row) -> Message {
        let (
            id,
            queue_id,
            text,
            binary,
            headers,
            scheduled_at,
            cron_id,
            expires_at,
            created_at,
            updated_at,
            _shard,
            attempts_ended,
            due_at,
            number,
            outcome,
            finished_at,
            (connect_timeout_ms, timeout_ms, traceparent, tracestate, ordering_key, priority),
            (origin, replay_of, event_type),
        ) = row;
        // A pending row wins: between a late duplicate's final attempt and the row's end, the row is what counts.
        let progress = match (attempts_ended, due_at, number, outcome, finished_at) {
            (Some(attempts_ended), Some(due_at), ..) => {
                Progress::Pending { attempts_ended, due_at: from_postgres(due_at) }
            }
            (_, _, Some(number), Some(outcome), Some(at)) => match ending(&outcome) {
                Some(ending) => Progress::Ended { ending, number, at: from_postgres(at) },
                None => Progress::Forgotten,
            },
            _ => Progress::Forgotten,
        };
        Message {
            id: MessageId(id),
            queue_id: QueueId(queue_id),
            body: body(text, binary),
            headers,
            scheduled_at: from_postgres(scheduled_at),
            cron_id: cron_id.map(CronId),
            expires_at: expires_at.map(from_postgres),
            created_at: from_postgres(created_at),
            updated_at: from_postgres(updated_at),
            progress,
            sending: Sending {
                connect_timeout_ms,
                timeout_ms,
                traceparent,
                tracestate,
                ordering_key,
                priority: priority.unwrap_or(0),
            },
            provenance: Provenance { origin, replay_of: replay_of.map(MessageId), event_type },
        }
    }
}

fn body(text: Option<String>, binary: Option<Vec<u8>>) -> Option<Body> {
    text.map(Body::Text).or(binary.map(Body::Binary))
}

/// The final outcomes of `attempts.outcome`.
pub(crate) fn ending(outcome: &str) -> Option<Ending> {
    match outcome {
        "delivered" => Some(Ending::Delivered),
        "failed" => Some(Ending::Failed),
        "cancelled" => Some(Ending::Cancelled),
        "expired" => Some(Ending::Expired),
        _ => None,
    }
}

/// What `SELECT` gives of them: [`Row`], from `m`, `p` and `f`.
macro_rules! columns {
    () => {
        columns!("m.body, m.body_binary")
    };
    ($bodies:literal) => {
        concat!(
            "SELECT m.id, m.queue_id, ",
            $bodies,
            ", m.headers, m.scheduled_at, m.cron_id, m.expires_at,
                m.created_at, m.updated_at, p.shard, p.attempt, p.due_at, f.number, f.outcome, f.finished_at,
                m.connect_timeout_ms, m.timeout_ms, m.traceparent, m.tracestate, m.ordering_key, m.priority,
                m.origin, m.replay_of, m.event_type "
        )
    };
}

/// `p`, the pending row of each `m`: by look-up, whatever statistics say.
macro_rules! pending_row {
    () => {
        "LEFT JOIN LATERAL (
             SELECT p.shard, p.attempt, p.due_at FROM posthaste.pending p WHERE p.message_id = m.id OFFSET 0
         ) AS p ON true "
    };
}

/// `f`, the final attempt of each `m`: per row, so that only its partition is visited.
macro_rules! final_attempt {
    () => {
        "LEFT JOIN LATERAL (
             SELECT a.number, a.outcome, a.finished_at FROM posthaste.attempts a
             WHERE a.message_id = m.id AND a.outcome <> 'retried' ORDER BY a.number DESC LIMIT 1
         ) AS f ON true "
    };
}

use {columns, final_attempt, pending_row};

statement! {
    struct Get { id: i64 => BigInt }
    row SqlRow
    concat!(columns!(), "FROM posthaste.messages m ", pending_row!(), final_attempt!(), "WHERE m.id = {id}")
}

statement! {
    struct Delete { id: i64 => BigInt }
    row SqlRow
    concat!(
        "WITH m AS (
             DELETE FROM posthaste.messages WHERE id = {id} RETURNING *
         ), p AS (
             UPDATE posthaste.pending SET cancelled = true, xid = pg_current_xact_id()
             WHERE message_id = {id} AND EXISTS (SELECT FROM m) RETURNING *
         ), f AS (
             DELETE FROM posthaste.attempts WHERE message_id = {id} AND EXISTS (SELECT FROM m) RETURNING *
         ) ",
        columns!(),
        "FROM m LEFT JOIN p ON true LEFT JOIN f ON f.outcome <> 'retried'"
    )
}
