//! Cancelling a message: asking its owner to drop it, and what has become of it.
//!
//! Only the owner of its shard ends a message. A request marks the pending row, so that it arrives at the owner again,
//! which drops it with a final attempt `cancelled`, however late it is due. A message that is being delivered at that
//! moment is not called back: it may still be delivered, and if it is not, it is dropped instead of tried again.

use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::{MessageId, Shard};

use crate::error::StoreError;
use crate::message::{Ending, ending};
use crate::statement::statement;

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelRequest {
    /// It is pending, and marked now. [`crate::wakeup::notify_pending`] makes its owner see it at once.
    Requested { shard: Shard },
    /// It has ended before; [`state`] tells how.
    Ended,
    /// There is no such message.
    Missing,
}

statement! {
    struct Request { message: i64 => BigInt }
    row (Nullable<Integer>, Bool)
    "WITH marked AS (
        UPDATE posthaste.pending p SET cancelled = true, xid = pg_current_xact_id()
         WHERE p.message_id = {message}
        RETURNING p.shard
     )
     SELECT (SELECT m.shard FROM marked m), EXISTS (SELECT FROM posthaste.messages m WHERE m.id = {message})"
}

/// Asks to drop a message. Asking again changes nothing.
///
/// # Errors
/// Any [`StoreError`]; calling again is right.
pub async fn request(conn: &mut AsyncPgConnection, id: MessageId) -> Result<CancelRequest, StoreError> {
    let (shard, exists): (Option<i32>, bool) = Request { message: id.0 }.get_result(conn).await?;
    Ok(match (shard, exists) {
        (Some(shard), _) => CancelRequest::Requested { shard: Shard(shard) },
        (None, true) => CancelRequest::Ended,
        (None, false) => CancelRequest::Missing,
    })
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageState {
    /// It has not ended: it waits, is being delivered, or is about to be dropped.
    Pending,
    Ended(Ending),
    /// There is no such message.
    Missing,
}

statement! {
    /// A pending row wins over a final attempt.
    struct State { message: i64 => BigInt }
    row (Bool, Bool, Nullable<Text>)
    "SELECT EXISTS (SELECT FROM posthaste.pending p WHERE p.message_id = {message}),
            EXISTS (SELECT FROM posthaste.messages m WHERE m.id = {message}),
            (SELECT a.outcome FROM posthaste.attempts a
              WHERE a.message_id = {message} AND a.outcome <> 'retried' ORDER BY a.number DESC LIMIT 1)"
}

/// Whether a message is still pending, or how it ended.
///
/// # Errors
/// Any [`StoreError`].
pub async fn state(conn: &mut AsyncPgConnection, id: MessageId) -> Result<MessageState, StoreError> {
    let (pending, exists, outcome): (bool, bool, Option<String>) = State { message: id.0 }.get_result(conn).await?;
    match outcome {
        _ if pending => Ok(MessageState::Pending),
        Some(outcome) if exists => match ending(&outcome) {
            Some(ending) => Ok(MessageState::Ended(ending)),
            None => Err(StoreError::unexpected("a message that ended in an unknown way")),
        },
        // What is neither pending nor has an attempt was never to be delivered: its log is deleted with it.
        Some(_) | None => Ok(MessageState::Missing),
    }
}
