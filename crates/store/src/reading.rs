//! What a deliverer reads of `pending`: arrivals, the queues of a shard, the next keys of a queue, rows by id.
//!
//! [`arrivals`] is the heart. Ids and due times do not become visible in order, so the owner of a shard asks by
//! *snapshot*: every row whose transaction was not yet finished in the snapshot of the read before. Each committed
//! change is therefore seen once, whatever other transactions do; a transaction that commits an hour late shows its rows
//! an hour late, and none is skipped. A snapshot is worth nothing on another server: [`Facts`] tells when that happened.
//!
//! These statements walk indexes and must never do anything else; the session that runs them is made with
//! [`crate::connect::Purpose::Reading`], which forbids the planner everything but an index scan. Still it could begin with
//! the whole of an index where it believes `pending` to be empty, as it often is when statistics are made. So each row, or
//! range of rows, is looked up in a lateral subquery of its own, with an order that only one index has, or with `OFFSET 0`
//! and no condition but the primary key: what is asked outside of it cannot move in.

use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::TryStreamExt;
use posthaste_core::ids::{MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use posthaste_core::window::{Band, Refill, Row};

use crate::error::StoreError;
use crate::statement::statement;

/// Microseconds from 1970 to 2000, where Postgres starts to count.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

pub(crate) fn from_postgres(at: PgTimestamp) -> Timestamp {
    Timestamp(at.0.saturating_add(POSTGRES_EPOCH))
}

pub(crate) fn to_postgres(at: Timestamp) -> PgTimestamp {
    PgTimestamp(at.0.saturating_sub(POSTGRES_EPOCH))
}

/// Which transactions had finished at a moment (`pg_snapshot`): the owner's bookmark in the stream of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    xmax: String,
    in_progress: Vec<String>,
}

impl Snapshot {
    /// Reads Postgres' text form, `xmin:xmax:xip,…`.
    fn parse(text: &str) -> Option<Snapshot> {
        let mut parts = text.split(':');
        let (_xmin, xmax, in_progress) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Snapshot {
            xmax: xmax.to_owned(),
            in_progress: in_progress.split(',').filter(|xid| !xid.is_empty()).map(str::to_owned).collect(),
        })
    }
}

/// What every answer of the feed carries beside its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The database's clock while the statement ran.
    pub clock: Timestamp,
    /// When the server started. Another value means another transaction history: snapshots taken before are void.
    pub postmaster_start: Timestamp,
    /// A standby answered: nothing that it says may be acted upon.
    pub in_recovery: bool,
}

pub(crate) type RowSql =
    (BigInt, BigInt, Integer, Timestamptz, Integer, Nullable<Timestamptz>, Bool, SmallInt, Nullable<BigInt>);
pub(crate) type RowTuple = (i64, i64, i32, PgTimestamp, i32, Option<PgTimestamp>, bool, i16, Option<i64>);

pub(crate) fn row((id, queue, shard, due, attempt, held_until, cancelled, priority, key): RowTuple) -> Row {
    Row {
        id: MessageId(id),
        queue: QueueId(queue),
        shard: Shard(shard),
        due: from_postgres(due),
        attempt,
        held_until: held_until.map(from_postgres),
        cancelled,
        priority,
        key,
    }
}

statement! {
    /// The first row is the facts, dressed as a row; it alone has a snapshot.
    ///
    /// Nobody needs the order by `xid`: it leaves the planner, which may not sort, with one index. By its statistics, which
    /// may be those of the moment when the table was last empty, another would do as well, and would read the whole
    /// backlog. For the same reason it is `>= AND <=`: an equality would make the order void.
    struct Arrivals { owned: Vec<i32> => Array<Integer>, xmax: String => Text, in_progress: Vec<String> => Array<Text> }
    row (RowSql, Nullable<Text>)
    "SELECT 0::bigint, 0::bigint, 0, clock_timestamp(), 0, pg_postmaster_start_time(), pg_is_in_recovery(), 0::smallint,
            0::bigint, pg_current_snapshot()::text
     UNION ALL
     SELECT p.message_id, p.queue_id, p.shard, p.due_at, p.attempt, p.held_until, p.cancelled, p.priority,
            p.key_hash, NULL
       FROM unnest({owned}) AS s(shard)
      CROSS JOIN LATERAL (
            SELECT p.* FROM posthaste.pending p
             WHERE p.shard = s.shard AND p.xid >= {xmax}::xid8 AND p.xid < pg_snapshot_xmax(pg_current_snapshot())
             ORDER BY p.xid
      ) AS p
     UNION ALL
     SELECT p.message_id, p.queue_id, p.shard, p.due_at, p.attempt, p.held_until, p.cancelled, p.priority,
            p.key_hash, NULL
       FROM unnest({in_progress}::xid8[]) AS x(xid)
      CROSS JOIN unnest({owned}) AS s(shard)
      CROSS JOIN LATERAL (
            SELECT p.* FROM posthaste.pending p
             WHERE p.shard = s.shard AND p.xid >= x.xid AND p.xid <= x.xid
               AND p.xid < pg_snapshot_xmax(pg_current_snapshot())
             ORDER BY p.xid
      ) AS p"
}

