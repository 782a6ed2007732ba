//! Leadership: one scheduler leads, the others stand by and try for the lock four times a second.
//!
//! The lock belongs to a session ([`LockSession`]). A leader that dies loses it at once, one that freezes or is cut off
//! within seconds; either way a standby leads a moment later. The leader asks its lease before every write, and gives
//! everything up as soon as the session ends. Should two lead at once all the same, nothing is written twice: each write
//! is a compare-and-set.
//!
//! No failure of the database ends the service: it reports itself not ready, and begins anew after a pause. A leader that
//! cannot work gives the lock back, for another may be able to.

use std::time::Duration;

use posthaste_service::health::Health;
use posthaste_store::connect::{DatabaseUrl, Purpose, connect};
use posthaste_store::error::StoreError;
use posthaste_store::session::{LockKey, LockSession};
use posthaste_store::wakeup::{self, Wakeup};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::duties::{self, Means, Timetable};
use crate::firing;

/// How often a standby tries for the lock.
const TRY: Duration = Duration::from_millis(250);
/// How often the leader renews its lease.
const PING: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// What has worked for this long was no failed attempt: the next pause is the first again.
const WORKED: Duration = Duration::from_secs(10);

pub(crate) const APPLICATION: &str = "posthaste-scheduler";

/// One scheduler: standing by, leading, or waiting for the database.
pub(crate) struct Scheduler {
    pub(crate) database: DatabaseUrl,
    pub(crate) lock_database: DatabaseUrl,
    pub(crate) health: Health,
    pub(crate) timetable: Timetable,
    pub(crate) means: Means,
}

impl Scheduler {
    /// Until `stop` is cancelled; then finishes the statement under way, gives the lock back, and returns.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        while !stop.is_cancelled() {
            let began = Instant::now();
            let ended = self.serve(&stop).await;
            if stop.is_cancelled() {
                break;
            }
            if let Err(Interruption::Session(_) | Interruption::Lease) = &ended {
                self.means.metrics.sessions_lost.inc();
            }
            let reason = ended.err().unwrap_or(Interruption::Lease).to_string();
            self.health.not_ready(reason.as_str());
            pause = if began.elapsed() >= WORKED { FIRST_PAUSE } else { pause };
            tracing::warn!(reason, pause_ms = pause.as_millis(), "not scheduling, trying again");
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.timetable.stop().await;
    }

    /// One lock session from its beginning to its end.
    async fn serve(&self, stop: &CancellationToken) -> Result<(), Interruption> {
        let session = tokio::select! {
            session = LockSession::open(&self.lock_database, APPLICATION) => session?,
            () = stop.cancelled() => return Ok(()),
        };
        wait_for_the_lock(&session, &self.health, stop).await?;
        if stop.is_cancelled() {
            return Ok(());
        }
        tracing::info!("leading");
        self.means.metrics.lead();
        let result = tokio::select! {
            result = self.lead(&session, stop) => result.map_err(Interruption::from),
            reason = session.closed() => Err(Interruption::Session(reason)),
        };
        self.means.metrics.follow();
        if stop.is_cancelled() && session.lease().is_live() {
            session.unlock(LockKey::Leader).await?;
            tracing::info!("gave the lead back");
        }
        result
    }

    /// Fires crons and does the duties while the lease lives.
    async fn lead(&self, session: &LockSession, stop: &CancellationToken) -> Result<(), StoreError> {
        let (lease, quit, crons_changed) = (session.lease(), stop.child_token(), Notify::new());
        let fire = async {
            let _end = quit.clone().drop_guard();
            match quit.run_until_cancelled(connect(&self.database, Purpose::Writing)).await {
                Some(conn) => {
                    let mut conn = conn?;
                    self.health.ready();
                    firing::run(&mut conn, &lease, &quit, &crons_changed, &self.means.metrics).await
                }
                None => Ok(()),
            }
        };
        let hear = async {
            while let Some(Some(wakeup)) = quit.run_until_cancelled(session.wakeup()).await {
                if wakeup == Wakeup::Crons {
                    crons_changed.notify_one();
                }
            }
            Ok(())
        };
        let duties = async {
            duties::run(&self.timetable, &self.database, &self.means, &lease, &quit).await;
            Ok(())
        };
        // Asked to stop, each finishes its statement; the first that fails ends the others as they are.
        tokio::try_join!(fire, keep_lease(session, &quit), hear, duties)?;
        Ok(())
    }
}

/// Why a scheduler neither leads nor stands by any more.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    /// The lock session is over; it says why.
    #[error("{0}")]
    Session(String),
    /// The process was frozen, or the server was silent, for longer than the lock can be trusted.
    #[error("the lease has run out")]
    Lease,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Until the lock is ours and the lease live, or `stop` is cancelled.
async fn wait_for_the_lock(session: &LockSession, health: &Health, stop: &CancellationToken) -> Result<(), StoreError> {
    // Listening before the first look at the crons: what changes after that look is heard.
    session.listen(wakeup::CRONS).await?;
    // Also tells a pooler that cannot hold locks.
    renew(session).await?;
    let mut standing_by = false;
    while !session.try_lock(LockKey::Leader).await? {
        if !standing_by {
            standing_by = true;
            health.ready();
            tracing::info!("standing by");
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep(TRY) => {}
        }
    }
    renew(session).await
}

/// Pings until `quit` is cancelled.
async fn keep_lease(session: &LockSession, quit: &CancellationToken) -> Result<(), StoreError> {
    let _end = quit.clone().drop_guard();
    let mut ticks = interval(PING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The ping itself is never dropped half-way, which would end the session.
    while quit.run_until_cancelled(ticks.tick()).await.is_some() {
        renew(session).await?;
    }
    Ok(())
}

/// Renews the lease, unless the server has become a standby: what leads there leads nothing.
async fn renew(session: &LockSession) -> Result<(), StoreError> {
    if session.ping().await?.in_recovery {
        return Err(StoreError::Unavailable("the server has become a standby".to_owned()));
    }
    Ok(())
}
