//! Inserting messages with idempotency keys: each key's message once, whoever asks, and however many at the same time.
//!
//! The key's row is written by the statement that writes its message. Who comes second, on any connection, waits in the
//! unique index until the first has committed or rolled back, and then either finds the first's answer or is the first.
//! Keys are taken in their own order, the same in every statement, so that nobody waits in a circle. A key whose time is
//! over is taken like a free one, whether or not it has been swept away. What is refused takes no key.

use std::time::Duration;

use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde_json::Value;

use super::insertion::{Batch, Columns, Verdict, accepted, place};
use super::sending::Sendings;
use crate::error::StoreError;
use crate::statement::statement;

/// Stores a batch of messages with keys, in a transaction of its own, or in a savepoint of the one under way. For each in
/// turn: what it became. Keys are kept for `lifetime`.
///
/// # Errors
/// As any transaction; then no message is stored, or, after [`StoreError::Unavailable`], perhaps all.
/// [`StoreError::MissingPartition`] asks for `partition::ensure_partitions`.
pub async fn insert_keyed(
    conn: &mut AsyncPgConnection,
    batch: &Batch,
    lifetime: Duration,
) -> Result<Vec<Verdict>, StoreError> {
    conn.transaction(async |conn| take(conn, batch, lifetime).await).await
}

/// As [`insert_keyed`], in the transaction under way.
pub(super) async fn take(
    conn: &mut AsyncPgConnection,
    batch: &Batch,
    lifetime: Duration,
) -> Result<Vec<Verdict>, StoreError> {
    let mut verdicts = insert(conn, batch, lifetime).await?;
    let open: Vec<usize> =
        verdicts.iter().enumerate().filter(|(_, verdict)| !verdict.is_known()).map(|(index, _)| index).collect();
    if !open.is_empty() {
        // Another statement, which sees what was committed while the first one waited.
        for (index, found) in find(conn, batch, &open).await? {
            if let Some(verdict) = verdicts.get_mut(index) {
                *verdict = Interim::Known(found);
            }
        }
    }
    verdicts
        .into_iter()
        .map(|verdict| match verdict {
            Interim::Known(verdict) | Interim::UnlessKeyed(verdict) => Ok(verdict),
            // It was in the way a moment ago, and our lock keeps it.
            Interim::Taken => Err(StoreError::Retryable("an idempotency key has vanished".to_owned())),
        })
        .collect()
}

/// What the first statement says of a message.
#[derive(Debug, Clone, Copy)]
enum Interim {
    Known(Verdict),
    /// The same request may have been fine when it came first.
    UnlessKeyed(Verdict),
    /// Another message has the key, from before or of this batch.
    Taken,
}

impl Interim {
    fn is_known(self) -> bool {
        matches!(self, Interim::Known(_))
    }
}

async fn insert(conn: &mut AsyncPgConnection, batch: &Batch, lifetime: Duration) -> Result<Vec<Interim>, StoreError> {
    type Row = (i64, bool, Option<i64>, Option<i32>, PgTimestamp, PgTimestamp);
    let Columns { queues, bodies, binaries, headers, times, delays, expiries, ttls, sendings, keys, fingerprints } =
        &batch.columns;
    let Sendings { connect_timeouts, timeouts, parents, states, ordering_keys, priorities } = sendings;
    let statement = InsertKeyed {
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
        keys,
        fingerprints,
        lifetime: i64::try_from(lifetime.as_micros()).unwrap_or(i64::MAX),
    };
    let rows: Vec<Row> = statement.load(conn).await?;
    let mut verdicts = vec![Interim::UnlessKeyed(Verdict::UnknownQueue); batch.len()];
    for (ordinal, expired, id, shard, created_at, scheduled_at) in rows {
        *place(&mut verdicts, ordinal)? = match id {
            Some(id) => Interim::Known(Verdict::Stored(accepted(id, shard, created_at, scheduled_at))),
            None if expired => Interim::UnlessKeyed(Verdict::Expired),
            None => Interim::Taken,
        };
    }
    Ok(verdicts)
}