/// Passes every change of the `owned` shards since `since` to `each`, row by row (one transaction may have inserted a
/// million), and answers the snapshot to ask with next time. Adopt it only when this returns `Ok`: after an error some
/// rows were passed and some not, and the same question is to be asked again.
///
/// # Errors
/// Any [`StoreError`]; asking again with the old snapshot loses nothing.
pub async fn arrivals(
    conn: &mut AsyncPgConnection,
    owned: &[Shard],
    since: &Snapshot,
    mut each: impl FnMut(Row),
) -> Result<(Snapshot, Facts), StoreError> {
    let statement = Arrivals {
        owned: owned.iter().map(|shard| shard.0).collect(),
        xmax: since.xmax.clone(),
        in_progress: since.in_progress.clone(),
    };
    let mut facts = None;
    let mut rows = statement.load_stream::<(RowTuple, Option<String>)>(conn).await?;
    while let Some((found, snapshot)) = rows.try_next().await? {
        match snapshot {
            None => each(row(found)),
            Some(text) => {
                let (_, _, _, clock, _, postmaster_start, in_recovery, ..) = found;
                facts = Some((
                    Snapshot::parse(&text).ok_or(StoreError::unexpected("a snapshot that cannot be read"))?,
                    Facts {
                        clock: from_postgres(clock),
                        postmaster_start: postmaster_start.map_or(Timestamp::MIN, from_postgres),
                        in_recovery,
                    },
                ));
            }
        }
    }
    facts.ok_or(StoreError::unexpected("arrivals without their facts"))
}

/// The present snapshot and facts: where a feed begins.
///
/// # Errors
/// Any [`StoreError`].
pub async fn begin(conn: &mut AsyncPgConnection) -> Result<(Snapshot, Facts), StoreError> {
    let everything = Snapshot { xmax: "0".to_owned(), in_progress: Vec::new() };
    arrivals(conn, &[], &everything, |_| ()).await
}

statement! {
    /// A skip scan: one index descent for each queue and priority, however many rows it has. By `due_at` as well, which only the
    /// reading order has after them.
    struct Discover {
        shards: Vec<i32> => Array<Integer>,
        queues: Vec<i64> => Array<BigInt>,
        priorities: Vec<i16> => Array<SmallInt>,
        bands: i32 => Integer,
    }
    row (Integer, BigInt, SmallInt)
    "SELECT s.shard, found.queue_id, found.priority
       FROM unnest({shards}, {queues}, {priorities}) AS s(shard, queue_id, priority)
      CROSS JOIN LATERAL (
            WITH RECURSIVE q AS (
                (SELECT p.queue_id, p.priority FROM posthaste.pending p
                  WHERE p.shard = s.shard AND (p.queue_id, p.priority) > (s.queue_id, s.priority)
                  ORDER BY p.queue_id, p.priority, p.due_at LIMIT 1)
                UNION ALL
                SELECT n.queue_id, n.priority
                  FROM q
                 CROSS JOIN LATERAL (
                    SELECT p.queue_id, p.priority FROM posthaste.pending p
                     WHERE p.shard = s.shard AND (p.queue_id, p.priority) > (q.queue_id, q.priority)
                     ORDER BY p.queue_id, p.priority, p.due_at LIMIT 1
                  ) AS n
            )
            SELECT q.queue_id, q.priority FROM q LIMIT {bands}
      ) AS found
      ORDER BY s.shard, found.queue_id, found.priority"
}

