//! The leader's recurring duties: partitions made ahead of time, old ticks deleted.
//!
//! Their timetable is `tokio-cron-scheduler`'s. It keeps its jobs in memory, looks at them twice a second and goes by this
//! machine's clock: good enough for housekeeping that may be late or happen twice, and for nothing else. Crons are fired
//! by [`crate::firing`]. The timetable runs all the time but only rings; what it rings for is done by [`run`], which runs
//! while this process leads, and a bell that nobody hears is gone.

use std::sync::Arc;
use std::time::Duration;

use posthaste_store::connect::{Connection, DatabaseUrl, Purpose, connect};
use posthaste_store::error::StoreError;
use posthaste_store::lease::Lease;
use posthaste_store::{partition, tick};
use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

/// Every 10 s, at once on taking the lead too: far more often than needed, so that a failed attempt is followed by another
/// long before the ids run out.
const PARTITIONS: &str = "*/10 * * * * *";
/// Once an hour.
const OLD_TICKS: &str = "0 17 * * * *";
/// A tick's row makes it impossible to store its message twice. A week is longer than any dispute about that lasts.
const TICKS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Ticks deleted per statement.
const STEP: u16 = 10_000;

/// When which duty is due.
pub(crate) struct Timetable {
    scheduler: JobScheduler,
    partitions: Arc<Notify>,
    old_ticks: Arc<Notify>,
}

impl Timetable {
    /// Starts to ring.
    pub(crate) async fn start() -> Result<Timetable, JobSchedulerError> {
        Timetable::with(PARTITIONS, OLD_TICKS).await
    }

    async fn with(for_partitions: &str, for_old_ticks: &str) -> Result<Timetable, JobSchedulerError> {
        let mut scheduler = JobScheduler::new().await?;
        scheduler.init().await?;
        let (partitions, old_ticks) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        scheduler.add(bell(for_partitions, &partitions)?).await?;
        scheduler.add(bell(for_old_ticks, &old_ticks)?).await?;
        scheduler.start().await?;
        Ok(Timetable { scheduler, partitions, old_ticks })
    }

    /// Rings no more.
    pub(crate) async fn stop(mut self) {
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::warn!(%error, "the timetable of duties did not stop");
        }
    }
}

fn bell(schedule: &str, bell: &Arc<Notify>) -> Result<Job, JobSchedulerError> {
    let bell = Arc::clone(bell);
    // Not `notify_one`, which would keep the call for whoever comes later.
    Job::new(schedule, move |_, _| bell.notify_waiters())
}

/// Does the duties as they become due, until `quit` is cancelled or the lease ends; a statement under way is finished
/// first. A duty that fails is logged and tried again when it is due next.
pub(crate) async fn run(timetable: &Timetable, url: &DatabaseUrl, lease: &Lease, quit: &CancellationToken) {
    tokio::join!(keep_partitions(timetable, url, lease, quit), keep_ticks(timetable, url, lease, quit));
}

async fn keep_partitions(timetable: &Timetable, url: &DatabaseUrl, lease: &Lease, quit: &CancellationToken) {
    let mut conn = None;
    while !quit.is_cancelled() && lease.is_live() {
        match ensure_partitions(url, &mut conn, quit).await {
            Ok(0) => {}
            Ok(made) => tracing::info!(made, "made partitions ahead"),
            Err(error) => {
                tracing::warn!(%error, "partitions could not be made ahead, trying again in 10 s");
                conn = None;
            }
        }
        rung(&timetable.partitions, quit).await;
    }
}

async fn ensure_partitions(
    url: &DatabaseUrl,
    conn: &mut Option<Connection>,
    quit: &CancellationToken,
) -> Result<i32, StoreError> {
    let conn = match conn {
        Some(conn) => conn,
        None => match quit.run_until_cancelled(connect(url, Purpose::Pool)).await {
            Some(opened) => conn.insert(opened?),
            None => return Ok(0),
        },
    };
    partition::ensure_partitions(conn).await
}

async fn keep_ticks(timetable: &Timetable, url: &DatabaseUrl, lease: &Lease, quit: &CancellationToken) {
    loop {
        rung(&timetable.old_ticks, quit).await;
        if quit.is_cancelled() || !lease.is_live() {
            return;
        }
        if let Err(error) = forget_ticks(url, lease, quit).await {
            tracing::warn!(%error, "old ticks of crons could not be deleted, trying again in an hour");
        }
    }
}

async fn forget_ticks(url: &DatabaseUrl, lease: &Lease, quit: &CancellationToken) -> Result<(), StoreError> {
    let Some(conn) = quit.run_until_cancelled(connect(url, Purpose::Pool)).await else {
        return Ok(());
    };
    let (mut conn, mut deleted) = (conn?, 0);
    while !quit.is_cancelled() && lease.is_live() {
        let step = tick::forget(&mut conn, TICKS_KEPT, STEP).await?;
        deleted += step;
        if step < u64::from(STEP) {
            break;
        }
    }
    if deleted > 0 {
        tracing::info!(deleted, "deleted old ticks of crons");
    }
    Ok(())
}

/// Waits until the bell rings or everything ends.
async fn rung(bell: &Notify, quit: &CancellationToken) {
    tokio::select! {
        () = bell.notified() => {}
        () = quit.cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_timetable_rings() {
        let timetable = Timetable::with("*/1 * * * * *", OLD_TICKS).await.unwrap();
        for _ in 0..2 {
            timeout(Duration::from_secs(30), timetable.partitions.notified()).await.unwrap();
        }
        timetable.stop().await;
    }

    #[tokio::test]
    async fn the_duties_have_valid_times() {
        Timetable::start().await.unwrap().stop().await;
    }

    #[tokio::test]
    async fn a_bell_that_nobody_hears_is_gone() {
        let bell = Notify::new();
        bell.notify_waiters();
        timeout(Duration::ZERO, bell.notified()).await.unwrap_err();
    }

    #[tokio::test]
    async fn the_end_is_heard_without_a_bell() {
        let quit = CancellationToken::new();
        quit.cancel();
        rung(&Notify::new(), &quit).await;
    }
}
