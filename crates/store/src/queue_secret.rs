//! The secrets that a queue's requests are signed with: create, list, revoke. Only what is sealed is stored.
//!
//! A queue may have several at a time: a request is signed with every one that is neither revoked nor expired, so that a receiver
//! can go from one to the next. Creating and revoking are recorded in the audit log, in the same transaction. Whether a secret is
//! still good is decided by the database's clock.

use std::time::Duration;

use diesel::OptionalExtension;
use diesel::pg::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::{QueueId, SecretId};
use posthaste_core::signature::Scheme;
use posthaste_core::time::Timestamp;
use serde_json::json;

use crate::audit::{self, Entry};
use crate::error::StoreError;
use crate::reading::from_postgres;
use crate::statement::statement;

/// How many of a queue's secrets may be good at the same time.
pub const MOST: i32 = 10;

/// A secret as its owner may see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Secret {
    pub id: SecretId,
    pub queue: QueueId,
    /// `v1` or `v1a`.
    pub scheme: String,
    /// What a receiver verifies `v1a` with.
    pub public_key: Option<String>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

/// A secret to be created.
#[derive(Debug, Clone)]
pub struct NewSecret {
    pub queue: QueueId,
    pub scheme: Scheme,
    pub sealed: Vec<u8>,
    pub public_key: Option<String>,
    /// From now on, how long the earlier ones of the same scheme are good at most; `None` leaves them as they are.
    pub grace: Option<Duration>,
}

/// What came of creating a secret.
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    Stored(Secret),
    /// Nothing is stored: there is no such queue.
    UnknownQueue,
    /// Nothing is stored: it has [`MOST`] already.
    TooMany,
}

/// A secret that is good, as a deliverer needs it.
#[derive(Debug, Clone)]
pub struct SealedSecret {
    pub queue: QueueId,
    /// `None`: one that a later version has added.
    pub scheme: Option<Scheme>,
    pub sealed: Vec<u8>,
    pub expires_at: Option<Timestamp>,
}

type Sql = (BigInt, BigInt, Text, Nullable<Text>, Timestamptz, Nullable<Timestamptz>, Nullable<Timestamptz>);
type Row = (i64, i64, String, Option<String>, PgTimestamp, Option<PgTimestamp>, Option<PgTimestamp>);

/// Creates a secret, on behalf of `actor`. Grace never lengthens a life: one that was to end earlier still does.
///
/// # Errors
/// As any transaction.
pub async fn create(conn: &mut AsyncPgConnection, new: &NewSecret, actor: &str) -> Result<Created, StoreError> {
    conn.transaction(async |conn| {
        // Two at the same time would not see each other; and the trigger locks the row anyway.
        if (LockQueue { queue: new.queue.0 }).get_result::<(i64,)>(conn).await.optional()?.is_none() {
            return Ok(Created::UnknownQueue);
        }
        if let Some(grace) = new.grace {
            let grace = i64::try_from(grace.as_micros()).unwrap_or(i64::MAX);
            Expire { queue: new.queue.0, scheme: new.scheme.name(), grace }.execute(conn).await?;
        }
        let (good,): (i32,) = Good { queue: new.queue.0 }.get_result(conn).await?;
        if good >= MOST {
            return Err(Refused::TooMany);
        }
        let insert = Insert {
            queue: new.queue.0,
            scheme: new.scheme.name(),
            sealed: &new.sealed,
            public_key: new.public_key.as_deref(),
        };
        let secret = secret(insert.get_result::<Row>(conn).await?);
        audit::record(conn, &entry(&secret, actor, "queue.secret.create")).await?;
        Ok(Created::Stored(secret))
    })
    .await
    .or_else(|refused| match refused {
        Refused::TooMany => Ok(Created::TooMany),
        Refused::Store(error) => Err(error),
    })
}

/// Why a transaction was undone.
enum Refused {
    TooMany,
    Store(StoreError),
}

