//! Which shards this process owns, and how they change hands.
//!
//! All of it hangs on one lock session. While its lease is live, the locks it holds are held by nobody else. Which shards
//! to contend for is a pure function of who the members are, so all members come to the same answer without talking:
//!
//! - a shard whose target is this process is tried for at every look, so one that was freed is taken within a look;
//! - a shard whose target is another *live* member is given up, after the list of members was the same in two looks;
//! - a shard is given up by handover: start nothing more there, mark what is being delivered as held, unlock at once. The
//!   deliveries go on here, and their outcomes clear the holds; the new owner starts everything else meanwhile.
//!
//! If the session ends, everything is lost at once: the workers stop starting, and another session takes over anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use posthaste_core::ids::{Epoch, Shard};
use posthaste_core::target::{MemberId, targets};
use posthaste_service::health::Health;
use posthaste_store::error::StoreError;
use posthaste_store::pool::Pool;
use posthaste_store::session::LockSession;
use posthaste_store::shard::{Hold, hold, take_over};
use posthaste_store::wakeup::{MEMBERS, PENDING, QUEUES, TESTS, Wakeup, notify_members};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::metrics::DelivererMetrics;
use crate::testing;
use crate::worker::{Event, Handle, Report};

/// How often the members are read and freed shards are tried for.
const LOOK: Duration = Duration::from_millis(400);
const PING: Duration = Duration::from_secs(1);
/// How long workers may take to say what they are delivering; they answer between two statements.
const RELEASE: Duration = Duration::from_secs(10);

pub(crate) struct Ownership {
    config: Arc<Config>,
    control: Pool,
    shards: u16,
    workers: Vec<Handle>,
    reports: mpsc::UnboundedReceiver<Report>,
    health: Health,
    owned: BTreeMap<Shard, Epoch>,
    /// The members as they were at the last look.
    members: Vec<i32>,
    /// A test delivery may have been asked for.
    tests: Arc<Notify>,
    metrics: DelivererMetrics,
}

/// Why a session was left.
enum Left {
    Stopped,
    Lost(String),
}

impl Ownership {
    pub(crate) fn new(
        config: Arc<Config>,
        control: Pool,
        shards: u16,
        workers: Vec<Handle>,
        reports: mpsc::UnboundedReceiver<Report>,
        health: Health,
        metrics: DelivererMetrics,
    ) -> Ownership {
        let (owned, members, tests) = (BTreeMap::new(), Vec::new(), Arc::default());
        Ownership { config, control, shards, workers, reports, health, owned, members, tests, metrics }
    }

    /// Contends for shards until `stop`, then hands everything over and waits for the deliveries under way.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut pause = Duration::from_millis(100);
        // On its own: a statement that waits must not keep anybody from seeing that the locks are gone.
        let events = self.workers.iter().map(|worker| worker.events.clone()).collect();
        let testing = testing::watch(self.control.clone(), self.config.name.clone(), events, Arc::clone(&self.tests));
        let testing = tokio::spawn(testing);
        while !stop.is_cancelled() {
            let opened = tokio::select! {
                opened = LockSession::open(&self.config.lock_database_url, "posthaste-deliverer locks") => opened,
                () = stop.cancelled() => break,
            };
            match opened {
                Ok(session) => {
                    pause = Duration::from_millis(100);
                    let session = Arc::new(session);
                    let left = self.hold_session(&session, &stop).await;
                    session.close("left");
                    if let Left::Lost(reason) = left {
                        tracing::warn!(
                            reason,
                            shards = self.owned.len(),
                            "the lock session is lost, and its shards with it"
                        );
                        self.health.not_ready("the lock session is lost");
                        self.metrics.sessions_lost.inc();
                    }
                    self.lose_everything();
                }
                Err(error) => {
                    tracing::warn!(%error, "no lock session, trying again");
                    self.health.not_ready("the database for the locks cannot be reached");
                    tokio::select! { () = sleep(pause) => {}, () = stop.cancelled() => {} }
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
            }
        }
        self.health.not_ready("stopping");
        testing.abort();
        self.finish().await;
    }

    async fn finish(self) {
        for worker in &self.workers {
            let _ = worker.events.send(Event::Stop);
        }
        let joined = futures_util::future::join_all(self.workers.into_iter().map(Handle::join));
        if timeout(self.config.drain, joined).await.is_err() {
            tracing::error!("deliveries are still under way; they will be made again by their new owner");
        }
    }

