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

/// A small table of which only what is young is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// What subscriptions are told of deletions.
    Deletions,
    AuditLog,
    /// What became of crons' ticks.
    Ticks,
    TestDeliveries,
}

impl Kept {
    /// The table, and the indexed time that says how old a row is.
    const fn place(self) -> (&'static str, &'static str) {
        match self {
            Kept::Deletions => ("posthaste.deletions", "o.at"),
            Kept::AuditLog => ("posthaste.audit_log", "o.at"),
            Kept::Ticks => ("posthaste.cron_ticks", "coalesce(o.until, o.tick)"),
            Kept::TestDeliveries => ("posthaste.test_deliveries", "o.requested_at"),
        }
    }
}

/// Deletes at most `limit` rows that are older than `age`, the oldest first, and answers how many those were.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete_old(
    conn: &mut AsyncPgConnection,
    kept: Kept,
    age: Duration,
    limit: u16,
) -> Result<u64, StoreError> {
    let (table, time) = kept.place();
    let delete = format!(
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY(
             SELECT o.ctid FROM {table} o WHERE {time} < (SELECT clock_timestamp() - make_interval(secs => $1))
             ORDER BY {time} LIMIT $2))"
    );
    let delete = diesel::sql_query(delete).bind::<BigInt, _>(seconds(age)).bind::<BigInt, _>(i64::from(limit));
    u64::try_from(delete.execute(conn).await?).map_err(|_| StoreError::unexpected("a count beyond 64 bits"))
}

fn counted((rows,): (i64,)) -> Result<u64, StoreError> {
    u64::try_from(rows).map_err(|_| StoreError::unexpected("a negative count"))
}

pub(crate) fn seconds(age: Duration) -> i64 {
    i64::try_from(age.as_secs()).unwrap_or(i64::MAX)
}
