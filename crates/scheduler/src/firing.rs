//! Firing: the leader's loop that keeps the next tick of every cron stored.
//!
//! Mostly a cron that is due here has fired already: its message was stored one tick ahead and is delivered without us. What is
//! left to do is to store the next one, before it is due in its turn. So a scheduler that is away for a while delays
//! nothing that was stored, and a message is never stored twice (see [`tick`]). What is to follow, also where that depends on how
//! things are when the time has come, is decided by [`posthaste_core::cron`].
//!
//! Only the database's clock counts: every look at the crons carries its time, and until the next look the time that has
//! passed here is added, which makes it a lower bound. The clock of this machine decides nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use posthaste_core::cron::{self, Present, Step};
use posthaste_core::ids::{CronId, Shard};
use posthaste_core::schedule::{Schedule, ScheduleError};
use posthaste_core::time::Timestamp;
use posthaste_store::connect::Connection;
use posthaste_store::error::StoreError;
use posthaste_store::lease::Lease;
use posthaste_store::tick::{self, Due, DueCron, Fired, Firing, Outcome};
use posthaste_store::{partition, wakeup};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::metrics::SchedulerMetrics;

/// Crons per statement: large enough that 10,000 crons of the same second are done in a fraction of it, small enough that
/// no statement takes long.
const BATCH: u16 = 1000;
/// The longest wait between two looks: what a lost notification can cost.
const POLL: Duration = Duration::from_secs(1);
/// Crons that change at once are looked at together.
const GATHER: Duration = Duration::from_millis(20);
/// The pause after a failure that passes by itself, such as a deadlock.
const RETRY: Duration = Duration::from_millis(100);
/// A message that is due this soon is announced; a later one is found by polling in good time.
const SOON: Duration = Duration::from_secs(1);
/// What is due or to be looked at this soon does not wait for what is being delivered.
const NEAR: Duration = Duration::from_secs(10);
/// How long a cron whose next tick the database refuses to store is left out.
const ASIDE: Duration = Duration::from_secs(60);
/// What this is called among the leader's duties.
const DUTY: &str = "firings";
/// Parsed schedules that are kept. Crons mostly share a few; beyond this the cache starts again.
const SCHEDULES: usize = 10_000;

/// Fires until `quit` is cancelled or the lease ends; a statement under way is finished first. `crons_changed` cuts a wait
/// short.
///
/// # Errors
/// What does not pass by itself: a lost connection, or a database that refuses. Whoever leads next starts afresh.
pub(crate) async fn run(
    conn: &mut Connection,
    lease: &Lease,
    quit: &CancellationToken,
    crons_changed: &Notify,
    metrics: &SchedulerMetrics,
) -> Result<(), StoreError> {
    let mut state = State::default();
    while !quit.is_cancelled() && lease.is_live() {
        let began = Instant::now();
        let round = state.round(conn, lease, metrics).await;
        metrics.did(DUTY, round.is_ok(), began.elapsed());
        let until = match round {
            Ok(until) => until,
            Err(StoreError::Retryable(error)) => {
                tracing::warn!(%error, "crons could not be fired, trying again");
                Instant::now() + RETRY
            }
            Err(error) => return Err(error),
        };
        tokio::select! {
            () = quit.cancelled() => {}
            () = crons_changed.notified() => sleep(GATHER).await,
            () = sleep_until(until) => {}
        }
    }
    Ok(())
}

#[derive(Default)]
struct State {
    schedules: Schedules,
    /// Crons that are left out, and until when.
    aside: HashMap<CronId, Instant>,
}

