//! Counts.

use diesel_async::AsyncPgConnection;
use posthaste_core::ids::QueueId;
use posthaste_core::time::Timestamp;

use crate::error::StoreError;

#[derive(Debug, Clone, Copy)]
pub struct Totals {
    pub delivered: i64,
    pub failed: i64,
    pub retried: i64,
    pub cancelled: i64,
    pub expired: i64,
    pub dead_lettered: i64,
}
#[derive(Debug, Clone, Copy)]
pub struct Backlog {
    pub pending: i64,
    pub is_capped: bool,
    pub oldest_due: Option<Timestamp>,
}
pub async fn totals(_: &mut AsyncPgConnection, _: Option<QueueId>) -> Result<Totals, StoreError> {
    Err(StoreError::NotFound)
}
pub async fn backlog(_: &mut AsyncPgConnection, _: Option<QueueId>) -> Result<Backlog, StoreError> {
    Err(StoreError::NotFound)
}
