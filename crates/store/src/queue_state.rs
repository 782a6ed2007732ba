//! Pausing and resuming queues.

use diesel::dsl::now;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::QueueId;

use crate::error::StoreError;
use crate::schema::queues;

/// Pauses a queue; one that is paused keeps its time and reason. False: there is no such queue.
///
/// # Errors
/// As any statement.
pub async fn set_paused(conn: &mut AsyncPgConnection, id: QueueId, reason: Option<&str>) -> Result<bool, StoreError> {
    let paused = diesel::update(queues::table.find(id.0).filter(queues::paused_at.is_null()))
        .set((
            queues::paused_at.eq(now.into_sql::<Nullable<Timestamptz>>()),
            queues::paused_reason.eq(reason),
            queues::updated_at.eq(now),
        ))
        .execute(conn)
        .await?;
    Ok(paused == 1 || exists(conn, id).await?)
}

/// Resumes a queue. False: there is no such queue.
///
/// # Errors
/// As any statement.
pub async fn resume(conn: &mut AsyncPgConnection, id: QueueId) -> Result<bool, StoreError> {
    let resumed = diesel::update(queues::table.find(id.0).filter(queues::paused_at.is_not_null()))
        .set((
            queues::paused_at.eq(None::<diesel::pg::data_types::PgTimestamp>),
            queues::paused_reason.eq(None::<&str>),
            queues::updated_at.eq(now),
        ))
        .execute(conn)
        .await?;
    Ok(resumed == 1 || exists(conn, id).await?)
}

async fn exists(conn: &mut AsyncPgConnection, id: QueueId) -> Result<bool, StoreError> {
    Ok(diesel::select(diesel::dsl::exists(queues::table.find(id.0))).get_result(conn).await?)
}
