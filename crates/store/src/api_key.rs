//! API keys: create, look up by hash, list, revoke. Only the hash of a key is stored.
//!
//! Creating and revoking are recorded in the audit log, in the same transaction. A key is never deleted, so that the log
//! keeps its meaning. Whether a key is still good is decided by the database's clock.

use diesel::dsl::now;
use diesel::pg::data_types::PgTimestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::{ApiKeyId, QueueId};
use posthaste_core::scope::Scope;
use posthaste_core::time::Timestamp;
use serde_json::json;

use crate::audit::{self, Entry};
use crate::error::StoreError;
use crate::page::Page;
use crate::reading::{from_postgres, to_postgres};
use crate::schema::{api_keys, queues};
use crate::statement::statement;

/// A key as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub name: String,
    /// The first characters of the key, by which a person tells keys apart.
    pub prefix: String,
    /// At least one.
    pub scopes: Vec<Scope>,
    /// The queues that it may touch; `None`: all.
    pub queue_ids: Option<Vec<QueueId>>,
    /// Requests per second and API process; `None`: as many as come.
    pub rate_limit: Option<i32>,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    /// To the minute.
    pub last_used_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// A key to be created. The caller has validated every field but the queues' existence and the expiry.
#[derive(Debug, Clone, PartialEq)]
pub struct NewApiKey {
    pub name: String,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    pub prefix: String,
    pub scopes: Vec<Scope>,
    pub queue_ids: Option<Vec<QueueId>>,
    pub rate_limit: Option<i32>,
    pub expires_at: Option<Timestamp>,
}

/// What came of creating a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    Stored(ApiKey),
    /// Nothing is stored: there is no such queue.
    UnknownQueue(QueueId),
    /// Nothing is stored: it would never have been good.
    AlreadyExpired,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = api_keys, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: i64,
    name: String,
    prefix: String,
    scopes: Vec<String>,
    queue_ids: Option<Vec<i64>>,
    rate_limit: Option<i32>,
    expires_at: Option<PgTimestamp>,
    revoked_at: Option<PgTimestamp>,
    last_used_at: Option<PgTimestamp>,
    created_at: PgTimestamp,
}

impl From<Row> for ApiKey {
    fn from(row: Row) -> ApiKey {
        ApiKey {
            id: ApiKeyId(row.id),
            name: row.name,
            prefix: row.prefix,
            // One that a later version has added gives no right that is known here.
            scopes: row.scopes.iter().filter_map(|name| Scope::from_name(name)).collect(),
            queue_ids: row.queue_ids.map(|ids| ids.into_iter().map(QueueId).collect()),
            rate_limit: row.rate_limit,
            expires_at: row.expires_at.map(from_postgres),
            revoked_at: row.revoked_at.map(from_postgres),
            last_used_at: row.last_used_at.map(from_postgres),
            created_at: from_postgres(row.created_at),
        }
    }
}

/// Creates a key, on behalf of `actor`.
///
/// # Errors
/// As any transaction.
pub async fn create(conn: &mut AsyncPgConnection, new: &NewApiKey, actor: &str) -> Result<Created, StoreError> {
    conn.transaction(async |conn| {
        if let Some(wanted) = &new.queue_ids {
            let ids: Vec<i64> = wanted.iter().map(|id| id.0).collect();
            let known = queues::table.filter(queues::id.eq_any(&ids)).select(queues::id).load::<i64>(conn).await?;
            if let Some(unknown) = wanted.iter().find(|id| !known.contains(&id.0)) {
                return Ok(Created::UnknownQueue(*unknown));
            }
        }
        let expires_at = new.expires_at.map(to_postgres);
        if let Some(at) = expires_at {
            let (past,) = IsPast { at }.get_result::<(bool,)>(conn).await?;
            if past {
                return Ok(Created::AlreadyExpired);
            }
        }
        let row = diesel::insert_into(api_keys::table)
            .values((
                api_keys::name.eq(&new.name),
                api_keys::hash.eq(&new.hash[..]),
                api_keys::prefix.eq(&new.prefix),
                api_keys::scopes.eq(new.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>()),
                api_keys::queue_ids.eq(new.queue_ids.as_ref().map(|ids| ids.iter().map(|id| id.0).collect::<Vec<_>>())),
                api_keys::rate_limit.eq(new.rate_limit),
                api_keys::expires_at.eq(expires_at),
            ))
            .returning(Row::as_returning())
            .get_result(conn)
            .await?;
        let key = ApiKey::from(row);
        audit::record(conn, &entry(&key, actor, "api_key.create")).await?;
        Ok(Created::Stored(key))
    })
    .await
}

