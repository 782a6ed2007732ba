//! The leader's recurring duties: partitions made ahead, outcomes counted, what is late looked at, and what nobody needs any more
//! deleted. Each tells by metrics when it was last done, how long that took and how often it failed.
//!
//! Their timetable is `tokio-cron-scheduler`'s. It keeps its jobs in memory, looks at them twice a second and goes by this
//! machine's clock: good enough for housekeeping that may be late or happen twice, and for nothing else. Crons are fired
//! by [`crate::firing`]. The timetable runs all the time but only rings; what it rings for is done by [`run`], which runs
//! while this process leads, and a bell that nobody hears is gone.
//!
//! Each duty has its own task and connection, so that one that waits, fails or panics does not hold up the others.

mod duty;
mod resealing;

use std::sync::Arc;

use posthaste_store::connect::{Connection, DatabaseUrl, Purpose, connect};
use posthaste_store::error::StoreError;
use posthaste_store::lease::Lease;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

pub(crate) use self::duty::Means;
use self::duty::{Bookmark, Duty};

/// When which duty is due.
pub(crate) struct Timetable {
    scheduler: JobScheduler,
    bells: Vec<(Duty, Arc<Notify>)>,
}

impl Timetable {
    /// Starts to ring.
    pub(crate) async fn start() -> Result<Timetable, JobSchedulerError> {
        Timetable::with(Duty::schedule).await
    }

    async fn with(schedule: fn(Duty) -> &'static str) -> Result<Timetable, JobSchedulerError> {
        let mut scheduler = JobScheduler::new().await?;
        scheduler.init().await?;
        let mut bells = Vec::new();
        for duty in Duty::ALL {
            let bell = Arc::new(Notify::new());
            scheduler.add(ringing(schedule(duty), &bell)?).await?;
            bells.push((duty, bell));
        }
        scheduler.start().await?;
        Ok(Timetable { scheduler, bells })
    }

    /// Rings no more.
    pub(crate) async fn stop(mut self) {
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::warn!(%error, "the timetable of duties did not stop");
        }
    }
}

fn ringing(schedule: &str, bell: &Arc<Notify>) -> Result<Job, JobSchedulerError> {
    let bell = Arc::clone(bell);
    // Not `notify_one`, which would keep the call for whoever comes later.
    Job::new(schedule, move |_, _| bell.notify_waiters())
}

/// Does the duties, at once and as they become due, until `quit` is cancelled or the lease ends; a statement under way is finished
/// first. A duty that fails is logged and tried again when it is due next.
pub(crate) async fn run(
    timetable: &Timetable,
    url: &DatabaseUrl,
    means: &Means,
    lease: &Lease,
    quit: &CancellationToken,
) {
    let mut kept = JoinSet::new();
    for (duty, bell) in &timetable.bells {
        let term = Term { url: url.clone(), means: means.clone(), lease: lease.clone(), quit: quit.clone() };
        kept.spawn(term.keep(*duty, Arc::clone(bell)));
    }
    while let Some(ended) = kept.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a duty is not done any more until another scheduler leads");
        }
    }
}

/// As long as this process leads.
struct Term {
    url: DatabaseUrl,
    means: Means,
    lease: Lease,
    quit: CancellationToken,
}

impl Term {
    async fn keep(self, duty: Duty, bell: Arc<Notify>) {
        let (mut bookmark, mut kept) = (Bookmark::default(), None);
        while self.lasts() {
            let began = Instant::now();
            let done = self.perform(duty, &mut bookmark, &mut kept).await;
            if self.lasts() {
                self.means.metrics.did(duty.name(), done.is_ok(), began.elapsed());
            }
            match done {
                Ok(count) if count == 0 || !duty.is_news() => tracing::debug!(count, "{}", duty.done()),
                Ok(count) => tracing::info!(count, "{}", duty.done()),
                Err(error) => tracing::warn!(%error, "a duty failed and is tried again when it is due next: {duty:?}"),
            }
            rung(&bell, &self.quit).await;
        }
    }

    /// All the steps that there are; answers what they did in total. What is done every few seconds keeps its connection for the next
    /// time; one that has failed is not used again.
    async fn perform(
        &self,
        duty: Duty,
        bookmark: &mut Bookmark,
        kept: &mut Option<Connection>,
    ) -> Result<u64, StoreError> {
        let mut conn = match kept.take() {
            Some(conn) => conn,
            None => match self.quit.run_until_cancelled(connect(&self.url, Purpose::Pool)).await {
                Some(conn) => conn?,
                None => return Ok(0),
            },
        };
        let mut total = 0;
        bookmark.begin();
        while self.lasts() {
            let step = duty.step(&mut conn, bookmark, &self.means).await?;
            total += step.count;
            if !step.more {
                break;
            }
        }
        if duty.is_frequent() {
            *kept = Some(conn);
        }
        Ok(total)
    }

    fn lasts(&self) -> bool {
        !self.quit.is_cancelled() && self.lease.is_live()
    }
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
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_timetable_rings_for_every_duty() {
        let timetable = Timetable::with(|_| "*/1 * * * * *").await.unwrap();
        for (_, bell) in timetable.bells.iter().chain(&timetable.bells) {
            timeout(Duration::from_secs(30), bell.notified()).await.unwrap();
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
