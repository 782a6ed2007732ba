//! What has changed lately, for subscriptions.
//!
//! Nothing is written for it on the way of a message. What is pending is read as the deliverer reads it, by snapshot: each
//! committed change of `pending` is seen once, however late its transaction commits. Everything else is found by its time:
//! final attempts, settings of queues and crons, deletions. Their commits become visible out of order, so each look begins
//! [`MARGIN`] before the last one; what was seen already is up to the reader. What commits later than that after its own
//! time is not found.
//!
//! A deletion leaves nothing to be found, so it is written down with it, until the scheduler deletes what is old.

use std::time::Duration;

use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::StreamExt;
use posthaste_core::entity::Entity;
use posthaste_core::ids::{MessageId, Shard};
use posthaste_core::time::Timestamp;

use crate::error::StoreError;
use crate::reading::{Facts, Snapshot, arrivals, begin, from_postgres, to_postgres};
use crate::statement::statement;
use crate::wakeup::{CHANGES, CRONS, PENDING, notify};

/// How far before the last look a look begins.
pub const MARGIN: Duration = Duration::from_secs(5);

/// Rows of each kind that one look reads at most.
const LIMIT: i64 = 100_000;

/// Ids that one notification names: 19 digits and a comma each, of the 8000 bytes that a payload may have.
const NAMED_AT_ONCE: usize = 350;

/// Something that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// It was created or changed; a message also: it has come to its end.
    Saved(Entity, i64),
    /// It is gone. `queue_id` is the queue that it was in; a queue's is its own.
    Deleted { entity: Entity, id: i64, queue_id: i64 },
}

/// A change that was found by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timed {
    pub change: Change,
    /// Together with the change, what it is known by.
    pub at: Timestamp,
}

/// Where a reader is in the stream of changes.
#[derive(Debug, Clone)]
pub struct Place {
    snapshot: Snapshot,
    facts: Facts,
    shards: Vec<Shard>,
}

/// What a look has found.
#[derive(Debug)]
pub struct Look {
    /// Messages that are pending and new or changed: each of these changes once.
    pub arrived: Vec<MessageId>,
    /// Everything else since [`Look::since`], whether it was found before or not.
    pub timed: Vec<Timed>,
    /// What is not later than this is not found again.
    pub since: Timestamp,
    /// There was more than one look may read, or the server is another: changes are missing.
    pub incomplete: bool,
    /// Where the next look begins.
    pub next: Place,
}

/// The present: a first look from here finds what is committed from now on, and what is timed not before [`MARGIN`] ago.
///
/// # Errors
/// As any statement.
pub async fn present(conn: &mut AsyncPgConnection) -> Result<Place, StoreError> {
    let shards: Vec<(i32,)> = Shards {}.load(conn).await?;
    let (snapshot, facts) = begin(conn).await?;
    Ok(Place { snapshot, facts, shards: shards.into_iter().map(|(shard,)| Shard(shard)).collect() })
}

/// Finds what has changed since `place`.
///
/// # Errors
/// As any statement; looking again from the same place loses nothing.
pub async fn look(conn: &mut AsyncPgConnection, place: &Place) -> Result<Look, StoreError> {
    let limit = usize::try_from(LIMIT).unwrap_or(usize::MAX);
    let (mut arrived, mut incomplete) = (Vec::new(), false);
    let (snapshot, facts) = arrivals(conn, &place.shards, &place.snapshot, |row| {
        if arrived.len() < limit {
            arrived.push(row.id);
        } else {
            incomplete = true;
        }
    })
    .await?;
    // Of another server, or another life of it, the snapshot says nothing.
    incomplete |= facts.postmaster_start != place.facts.postmaster_start || facts.in_recovery;
    let margin = i64::try_from(MARGIN.as_micros()).unwrap_or(i64::MAX);
    let since = Timestamp(place.facts.clock.0.saturating_sub(margin));
    // After the arrivals: a message that has left `pending` before them is found here.
    let rows: Vec<(i32, i64, PgTimestamp, Option<i64>)> =
        Recent { since: to_postgres(since), limit: LIMIT + 1 }.load(conn).await?;
    let mut numbers = [0_usize; 4];
    let mut timed = Vec::with_capacity(rows.len());
    for (kind, id, at, queue_id) in rows {
        let change = match (kind, queue_id) {
            (0, _) => Change::Saved(Entity::Message, id),
            (1, _) => Change::Saved(Entity::Queue, id),
            (2, _) => Change::Saved(Entity::Cron, id),
            (3, Some(queue_id)) => Change::Deleted { entity: Entity::Queue, id, queue_id },
            (4, Some(queue_id)) => Change::Deleted { entity: Entity::Message, id, queue_id },
            (5, Some(queue_id)) => Change::Deleted { entity: Entity::Cron, id, queue_id },
            _ => return Err(StoreError::unexpected("a change of no kind")),
        };
        if let Some(number) = usize::try_from(kind).ok().and_then(|kind| numbers.get_mut(kind.min(3))) {
            *number += 1;
        }
        timed.push(Timed { change, at: from_postgres(at) });
    }
    incomplete |= numbers.iter().any(|number| *number > limit);
    Ok(Look { arrived, timed, since, incomplete, next: Place { snapshot, facts, shards: place.shards.clone() } })
}

/// Asks to be told of changes early. Through a pooler in transaction mode it may succeed and nothing ever come.
///
/// # Errors
/// As any statement; the caller may go on without.
pub async fn listen(conn: &mut AsyncPgConnection) -> Result<(), StoreError> {
    conn.batch_execute(&format!("LISTEN {PENDING}; LISTEN {CRONS}; LISTEN {CHANGES}")).await?;
    Ok(())
}