/// What [`discover`] found in one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    pub shard: Shard,
    /// Ascending.
    pub bands: Vec<Band>,
    /// There are no more.
    pub complete: bool,
}

/// The queues, and priorities of them, that have pending rows in each shard, beyond the given ones, at most `limit` a shard.
///
/// # Errors
/// Any [`StoreError`].
pub async fn discover(
    conn: &mut AsyncPgConnection,
    steps: &[(Shard, Option<Band>)],
    limit: i32,
) -> Result<Vec<Discovered>, StoreError> {
    let after = |after: &Option<Band>| after.unwrap_or((QueueId(i64::MIN), i16::MIN));
    let statement = Discover {
        shards: steps.iter().map(|(shard, _)| shard.0).collect(),
        queues: steps.iter().map(|(_, band)| after(band).0.0).collect(),
        priorities: steps.iter().map(|(_, band)| after(band).1).collect(),
        bands: limit,
    };
    let found: Vec<(i32, i64, i16)> = statement.load(conn).await?;
    let full = usize::try_from(limit).unwrap_or(0);
    Ok(steps
        .iter()
        .map(|&(shard, _)| {
            let of_shard = found.iter().filter(|(of, ..)| *of == shard.0);
            let bands: Vec<Band> = of_shard.map(|(_, queue, priority)| (QueueId(*queue), *priority)).collect();
            Discovered { shard, complete: bands.len() < full, bands }
        })
        .collect())
}

statement! {
    /// `message_id + 0`: so it stands in the index. Shard and queue are compared as parts of the key, and not by `=`, so that
    /// they stay in the order: without them another index would have it, too.
    struct Refills {
        shards: Vec<i32> => Array<Integer>,
        queues: Vec<i64> => Array<BigInt>,
        priorities: Vec<i16> => Array<SmallInt>,
        after_due: Vec<PgTimestamp> => Array<Timestamptz>,
        after_id: Vec<i64> => Array<BigInt>,
        rows: Vec<i64> => Array<BigInt>,
    }
    row (BigInt, RowSql)
    "SELECT r.number, p.message_id, p.queue_id, p.shard, p.due_at, p.attempt, p.held_until, p.cancelled, p.priority, p.key_hash
       FROM unnest({shards}, {queues}, {priorities}, {after_due}, {after_id}, {rows})
            WITH ORDINALITY AS r(shard, queue_id, priority, after_due, after_id, rows, number)
      CROSS JOIN LATERAL (
            SELECT p.* FROM posthaste.pending p
             WHERE (p.shard, p.queue_id, p.priority, p.due_at, p.message_id + 0)
                 > (r.shard, r.queue_id, r.priority, r.after_due, r.after_id)
               AND (p.shard, p.queue_id, p.priority) <= (r.shard, r.queue_id, r.priority)
             ORDER BY p.shard, p.queue_id, p.priority, p.due_at, p.message_id + 0
             LIMIT r.rows
      ) AS p"
}

/// The next rows of each window in key order, each list with whether it reached the end of its queue.
///
/// # Errors
/// Any [`StoreError`].
pub async fn refill(conn: &mut AsyncPgConnection, refills: &[Refill]) -> Result<Vec<(Vec<Row>, bool)>, StoreError> {
    let after = |refill: &Refill| refill.after.unwrap_or((Timestamp::MIN, MessageId(i64::MIN)));
    let limit = |refill: &Refill| i64::try_from(refill.limit).unwrap_or(i64::MAX);
    let statement = Refills {
        shards: refills.iter().map(|refill| refill.shard.0).collect(),
        queues: refills.iter().map(|refill| refill.queue.0).collect(),
        priorities: refills.iter().map(|refill| refill.priority).collect(),
        after_due: refills.iter().map(|refill| to_postgres(after(refill).0)).collect(),
        after_id: refills.iter().map(|refill| after(refill).1.0).collect(),
        rows: refills.iter().map(limit).collect(),
    };
    let mut found: Vec<(Vec<Row>, bool)> = refills.iter().map(|_| (Vec::new(), false)).collect();
    let mut rows = statement.load_stream::<(i64, RowTuple)>(conn).await?;
    while let Some((number, tuple)) = rows.try_next().await? {
        let at = usize::try_from(number - 1).ok().and_then(|at| found.get_mut(at));
        at.ok_or(StoreError::unexpected("a row for no refill"))?.0.push(row(tuple));
    }
    for (refill, (rows, exhausted)) in refills.iter().zip(&mut found) {
        *exhausted = rows.len() < refill.limit;
    }
    Ok(found)
}

