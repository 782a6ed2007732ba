//! Cancelling messages.

use diesel::OptionalExtension;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::{MessageId, Shard};

use crate::error::StoreError;
use crate::statement::statement;

pub enum CancelRequest {
    Requested { shard: Shard },
    Ended,
    Missing,
}
pub enum CancelState {
    Pending,
    Cancelled,
    EndedOtherwise,
}

statement! {
    struct Request { id: i64 => BigInt }
    row (Integer,)
    "UPDATE posthaste.pending SET cancelled = true, xid = pg_current_xact_id() WHERE message_id = {id} RETURNING shard"
}
statement! {
    struct Look { id: i64 => BigInt }
    row (Nullable<Integer>, Nullable<Text>)
    "SELECT (SELECT shard FROM posthaste.pending WHERE message_id = {id}),
            (SELECT outcome FROM posthaste.attempts WHERE message_id = {id} AND outcome <> 'retried' ORDER BY number DESC LIMIT 1)"
}
pub async fn request(conn: &mut AsyncPgConnection, id: MessageId) -> Result<CancelRequest, StoreError> {
    let shard: Option<(i32,)> = Request { id: id.0 }.get_result(conn).await.optional()?;
    Ok(shard.map_or(CancelRequest::Ended, |(shard,)| CancelRequest::Requested { shard: Shard(shard) }))
}
pub async fn state(conn: &mut AsyncPgConnection, id: MessageId) -> Result<CancelState, StoreError> {
    let (shard, outcome): (Option<i32>, Option<String>) = Look { id: id.0 }.get_result(conn).await?;
    Ok(match (shard, outcome.as_deref()) {
        (Some(_), _) => CancelState::Pending,
        (None, Some("cancelled")) => CancelState::Cancelled,
        (None, _) => CancelState::EndedOtherwise,
    })
}
