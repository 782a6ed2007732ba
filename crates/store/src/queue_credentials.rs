//! What a queue shows its receiver to be let in: put, describe, delete. Only what is sealed is stored, and what may be shown.
//!
//! Changes are recorded in the audit log, in the same transaction.

use diesel::OptionalExtension;
use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Binary, Jsonb, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::QueueId;
use posthaste_core::time::Timestamp;
use serde_json::Value;

use crate::audit::{self, Entry};
use crate::error::StoreError;
use crate::reading::from_postgres;
use crate::statement::statement;

/// Credentials as their owner may see them.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    pub queue: QueueId,
    /// A JSON object.
    pub shown: Value,
    pub updated_at: Timestamp,
}

type Row = (i64, Value, PgTimestamp);

/// Gives a queue credentials, in place of those that it may have, on behalf of `actor`. `None`: there is no such queue.
///
/// # Errors
/// As any transaction.
pub async fn put(
    conn: &mut AsyncPgConnection,
    queue: QueueId,
    sealed: &[u8],
    shown: &Value,
    actor: &str,
) -> Result<Option<Description>, StoreError> {
    conn.transaction(async |conn| {
        let put = Put { queue: queue.0, sealed, shown };
        let Some(row) = put.get_result::<Row>(conn).await.optional()? else { return Ok(None) };
        audit::record(conn, &entry(queue, Some(shown.clone()), actor, "queue.credentials.set")).await?;
        Ok(Some(description(row)))
    })
    .await
}

/// Reads what may be shown of the credentials of queues.
///
/// # Errors
/// As any statement.
pub async fn describe(conn: &mut AsyncPgConnection, queues: &[QueueId]) -> Result<Vec<Description>, StoreError> {
    let rows: Vec<Row> = Described { queues: queues.iter().map(|id| id.0).collect() }.load(conn).await?;
    Ok(rows.into_iter().map(description).collect())
}

/// Takes a queue's credentials away, on behalf of `actor`, and answers what they were; `None` if there were none.
///
/// # Errors
/// As any transaction.
pub async fn delete(
    conn: &mut AsyncPgConnection,
    queue: QueueId,
    actor: &str,
) -> Result<Option<Description>, StoreError> {
    conn.transaction(async |conn| {
        let Some(row) = (Delete { queue: queue.0 }).get_result::<Row>(conn).await.optional()? else { return Ok(None) };
        audit::record(conn, &entry(queue, None, actor, "queue.credentials.delete")).await?;
        Ok(Some(description(row)))
    })
    .await
}

/// Reads the credentials of queues as a deliverer needs them; those that have none are missing.
///
/// # Errors
/// Any [`StoreError`].
pub async fn sealed(conn: &mut AsyncPgConnection, queues: &[QueueId]) -> Result<Vec<(QueueId, Vec<u8>)>, StoreError> {
    let rows: Vec<(i64, Vec<u8>)> = Sealed { queues: queues.iter().map(|id| id.0).collect() }.load(conn).await?;
    Ok(rows.into_iter().map(|(queue, sealed)| (QueueId(queue), sealed)).collect())
}

fn description((queue, shown, updated_at): Row) -> Description {
    Description { queue: QueueId(queue), shown, updated_at: from_postgres(updated_at) }
}

fn entry(queue: QueueId, detail: Option<Value>, actor: &str, action: &'static str) -> Entry {
    Entry { actor: actor.to_owned(), action: action.to_owned(), entity: "queue", entity_id: Some(queue.0), detail }
}

statement! {
    struct Put<'a> { queue: i64 => BigInt, sealed: &'a [u8] => Binary, shown: &'a Value => Jsonb }
    row (BigInt, Jsonb, Timestamptz)
    "INSERT INTO posthaste.queue_credentials AS c (queue_id, sealed, description)
     SELECT q.id, {sealed}, {shown} FROM posthaste.queues q WHERE q.id = {queue} FOR NO KEY UPDATE
     ON CONFLICT (queue_id) DO UPDATE SET sealed = excluded.sealed, description = excluded.description, updated_at = now()
     RETURNING c.queue_id, c.description, c.updated_at"
}

statement! {
    struct Described { queues: Vec<i64> => Array<BigInt> }
    row (BigInt, Jsonb, Timestamptz)
    "SELECT c.queue_id, c.description, c.updated_at FROM posthaste.queue_credentials c
      WHERE c.queue_id = ANY ({queues}) ORDER BY c.queue_id"
}

statement! {
    struct Delete { queue: i64 => BigInt }
    row (BigInt, Jsonb, Timestamptz)
    "DELETE FROM posthaste.queue_credentials c WHERE c.queue_id = {queue} RETURNING c.queue_id, c.description, c.updated_at"
}

statement! {
    struct Sealed { queues: Vec<i64> => Array<BigInt> }
    row (BigInt, Binary)
    "SELECT c.queue_id, c.sealed
       FROM unnest({queues}) AS i(id)
      CROSS JOIN LATERAL (SELECT c.* FROM posthaste.queue_credentials c WHERE c.queue_id = i.id OFFSET 0) AS c"
}