impl State {
    /// Looks once and stores what is due. Answers when to look again.
    async fn round(
        &mut self,
        conn: &mut Connection,
        lease: &Lease,
        metrics: &SchedulerMetrics,
    ) -> Result<Instant, StoreError> {
        self.aside.retain(|_, until| *until > Instant::now());
        let aside: Vec<CronId> = self.aside.keys().copied().collect();
        let due = tick::due(conn, &aside, BATCH).await?;
        let clock = Clock { database: due.now, at: Instant::now() };
        let full = due.crons.len() >= usize::from(BATCH);
        let upcoming = due.upcoming;

        let plan = plan(due, &mut self.schedules);
        let fired = self.store(conn, lease, &plan.firings).await?;
        report(&fired, &plan.invalid);
        metrics.fired(&plan.firings, &fired, |firing| clock.database_now().since(firing.cron.standing.tick));
        let soon = due_before(&fired, clock.database_now().saturating_add(SOON));
        if let Err(error) = wakeup::notify_pending(conn, &soon).await {
            tracing::debug!(%error, "deliverers were not woken up; they poll");
        }

        if full && !fired.is_empty() {
            let now = Instant::now();
            let is_urgent = fired.iter().any(|fired| is_urgent(fired, clock.database_now()));
            return Ok(if is_urgent { now } else { now + clock.at.elapsed() });
        }
        let next = fired.iter().filter_map(|fired| fired.next).chain(upcoming).min();
        let at_most = clock.at + POLL;
        Ok(next.map_or(at_most, |next| clock.instant_of(next).min(at_most)))
    }

