//! What a delivery sends, read in batches just before it is sent.
//!
//! The read is also the last check: it answers only messages that are still pending with the attempt that the owner
//! believes in, due, neither cancelled nor held. A stale entry of a window dies here, and what belongs to a queue that is
//! paused goes back. So does what is in the wrong shard, since its queue was given a limit or lost it, and what another of its ordering
//! key must precede. The revision of the queue's settings comes with each message, so that a change of a queue counts from the
//! next delivery on; the settings themselves are read once per revision, see [`crate::target`].

use std::time::Duration;

use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::{CronId, MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use posthaste_core::transition::Lifetime;
use posthaste_core::window::{Row, Start};
use serde_json::{Map, Value};

use crate::error::StoreError;
use crate::message::Provenance;
use crate::reading::{RowSql, RowTuple, from_postgres, row};
use crate::statement::statement;

/// Everything that one delivery needs to know.
#[derive(Debug, Clone)]
pub struct Payload {
    pub id: MessageId,
    pub queue: QueueId,
    pub shard: Shard,
    /// Attempts that have ended.
    pub attempt: i32,
    /// `None`: the queue's.
    pub method: Option<String>,
    pub body: Option<Vec<u8>>,
    pub headers: Option<Map<String, Value>>,
    pub cron: Option<CronId>,
    /// When it was asked to be delivered first.
    pub scheduled_at: Timestamp,
    /// By the database's clock. Its age counts from when it was stored, where that was later than when it was asked for: a
    /// time in the past means "now", and leaves the message all its time for retries.
    pub lifetime: Lifetime,
    /// `None`: as the queue says.
    pub timeouts: Timeouts,
    /// The trace that it belongs to.
    pub trace: Option<Trace>,
    pub provenance: Provenance,
    /// Of the queue's settings, as they are now; `None`: the queue was deleted.
    pub revision: Option<i64>,
}

/// How long an attempt may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Until there is a connection, TLS included.
    pub connect: Option<Duration>,
    /// Until the answer's head is complete.
    pub total: Option<Duration>,
}

/// A trace as it came with the request that stored the message (W3C Trace Context).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub parent: String,
    pub state: Option<String>,
}

/// What became of a message that was to be sent.
#[derive(Debug, Clone)]
pub enum Read {
    Send(Row, Box<Payload>),
    /// The batch had grown too large before its turn came; it is still to be sent.
    Postponed(Row),
    /// Its queue is paused; it is still to be sent.
    Paused(Row),
    /// It belongs to another shard by now.
    Misplaced(Row),
    /// Another of its ordering key was stored before it and has not ended.
    Preceded {
        row: Row,
        by: MessageId,
    },
    /// Another of its ordering key may be being sent until then.
    Beside {
        row: Row,
        until: Timestamp,
    },
}

/// Whether its queue is paused, whether it is in the wrong shard, the first of its ordering key, until when one of that is held.
type PlaceSql = (Bool, Bool, Nullable<BigInt>, Nullable<Timestamptz>);
type PlaceTuple = (bool, bool, Option<i64>, Option<PgTimestamp>);
type MessageSql = (
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Binary>,
    Nullable<Jsonb>,
    Nullable<BigInt>,
    Timestamptz,
    LifetimeSql,
    TimeoutsSql,
    TraceSql,
    ProvenanceSql,
    Nullable<BigInt>,
);
type MessageTuple = (
    Option<String>,
    Option<String>,
    Option<Vec<u8>>,
    Option<Value>,
    Option<i64>,
    PgTimestamp,
    LifetimeTuple,
    TimeoutsTuple,
    TraceTuple,
    ProvenanceTuple,
    Option<i64>,
);
type TimeoutsSql = (Nullable<Integer>, Nullable<Integer>);
type TimeoutsTuple = (Option<i32>, Option<i32>);
impl Read {
    /// The message that it is about, as it is in `pending`.
    #[must_use]
    pub fn row(&self) -> &Row {
        match self {
            Read::Send(row, _) | Read::Postponed(row) | Read::Paused(row) | Read::Misplaced(row) => row,
            Read::Preceded { row, .. } | Read::Beside { row, .. } => row,
        }
    }
}

type ProvenanceSql = (Nullable<Jsonb>, Nullable<BigInt>, Nullable<Text>);
type ProvenanceTuple = (Option<Value>, Option<i64>, Option<String>);
type TraceSql = (Nullable<Text>, Nullable<Text>);
type TraceTuple = (Option<String>, Option<String>);
/// From when it counts, to when, and now.
type LifetimeSql = (Timestamptz, Nullable<Timestamptz>, Timestamptz);
type LifetimeTuple = (PgTimestamp, Option<PgTimestamp>, PgTimestamp);

