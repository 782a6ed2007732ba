//! What is deleted once nobody needs it any more, from the small tables: the oldest first, a bounded number a statement.
//!
//! Rows are found by the index on their time and deleted by their place. The time is asked for again at the row itself: a
//! key that was used anew between the two has another place and another end.

use std::time::Duration;

use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::StoreError;
use crate::statement::statement;

statement! {
    struct ExpiredKeys { limit: i64 => BigInt }
    row (BigInt,)
    "WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now), gone AS (
         DELETE FROM posthaste.idempotency_keys k
          WHERE k.ctid = ANY (ARRAY(
                 SELECT k.ctid FROM posthaste.idempotency_keys k WHERE k.expires_at <= (SELECT now FROM clock)
                  ORDER BY k.expires_at LIMIT {limit}))
            AND k.expires_at <= (SELECT now FROM clock)
         RETURNING 1
     )
     SELECT count(*) FROM gone"
}

/// Deletes at most `limit` idempotency keys that have expired, and answers how many those were.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete_expired_keys(conn: &mut AsyncPgConnection, limit: u16) -> Result<u64, StoreError> {
    counted(ExpiredKeys { limit: i64::from(limit) }.get_result(conn).await?)
}

statement! {
    struct OldDeletions { age_seconds: i64 => BigInt, limit: i64 => BigInt }
    row (BigInt,)
    "WITH gone AS (
         DELETE FROM posthaste.deletions WHERE ctid = ANY (ARRAY(
             SELECT d.ctid FROM posthaste.deletions d
             WHERE d.at < (SELECT clock_timestamp() - make_interval(secs => {age_seconds}))
             ORDER BY d.at LIMIT {limit}))
         RETURNING 1
     )
     SELECT count(*) FROM gone"
}

/// Deletes at most `limit` of what subscriptions are told of deletions, of those older than `age`.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete_old_deletions(conn: &mut AsyncPgConnection, age: Duration, limit: u16) -> Result<u64, StoreError> {
    counted(OldDeletions { age_seconds: seconds(age), limit: i64::from(limit) }.get_result(conn).await?)
}

statement! {
    struct OldAudit { age_seconds: i64 => BigInt, limit: i64 => BigInt }
    row (BigInt,)
    "WITH gone AS (
         DELETE FROM posthaste.audit_log WHERE ctid = ANY (ARRAY(
             SELECT a.ctid FROM posthaste.audit_log a
             WHERE a.at < (SELECT clock_timestamp() - make_interval(secs => {age_seconds}))
             ORDER BY a.at LIMIT {limit}))
         RETURNING 1
     )
     SELECT count(*) FROM gone"
}

/// Deletes at most `limit` entries of the audit log, of those older than `age`.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete_old_audit(conn: &mut AsyncPgConnection, age: Duration, limit: u16) -> Result<u64, StoreError> {
    counted(OldAudit { age_seconds: seconds(age), limit: i64::from(limit) }.get_result(conn).await?)
}

pub(crate) fn counted((rows,): (i64,)) -> Result<u64, StoreError> {
    u64::try_from(rows).map_err(|_| StoreError::unexpected("a negative count"))
}

pub(crate) fn seconds(age: Duration) -> i64 {
    i64::try_from(age.as_secs()).unwrap_or(i64::MAX)
}