impl From<diesel::result::Error> for Refused {
    fn from(error: diesel::result::Error) -> Refused {
        Refused::Store(error.into())
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Refused {
        Refused::Store(error)
    }
}

/// Reads the secrets of queues, by queue and id, those that are no longer good as well.
///
/// # Errors
/// As any statement.
pub async fn list(conn: &mut AsyncPgConnection, queues: &[QueueId]) -> Result<Vec<Secret>, StoreError> {
    let rows: Vec<Row> = OfQueues { queues: queues.iter().map(|id| id.0).collect() }.load(conn).await?;
    Ok(rows.into_iter().map(secret).collect())
}

/// Revokes a secret of a queue, on behalf of `actor`, and returns it; `None` if there is none. One that was revoked before stays
/// as it was.
///
/// # Errors
/// As any transaction.
pub async fn revoke(
    conn: &mut AsyncPgConnection,
    queue: QueueId,
    id: SecretId,
    actor: &str,
) -> Result<Option<Secret>, StoreError> {
    conn.transaction(async |conn| {
        let revoked: Option<Row> = Revoke { queue: queue.0, id: id.0 }.get_result(conn).await.optional()?;
        match revoked.map(secret) {
            Some(secret) => {
                audit::record(conn, &entry(&secret, actor, "queue.secret.revoke")).await?;
                Ok(Some(secret))
            }
            None => Ok(list(conn, &[queue]).await?.into_iter().find(|secret| secret.id == id)),
        }
    })
    .await
}

/// Reads the good secrets of queues, in the order in which they were made.
///
/// # Errors
/// Any [`StoreError`].
pub async fn sealed(conn: &mut AsyncPgConnection, queues: &[QueueId]) -> Result<Vec<SealedSecret>, StoreError> {
    let rows: Vec<(i64, String, Vec<u8>, Option<PgTimestamp>)> =
        Sealed { queues: queues.iter().map(|id| id.0).collect() }.load(conn).await?;
    Ok(rows
        .into_iter()
        .map(|(queue, scheme, sealed, expires_at)| SealedSecret {
            queue: QueueId(queue),
            scheme: Scheme::from_name(&scheme),
            sealed,
            expires_at: expires_at.map(from_postgres),
        })
        .collect())
}

fn secret((id, queue, scheme, public_key, created_at, expires_at, revoked_at): Row) -> Secret {
    Secret {
        id: SecretId(id),
        queue: QueueId(queue),
        scheme,
        public_key,
        created_at: from_postgres(created_at),
        expires_at: expires_at.map(from_postgres),
        revoked_at: revoked_at.map(from_postgres),
    }
}

fn entry(secret: &Secret, actor: &str, action: &'static str) -> Entry {
    Entry {
        actor: actor.to_owned(),
        action: action.to_owned(),
        entity: "queue",
        entity_id: Some(secret.queue.0),
        detail: Some(json!({"secretId": secret.id.to_string(), "type": secret.scheme})),
    }
}

statement! {
    struct LockQueue { queue: i64 => BigInt }
    row (BigInt,)
    "SELECT id FROM posthaste.queues WHERE id = {queue} FOR NO KEY UPDATE"
}

statement! {
    struct Expire { queue: i64 => BigInt, scheme: &'static str => Text, grace: i64 => BigInt }
    row (BigInt,)
    "UPDATE posthaste.queue_secrets
        SET expires_at = least(expires_at, clock_timestamp() + interval '1 microsecond' * {grace})
      WHERE queue_id = {queue} AND scheme = {scheme} AND revoked_at IS NULL
        AND (expires_at IS NULL OR expires_at > clock_timestamp())
     RETURNING id"
}

statement! {
    struct Good { queue: i64 => BigInt }
    row (Integer,)
    "SELECT count(*)::integer FROM posthaste.queue_secrets
      WHERE queue_id = {queue} AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())"
}

statement! {
    struct Insert<'a> {
        queue: i64 => BigInt,
        scheme: &'static str => Text,
        sealed: &'a [u8] => Binary,
        public_key: Option<&'a str> => Nullable<Text>,
    }
    row Sql
    "INSERT INTO posthaste.queue_secrets (queue_id, scheme, sealed, public_key)
     VALUES ({queue}, {scheme}, {sealed}, {public_key})
     RETURNING id, queue_id, scheme, public_key, created_at, expires_at, revoked_at"
}

statement! {
    struct OfQueues { queues: Vec<i64> => Array<BigInt> }
    row Sql
    "SELECT s.id, s.queue_id, s.scheme, s.public_key, s.created_at, s.expires_at, s.revoked_at
       FROM posthaste.queue_secrets s WHERE s.queue_id = ANY ({queues}) ORDER BY s.queue_id, s.id"
}

statement! {
    struct Revoke { queue: i64 => BigInt, id: i64 => BigInt }
    row Sql
    "UPDATE posthaste.queue_secrets SET revoked_at = now() WHERE id = {id} AND queue_id = {queue} AND revoked_at IS NULL
     RETURNING id, queue_id, scheme, public_key, created_at, expires_at, revoked_at"
}

statement! {
    /// One look-up a queue, in the order of the one index that is right: see [`crate::reading`].
    struct Sealed { queues: Vec<i64> => Array<BigInt> }
    row (BigInt, Text, Binary, Nullable<Timestamptz>)
    "SELECT s.queue_id, s.scheme, s.sealed, s.expires_at
       FROM unnest({queues}) WITH ORDINALITY AS i(id, number)
      CROSS JOIN LATERAL (
            SELECT s.* FROM posthaste.queue_secrets s
             WHERE (s.queue_id) >= (i.id) AND (s.queue_id) <= (i.id) ORDER BY s.queue_id, s.id LIMIT 1000
       ) AS s
      WHERE s.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp())"
}