    /// Stores the firings, as one batch if that is possible at all. What the database refuses on account of a single cron
    /// is narrowed down to it, logged and set aside, so that it does not stop the others.
    async fn store(
        &mut self,
        conn: &mut Connection,
        lease: &Lease,
        firings: &[Firing],
    ) -> Result<Vec<Fired>, StoreError> {
        let mut fired = Vec::with_capacity(firings.len());
        let mut batches = vec![firings];
        while let Some(batch) = batches.pop() {
            if batch.is_empty() || !lease.is_live() {
                continue;
            }
            let mut outcome = tick::fire(conn, batch).await;
            if outcome == Err(StoreError::MissingPartition) {
                partition::ensure_partitions(conn).await?;
                outcome = tick::fire(conn, batch).await;
            }
            match (outcome, batch) {
                (Ok(some), _) => fired.extend(some),
                (Err(error @ (StoreError::Data(_) | StoreError::Constraint { .. })), [one]) => {
                    let cron = one.cron.id;
                    tracing::error!(%cron, %error, "the next tick of a cron cannot be stored; left out for a minute");
                    self.aside.insert(cron, Instant::now() + ASIDE);
                }
                (Err(StoreError::Data(_) | StoreError::Constraint { .. }), many) => {
                    let (left, right) = many.split_at(many.len() / 2);
                    batches.extend([right, left]);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(fired)
    }
}

/// The database's clock, carried on by the time that has passed here since the answer came. A lower bound.
#[derive(Debug, Clone, Copy)]
struct Clock {
    database: Timestamp,
    at: Instant,
}

impl Clock {
    fn database_now(self) -> Timestamp {
        self.database.saturating_add(self.at.elapsed())
    }

    /// When the database's clock will have reached `time` at the latest.
    fn instant_of(self, time: Timestamp) -> Instant {
        // A wait that no clock can count is cut by the caller's poll.
        self.at.checked_add(time.since(self.database)).unwrap_or(self.at + POLL)
    }
}

/// Parsed schedules by expression and time zone.
#[derive(Debug, Default)]
struct Schedules(HashMap<(String, String), Schedule>);

impl Schedules {
    fn of(&mut self, cron: &DueCron) -> Result<Schedule, ScheduleError> {
        cron.timing.schedule_by(|expression, zone| self.get(expression, zone))
    }

    fn get(&mut self, expression: &str, zone: &str) -> Result<Schedule, ScheduleError> {
        if self.0.len() >= SCHEDULES {
            self.0.clear();
        }
        match self.0.entry((expression.to_owned(), zone.to_owned())) {
            Entry::Occupied(known) => Ok(known.get().clone()),
            Entry::Vacant(new) => Ok(new.insert(Schedule::parse(expression, zone)?).clone()),
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    firings: Vec<Firing>,
    /// Crons that were valid when they were stored, and are not for this version, or were changed behind the API's back. They end.
    invalid: HashMap<CronId, ScheduleError>,
}

/// What follows for every due cron. One that cannot go on ends, and stops no other.
fn plan(due: Due, schedules: &mut Schedules) -> Plan {
    let mut plan = Plan::default();
    for cron in due.crons {
        let step = match schedules.of(&cron) {
            Ok(schedule) => {
                let present = Present { now: due.now, resumed: cron.resumed_at };
                cron::step(&schedule, &cron.rules, cron.standing, present)
            }
            Err(error) => {
                plan.invalid.insert(cron.id, error);
                Step { skipped: None, fire: None, next: None }
            }
        };
        plan.firings.push(Firing { cron, step });
    }
    plan
}

/// Tells what an operator should know: crons that ended, and ticks that were there before, which normal work never makes.
fn report(fired: &[Fired], invalid: &HashMap<CronId, ScheduleError>) {
    if !fired.is_empty() {
        tracing::debug!(crons = fired.len(), "stored what follows");
    }
    for Fired { cron, outcome, next } in fired {
        if let Outcome::StoredBefore { message } = outcome {
            tracing::warn!(%cron, %message, "the tick has its message already; none was added");
        }
        if next.is_none() {
            match invalid.get(cron) {
                Some(reason) => {
                    tracing::error!(%cron, %reason, "the cron's schedule cannot be read; it fires no more until it is changed");
                }
                None => tracing::info!(%cron, "the cron has no further tick"),
            }
        }
    }
}

/// Whether what comes after this firing can hardly wait. Mostly it can: the messages of many crons that are due at once are stored
/// already and being delivered now, and what is stored now is for later. Then every other moment is the deliverers'.
fn is_urgent(fired: &Fired, now: Timestamp) -> bool {
    let near = now.saturating_add(NEAR);
    let is_due = matches!(fired.outcome, Outcome::Stored { due, .. } if due < near);
    is_due || fired.next.is_some_and(|next| next < near)
}

/// The shards of new messages that are due before `time`.
fn due_before(fired: &[Fired], time: Timestamp) -> Vec<Shard> {
    let shard = |fired: &Fired| match fired.outcome {
        Outcome::Stored { due, shard } if due < time => Some(shard),
        Outcome::Stored { .. } | Outcome::StoredBefore { .. } | Outcome::Overlapped | Outcome::Nothing => None,
    };
    fired.iter().filter_map(shard).collect()
}

#[cfg(test)]
mod tests {
    use posthaste_core::ids::MessageId;

    use super::*;

    /// 2026-03-29T00:00:00Z, the day when Berlin's clocks go forward.
    const MIDNIGHT: Timestamp = Timestamp(1_774_742_400_000_000);
    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(MIDNIGHT.0 + seconds * SECOND)
    }

    #[test]
    fn the_cache_of_schedules_is_bounded() {
        let mut schedules = Schedules::default();
        let mut texts = 0;
        for minute in 0..60 {
            for hour in 0..24 {
                for day in 1..=8 {
                    schedules.get(&format!("{minute} {hour} {day} * *"), "UTC").unwrap();
                    texts += 1;
                    assert!(schedules.0.len() <= SCHEDULES);
                }
            }
        }
        assert!(texts > SCHEDULES);
    }

    #[test]
    fn only_what_is_due_soon_is_announced() {
        let fired = |outcome| Fired { cron: CronId(1), outcome, next: None };
        let stored = |shard, due| fired(Outcome::Stored { due, shard: Shard(shard) });
        let fired = [
            stored(1, at(0)),
            stored(2, at(10)),
            fired(Outcome::StoredBefore { message: MessageId(7) }),
            fired(Outcome::Overlapped),
            fired(Outcome::Nothing),
        ];
        assert_eq!(due_before(&fired, at(1)), [Shard(1)]);
    }

    #[test]
    fn only_what_is_for_later_leaves_the_deliverers_time() {
        let fired = |due, next| Fired { cron: CronId(1), outcome: Outcome::Stored { due, shard: Shard(1) }, next };
        assert!(!is_urgent(&fired(at(3_600), Some(at(3_600))), at(0)));
        assert!(!is_urgent(&Fired { outcome: Outcome::Nothing, ..fired(at(0), None) }, at(0)));
        // One that has just been stored and is due; one that is looked at again in a second.
        assert!(is_urgent(&fired(at(0), Some(at(3_600))), at(0)));
        assert!(is_urgent(&fired(at(3_600), Some(at(1))), at(0)));
    }

    #[test]
    fn the_clock_counts_from_the_database() {
        let clock = Clock { database: at(0), at: Instant::now() };
        assert_eq!(clock.instant_of(at(2)) - clock.at, Duration::from_secs(2));
        assert_eq!(clock.instant_of(at(-2)), clock.at);
        assert!(clock.instant_of(Timestamp::MAX) >= clock.at);
        assert!(clock.database_now() >= at(0));
    }
}