    fn lose_everything(&mut self) {
        for worker in &self.workers {
            let _ = worker.events.send(Event::Lost);
        }
        self.owned.clear();
        self.count_owned();
        self.members.clear();
    }

    async fn hold_session(&mut self, session: &Arc<LockSession>, stop: &CancellationToken) -> Left {
        // A report about the session before says nothing about this one.
        while self.reports.try_recv().is_ok() {}
        if let Err(error) = self.enter(session).await {
            return Left::Lost(error.to_string());
        }
        let pings = tokio::spawn(ping(Arc::clone(session)));
        let left = self.look_after(session, stop).await;
        if matches!(left, Left::Stopped) {
            self.leave(session).await;
        }
        pings.abort();
        left
    }

    async fn enter(&mut self, session: &LockSession) -> Result<(), StoreError> {
        session.ping().await?;
        session.listen(PENDING).await?;
        session.listen(MEMBERS).await?;
        session.listen(QUEUES).await?;
        session.listen(TESTS).await?;
        session.join_members().await?;
        self.announce().await;
        self.health.ready();
        Ok(())
    }

    async fn look_after(&mut self, session: &LockSession, stop: &CancellationToken) -> Left {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Left::Stopped,
                reason = session.closed() => return Left::Lost(reason),
                wakeup = session.wakeup() => match wakeup {
                    Some(Wakeup::Shards(shards)) => self.wake(Some(&shards)),
                    Some(Wakeup::EveryShard) => self.wake(None),
                    Some(Wakeup::Members) => looks.reset_immediately(),
                    Some(Wakeup::Queues) => self.look_for_pauses(),
                    Some(Wakeup::Tests) => self.tests.notify_one(),
                    Some(Wakeup::Crons) => {}
                    None => return Left::Lost("the notifications ended".to_owned()),
                },
                report = self.reports.recv() => match report {
                    Some(Report::ServerChanged) | None => return Left::Lost("another server answers".to_owned()),
                },
                _ = looks.tick() => {
                    if let Err(error) = self.look(session).await {
                        // Whatever went wrong with the session itself ends it; the rest is tried again at the next look.
                        tracing::warn!(%error, "shards cannot be looked after now");
                    }
                }
            }
        }
    }

    /// Wakes the workers that own one of the shards; `None`: all.
    fn wake(&self, shards: Option<&[Shard]>) {
        match shards {
            None => self.workers.iter().for_each(|worker| worker.wake.notify_one()),
            Some(shards) => {
                let of_ours = shards.iter().filter(|shard| self.owned.contains_key(shard));
                let numbers: BTreeSet<usize> = of_ours.map(|shard| self.worker_of(*shard)).collect();
                numbers.into_iter().for_each(|number| self.workers[number].wake.notify_one());
            }
        }
    }

    fn look_for_pauses(&self) {
        for worker in &self.workers {
            let _ = worker.events.send(Event::PausesChanged);
        }
    }

    fn worker_of(&self, shard: Shard) -> usize {
        usize::try_from(shard.0).unwrap_or(0) % self.workers.len()
    }

    async fn look(&mut self, session: &LockSession) -> Result<(), StoreError> {
        let members = session.members().await?;
        let stable = members == self.members;
        let ids: Vec<MemberId> = members.iter().map(|pid| MemberId(i64::from(*pid))).collect();
        let mine = MemberId(i64::from(session.pid()));
        let targets = targets(&ids, self.shards);
        self.members = members;
        let all = (0i32..).zip(&targets).map(|(number, target)| (Shard(number), *target));
        let (wanted, others): (Vec<_>, Vec<_>) = all.partition(|(_, target)| *target == mine);

        let missing: Vec<Shard> =
            wanted.into_iter().map(|(shard, _)| shard).filter(|shard| !self.owned.contains_key(shard)).collect();
        if !missing.is_empty() {
            self.take(session, &missing).await?;
        }
        if stable {
            let excess: Vec<Shard> =
                others.into_iter().map(|(shard, _)| shard).filter(|shard| self.owned.contains_key(shard)).collect();
            if !excess.is_empty() {
                self.hand_over(session, &excess).await?;
            }
        }
        Ok(())
    }

    fn count_owned(&self) {
        self.metrics.shards_owned.set(f64::from(u16::try_from(self.owned.len()).unwrap_or(u16::MAX)));
    }

    async fn take(&mut self, session: &LockSession, missing: &[Shard]) -> Result<(), StoreError> {
        let locked = session.try_lock_many(missing).await?;
        let since = Instant::now();
        if locked.is_empty() {
            return Ok(());
        }
        let raised = async {
            let mut conn = self.control.get().await?;
            take_over(&mut conn, &locked).await
        };
        match raised.await {
            Ok(epochs) => {
                tracing::info!(shards = epochs.len(), owned = self.owned.len() + epochs.len(), "took shards over");
                self.give_to_workers(session, epochs, since);
                Ok(())
            }
            Err(error) => {
                session.unlock_many(&locked).await?;
                Err(error)
            }
        }
    }

    fn give_to_workers(&mut self, session: &LockSession, shards: Vec<(Shard, Epoch)>, since: Instant) {
        let mut of_worker: BTreeMap<usize, Vec<(Shard, Epoch)>> = BTreeMap::new();
        for (shard, epoch) in shards {
            self.owned.insert(shard, epoch);
            of_worker.entry(self.worker_of(shard)).or_default().push((shard, epoch));
        }
        for (number, shards) in of_worker {
            let _ = self.workers[number].events.send(Event::Take(session.lease(), shards, since));
        }
        self.count_owned();
    }

    /// Gives shards up, so that nothing of what is being delivered there is delivered twice.
    async fn hand_over(&mut self, session: &LockSession, shards: &[Shard]) -> Result<(), StoreError> {
        let in_flight = match self.stop_starting(shards).await {
            Ok(in_flight) => in_flight,
            Err(error) => {
                // It is not known what the workers are delivering. Only the end of the session makes an honest owner again.
                session.close("a worker does not answer");
                return Err(error);
            }
        };
        let held = async {
            let mut conn = self.control.get().await?;
            hold(&mut conn, &in_flight).await
        };
        if let Err(error) = held.await {
            // Unlocked without the holds, these would be delivered again by the new owner: keep the shards.
            let kept = shards.iter().filter_map(|shard| Some((*shard, *self.owned.get(shard)?))).collect();
            self.give_to_workers(session, kept, Instant::now());
            return Err(error);
        }
        for shard in shards {
            self.owned.remove(shard);
        }
        self.count_owned();
        session.unlock_many(shards).await?;
        self.metrics.handed_over.inc_by(u64::try_from(shards.len()).unwrap_or(u64::MAX));
        tracing::info!(
            shards = shards.len(),
            in_flight = in_flight.len(),
            owned = self.owned.len(),
            "handed shards over"
        );
        self.announce().await;
        Ok(())
    }

    async fn stop_starting(&self, shards: &[Shard]) -> Result<Vec<Hold>, StoreError> {
        let mut of_worker: BTreeMap<usize, Vec<Shard>> = BTreeMap::new();
        for shard in shards {
            of_worker.entry(self.worker_of(*shard)).or_default().push(*shard);
        }
        let mut answers = Vec::new();
        for (number, shards) in of_worker {
            let (reply, answer) = oneshot::channel();
            let _ = self.workers[number].events.send(Event::Release(shards, reply));
            answers.push(answer);
        }
        let mut in_flight = Vec::new();
        for answer in answers {
            match timeout(RELEASE, answer).await {
                Ok(Ok(holds)) => in_flight.extend(holds),
                Ok(Err(_)) | Err(_) => return Err(StoreError::unexpected("a worker thread that does not answer")),
            }
        }
        Ok(in_flight)
    }

    /// On a stop: the others are told first, so that they try for the shards as soon as they are free.
    async fn leave(&mut self, session: &LockSession) {
        let shards: Vec<Shard> = self.owned.keys().copied().collect();
        if let Err(error) = session.leave_members().await {
            tracing::warn!(%error, "cannot leave in order");
        }
        if let Err(error) = self.hand_over(session, &shards).await {
            tracing::warn!(%error, "cannot hand over in order: what is being delivered may be delivered again");
        }
    }

    async fn announce(&self) {
        let told = async {
            let mut conn = self.control.get().await?;
            notify_members(&mut conn).await
        };
        if let Err(error) = told.await {
            tracing::debug!(%error, "the other deliverers are not told; they will see");
        }
    }
}

/// Pings until the session ends. On its own, so that nothing else can hold it up.
async fn ping(session: Arc<LockSession>) {
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pings.tick().await;
        match session.ping().await {
            Ok(facts) if facts.in_recovery => session.close("the server is a standby now"),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}