/// Reads a key, whether it is still good or not.
///
/// # Errors
/// As any statement.
pub async fn get(conn: &mut AsyncPgConnection, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
    let row = api_keys::table.find(id.0).select(Row::as_select()).first(conn).await.optional()?;
    Ok(row.map(ApiKey::from))
}

/// Reads a page of keys, by id.
///
/// # Errors
/// As any statement.
pub async fn list(conn: &mut AsyncPgConnection, page: Page) -> Result<Vec<ApiKey>, StoreError> {
    let query = api_keys::table.select(Row::as_select()).order(api_keys::id);
    let rows = query.limit(page.limit).offset(page.offset).load(conn).await?;
    Ok(rows.into_iter().map(ApiKey::from).collect())
}

/// Finds the key with this hash, if it is neither revoked nor expired.
///
/// # Errors
/// As any statement.
pub async fn find_good(conn: &mut AsyncPgConnection, hash: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
    let row = api_keys::table
        .filter(api_keys::hash.eq(&hash[..]))
        .filter(api_keys::revoked_at.is_null())
        .filter(api_keys::expires_at.is_null().or(api_keys::expires_at.gt(now).assume_not_null()))
        .select(Row::as_select())
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(ApiKey::from))
}

/// Revokes a key, on behalf of `actor`, and returns it; `None` if there is none. One that was revoked before stays as it
/// was.
///
/// # Errors
/// As any transaction.
pub async fn revoke(conn: &mut AsyncPgConnection, id: ApiKeyId, actor: &str) -> Result<Option<ApiKey>, StoreError> {
    conn.transaction(async |conn| {
        let revoked = diesel::update(api_keys::table.find(id.0).filter(api_keys::revoked_at.is_null()))
            .set(api_keys::revoked_at.eq(now))
            .returning(Row::as_returning())
            .get_result(conn)
            .await
            .optional()?;
        match revoked {
            Some(row) => {
                let key = ApiKey::from(row);
                audit::record(conn, &entry(&key, actor, "api_key.revoke")).await?;
                Ok(Some(key))
            }
            None => get(conn, id).await,
        }
    })
    .await
}

/// Notes that a key was used, unless that was noted within the last minute.
///
/// # Errors
/// As any statement.
pub async fn touch(conn: &mut AsyncPgConnection, id: ApiKeyId) -> Result<(), StoreError> {
    Touch { id: id.0 }.execute(conn).await?;
    Ok(())
}

fn entry(key: &ApiKey, actor: &str, action: &'static str) -> Entry {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.name()).collect();
    let queues: Option<Vec<String>> = key.queue_ids.as_ref().map(|ids| ids.iter().map(ToString::to_string).collect());
    Entry {
        actor: actor.to_owned(),
        action: action.to_owned(),
        entity: "apiKey",
        entity_id: Some(key.id.0),
        detail: Some(json!({"name": key.name, "prefix": key.prefix, "scopes": scopes, "queueIds": queues})),
    }
}

statement! {
    struct IsPast { at: PgTimestamp => Timestamptz }
    row (Bool,)
    "SELECT {at} <= clock_timestamp()"
}

statement! {
    struct Touch { id: i64 => BigInt }
    row (BigInt,)
    "UPDATE posthaste.api_keys SET last_used_at = now()
     WHERE id = {id} AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute') RETURNING id"
}
