//! Messages: insert in batches, read, delete.
//!
//! A message and its pending row are one statement and so one commit: there is no message that nobody will deliver. A
//! message's state is not stored with it but read from what the deliverer writes: its pending row while it has one, or
//! else its final attempt.

use diesel::OptionalExtension;
use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::{CronId, MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use serde_json::Value;

use crate::error::StoreError;
use crate::page::Page;
use crate::reading::{from_postgres, to_postgres};
use crate::statement::statement;

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

/// A message to be stored. The caller has validated every field but the queue's existence.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    pub queue_id: QueueId,
    pub body: Option<Body>,
    /// A JSON object of header names to values.
    pub headers: Option<Value>,
    /// When it is due; `None`: now, by the database's clock.
    pub at: Option<Timestamp>,
}

/// A message that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub id: MessageId,
    pub shard: Shard,
    pub created_at: Timestamp,
    pub scheduled_at: Timestamp,
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
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub progress: Progress,
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

/// A message that has been deleted, and the shard whose owner has something to drop if it was still pending.
#[derive(Debug, Clone, PartialEq)]
pub struct DeletedMessage {
    pub message: Message,
    pub shard: Option<Shard>,
}

/// Messages that are stored together, by one statement.
#[derive(Debug, Clone)]
pub struct Batch {
    columns: Insert,
    bytes: usize,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch {
            columns: Insert {
                queues: vec![],
                bodies: vec![],
                binaries: vec![],
                headers: vec![],
                times: vec![],
            },
            bytes: 0,
        }
    }
}

impl Batch {
    pub fn push(&mut self, message: NewMessage) {
        let NewMessage {
            queue_id,
            body,
            headers,
            at,
        } = message;
        self.bytes += body.as_ref().map_or(0, Body::len);
        let (text, binary) = match body {
            None => (None, None),
            Some(Body::Text(text)) => (Some(text), None),
            Some(Body::Binary(bytes)) => (None, Some(bytes)),
        };
        self.columns.queues.push(queue_id.0);
        self.columns.bodies.push(text);
        self.columns.binaries.push(binary);
        self.columns.headers.push(headers);
        self.columns.times.push(at.map(to_postgres));
    }

    /// How many messages it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns.queues.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.queues.is_empty()
    }

    /// The bytes of all bodies.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the messages from index `at` on out of it.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Batch {
        let columns = Insert {
            queues: self.columns.queues.split_off(at),
            bodies: self.columns.bodies.split_off(at),
            binaries: self.columns.binaries.split_off(at),
            headers: self.columns.headers.split_off(at),
            times: self.columns.times.split_off(at),
        };
        let texts = columns.bodies.iter().flatten().map(String::len);
        let binaries = columns.binaries.iter().flatten().map(Vec::len);
        let bytes = texts.chain(binaries).sum();
        self.bytes -= bytes;
        Batch { columns, bytes }
    }

    /// The messages, in the order in which they came.
    pub fn into_messages(self) -> impl Iterator<Item = NewMessage> {
        let Insert {
            queues,
            bodies,
            binaries,
            headers,
            times,
        } = self.columns;
        let rows = queues.into_iter().zip(bodies).zip(binaries).zip(headers).zip(times);
        rows.map(|((((queue, text), binary), headers), at)| NewMessage {
            queue_id: QueueId(queue),
            body: body(text, binary),
            headers,
            at: at.map(from_postgres),
        })
    }
}

/// Stores a batch. For each message in turn: what it became, or `None` where its queue does not exist; the others are
/// stored all the same.
///
/// # Errors
/// As any statement; then no message is stored, or, after [`StoreError::Unavailable`], perhaps all.
/// [`StoreError::MissingPartition`] asks for `partition::ensure`.
pub async fn insert(conn: &mut AsyncPgConnection, batch: &Batch) -> Result<Vec<Option<Accepted>>, StoreError> {
    type Row = (i64, i64, i32, PgTimestamp, PgTimestamp);
    let rows: Vec<Row> = (&batch.columns).load(conn).await?;
    let mut accepted = vec![None; batch.len()];
    for (ordinal, id, shard, created_at, scheduled_at) in rows {
        let place = usize::try_from(ordinal - 1)
            .ok()
            .and_then(|index| accepted.get_mut(index));
        let place = place.ok_or_else(|| StoreError::Other(format!("the insert returned ordinal {ordinal}")))?;
        *place = Some(Accepted {
            id: MessageId(id),
            shard: Shard(shard),
            created_at: from_postgres(created_at),
            scheduled_at: from_postgres(scheduled_at),
        });
    }
    Ok(accepted)
}