/// Waits for news after [`listen`]; answers the messages that they name, if they name any. It is safe to drop.
///
/// # Errors
/// The connection is lost.
pub async fn news(conn: &mut AsyncPgConnection) -> Result<Vec<MessageId>, StoreError> {
    let mut notifications = std::pin::pin!(conn.notifications_stream());
    match notifications.next().await {
        Some(Ok(news)) if news.channel == CHANGES => Ok(named(&news.payload)),
        Some(Ok(_)) => Ok(Vec::new()),
        Some(Err(error)) => Err(error.into()),
        None => Err(StoreError::Unavailable("the connection was closed".to_owned())),
    }
}

/// Tells the subscriptions of all processes that something has changed. `edited` are messages whose change moves nothing in
/// `pending` and is therefore found by nobody who does not hear of it. Only a hint for everything else.
///
/// # Errors
/// Whatever the database says; the caller may ignore it.
pub async fn notify_changes(conn: &mut AsyncPgConnection, edited: &[MessageId]) -> Result<(), StoreError> {
    if edited.is_empty() {
        return notify(conn, CHANGES, "").await;
    }
    for ids in edited.chunks(NAMED_AT_ONCE) {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        notify(conn, CHANGES, &format!("message:{}", ids.join(","))).await?;
    }
    Ok(())
}

/// A payload that makes no sense (anyone may NOTIFY) names nothing.
fn named(payload: &str) -> Vec<MessageId> {
    let ids = payload.strip_prefix("message:").unwrap_or_default().split(',');
    ids.filter_map(|id| id.trim().parse().ok().map(MessageId)).collect()
}

/// Writes deletions down, each with the queue that it was in; a queue's own id for a queue. To be called in the transaction
/// that deletes.
///
/// # Errors
/// As any statement.
pub async fn record_deletions(
    conn: &mut AsyncPgConnection,
    entity: Entity,
    gone: &[(i64, i64)],
) -> Result<(), StoreError> {
    if gone.is_empty() {
        return Ok(());
    }
    let record = Record {
        entity: entity.name(),
        ids: gone.iter().map(|(id, _)| *id).collect(),
        queues: gone.iter().map(|(_, queue)| *queue).collect(),
    };
    record.execute(conn).await?;
    Ok(())
}

statement! {
    struct Shards {}
    row (Integer,)
    "SELECT generate_series(0, posthaste.shards() - 1)"
}

statement! {
    /// The kinds are numbered as [`look`] reads them. Final attempts outcome by outcome, as their index has them.
    struct Recent { since: PgTimestamp => Timestamptz, limit: i64 => BigInt }
    row (Integer, BigInt, Timestamptz, Nullable<BigInt>)
    "(SELECT CASE d.entity WHEN 'queue' THEN 3 WHEN 'message' THEN 4 ELSE 5 END, d.entity_id, d.at,
             coalesce(d.queue_id, d.entity_id)
        FROM posthaste.deletions d WHERE d.at > {since} ORDER BY d.at LIMIT {limit})
     UNION ALL
     (SELECT 0, a.message_id, a.finished_at, NULL::bigint FROM posthaste.attempts a
       WHERE a.finished_at > {since} AND a.outcome = 'delivered' ORDER BY a.finished_at LIMIT {limit})
     UNION ALL
     (SELECT 0, a.message_id, a.finished_at, NULL::bigint FROM posthaste.attempts a
       WHERE a.finished_at > {since} AND a.outcome = 'failed' ORDER BY a.finished_at LIMIT {limit})
     UNION ALL
     (SELECT 0, a.message_id, a.finished_at, NULL::bigint FROM posthaste.attempts a
       WHERE a.finished_at > {since} AND a.outcome = 'cancelled' ORDER BY a.finished_at LIMIT {limit})
     UNION ALL
     (SELECT 0, a.message_id, a.finished_at, NULL::bigint FROM posthaste.attempts a
       WHERE a.finished_at > {since} AND a.outcome = 'expired' ORDER BY a.finished_at LIMIT {limit})
     UNION ALL
     (SELECT 1, q.id, q.updated_at, NULL FROM posthaste.queues q
       WHERE q.updated_at > {since} ORDER BY q.updated_at LIMIT {limit})
     UNION ALL
     (SELECT 2, c.id, c.updated_at, NULL FROM posthaste.crons c
       WHERE c.updated_at > {since} ORDER BY c.updated_at LIMIT {limit})"
}

statement! {
    struct Record {
        entity: &'static str => Text,
        ids: Vec<i64> => Array<BigInt>,
        queues: Vec<i64> => Array<BigInt>,
    }
    row (BigInt,)
    "INSERT INTO posthaste.deletions (entity, entity_id, queue_id)
     SELECT {entity}, gone.id, gone.queue_id FROM unnest({ids}, {queues}) AS gone(id, queue_id)"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_name_messages() {
        assert_eq!(named("message:1,2, 3"), [MessageId(1), MessageId(2), MessageId(3)]);
        for nothing in ["", "message:", "messages:1", "1,2", "message:x,,-"] {
            assert_eq!(named(nothing), [], "{nothing}");
        }
        let most: Vec<String> = std::iter::repeat_n(i64::MAX.to_string(), NAMED_AT_ONCE).collect();
        assert!(most.join(",").len() + "message:".len() < 8000);
    }
}