statement! {
    struct ById { ids: Vec<i64> => Array<BigInt>, owned: Vec<i32> => Array<Integer> }
    row RowSql
    "SELECT p.message_id, p.queue_id, p.shard, p.due_at, p.attempt, p.held_until, p.cancelled, p.priority, p.key_hash
       FROM unnest({ids}) AS i(id)
      CROSS JOIN LATERAL (SELECT p.* FROM posthaste.pending p WHERE p.message_id = i.id OFFSET 0) AS p
      WHERE p.shard = ANY ({owned})"
}

/// The rows among `ids` that are still pending in the owned shards.
///
/// # Errors
/// Any [`StoreError`].
pub async fn by_id(conn: &mut AsyncPgConnection, ids: &[MessageId], owned: &[Shard]) -> Result<Vec<Row>, StoreError> {
    let statement =
        ById { ids: ids.iter().map(|id| id.0).collect(), owned: owned.iter().map(|shard| shard.0).collect() };
    let rows: Vec<RowTuple> = statement.load(conn).await?;
    Ok(rows.into_iter().map(row).collect())
}

statement! {
    struct Held { shards: Vec<i32> => Array<Integer> }
    row RowSql
    "SELECT p.message_id, p.queue_id, p.shard, p.due_at, p.attempt, p.held_until, p.cancelled, p.priority, p.key_hash
       FROM unnest({shards}) AS s(shard)
      CROSS JOIN LATERAL (
            SELECT p.* FROM posthaste.pending p
             WHERE p.shard >= s.shard AND p.shard <= s.shard AND p.held_until > now()
             ORDER BY p.shard, p.held_until
      ) AS p"
}

/// What former owners of these shards are still sending: a new owner counts it before it starts anything.
///
/// # Errors
/// Any [`StoreError`].
pub async fn held(conn: &mut AsyncPgConnection, shards: &[Shard]) -> Result<Vec<Row>, StoreError> {
    let rows: Vec<RowTuple> = Held { shards: shards.iter().map(|shard| shard.0).collect() }.load(conn).await?;
    Ok(rows.into_iter().map(row).collect())
}

statement! {
    struct StillPending { ids: Vec<i64> => Array<BigInt>, attempts: Vec<i32> => Array<Integer> }
    row (BigInt, Integer)
    "SELECT i.id, i.attempt
       FROM unnest({ids}, {attempts}) AS i(id, attempt)
      WHERE EXISTS (
            SELECT FROM (SELECT p.* FROM posthaste.pending p WHERE p.message_id = i.id OFFSET 0) AS p
             WHERE p.attempt = i.attempt
      )"
}

/// Those of these attempts that have not ended.
///
/// # Errors
/// Any [`StoreError`].
pub async fn still_pending(
    conn: &mut AsyncPgConnection,
    attempts: &[(MessageId, i32)],
) -> Result<Vec<(MessageId, i32)>, StoreError> {
    let (ids, attempts) = attempts.iter().map(|(id, attempt)| (id.0, *attempt)).unzip();
    let rows: Vec<(i64, i32)> = StillPending { ids, attempts }.load(conn).await?;
    Ok(rows.into_iter().map(|(id, attempt)| (MessageId(id), attempt)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_read_from_their_text() {
        let some = Snapshot::parse("795:799:795,797").unwrap();
        assert_eq!((some.xmax.as_str(), some.in_progress), ("799", vec!["795".to_owned(), "797".to_owned()]));
        let none = Snapshot::parse("800:800:").unwrap();
        assert_eq!((none.xmax.as_str(), none.in_progress.len()), ("800", 0));
        assert_eq!(Snapshot::parse("800"), None);
    }

    #[test]
    fn times_survive_the_way_to_postgres_and_back() {
        let at = Timestamp(1_764_000_000_123_456);
        assert_eq!(from_postgres(to_postgres(at)), at);
        assert_eq!(from_postgres(PgTimestamp(0)).to_string(), "2000-01-01T00:00:00.000000Z");
        // Postgres keeps -infinity in the smallest integer.
        assert_eq!(to_postgres(Timestamp::MIN).0, i64::MIN);
    }
}