/// Reads a message.
///
/// # Errors
/// As any statement.
pub async fn get(conn: &mut AsyncPgConnection, id: MessageId) -> Result<Option<Message>, StoreError> {
    let row = Get { id: id.0 }.get_result::<Row>(conn).await.optional()?;
    Ok(row.map(Message::from))
}

/// Reads a page of messages, by id.
///
/// # Errors
/// As any statement.
pub async fn list(conn: &mut AsyncPgConnection, page: Page) -> Result<Vec<Message>, StoreError> {
    let rows: Vec<Row> = List {
        limit: page.limit,
        offset: page.offset,
    }
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// Deletes a message and its attempts; cancels it if it is pending.
///
/// # Errors
/// As any statement.
pub async fn delete(conn: &mut AsyncPgConnection, id: MessageId) -> Result<Option<DeletedMessage>, StoreError> {
    let row = Delete { id: id.0 }.get_result::<Row>(conn).await.optional()?;
    Ok(row.map(|row| {
        let shard = row.9.map(Shard);
        DeletedMessage {
            message: row.into(),
            shard,
        }
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
    PgTimestamp,
    PgTimestamp,
    Option<i32>,
    Option<i32>,
    Option<PgTimestamp>,
    Option<i32>,
    Option<String>,
    Option<PgTimestamp>,
);

type SqlRow = (
    BigInt,
    BigInt,
    Nullable<Text>,
    Nullable<Binary>,
    Nullable<Jsonb>,
    Timestamptz,
    Nullable<BigInt>,
    Timestamptz,
    Timestamptz,
    Nullable<Integer>,
    Nullable<Integer>,
    Nullable<Timestamptz>,
    Nullable<Integer>,
    Nullable<Text>,
    Nullable<Timestamptz>,
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
            created_at,
            updated_at,
            _shard,
            attempts_ended,
            due_at,
            number,
            outcome,
            finished_at,
        ) = row;
        // A pending row wins: between a late duplicate's final attempt and the row's end, the row is what counts.
        let progress = match (attempts_ended, due_at, number, outcome, finished_at) {
            (Some(attempts_ended), Some(due_at), ..) => Progress::Pending {
                attempts_ended,
                due_at: from_postgres(due_at),
            },
            (_, _, Some(number), Some(outcome), Some(at)) => match ending(&outcome) {
                Some(ending) => Progress::Ended {
                    ending,
                    number,
                    at: from_postgres(at),
                },
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
            created_at: from_postgres(created_at),
            updated_at: from_postgres(updated_at),
            progress,
        }
    }
}

fn body(text: Option<String>, binary: Option<Vec<u8>>) -> Option<Body> {
    text.map(Body::Text).or(binary.map(Body::Binary))
}

/// The final outcomes of `attempts.outcome`.
fn ending(outcome: &str) -> Option<Ending> {
    match outcome {
        "delivered" => Some(Ending::Delivered),
        "failed" => Some(Ending::Failed),
        "cancelled" => Some(Ending::Cancelled),
        "expired" => Some(Ending::Expired),
        _ => None,
    }
}

statement! {
    /// One row per message whose queue exists. The queue's look-up is a scalar subquery on its primary key, so that no
    /// plan reads the table; ids are drawn in the order of the batch.
    struct Insert {
        queues: Vec<i64> => Array<BigInt>,
        bodies: Vec<Option<String>> => Array<Nullable<Text>>,
        binaries: Vec<Option<Vec<u8>>> => Array<Nullable<Binary>>,
        headers: Vec<Option<Value>> => Array<Nullable<Jsonb>>,
        times: Vec<Option<PgTimestamp>> => Array<Nullable<Timestamptz>>,
    }
    row (BigInt, BigInt, Integer, Timestamptz, Timestamptz)
    "WITH input AS MATERIALIZED (
         SELECT i.ord, i.queue_id, i.body, i.body_binary, i.headers, coalesce(i.at, now()) AS scheduled_at,
                (SELECT q.spread FROM posthaste.queues q WHERE q.id = i.queue_id) AS spread
         FROM unnest({queues}, {bodies}, {binaries}, {headers}, {times})
              WITH ORDINALITY AS i(queue_id, body, body_binary, headers, at, ord)
     ), known AS MATERIALIZED (
         SELECT i.*, nextval('posthaste.message_ids') AS id FROM input i WHERE i.spread IS NOT NULL
     ), placed AS MATERIALIZED (
         SELECT k.*, posthaste.shard_of(k.queue_id, k.id, NULL, k.spread) AS shard FROM known k
     ), message AS (
         INSERT INTO posthaste.messages (id, queue_id, body, body_binary, headers, scheduled_at)
         SELECT id, queue_id, body, body_binary, headers, scheduled_at FROM placed
     ), pending AS (
         INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at)
         SELECT id, queue_id, shard, scheduled_at FROM placed
     )
     SELECT ord, id, shard, now(), scheduled_at FROM placed"
}

/// The columns of [`Row`], from `m`, `p` and `f`.
macro_rules! columns {
    () => {
        "SELECT m.id, m.queue_id, m.body, m.body_binary, m.headers, m.scheduled_at, m.cron_id, m.created_at, m.updated_at,
                p.shard, p.attempt, p.due_at, f.number, f.outcome, f.finished_at "
    };
}

/// The pending row and the final attempt of each `m`: per row, so that only its partition is visited.
macro_rules! progress {
    () => {
        "LEFT JOIN posthaste.pending p ON p.message_id = m.id
         LEFT JOIN LATERAL (
             SELECT a.number, a.outcome, a.finished_at FROM posthaste.attempts a
             WHERE a.message_id = m.id AND a.outcome <> 'retried' ORDER BY a.number DESC LIMIT 1
         ) AS f ON true "
    };
}

statement! {
    struct Get { id: i64 => BigInt }
    row SqlRow
    concat!(columns!(), "FROM posthaste.messages m ", progress!(), "WHERE m.id = {id}")
}

statement! {
    struct List { limit: i64 => BigInt, offset: i64 => BigInt }
    row SqlRow
    concat!(
        columns!(),
        "FROM (SELECT * FROM posthaste.messages ORDER BY id LIMIT {limit} OFFSET {offset}) AS m ",
        progress!(),
        "ORDER BY m.id"
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    fn message(queue: i64, body: &str) -> NewMessage {
        NewMessage {
            queue_id: QueueId(queue),
            body: Some(Body::Text(body.to_owned())),
            headers: None,
            at: None,
        }
    }

    #[test]
    fn a_batch_is_split_without_loss() {
        let mut batch = Batch::default();
        batch.push(message(1, "a"));
        batch.push(NewMessage {
            body: Some(Body::Binary(vec![0, 1])),
            ..message(2, "")
        });
        batch.push(NewMessage {
            body: None,
            ..message(3, "")
        });
        batch.push(message(4, "four"));
        assert_eq!((batch.len(), batch.bytes()), (4, 7));
        let rest = batch.split_off(1);
        assert_eq!((batch.len(), batch.bytes()), (1, 1));
        assert_eq!((rest.len(), rest.bytes()), (3, 6));
        let queues: Vec<i64> = batch
            .into_messages()
            .chain(rest.into_messages())
            .map(|m| m.queue_id.0)
            .collect();
        assert_eq!(queues, [1, 2, 3, 4]);
    }

    #[test]
    fn a_batch_gives_its_messages_back() {
        let messages = [
            message(1, "a"),
            NewMessage {
                body: Some(Body::Binary(vec![0])),
                ..message(2, "")
            },
            NewMessage {
                body: None,
                ..message(3, "")
            },
        ];
        let mut batch = Batch::default();
        messages.iter().cloned().for_each(|message| batch.push(message));
        assert_eq!(batch.into_messages().collect::<Vec<_>>(), messages);
    }
}
