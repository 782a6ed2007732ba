//! What a delivery came to: one statement finishes or reschedules the pending rows, appends the attempts, stores the dead
//! letters and adds to the counts, of hundreds of messages at once.
//!
//! Every outcome is fenced. It counts only if its message is still pending with the attempt that it is the outcome of,
//! and if its shard's epoch is the writer's own, or the row is held for the writer by a handover. So an outcome whose
//! commit is unknown may be written again, two owners cannot both dead-letter a message, and no retry is lost.

use std::time::Duration;

use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::{Epoch, MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use posthaste_core::transition::{ErrorClass, MAX_DEAD_LETTER_HOPS, Verdict};

use crate::error::StoreError;
use crate::reading::to_postgres;
use crate::statement::statement;

/// One attempt that has ended, and what follows from it.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub id: MessageId,
    pub queue: QueueId,
    /// Attempts that had ended when this one began; the attempt's number is one more.
    pub attempt: i32,
    pub shard: Shard,
    pub epoch: Epoch,
    pub verdict: Verdict,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    /// The answer's status, where there was an answer.
    pub status: Option<u16>,
    pub error_class: Option<ErrorClass>,
    pub timings: Timings,
    /// For people; never holds a secret. NUL characters are dropped, text cannot hold them.
    pub error: Option<String>,
    /// A JSON object as text.
    pub response_headers: Option<String>,
    pub response_body: Option<Vec<u8>>,
    /// Why its queue is to be paused; see [`crate::queue_state::pause_all`].
    pub pauses_queue: Option<&'static str>,
}

/// How the time of an attempt was spent; `None` for what did not happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Resolving the receiver's name.
    pub dns: Option<Duration>,
    /// Connecting to its address.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From the start of the attempt to the end of the answer's head.
    pub first_byte: Option<Duration>,
}

impl Timings {
    /// As they are stored: dns, connect, tls, first byte, in microseconds.
    pub(crate) fn micros(&self) -> [Option<i32>; 4] {
        [self.dns, self.connect, self.tls, self.first_byte].map(micros)
    }
}

/// An outcome that counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    pub id: MessageId,
    pub attempt: i32,
    /// The shard of the dead letter that was stored for it.
    pub dead_letter: Option<Shard>,
}

