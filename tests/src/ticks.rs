//! The ticks of crons, as stored and as delivered.
//!
//! Ticks are whole seconds since 1970, by the database's clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cluster::Cluster;
use crate::ledger::{Ledger, message_of};
use crate::wait;

/// The next tick of a cron is stored, and delivered, well within this, also while leaders change.
const WITHIN: Duration = Duration::from_secs(60);

/// The messages of a cron's ticks.
pub type Ticks = BTreeMap<i64, i64>;

/// The second that the database's clock shows.
pub async fn now(cluster: &Cluster) -> i64 {
    cluster.number("SELECT floor(extract(epoch FROM clock_timestamp()))::bigint").await
}

/// The ticks of a cron that are not after `until`, as `cron_ticks` has them.
///
/// # Panics
/// One is no whole second.
pub async fn stored(cluster: &Cluster, cron: i64, until: i64) -> Ticks {
    let sql = "SELECT extract(epoch FROM tick)::bigint, message_id, extract(epoch FROM tick) % 1 = 0
               FROM posthaste.cron_ticks WHERE cron_id = $1 AND tick <= to_timestamp($2::bigint) AND message_id IS NOT NULL";
    let rows = cluster.client().query(sql, &[&cron, &until]).await.expect("ticks");
    assert!(rows.iter().all(|row| row.get(2)), "a tick is no whole second");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The same, once `until` is stored itself.
///
/// # Panics
/// That takes too long.
pub async fn stored_until(cluster: &Cluster, cron: i64, until: i64) -> Ticks {
    wait::until(WITHIN, "the tick is stored", async || {
        let ticks = stored(cluster, cron, until).await;
        ticks.contains_key(&until).then_some(ticks)
    })
    .await
}

/// The messages of a cron that were asked for at `until` or before, by tick and id.
pub async fn messages(cluster: &Cluster, cron: i64, until: i64) -> BTreeSet<(i64, i64)> {
    let sql = "SELECT extract(epoch FROM scheduled_at)::bigint, id FROM posthaste.messages
               WHERE cron_id = $1 AND scheduled_at <= to_timestamp($2::bigint)";
    let rows = cluster.client().query(sql, &[&cron, &until]).await.expect("messages");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Checks a cron that fires every second: up to this moment each second since its first has a tick, each tick one message,
/// and each message was delivered, none before its time. Returns the ticks.
///
/// # Panics
/// It is not so.
pub async fn check_each_second(cluster: &Cluster, ledger: &Ledger, cron: i64) -> Ticks {
    let until = now(cluster).await;
    let ticks = stored_until(cluster, cron, until).await;
    check_contiguous(&ticks);
    let of_ticks: BTreeSet<(i64, i64)> = ticks.iter().map(|(tick, message)| (*tick, *message)).collect();
    assert_eq!(
        messages(cluster, cron, until).await,
        of_ticks,
        "each tick has one message, and no message is beside them"
    );
    ledger.wait_for_all(WITHIN, &ticks.values().copied().collect::<Vec<_>>()).await;
    for (tick, lateness) in lateness(ledger, &ticks) {
        assert!(lateness.is_some(), "the tick {tick} was early");
    }
    ticks
}

/// Checks that no second is left out between the first of `ticks` and the last.
///
/// # Panics
/// One is.
pub fn check_contiguous(ticks: &Ticks) {
    let (first, last) = ticks.keys().next().zip(ticks.keys().next_back()).expect("ticks");
    let seconds: Vec<i64> = (*first..=*last).collect();
    assert_eq!(ticks.keys().copied().collect::<Vec<_>>(), seconds, "the seconds are not contiguous");
}

/// How late each delivery of `ticks` arrived; `None`: early.
pub fn lateness(ledger: &Ledger, ticks: &Ticks) -> Vec<(i64, Option<Duration>)> {
    let tick_of: BTreeMap<i64, i64> = ticks.iter().map(|(tick, message)| (*message, *tick)).collect();
    let late = |tick: i64, time: SystemTime| {
        let tick = Duration::from_secs(u64::try_from(tick).expect("a tick after 1970"));
        time.duration_since(UNIX_EPOCH).expect("a clock after 1970").checked_sub(tick)
    };
    let requests = ledger.receiver().requests();
    requests
        .iter()
        .filter_map(|request| {
            let tick = *tick_of.get(&message_of(request)?)?;
            Some((tick, late(tick, request.time)))
        })
        .collect()
}
