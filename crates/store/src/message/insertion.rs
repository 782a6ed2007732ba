//! Inserting messages, many by one statement.

use std::time::Duration;

use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::{MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use serde_json::Value;

use super::sending::Sendings;
use super::{Body, Sending, body};
use crate::error::StoreError;
use crate::reading::{from_postgres, to_postgres};
use crate::statement::statement;

/// A message to be stored. The caller has validated every field but the queue's existence, and whether it expires only
/// after it is due, which the database's clock decides.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    pub queue_id: QueueId,
    pub body: Option<Body>,
    /// A JSON object of header names to values.
    pub headers: Option<Value>,
    /// When it is due; `None`: `delay` from now, by the database's clock.
    pub at: Option<Timestamp>,
    /// `None`: none. Does not count where there is an `at`.
    pub delay: Option<Duration>,
    /// From then on it is not sent any more.
    pub expires_at: Option<Timestamp>,
    /// So long after it is due it expires. Does not count where there is an `expires_at`.
    pub ttl: Option<Duration>,
    pub sending: Sending,
    pub idempotency: Option<IdempotencyKey>,
}

impl NewMessage {
    /// A message without anything, due now.
    #[must_use]
    pub fn to(queue_id: QueueId) -> NewMessage {
        NewMessage {
            queue_id,
            body: None,
            headers: None,
            at: None,
            delay: None,
            expires_at: None,
            ttl: None,
            sending: Sending::default(),
            idempotency: None,
        }
    }
}

/// What makes a message be stored once, however often it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The client's, 1 to 255 characters; each queue has keys of its own.
    pub key: String,
    /// A hash of everything that was asked, which tells a repetition from another request that uses the same key.
    pub fingerprint: [u8; 32],
}

/// A message that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub id: MessageId,
    /// Whose owner delivers it; `None` for one that was stored by an earlier request.
    pub shard: Option<Shard>,
    pub created_at: Timestamp,
    pub scheduled_at: Timestamp,
}

/// What became of a message that was to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Stored(Accepted),
    /// Its key's first message was stored before, for the same request.
    Replayed(Accepted),
    /// Its key's first message was stored before, for another request.
    Conflict,
    UnknownQueue,
    /// It would expire before it is due.
    Expired,
    /// The database does not take a value of it.
    Refused,
}

impl Verdict {
    /// Whether the message is stored, now or before.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        match self {
            Verdict::Stored(_) | Verdict::Replayed(_) => true,
            Verdict::Conflict | Verdict::UnknownQueue | Verdict::Expired | Verdict::Refused => false,
        }
    }
}

/// Messages that are stored together, by one statement: all with an idempotency key, or all without.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub(super) columns: Columns,
    bytes: usize,
}

/// The messages of a batch, as the statements take them.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    pub queues: Vec<i64>,
    pub bodies: Vec<Option<String>>,
    pub binaries: Vec<Option<Vec<u8>>>,
    pub headers: Vec<Option<Value>>,
    pub times: Vec<Option<PgTimestamp>>,
    /// In microseconds.
    pub delays: Vec<Option<i64>>,
    pub expiries: Vec<Option<PgTimestamp>>,
    /// In microseconds.
    pub ttls: Vec<Option<i64>>,
    pub sendings: Sendings,
    /// Empty in a batch without keys, as are the fingerprints.
    pub keys: Vec<String>,
    pub fingerprints: Vec<Vec<u8>>,
}

impl Batch {
    /// Takes a message in; whether it has a key must be as with those before it.
    pub fn push(&mut self, message: NewMessage) {
        let NewMessage { queue_id, body, headers, at, delay, expires_at, ttl, sending, idempotency } = message;
        self.bytes += body.as_ref().map_or(0, Body::len);
        let (text, binary) = match body {
            None => (None, None),
            Some(Body::Text(text)) => (Some(text), None),
            Some(Body::Binary(bytes)) => (None, Some(bytes)),
        };
        let columns = &mut self.columns;
        columns.queues.push(queue_id.0);
        columns.bodies.push(text);
        columns.binaries.push(binary);
        columns.headers.push(headers);
        columns.times.push(at.map(to_postgres));
        columns.delays.push(delay.map(micros));
        columns.expiries.push(expires_at.map(to_postgres));
        columns.ttls.push(ttl.map(micros));
        columns.sendings.push(sending);
        if let Some(IdempotencyKey { key, fingerprint }) = idempotency {
            columns.keys.push(key);
            columns.fingerprints.push(fingerprint.to_vec());
        }
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

    /// Whether its messages have idempotency keys.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        !self.columns.keys.is_empty()
    }