statement! {
    /// The running total is over stored sizes, which are known without reading the bodies. The look-ups are lateral and
    /// have an `OFFSET 0`, or the order of the primary key, so that each is by that, whatever the statistics; see
    /// [`crate::reading`]. Of messages there are other indexes that end in the id.
    struct Payloads {
        ids: Vec<i64> => Array<BigInt>,
        attempts: Vec<i32> => Array<Integer>,
        shards: Vec<i32> => Array<Integer>,
        bytes: i64 => BigInt,
    }
    row (RowSql, Bool, PlaceSql, MessageSql)
    "SELECT b.message_id, b.queue_id, b.shard, b.due_at, b.attempt, b.held_until, b.cancelled, b.priority, b.key_hash,
            b.fits, q.paused_at IS NOT NULL,
            coalesce(posthaste.shard_of(b.queue_id, b.message_id, b.key_hash, q.spread) <> b.shard, false),
            b.first_of_key, b.held_beside, b.method,
            CASE WHEN b.fits AND q.paused_at IS NULL THEN b.body END,
            CASE WHEN b.fits AND q.paused_at IS NULL THEN b.body_binary END,
            CASE WHEN b.fits AND q.paused_at IS NULL THEN b.headers END,
            b.cron_id, b.scheduled_at, greatest(b.scheduled_at, b.created_at), b.expires_at, clock_timestamp(),
            b.connect_timeout_ms, b.timeout_ms, b.traceparent, b.tracestate, b.origin, b.replay_of, b.event_type, q.revision
       FROM (
            SELECT p.message_id, p.queue_id, p.shard, p.due_at, p.attempt, p.held_until, p.cancelled, p.priority, p.key_hash,
                   m.method, m.body, m.body_binary, m.headers, m.cron_id, m.scheduled_at, m.created_at, m.expires_at,
                   m.connect_timeout_ms, m.timeout_ms, m.traceparent, m.tracestate, m.origin, m.replay_of, m.event_type,
                   row_number() OVER w = 1
                   OR sum(coalesce(octet_length(m.body), octet_length(m.body_binary), 0)) OVER w <= {bytes} AS fits,
                   CASE WHEN p.key_hash IS NOT NULL THEN (
                        SELECT o.message_id FROM posthaste.pending o
                         WHERE (o.queue_id, o.key_hash) >= (p.queue_id, p.key_hash)
                           AND (o.queue_id, o.key_hash) <= (p.queue_id, p.key_hash) AND o.key_hash IS NOT NULL
                         ORDER BY o.queue_id, o.key_hash, o.message_id LIMIT 1
                   ) END AS first_of_key,
                   CASE WHEN p.key_hash IS NOT NULL THEN (
                        SELECT o.held_until FROM posthaste.pending o
                         WHERE (o.queue_id, o.key_hash) >= (p.queue_id, p.key_hash)
                           AND (o.queue_id, o.key_hash) <= (p.queue_id, p.key_hash) AND o.held_until > clock_timestamp()
                         ORDER BY o.queue_id DESC, o.key_hash DESC, o.held_until DESC LIMIT 1
                   ) END AS held_beside
              FROM unnest({ids}, {attempts}, {shards}) WITH ORDINALITY AS i(id, attempt, shard, number)
             CROSS JOIN LATERAL (SELECT p.* FROM posthaste.pending p WHERE p.message_id = i.id OFFSET 0) AS p
             CROSS JOIN LATERAL (
                SELECT m.* FROM posthaste.messages m WHERE m.id >= i.id AND m.id <= i.id ORDER BY m.id LIMIT 1
              ) AS m
             WHERE p.attempt = i.attempt AND p.shard = i.shard AND NOT p.cancelled AND p.due_at <= clock_timestamp()
               AND (p.held_until IS NULL OR p.held_until <= clock_timestamp())
            WINDOW w AS (ORDER BY i.number ROWS UNBOUNDED PRECEDING)
       ) AS b
       LEFT JOIN posthaste.queues q ON q.id = b.queue_id"
}

/// Reads what is to be sent for `starts`, in their order, at most about `bytes` of bodies (the first always fits). What
/// is missing from the answer is stale: finished, changed, cancelled, held or moved since the owner read it.
///
/// # Errors
/// Any [`StoreError`]; nothing is changed by reading.
pub async fn payloads(conn: &mut AsyncPgConnection, starts: &[Start], bytes: i64) -> Result<Vec<Read>, StoreError> {
    let statement = Payloads {
        ids: starts.iter().map(|start| start.id.0).collect(),
        attempts: starts.iter().map(|start| start.attempt).collect(),
        shards: starts.iter().map(|start| start.shard.0).collect(),
        bytes,
    };
    let found: Vec<(RowTuple, bool, PlaceTuple, MessageTuple)> = statement.load(conn).await?;
    Ok(found
        .into_iter()
        .map(|(pending, fits, (paused, misplaced, first, beside), message)| {
            let row = row(pending);
            if misplaced {
                return Read::Misplaced(row);
            }
            if paused {
                return Read::Paused(row);
            }
            if let Some(by) = first.map(MessageId).filter(|first| *first < row.id) {
                return Read::Preceded { row, by };
            }
            match beside {
                Some(until) => Read::Beside { row, until: from_postgres(until) },
                None if fits => Read::Send(row, Box::new(payload(row, message))),
                None => Read::Postponed(row),
            }
        })
        .collect())
}

fn payload(row: Row, message: MessageTuple) -> Payload {
    let (
        method,
        text,
        binary,
        headers,
        cron,
        scheduled_at,
        lifetime,
        timeouts,
        (parent, state),
        (origin, replay_of, event_type),
        revision,
    ) = message;
    Payload {
        id: row.id,
        queue: row.queue,
        shard: row.shard,
        attempt: row.attempt,
        method,
        body: text.map(String::into_bytes).or(binary),
        headers: headers.and_then(object),
        cron: cron.map(CronId),
        scheduled_at: from_postgres(scheduled_at),
        lifetime: lifetime_of(lifetime),
        timeouts: timeouts_of(timeouts),
        provenance: Provenance { origin, replay_of: replay_of.map(MessageId), event_type },
        trace: parent.map(|parent| Trace { parent, state }),
        revision,
    }
}

fn lifetime_of((since, until, now): LifetimeTuple) -> Lifetime {
    let now = from_postgres(now);
    Lifetime { age: now.since(from_postgres(since)), left: until.map(|until| from_postgres(until).since(now)) }
}

/// From columns in milliseconds.
pub(crate) fn timeouts_of((connect, total): (Option<i32>, Option<i32>)) -> Timeouts {
    let of = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    Timeouts { connect: connect.map(of), total: total.map(of) }
}

pub(crate) fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map),
        _ => None,
    }
}
