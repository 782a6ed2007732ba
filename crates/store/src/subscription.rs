//! Topics: which queues have a message of each that is published. A topic is nothing but its name; one that nobody subscribes to
//! is as good as none.

use diesel::OptionalExtension;
use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::QueueId;
use posthaste_core::time::Timestamp;
use serde_json::Value;

use crate::error::StoreError;
use crate::reading::from_postgres;
use crate::statement::statement;

/// Subscriptions of one topic, at most: each is a message of every one that is published.
pub const MOST: i64 = 1_000;

/// A queue that takes what is published to a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    pub id: i64,
    pub topic: String,
    pub queue: QueueId,
    /// As [`posthaste_core::topic::Filter`] writes it; `None`: everything.
    pub filter: Option<Value>,
    pub created_at: Timestamp,
}

type RowSql = (BigInt, Text, BigInt, Nullable<Jsonb>, Timestamptz);
type RowTuple = (i64, String, i64, Option<Value>, PgTimestamp);

fn subscription((id, topic, queue, filter, created_at): RowTuple) -> Subscription {
    Subscription { id, topic, queue: QueueId(queue), filter, created_at: from_postgres(created_at) }
}

statement! {
    /// No row: there is no such queue, or there are too many subscriptions.
    struct Put { topic: String => Text, queue: i64 => BigInt, filter: Option<Value> => Nullable<Jsonb>, most: i64 => BigInt }
    row RowSql
    "INSERT INTO posthaste.subscriptions AS s (topic, queue_id, filter)
     SELECT {topic}, q.id, {filter} FROM posthaste.queues q
      WHERE q.id = {queue}
        AND (SELECT count(*) FROM posthaste.subscriptions o WHERE o.topic = {topic} AND o.queue_id <> {queue}) < {most}
     ON CONFLICT (topic, queue_id) DO UPDATE SET filter = excluded.filter
     RETURNING s.id, s.topic, s.queue_id, s.filter, s.created_at"
}

/// Subscribes a queue to a topic, or changes what it takes of it. `None`: there is no such queue, or the topic has as many
/// subscriptions as it may have.
///
/// # Errors
/// As any statement; calling again is right.
pub async fn put(
    conn: &mut AsyncPgConnection,
    topic: String,
    queue: QueueId,
    filter: Option<Value>,
) -> Result<Option<Subscription>, StoreError> {
    let row: Option<RowTuple> = Put { topic, queue: queue.0, filter, most: MOST }.get_result(conn).await.optional()?;
    Ok(row.map(subscription))
}

statement! {
    struct List { topic: String => Text }
    row RowSql
    "SELECT s.id, s.topic, s.queue_id, s.filter, s.created_at
       FROM posthaste.subscriptions s WHERE s.topic = {topic} ORDER BY s.queue_id"
}

/// The subscriptions of a topic.
///
/// # Errors
/// As any statement.
pub async fn list(conn: &mut AsyncPgConnection, topic: String) -> Result<Vec<Subscription>, StoreError> {
    let rows: Vec<RowTuple> = List { topic }.load(conn).await?;
    Ok(rows.into_iter().map(subscription).collect())
}

statement! {
    struct Delete { topic: String => Text, queue: i64 => BigInt }
    row RowSql
    "DELETE FROM posthaste.subscriptions s WHERE s.topic = {topic} AND s.queue_id = {queue}
     RETURNING s.id, s.topic, s.queue_id, s.filter, s.created_at"
}

/// Ends a subscription, and answers what it was.
///
/// # Errors
/// As any statement.
pub async fn delete(
    conn: &mut AsyncPgConnection,
    topic: String,
    queue: QueueId,
) -> Result<Option<Subscription>, StoreError> {
    let row: Option<RowTuple> = Delete { topic, queue: queue.0 }.get_result(conn).await.optional()?;
    Ok(row.map(subscription))
}
