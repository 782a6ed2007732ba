//! Partitions of messages and attempts, which must exist before the ids that belong to them.
//!
//! The scheduler makes them ahead of time; whoever meets an id without a partition all the same makes them and tries
//! again. Both call the same function in the database, which is idempotent and lets its callers wait for each other.

pub mod retiring;

use diesel::sql_types::Integer;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::StoreError;
use crate::statement::statement;

statement! {
    struct Ensure {}
    row (Integer,)
    "SELECT posthaste.ensure_partitions()"
}

/// Makes the partitions that are missing, some ahead of the newest id, and answers how many ranges of ids it made: 0 where
/// all were there. Readers and writers of messages are not locked out.
///
/// # Errors
/// Any [`StoreError`], among them a lock timeout after 5 s where a long transaction stands in the way: try again later.
pub async fn ensure_partitions(conn: &mut AsyncPgConnection) -> Result<i32, StoreError> {
    let (made,): (i32,) = Ensure {}.get_result(conn).await?;
    Ok(made)
}