    /// The bytes of all bodies.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the messages from index `at` on out of it.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Batch {
        let all = &mut self.columns;
        let of_keys = if all.keys.is_empty() { 0 } else { at };
        let columns = Columns {
            queues: all.queues.split_off(at),
            bodies: all.bodies.split_off(at),
            binaries: all.binaries.split_off(at),
            headers: all.headers.split_off(at),
            times: all.times.split_off(at),
            delays: all.delays.split_off(at),
            expiries: all.expiries.split_off(at),
            ttls: all.ttls.split_off(at),
            sendings: all.sendings.split_off(at),
            keys: all.keys.split_off(of_keys),
            fingerprints: all.fingerprints.split_off(of_keys),
        };
        let texts = columns.bodies.iter().flatten().map(String::len);
        let binaries = columns.binaries.iter().flatten().map(Vec::len);
        let bytes = texts.chain(binaries).sum();
        self.bytes -= bytes;
        Batch { columns, bytes }
    }

    /// The messages, in the order in which they came.
    pub fn into_messages(self) -> impl Iterator<Item = NewMessage> {
        let Columns { queues, bodies, binaries, headers, times, delays, expiries, ttls, sendings, keys, fingerprints } =
            self.columns;
        let what = queues.into_iter().zip(bodies).zip(binaries).zip(headers);
        let when = times.into_iter().zip(delays).zip(expiries).zip(ttls);
        let mut keys = keys.into_iter().zip(fingerprints);
        let rows = what.zip(when).zip(sendings.into_each());
        rows.map(move |(((((queue, text), binary), headers), (((at, delay), expires_at), ttl)), sending)| NewMessage {
            queue_id: QueueId(queue),
            body: body(text, binary),
            headers,
            at: at.map(from_postgres),
            delay: delay.map(|micros| Duration::from_micros(micros.unsigned_abs())),
            expires_at: expires_at.map(from_postgres),
            ttl: ttl.map(|micros| Duration::from_micros(micros.unsigned_abs())),
            sending,
            idempotency: keys
                .next()
                .and_then(|(key, fingerprint)| Some(IdempotencyKey { key, fingerprint: fingerprint.try_into().ok()? })),
        })
    }
}

