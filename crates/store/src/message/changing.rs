//! Changing messages that are still pending, and deleting messages.
//!
//! A change touches the pending row even where it does not move it: it arrives anew, at its owner and at subscriptions.
//!
//! An attempt that is under way while its message is changed sends what it has read before; the change counts from the
//! next attempt on. A new due time reaches the owner as an arrival, whether it holds the message in memory or not.

use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use posthaste_core::entity::{Entity, MessageField};
use posthaste_core::filter::{Condition, Filter, Test, Value as Operand};
use posthaste_core::ids::{MessageId, Shard};
use posthaste_core::listing::Listing;
use serde_json::Value;

use super::{Body, DeletedMessage, Message, Progress, Sending, delete, find};
use crate::change::record_deletions;
use crate::changing::{Changed, Plan, Undone, outcome};
use crate::error::StoreError;
use crate::listing::{LARGEST, Large};
use crate::reading::to_postgres;
use crate::statement::statement;

/// Messages as they are now, and the shards whose owners have something to do.
pub type Changes = (Vec<Message>, Vec<Shard>);

/// Changes what was asked of messages, but not their queues, all or none, and answers them as they are now. The plan is asked
/// about every one of them that exists; one that it leaves as it was is not written.
///
/// # Errors
/// As any transaction; [`StoreError::TooLarge`] where they are too large to be answered, see `listing`.
pub async fn change<E: Send>(
    conn: &mut AsyncPgConnection,
    ids: &[MessageId],
    plan: Plan<'_, Message, E>,
) -> Result<Changed<Changes, E>, StoreError> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let result = conn.transaction(async |conn| {
        // From here until our commit no outcome is written for them.
        Lock { ids: ids.clone() }.execute(conn).await?;
        let limit = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        let test = Test::In(ids.iter().copied().map(Operand::Number).collect());
        let filter = Filter::default().and(Condition { field: MessageField::Id, test });
        let (mut changed, mut shards) = (Vec::with_capacity(ids.len()), Vec::new());
        for message in find(conn, &Listing::first(limit, filter)).await? {
            let planned = plan(&message).map_err(Undone::Refused)?;
            if planned == message {
                changed.push(message);
                continue;
            }
            let (updated_at, shard) = update(planned.clone()).get_result::<(PgTimestamp, Option<i32>)>(conn).await?;
            shards.extend(shard.map(Shard));
            changed.push(Message { updated_at: crate::reading::from_postgres(updated_at), ..planned });
        }
        Ok::<_, Undone<E>>((changed, shards))
    });
    outcome(result.await)
}

/// Deletes messages and their attempts, all or none; cancels those that are pending. Ids that do not exist are passed over.
///
/// # Errors
/// As any transaction; [`StoreError::TooLarge`] where they are too large to be answered, see `listing`.
pub async fn delete_all(conn: &mut AsyncPgConnection, ids: &[MessageId]) -> Result<Vec<DeletedMessage>, StoreError> {
    conn.transaction(async |conn| {
        let (mut deleted, mut size) = (Vec::with_capacity(ids.len()), 0);
        for id in ids {
            let Some(gone) = delete(conn, *id).await? else { continue };
            size += gone.message.size();
            if size > LARGEST && !deleted.is_empty() {
                return Err(StoreError::TooLarge);
            }
            deleted.push(gone);
        }
        let rows: Vec<(i64, i64)> =
            deleted.iter().map(|gone: &DeletedMessage| (gone.message.id.0, gone.message.queue_id.0)).collect();
        record_deletions(conn, Entity::Message, &rows).await?;
        Ok::<_, StoreError>(deleted)
    })
    .await
}

fn update(planned: Message) -> Update {
    let due_at = match planned.progress {
        Progress::Pending { due_at, .. } => due_at,
        Progress::Ended { .. } | Progress::Forgotten => planned.scheduled_at,
    };
    let (body, body_binary) = match planned.body {
        None => (None, None),
        Some(Body::Text(text)) => (Some(text), None),
        Some(Body::Binary(bytes)) => (None, Some(bytes)),
    };
    // The ordering key stays as it is: others of it may have gone by.
    let Sending { connect_timeout_ms, timeout_ms, traceparent, tracestate, ordering_key: _, priority } =
        planned.sending;
    Update {
        id: planned.id.0,
        body,
        body_binary,
        headers: planned.headers,
        scheduled_at: to_postgres(planned.scheduled_at),
        expires_at: planned.expires_at.map(to_postgres),
        due_at: to_postgres(due_at),
        connect_timeout_ms,
        timeout_ms,
        traceparent,
        tracestate,
        priority,
    }
}

statement! {
    /// In the order in which everybody takes locks: what is pending before its message.
    pub(crate) struct Lock { ids: Vec<i64> => Array<BigInt> }
    row (BigInt,)
    "SELECT p.message_id FROM posthaste.pending p WHERE p.message_id = ANY ({ids}) ORDER BY p.message_id FOR UPDATE"
}

statement! {
    struct Update {
        id: i64 => BigInt,
        body: Option<String> => Nullable<Text>,
        body_binary: Option<Vec<u8>> => Nullable<Binary>,
        headers: Option<Value> => Nullable<Jsonb>,
        scheduled_at: PgTimestamp => Timestamptz,
        expires_at: Option<PgTimestamp> => Nullable<Timestamptz>,
        due_at: PgTimestamp => Timestamptz,
        connect_timeout_ms: Option<i32> => Nullable<Integer>,
        timeout_ms: Option<i32> => Nullable<Integer>,
        traceparent: Option<String> => Nullable<Text>,
        tracestate: Option<String> => Nullable<Text>,
        priority: i16 => SmallInt,
    }
    row (Timestamptz, Nullable<Integer>)
    "WITH message AS (
         UPDATE posthaste.messages
         SET body = {body}, body_binary = {body_binary}, headers = {headers}, scheduled_at = {scheduled_at},
             expires_at = {expires_at}, connect_timeout_ms = {connect_timeout_ms}, timeout_ms = {timeout_ms},
             traceparent = {traceparent}, tracestate = {tracestate}, priority = nullif({priority}, 0), updated_at = now()
         WHERE id = {id} RETURNING updated_at
     ), moved AS (
         -- Also where it stays: so the change arrives, at the owner and at subscriptions.
         UPDATE posthaste.pending SET due_at = {due_at}, priority = {priority}, xid = pg_current_xact_id()
         WHERE message_id = {id} RETURNING shard
     )
     SELECT m.updated_at, (SELECT shard FROM moved) FROM message m"
}
