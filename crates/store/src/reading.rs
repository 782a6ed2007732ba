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
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::TryStreamExt;
use posthaste_core::ids::{MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use posthaste_core::window::{Refill, Row};

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

type RowSql = (BigInt, BigInt, Integer, Timestamptz, Integer, Nullable<Timestamptz>, Bool);
type RowTuple = (i64, i64, i32, PgTimestamp, i32, Option<PgTimestamp>, bool);

pub(crate) fn row((id, queue, shard, due, attempt, held_until, cancelled): RowTuple) -> Row {
    Row {
        id: MessageId(id),
        queue: QueueId(queue),
        shard: Shard(shard),
        due: from_postgres(due),
        attempt,
        held_until: held_until.map(from_postgres),
        cancelled,
    }
}

statement! {
    /// The first row is the facts, dressed as a row; it alone has a snapshot.
    ///
    /// Nobody needs the order by `xid`: it leaves the planner, which may not sort, with one index. By its statistics, which
    /// may be those of the moment when the table was last empty, another would do as well, and would read the whole
    /// backlog. For the same reason it is `>= AND <=`: an equality would make the order void.
    struct Arrivals { owned: Vec<i32> => Array<Integer>, xmax: String => Text, in_progress: Vec<String> => Array<Text> }
    row (BigInt, BigInt, Integer, Timestamptz, Integer, Nullable<Timestamptz>, Bool, Nullable<Text>)
    "SELECT 0::bigint, 0::bigint, 0, clock_timestamp(), 0, pg_postmaster_start_time(), pg_is_in_recovery(),
            pg_current_snapshot()::text
     UNION ALL
     SELECT p.message_id, p.queue_id, p.shard, p.due_at, p.attempt, p.held_until, p.cancelled, NULL
       FROM unnest({owned}) AS s(shard)
      CROSS JOIN LATERAL (
            SELECT p.* FROM posthaste.pending p
             WHERE p.shard = s.shard AND p.xid >= {xmax}::xid8 AND p.xid < pg_snapshot_xmax(pg_current_snapshot())
             ORDER BY p.xid
      ) AS p
     UNION ALL
     SELECT p.message_id, p.queue_id, p.shard, p.due_at, p.attempt, p.held_until, p.cancelled, NULL
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
    type ArrivalTuple = (i64, i64, i32, PgTimestamp, i32, Option<PgTimestamp>, bool, Option<String>);
    let statement = Arrivals {
        owned: owned.iter().map(|shard| shard.0).collect(),
        xmax: since.xmax.clone(),
        in_progress: since.in_progress.clone(),
    };
    let mut facts = None;
    let mut rows = statement.load_stream::<ArrivalTuple>(conn).await?;
    while let Some((id, queue, shard, due, attempt, held_until, cancelled, snapshot)) = rows.try_next().await? {
        match snapshot {
            None => each(row((id, queue, shard, due, attempt, held_until, cancelled))),
            Some(text) => {
                facts = Some((
                    Snapshot::parse(&text).ok_or(StoreError::unexpected("a snapshot that cannot be read"))?,
                    Facts {
                        clock: from_postgres(due),
                        postmaster_start: held_until.map_or(Timestamp::MIN, from_postgres),
                        in_recovery: cancelled,
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
    /// A skip scan: one index descent per queue, however many rows it has. By `due_at` as well, which only the reading order
    /// has after the queue.
    struct Discover { shards: Vec<i32> => Array<Integer>, after: Vec<i64> => Array<BigInt>, queues: i32 => Integer }
    row (Integer, BigInt)
    "SELECT s.shard, found.queue_id
       FROM unnest({shards}, {after}) AS s(shard, after)
      CROSS JOIN LATERAL (
            WITH RECURSIVE q AS (
                (SELECT p.queue_id FROM posthaste.pending p
                  WHERE p.shard = s.shard AND p.queue_id > s.after ORDER BY p.queue_id, p.due_at LIMIT 1)
                UNION ALL
                SELECT (SELECT p.queue_id FROM posthaste.pending p
                         WHERE p.shard = s.shard AND p.queue_id > q.queue_id ORDER BY p.queue_id, p.due_at LIMIT 1)
                  FROM q WHERE q.queue_id IS NOT NULL
            )
            SELECT q.queue_id FROM q WHERE q.queue_id IS NOT NULL LIMIT {queues}
      ) AS found
      ORDER BY s.shard, found.queue_id"
}

/// What [`discover`] found in one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    pub shard: Shard,
    /// Ascending.
    pub queues: Vec<QueueId>,
    /// There are no more.
    pub complete: bool,
}

/// The queues that have pending rows in each shard, beyond the given queue, at most `limit` a shard.
///
/// # Errors
/// Any [`StoreError`].
pub async fn discover(
    conn: &mut AsyncPgConnection,
    steps: &[(Shard, Option<QueueId>)],
    limit: i32,
) -> Result<Vec<Discovered>, StoreError> {
    let statement = Discover {
        shards: steps.iter().map(|(shard, _)| shard.0).collect(),
        after: steps.iter().map(|(_, after)| after.map_or(i64::MIN, |queue| queue.0)).collect(),
        queues: limit,
    };
    let found: Vec<(i32, i64)> = statement.load(conn).await?;
    let full = usize::try_from(limit).unwrap_or(0);
    Ok(steps
        .iter()
        .map(|&(shard, _)| {
            let queues: Vec<_> =
                found.iter().filter(|(of, _)| *of == shard.0).map(|(_, queue)| QueueId(*queue)).collect();
            Discovered { shard, complete: queues.len() < full, queues }
        })
        .collect())
}

statement! {
    /// `message_id + 0`: so it stands in the index. Shard and queue are compared as parts of the key, and not by `=`, so that
    /// they stay in the order: without them another index would have it, too.
    struct Refills {
        shards: Vec<i32> => Array<Integer>,
        queues: Vec<i64> => Array<BigInt>,
        after_due: Vec<PgTimestamp> => Array<Timestamptz>,
        after_id: Vec<i64> => Array<BigInt>,
        rows: Vec<i64> => Array<BigInt>,
    }
    row (BigInt, RowSql)
    "SELECT r.number, p.message_id, p.queue_id, p.shard, p.due_at, p.attempt, p.held_until, p.cancelled
       FROM unnest({shards}, {queues}, {after_due}, {after_id}, {rows})
            WITH ORDINALITY AS r(shard, queue_id, after_due, after_id, rows, number)
      CROSS JOIN LATERAL (
            SELECT p.* FROM posthaste.pending p
             WHERE (p.shard, p.queue_id, p.due_at, p.message_id + 0) > (r.shard, r.queue_id, r.after_due, r.after_id)
               AND (p.shard, p.queue_id) <= (r.shard, r.queue_id)
             ORDER BY p.shard, p.queue_id, p.due_at, p.message_id + 0
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
    "SELECT p.message_id, p.queue_id, p.shard, p.due_at, p.attempt, p.held_until, p.cancelled
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
