//! The audit log: who changed what, and when. Rows are only added.
//!
//! An entry is recorded in the transaction of the change that it tells of, where there is one. It never holds a secret or
//! a body: a change is told by the names of the fields.

use diesel::pg::data_types::PgTimestamp;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::time::Timestamp;
use serde_json::Value;

use crate::error::StoreError;
use crate::page::Page;
use crate::reading::{from_postgres, to_postgres};
use crate::schema::audit_log;

/// What is to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Such as `admin`, `key:7`, `user:42`, `anonymous`.
    pub actor: String,
    /// Such as `queue.delete`.
    pub action: String,
    /// Such as `queue`.
    pub entity: &'static str,
    pub entity_id: Option<i64>,
    /// Names of changed fields and the like; never a secret and no body.
    pub detail: Option<Value>,
}

/// What was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    pub id: i64,
    /// By the database's clock: when the transaction of the change began.
    pub at: Timestamp,
    pub actor: String,
    pub action: String,
    pub entity: String,
    pub entity_id: Option<i64>,
    pub detail: Option<Value>,
}

/// Which entries are asked for. The default is all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Period {
    /// The first moment of it.
    pub from: Option<Timestamp>,
    /// The first moment after it.
    pub until: Option<Timestamp>,
}

type Row = (i64, PgTimestamp, String, String, String, Option<i64>, Option<Value>);

/// Adds an entry.
///
/// # Errors
/// As any statement.
pub async fn record(conn: &mut AsyncPgConnection, entry: &Entry) -> Result<(), StoreError> {
    diesel::insert_into(audit_log::table)
        .values((
            audit_log::actor.eq(&entry.actor),
            audit_log::action.eq(&entry.action),
            audit_log::entity.eq(entry.entity),
            audit_log::entity_id.eq(entry.entity_id),
            audit_log::detail.eq(&entry.detail),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// Reads a page of the entries of a period, the newest first.
///
/// # Errors
/// As any statement.
pub async fn list(conn: &mut AsyncPgConnection, period: Period, page: Page) -> Result<Vec<Recorded>, StoreError> {
    let mut query = audit_log::table
        .order((audit_log::at.desc(), audit_log::id.desc()))
        .limit(page.limit)
        .offset(page.offset)
        .into_boxed();
    if let Some(from) = period.from {
        query = query.filter(audit_log::at.ge(to_postgres(from)));
    }
    if let Some(until) = period.until {
        query = query.filter(audit_log::at.lt(to_postgres(until)));
    }
    let rows = query.load::<Row>(conn).await?;
    let recorded = rows.into_iter().map(|(id, at, actor, action, entity, entity_id, detail)| Recorded {
        id,
        at: from_postgres(at),
        actor,
        action,
        entity,
        entity_id,
        detail,
    });
    Ok(recorded.collect())
}
