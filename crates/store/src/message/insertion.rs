//! Inserting messages, many by one statement.

use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::{MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use serde_json::Value;

use super::{Body, body};
use crate::error::StoreError;
use crate::reading::{from_postgres, to_postgres};
use crate::statement::statement;

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

/// Messages that are stored together, by one statement.
#[derive(Debug, Clone)]
pub struct Batch {
    columns: Insert,
    bytes: usize,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch {
            columns: Insert { queues: vec![], bodies: vec![], binaries: vec![], headers: vec![], times: vec![] },
            bytes: 0,
        }
    }
}

impl Batch {
    pub fn push(&mut self, message: NewMessage) {
        let NewMessage { queue_id, body, headers, at } = message;
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
        let Insert { queues, bodies, binaries, headers, times } = self.columns;
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
        let place = usize::try_from(ordinal - 1).ok().and_then(|index| accepted.get_mut(index));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn message(queue: i64, body: &str) -> NewMessage {
        NewMessage { queue_id: QueueId(queue), body: Some(Body::Text(body.to_owned())), headers: None, at: None }
    }

    #[test]
    fn a_batch_is_split_without_loss() {
        let mut batch = Batch::default();
        batch.push(message(1, "a"));
        batch.push(NewMessage { body: Some(Body::Binary(vec![0, 1])), ..message(2, "") });
        batch.push(NewMessage { body: None, ..message(3, "") });
        batch.push(message(4, "four"));
        assert_eq!((batch.len(), batch.bytes()), (4, 7));
        let rest = batch.split_off(1);
        assert_eq!((batch.len(), batch.bytes()), (1, 1));
        assert_eq!((rest.len(), rest.bytes()), (3, 6));
        let queues: Vec<i64> = batch.into_messages().chain(rest.into_messages()).map(|m| m.queue_id.0).collect();
        assert_eq!(queues, [1, 2, 3, 4]);
    }

    #[test]
    fn a_batch_gives_its_messages_back() {
        let messages = [
            message(1, "a"),
            NewMessage { body: Some(Body::Binary(vec![0])), ..message(2, "") },
            NewMessage { body: None, ..message(3, "") },
        ];
        let mut batch = Batch::default();
        messages.iter().cloned().for_each(|message| batch.push(message));
        assert_eq!(batch.into_messages().collect::<Vec<_>>(), messages);
    }
}