statement! {
    /// Rows are looked up one by one and changed by a list of ids, never joined: where the planner believes `pending` to be
    /// empty, a join may begin with the whole of it (see [`crate::reading`]). They are locked in the order of their ids.
    /// Messages are looked up in the order of the primary key, as in [`crate::payload`].
    struct Record {
        ids: Vec<i64> => Array<BigInt>,
        attempts: Vec<i32> => Array<Integer>,
        shards: Vec<i32> => Array<Integer>,
        epochs: Vec<i64> => Array<BigInt>,
        outcomes: Vec<&'static str> => Array<Text>,
        waits: Vec<i64> => Array<BigInt>,
        started: Vec<PgTimestamp> => Array<Timestamptz>,
        finished: Vec<PgTimestamp> => Array<Timestamptz>,
        statuses: Vec<Option<i16>> => Array<Nullable<SmallInt>>,
        classes: Vec<Option<&'static str>> => Array<Nullable<Text>>,
        errors: Vec<Option<String>> => Array<Nullable<Text>>,
        headers: Vec<Option<String>> => Array<Nullable<Text>>,
        bodies: Vec<Option<Vec<u8>>> => Array<Nullable<Binary>>,
        dns: Vec<Option<i32>> => Array<Nullable<Integer>>,
        connects: Vec<Option<i32>> => Array<Nullable<Integer>>,
        tls: Vec<Option<i32>> => Array<Nullable<Integer>>,
        first_bytes: Vec<Option<i32>> => Array<Nullable<Integer>>,
        deliverer: String => Text,
        hops: i16 => SmallInt,
    }
    row (BigInt, Integer, Nullable<Integer>, BigInt)
    "WITH ended AS MATERIALIZED (
        SELECT i.*, p.queue_id, p.key_hash
          FROM (
            SELECT i.*, s.epoch = i.epoch AS is_owner
              FROM unnest({ids}, {attempts}, {shards}, {epochs}, {outcomes}, {waits}, {started}, {finished}, {statuses},
                          {classes}, {errors}, {headers}, {bodies}, {dns}, {connects}, {tls}, {first_bytes})
                   AS i(id, attempt, shard, epoch, outcome, wait, started_at, finished_at, status,
                        error_class, error, response_headers, response_body, dns_us, connect_us, tls_us, first_byte_us)
              JOIN posthaste.shards s ON s.shard = i.shard
             ORDER BY i.id
          ) AS i
         CROSS JOIN LATERAL (
            SELECT p.queue_id, p.key_hash, p.held_until FROM posthaste.pending p
             WHERE p.message_id = i.id AND p.attempt = i.attempt
               FOR UPDATE
          ) AS p
         WHERE i.is_owner OR p.held_until IS NOT NULL
     ), finished AS (
        DELETE FROM posthaste.pending p
         WHERE p.message_id = ANY (ARRAY(SELECT e.id FROM ended e WHERE e.outcome <> 'retried'))
     ), waiting AS MATERIALIZED (
        SELECT coalesce(array_agg(e.id), '{}') AS ids, array_agg(e.wait) AS waits FROM ended e WHERE e.outcome = 'retried'
     ), retried AS (
        UPDATE posthaste.pending p
           SET attempt = p.attempt + 1, held_until = NULL, xid = pg_current_xact_id(),
               due_at = clock_timestamp() + interval '1 microsecond' *
                        (SELECT w.waits[array_position(w.ids, p.message_id)] FROM waiting w)
         WHERE p.message_id = ANY ((SELECT w.ids FROM waiting w)::bigint[])
     ), followed AS (
        -- The next of an ordering key arrives, in whose way it was. None that this statement deletes or changes.
        UPDATE posthaste.pending p
           SET xid = pg_current_xact_id()
         WHERE p.message_id = ANY (ARRAY(
                SELECT o.message_id
                  FROM ended e
                 CROSS JOIN LATERAL (
                    SELECT o.message_id FROM posthaste.pending o
                     WHERE (o.queue_id, o.key_hash) >= (e.queue_id, e.key_hash)
                       AND (o.queue_id, o.key_hash) <= (e.queue_id, e.key_hash) AND o.key_hash IS NOT NULL
                       AND o.message_id <> ALL (ARRAY(SELECT e.id FROM ended e))
                     ORDER BY o.queue_id, o.key_hash, o.message_id LIMIT 1
                  ) AS o
                 WHERE e.key_hash IS NOT NULL AND (e.outcome <> 'retried' OR o.message_id < e.id)))
     ), logged AS (
        INSERT INTO posthaste.attempts (message_id, number, queue_id, outcome, started_at, finished_at, status,
                                        error_class, error, response_headers, response_body, deliverer,
                                        dns_us, connect_us, tls_us, first_byte_us)
        SELECT e.id, e.attempt + 1, e.queue_id, e.outcome, e.started_at, e.finished_at, e.status,
               e.error_class, e.error, e.response_headers::jsonb, e.response_body, {deliverer},
               e.dns_us, e.connect_us, e.tls_us, e.first_byte_us
          FROM ended e
         -- The message itself may have been deleted, and its log with it.
         WHERE e.outcome <> 'cancelled' OR (
                SELECT m.id FROM posthaste.messages m WHERE m.id >= e.id AND m.id <= e.id ORDER BY m.id LIMIT 1
               ) IS NOT NULL
     ), dead AS MATERIALIZED (
        SELECT nextval('posthaste.message_ids') AS id, dlq.id AS queue_id, dlq.spread, e.queue_id AS failed_in,
               m.body, m.body_binary, m.headers, m.traceparent, m.tracestate, m.event_type, m.id AS origin,
               m.dead_letter_hops + 1 AS hops,
               jsonb_strip_nulls(jsonb_build_object(
                    'messageId', m.id::text, 'queueId', q.id::text, 'queueName', q.name, 'outcome', e.outcome,
                    'attempts', e.attempt + 1, 'status', e.status, 'errorClass', e.error_class, 'error', left(e.error, 1000),
                    'endedAt', e.finished_at, 'orderingKey', m.ordering_key, 'priority', m.priority,
                    'connectTimeoutMs', m.connect_timeout_ms, 'timeoutMs', m.timeout_ms, 'replayOf', m.replay_of::text))
                    AS provenance
          FROM ended e
          JOIN posthaste.queues q ON q.id = e.queue_id
          JOIN posthaste.queues dlq ON dlq.id = q.dead_letter_queue_id
         CROSS JOIN LATERAL (
            SELECT m.* FROM posthaste.messages m WHERE m.id >= e.id AND m.id <= e.id ORDER BY m.id LIMIT 1
          ) AS m
         WHERE (e.outcome = 'failed' OR e.outcome = 'expired' AND q.dead_letter_expired) AND m.dead_letter_hops < {hops}
     ), dead_message AS (
        INSERT INTO posthaste.messages (id, queue_id, body, body_binary, headers, scheduled_at, origin_message_id,
                                        dead_letter_hops, traceparent, tracestate, origin, event_type)
        SELECT d.id, d.queue_id, d.body, d.body_binary, d.headers, now(), d.origin, d.hops, d.traceparent, d.tracestate,
               d.provenance, d.event_type
          FROM dead d
     ), dead_pending AS (
        INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at)
        SELECT d.id, d.queue_id, posthaste.shard_of(d.queue_id, d.id, NULL, d.spread), now() FROM dead d
     ), events AS MATERIALIZED (
        SELECT count(posthaste.emit_event(e.queue_id, 'message.' || e.outcome, jsonb_strip_nulls(jsonb_build_object(
                    'messageId', m.id::text, 'attempts', e.attempt + 1, 'status', e.status, 'errorClass', e.error_class,
                    'error', left(e.error, 1000), 'deadLetterMessageId', (SELECT d.id::text FROM dead d WHERE d.origin = m.id)))))
                AS stored
          FROM ended e
          JOIN posthaste.queues q ON q.id = e.queue_id AND q.event_queue_id IS NOT NULL
         CROSS JOIN LATERAL (
            SELECT m.* FROM posthaste.messages m WHERE m.id >= e.id AND m.id <= e.id ORDER BY m.id LIMIT 1
          ) AS m
         -- Events make no events.
         WHERE e.outcome IN ('failed', 'expired') AND m.event_type IS NULL
     ), counted AS (
        INSERT INTO posthaste.outcome_counts (queue_id, delivered, failed, retried, cancelled, expired, dead_lettered)
        SELECT c.queue_id,
               count(*) FILTER (WHERE c.outcome = 'delivered'), count(*) FILTER (WHERE c.outcome = 'failed'),
               count(*) FILTER (WHERE c.outcome = 'retried'), count(*) FILTER (WHERE c.outcome = 'cancelled'),
               count(*) FILTER (WHERE c.outcome = 'expired'), count(*) FILTER (WHERE c.outcome = 'dead letter')
          FROM (
            SELECT e.queue_id, e.outcome FROM ended e
             UNION ALL
            SELECT d.failed_in, 'dead letter' FROM dead d
          ) AS c
         GROUP BY c.queue_id
     )
     SELECT e.id, e.attempt, posthaste.shard_of(d.queue_id, d.id, NULL, d.spread), (SELECT v.stored FROM events v)
       FROM ended e LEFT JOIN dead d ON d.origin = e.id"
}