/// The messages at `indexes` whose keys are taken, each with what that makes of it.
async fn find(
    conn: &mut AsyncPgConnection,
    batch: &Batch,
    indexes: &[usize],
) -> Result<Vec<(usize, Verdict)>, StoreError> {
    type Row = (i64, bool, i64, PgTimestamp, PgTimestamp);
    let Columns { queues, keys, fingerprints, .. } = &batch.columns;
    let statement = Find {
        queues: indexes.iter().filter_map(|&index| queues.get(index).copied()).collect(),
        keys: indexes.iter().filter_map(|&index| keys.get(index).map(String::as_str)).collect(),
        fingerprints: indexes.iter().filter_map(|&index| fingerprints.get(index).map(Vec::as_slice)).collect(),
    };
    let rows: Vec<Row> = statement.load(conn).await?;
    let mut indexes = indexes.to_vec();
    rows.into_iter()
        .map(|(ordinal, same, id, created_at, scheduled_at)| {
            let verdict = match same {
                true => Verdict::Replayed(accepted(id, None, created_at, scheduled_at)),
                false => Verdict::Conflict,
            };
            Ok((*place(&mut indexes, ordinal)?, verdict))
        })
        .collect()
}

statement! {
    /// One row per message whose queue exists; with an id where it is stored. Of several with one key the first that can be
    /// stored is tried. `claimed` has the rows that got their keys: those for which there was none, or one whose time is over;
    /// the rest only lock the row that is in their way.
    struct InsertKeyed<'a> {
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
        keys: &'a [String] => Array<Text>,
        fingerprints: &'a [Vec<u8>] => Array<Binary>,
        lifetime: i64 => BigInt,
    }
    row (BigInt, Bool, Nullable<BigInt>, Nullable<Integer>, Timestamptz, Timestamptz)
    "WITH asked AS MATERIALIZED (
         SELECT i.ord, i.queue_id, i.ordering_key, hashtextextended(i.ordering_key, 0) AS key_hash, i.priority,
                i.key, i.fingerprint, i.scheduled_at,
                coalesce(i.expires_at, i.scheduled_at + i.ttl * interval '1 microsecond') AS expires_at,
                (SELECT q.spread FROM posthaste.queues q WHERE q.id = i.queue_id) AS spread
         FROM (
             SELECT i.*, coalesce(i.at, now() + i.delay * interval '1 microsecond', now()) AS scheduled_at
             FROM unnest({queues}, {keys}, {fingerprints}, {times}, {delays}, {expiries}, {ttls}, {ordering_keys}, {priorities})
                  WITH ORDINALITY AS i(queue_id, key, fingerprint, at, delay, expires_at, ttl, ordering_key, priority, ord)
         ) AS i
     ), known AS MATERIALIZED (
         SELECT a.*, coalesce(a.expires_at <= greatest(a.scheduled_at, now()), false) AS expired
         FROM asked a WHERE a.spread IS NOT NULL
     ), first AS MATERIALIZED (
         SELECT DISTINCT ON (k.queue_id, k.key) k.* FROM known k WHERE NOT k.expired ORDER BY k.queue_id, k.key, k.ord
     ), numbered AS MATERIALIZED (
         SELECT f.*, nextval('posthaste.message_ids') AS id FROM (SELECT * FROM first ORDER BY ord OFFSET 0) AS f
     ), claimed AS (
         INSERT INTO posthaste.idempotency_keys AS k
                (queue_id, key, fingerprint, message_id, created_at, scheduled_at, expires_at)
         SELECT n.queue_id, n.key, n.fingerprint, n.id, now(), n.scheduled_at, now() + {lifetime} * interval '1 microsecond'
         FROM numbered n ORDER BY n.queue_id, n.key
         ON CONFLICT (queue_id, key) DO UPDATE
            SET fingerprint = excluded.fingerprint, message_id = excluded.message_id, created_at = excluded.created_at,
                scheduled_at = excluded.scheduled_at, expires_at = excluded.expires_at
          WHERE k.expires_at <= now()
         RETURNING k.message_id
     ), placed AS MATERIALIZED (
         SELECT n.*, posthaste.shard_of(n.queue_id, n.id, n.key_hash, n.spread) AS shard
         FROM numbered n JOIN claimed c ON c.message_id = n.id
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
     SELECT k.ord, k.expired, p.id, p.shard, now(), k.scheduled_at FROM known k LEFT JOIN placed p USING (ord)"
}

statement! {
    struct Find<'a> {
        queues: Vec<i64> => Array<BigInt>,
        keys: Vec<&'a str> => Array<Text>,
        fingerprints: Vec<&'a [u8]> => Array<Binary>,
    }
    row (BigInt, Bool, BigInt, Timestamptz, Timestamptz)
    "SELECT i.ord, k.fingerprint = i.fingerprint, k.message_id, k.created_at, k.scheduled_at
       FROM unnest({queues}, {keys}, {fingerprints}) WITH ORDINALITY AS i(queue_id, key, fingerprint, ord)
      CROSS JOIN LATERAL (
            SELECT k.* FROM posthaste.idempotency_keys k WHERE k.queue_id = i.queue_id AND k.key = i.key OFFSET 0
      ) AS k
      WHERE k.expires_at > now()"
}
