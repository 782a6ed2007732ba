//! Waking readers up early by NOTIFY.
//!
//! Only a hint: every reader polls as well, so a lost wake-up costs latency and never a message. NOTIFY takes a
//! cluster-wide lock at commit. It is therefore sent after the commit of what it tells about, on its own, and never in a
//! transaction that writes.

use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use posthaste_core::ids::Shard;

use crate::error::StoreError;

/// Pending rows were inserted or changed. Payload: the numbers of their shards, comma-separated.
pub const PENDING: &str = "posthaste_pending";

/// A cron was created, changed or deleted. Payload: empty.
pub const CRONS: &str = "posthaste_crons";

/// A deliverer joined or leaves. Payload: empty.
pub const MEMBERS: &str = "posthaste_members";

/// A queue was paused or resumed. Payload: empty.
pub const QUEUES: &str = "posthaste_queues";

/// A test delivery was asked for. Payload: empty.
pub const TESTS: &str = "posthaste_tests";

/// What clients see has changed: for subscriptions. Payload: empty, or `message:` and the ids of edited messages.
pub const CHANGES: &str = "posthaste_changes";

/// What a notification tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wakeup {
    /// These shards have new or changed rows.
    Shards(Vec<Shard>),
    /// Any shard may have new or changed rows.
    EveryShard,
    /// A cron changed.
    Crons,
    /// The deliverers are others than before.
    Members,
    /// Other queues are paused than before.
    Queues,
    /// A test delivery was asked for.
    Tests,
}

impl Wakeup {
    /// Reads a notification; `None` for a channel that is not one of ours. A payload that makes no sense (anyone may
    /// NOTIFY) wakes every shard up.
    #[must_use]
    pub fn parse(channel: &str, payload: &str) -> Option<Wakeup> {
        match channel {
            CRONS => Some(Wakeup::Crons),
            MEMBERS => Some(Wakeup::Members),
            QUEUES => Some(Wakeup::Queues),
            TESTS => Some(Wakeup::Tests),
            PENDING => {
                let shards: Result<Vec<Shard>, _> =
                    payload.split(',').map(|number| number.trim().parse::<u16>().map(|n| Shard(n.into()))).collect();
                Some(shards.map_or(Wakeup::EveryShard, Wakeup::Shards))
            }
            _ => None,
        }
    }
}

/// Wakes the owners of `shards` up; tells nobody anything when it is empty.
///
/// # Errors
/// Whatever the database says; the caller may ignore it.
pub async fn notify_pending(conn: &mut AsyncPgConnection, shards: &[Shard]) -> Result<(), StoreError> {
    if shards.is_empty() {
        return Ok(());
    }
    notify(conn, PENDING, &pending_payload(shards)).await
}

/// Wakes the scheduler's leader up after a cron was created, changed or deleted.
///
/// # Errors
/// Whatever the database says; the caller may ignore it.
pub async fn notify_crons(conn: &mut AsyncPgConnection) -> Result<(), StoreError> {
    notify(conn, CRONS, "").await
}

/// Makes the other deliverers look at once who they are.
///
/// # Errors
/// Whatever the database says; the caller may ignore it.
pub async fn notify_members(conn: &mut AsyncPgConnection) -> Result<(), StoreError> {
    notify(conn, MEMBERS, "").await
}

/// Makes the deliverers look at once which queues are paused.
///
/// # Errors
/// Whatever the database says; the caller may ignore it.
pub async fn notify_queues(conn: &mut AsyncPgConnection) -> Result<(), StoreError> {
    notify(conn, QUEUES, "").await
}

/// Makes the deliverers look at once for test deliveries.
///
/// # Errors
/// Whatever the database says; the caller may ignore it.
pub async fn notify_tests(conn: &mut AsyncPgConnection) -> Result<(), StoreError> {
    notify(conn, TESTS, "").await
}

pub(crate) async fn notify(conn: &mut AsyncPgConnection, channel: &str, payload: &str) -> Result<(), StoreError> {
    diesel::sql_query("SELECT pg_notify($1, $2)")
        .bind::<Text, _>(channel)
        .bind::<Text, _>(payload)
        .execute(conn)
        .await?;
    Ok(())
}

/// Each shard once, in order. 1024 shards take less than 5000 bytes of the 8000 that a payload may have.
fn pending_payload(shards: &[Shard]) -> String {
    let mut numbers: Vec<i32> = shards.iter().map(|shard| shard.0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_back() {
        let payload = pending_payload(&[Shard(7), Shard(0), Shard(7), Shard(63)]);
        assert_eq!(payload, "0,7,63");
        assert_eq!(Wakeup::parse(PENDING, &payload), Some(Wakeup::Shards(vec![Shard(0), Shard(7), Shard(63)])));
        assert_eq!(Wakeup::parse(CRONS, ""), Some(Wakeup::Crons));
        assert_eq!(Wakeup::parse(QUEUES, ""), Some(Wakeup::Queues));
    }

    #[test]
    fn a_bad_payload_wakes_every_shard_up() {
        for payload in ["", "x", "1,,2", "-1", "1;2", "99999999999999999999"] {
            assert_eq!(Wakeup::parse(PENDING, payload), Some(Wakeup::EveryShard), "{payload:?}");
        }
    }

    #[test]
    fn other_channels_are_not_ours() {
        assert_eq!(Wakeup::parse("orders", "1"), None);
    }

    #[test]
    fn the_payload_of_all_shards_fits() {
        let all: Vec<Shard> = (0..1024).map(Shard).collect();
        assert!(pending_payload(&all).len() < 8000);
    }
}