/// Records a batch of outcomes, all or none, and answers those that counted. The others did not match: the message was
/// finished, retried or taken over by someone else, and the writer must forget it and read it again.
///
/// # Errors
/// Any [`StoreError`]. Where it is not known whether the batch was committed, recording it again is safe.
pub async fn record(
    conn: &mut AsyncPgConnection,
    outcomes: &[&Outcome],
    deliverer: &str,
) -> Result<Vec<Recorded>, StoreError> {
    fn column<T>(outcomes: &[&Outcome], of: impl Fn(&Outcome) -> T) -> Vec<T> {
        outcomes.iter().map(|outcome| of(outcome)).collect()
    }
    let statement = Record {
        ids: column(outcomes, |o| o.id.0),
        attempts: column(outcomes, |o| o.attempt),
        shards: column(outcomes, |o| o.shard.0),
        epochs: column(outcomes, |o| o.epoch.0),
        outcomes: column(outcomes, |o| o.verdict.as_str()),
        waits: column(outcomes, |o| wait(&o.verdict)),
        started: column(outcomes, |o| to_postgres(o.started_at)),
        finished: column(outcomes, |o| to_postgres(o.finished_at.max(o.started_at))),
        statuses: column(outcomes, |o| o.status.and_then(|status| i16::try_from(status).ok())),
        classes: column(outcomes, |o| o.error_class.map(ErrorClass::as_str)),
        errors: column(outcomes, |o| o.error.as_ref().map(|text| text.replace('\0', ""))),
        headers: column(outcomes, |o| o.response_headers.clone()),
        bodies: column(outcomes, |o| o.response_body.clone()),
        dns: column(outcomes, |o| micros(o.timings.dns)),
        connects: column(outcomes, |o| micros(o.timings.connect)),
        tls: column(outcomes, |o| micros(o.timings.tls)),
        first_bytes: column(outcomes, |o| micros(o.timings.first_byte)),
        deliverer: deliverer.to_owned(),
        hops: MAX_DEAD_LETTER_HOPS,
    };
    let recorded: Vec<(i64, i32, Option<i32>, i64)> = statement.load(conn).await?;
    Ok(recorded
        .into_iter()
        .map(|(id, attempt, shard, _events)| Recorded { id: MessageId(id), attempt, dead_letter: shard.map(Shard) })
        .collect())
}

fn micros(spent: Option<Duration>) -> Option<i32> {
    spent.map(|spent| i32::try_from(spent.as_micros()).unwrap_or(i32::MAX))
}

/// Microseconds until the next attempt, at most a century: Postgres' interval ends somewhere, and no wait should.
fn wait(verdict: &Verdict) -> i64 {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    match verdict {
        Verdict::Retried { wait } => i64::try_from((*wait).min(CENTURY).as_micros()).unwrap_or(0),
        Verdict::Delivered | Verdict::Failed | Verdict::Cancelled | Verdict::Expired => 0,
    }
}