/// Stores a batch of messages without keys. For each in turn: what it became; those that can be stored are, whatever
/// the others are.
///
/// # Errors
/// As any statement; then no message is stored, or, after [`StoreError::Unavailable`], perhaps all.
/// [`StoreError::MissingPartition`] asks for `partition::ensure_partitions`.
pub async fn insert(conn: &mut AsyncPgConnection, batch: &Batch) -> Result<Vec<Verdict>, StoreError> {
    type Row = (i64, Option<i64>, Option<i32>, PgTimestamp, PgTimestamp);
    let Columns { queues, bodies, binaries, headers, times, delays, expiries, ttls, sendings, .. } = &batch.columns;
    let Sendings { connect_timeouts, timeouts, parents, states, ordering_keys, priorities } = sendings;
    let statement = Insert {
        queues,
        bodies,
        binaries,
        headers,
        times,
        delays,
        expiries,
        ttls,
        connect_timeouts,
        timeouts,
        parents,
        states,
        ordering_keys,
        priorities,
    };
    let rows: Vec<Row> = statement.load(conn).await?;
    let mut verdicts = vec![Verdict::UnknownQueue; batch.len()];
    for (ordinal, id, shard, created_at, scheduled_at) in rows {
        *place(&mut verdicts, ordinal)? = match id {
            None => Verdict::Expired,
            Some(id) => Verdict::Stored(accepted(id, shard, created_at, scheduled_at)),
        };
    }
    Ok(verdicts)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn accepted(id: i64, shard: Option<i32>, created_at: PgTimestamp, scheduled_at: PgTimestamp) -> Accepted {
    Accepted {
        id: MessageId(id),
        shard: shard.map(Shard),
        created_at: from_postgres(created_at),
        scheduled_at: from_postgres(scheduled_at),
    }
}

/// The place of an ordinal, which counts from 1.
pub(super) fn place<T>(places: &mut [T], ordinal: i64) -> Result<&mut T, StoreError> {
    let place = usize::try_from(ordinal - 1).ok().and_then(|index| places.get_mut(index));
    place.ok_or_else(|| StoreError::Other(format!("the insert returned ordinal {ordinal}")))
}

statement! {
    /// One row per message whose queue exists, without an id where it would expire before it is due. The queue's look-up
    /// is a scalar subquery on its primary key, so that no plan reads the table; ids are drawn in the order of the batch.
    /// Bodies and headers join last: each step that they pass through is a copy of them.
    struct Insert<'a> {
        queues: &'a [i64] => Array<BigInt>,
        bodies: &'a [Option<String>] => Array<Nullable<Text>>,
        binaries: &'a [Option<Vec<u8>>] => Array<Nullable<Binary>>,
        headers: &'a [Option<Value>] => Array<Nullable<Jsonb>>,
        times: &'a [Option<PgTimestamp>] => Array<Nullable<Timestamptz>>,
        delays: &'a [Option<i64>] => Array<Nullable<BigInt>>,
        expiries: &'a [Option<PgTimestamp>] => Array<Nullable<Timestamptz>>,
        ttls: &'a [Option<i64>] => Array<Nullable<BigInt>>,
        connect_timeouts: &'a [Option<i32>] => Array<Nullable<Integer>>,
        timeouts: &'a [Option<i32>] => Array<Nullable<Integer>>,
        parents: &'a [Option<String>] => Array<Nullable<Text>>,
        states: &'a [Option<String>] => Array<Nullable<Text>>,
        ordering_keys: &'a [Option<String>] => Array<Nullable<Text>>,
        priorities: &'a [i16] => Array<SmallInt>,
    }
    row (BigInt, Nullable<BigInt>, Nullable<Integer>, Timestamptz, Timestamptz)
    "WITH asked AS MATERIALIZED (
         SELECT i.ord, i.queue_id, i.ordering_key, hashtextextended(i.ordering_key, 0) AS key_hash, i.priority,
                i.scheduled_at,
                coalesce(i.expires_at, i.scheduled_at + i.ttl * interval '1 microsecond') AS expires_at,
                (SELECT q.spread FROM posthaste.queues q WHERE q.id = i.queue_id) AS spread
         FROM (
             SELECT i.*, coalesce(i.at, now() + i.delay * interval '1 microsecond', now()) AS scheduled_at
             FROM unnest({queues}, {times}, {delays}, {expiries}, {ttls}, {ordering_keys}, {priorities})
                  WITH ORDINALITY AS i(queue_id, at, delay, expires_at, ttl, ordering_key, priority, ord)
         ) AS i
     ), known AS MATERIALIZED (
         SELECT a.*, coalesce(a.expires_at <= greatest(a.scheduled_at, now()), false) AS expired
         FROM asked a WHERE a.spread IS NOT NULL
     ), numbered AS MATERIALIZED (
         SELECT k.*, nextval('posthaste.message_ids') AS id FROM known k WHERE NOT k.expired
     ), placed AS MATERIALIZED (
         SELECT n.*, posthaste.shard_of(n.queue_id, n.id, n.key_hash, n.spread) AS shard FROM numbered n
     ), message AS (
         INSERT INTO posthaste.messages (id, queue_id, body, body_binary, headers, scheduled_at, expires_at,
                connect_timeout_ms, timeout_ms, traceparent, tracestate, ordering_key, priority)
         SELECT p.id, p.queue_id, b.body, b.body_binary, b.headers, p.scheduled_at, p.expires_at,
                b.connect_timeout_ms, b.timeout_ms, b.traceparent, b.tracestate, p.ordering_key, nullif(p.priority, 0)
         FROM placed p
         JOIN unnest({bodies}, {binaries}, {headers}, {connect_timeouts}, {timeouts}, {parents}, {states}) WITH ORDINALITY
              AS b(body, body_binary, headers, connect_timeout_ms, timeout_ms, traceparent, tracestate, ord) USING (ord)
     ), pending AS (
         INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at, key_hash, priority)
         SELECT id, queue_id, shard, scheduled_at, key_hash, priority FROM placed
     )
     SELECT ord, id, shard, now(), scheduled_at FROM placed
     UNION ALL
     SELECT ord, NULL, NULL, now(), scheduled_at FROM known WHERE expired"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(queue: i64, body: &str) -> NewMessage {
        NewMessage { body: Some(Body::Text(body.to_owned())), ..NewMessage::to(QueueId(queue)) }
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
            NewMessage { delay: Some(Duration::from_micros(7)), ..message(1, "a") },
            NewMessage { body: Some(Body::Binary(vec![0])), expires_at: Some(Timestamp(5)), ..message(2, "") },
            NewMessage { body: None, at: Some(Timestamp(-1)), ..message(3, "") },
        ];
        let mut batch = Batch::default();
        messages.iter().cloned().for_each(|message| batch.push(message));
        assert!(!batch.is_keyed());
        assert_eq!(batch.into_messages().collect::<Vec<_>>(), messages);

        let keyed = |n: u8| IdempotencyKey { key: n.to_string(), fingerprint: [n; 32] };
        let messages = [1, 2, 3].map(|n| NewMessage { idempotency: Some(keyed(n)), ..message(1, "a") });
        let mut batch = Batch::default();
        messages.iter().cloned().for_each(|message| batch.push(message));
        let rest = batch.split_off(2);
        assert!(batch.is_keyed() && rest.is_keyed());
        assert_eq!(batch.into_messages().chain(rest.into_messages()).collect::<Vec<_>>(), messages);
    }
}
