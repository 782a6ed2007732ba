//! Replacing the key that secrets and credentials are encrypted with: what was sealed with another is found, opened, sealed anew,
//! and stored if it is still what it was.

use diesel::sql_types::{BigInt, Binary};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::QueueId;
use posthaste_core::seal::{Context, KeyId, Purpose};

use crate::error::StoreError;
use crate::statement::statement;

/// Something that is sealed with another key than the one that seals now.
#[derive(Debug, Clone)]
pub struct Outdated {
    /// What it is, and whose.
    pub context: Context,
    /// Rises over all of what is outdated for the same purpose.
    pub id: i64,
    pub sealed: Vec<u8>,
}

/// Finds at most `limit` of what is sealed with another key than `current`, beyond `after`, by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn outdated(
    conn: &mut AsyncPgConnection,
    purpose: Purpose,
    current: KeyId,
    after: i64,
    limit: u16,
) -> Result<Vec<Outdated>, StoreError> {
    let (current, limit) = (current.0.to_vec(), i64::from(limit));
    let rows: Vec<(i64, i64, Vec<u8>)> = match purpose {
        Purpose::SigningSecret => OutdatedSecrets { current, after, limit }.load(conn).await?,
        Purpose::Credentials => OutdatedCredentials { current, after, limit }.load(conn).await?,
    };
    Ok(rows
        .into_iter()
        .map(|(id, queue, sealed)| Outdated { context: Context { purpose, queue: QueueId(queue) }, id, sealed })
        .collect())
}

/// Stores `anew` in the place of what was found, unless that has changed meanwhile: then false.
///
/// # Errors
/// Any [`StoreError`].
pub async fn replace(conn: &mut AsyncPgConnection, found: &Outdated, anew: &[u8]) -> Result<bool, StoreError> {
    let table = match found.context.purpose {
        Purpose::SigningSecret => "UPDATE posthaste.queue_secrets SET sealed = $3 WHERE id = $1 AND sealed = $2",
        Purpose::Credentials => {
            "UPDATE posthaste.queue_credentials SET sealed = $3 WHERE queue_id = $1 AND sealed = $2"
        }
    };
    let replaced = diesel::sql_query(table)
        .bind::<BigInt, _>(found.id)
        .bind::<Binary, _>(&found.sealed)
        .bind::<Binary, _>(anew)
        .execute(conn)
        .await?;
    Ok(replaced > 0)
}

statement! {
    struct OutdatedSecrets { current: Vec<u8> => Binary, after: i64 => BigInt, limit: i64 => BigInt }
    row (BigInt, BigInt, Binary)
    "SELECT s.id, s.queue_id, s.sealed FROM posthaste.queue_secrets s
      WHERE s.id > {after} AND substring(s.sealed FROM 2 FOR 8) <> {current} ORDER BY s.id LIMIT {limit}"
}

statement! {
    struct OutdatedCredentials { current: Vec<u8> => Binary, after: i64 => BigInt, limit: i64 => BigInt }
    row (BigInt, BigInt, Binary)
    "SELECT c.queue_id, c.queue_id, c.sealed FROM posthaste.queue_credentials c
      WHERE c.queue_id > {after} AND substring(c.sealed FROM 2 FOR 8) <> {current} ORDER BY c.queue_id LIMIT {limit}"
}
