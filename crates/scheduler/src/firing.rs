//! Firing: the leader's loop that keeps the next tick of every cron stored.
//!
//! A cron that is due here has fired already: its message was stored one tick ahead and is delivered without us. What is
//! left to do is to store the next one, before it is due in its turn. So a scheduler that is away for a while delays
//! nothing that was stored, and a message is never stored twice (see [`tick`]).
//!
//! Only the database's clock counts: every look at the crons carries its time, and until the next look the time that has
//! passed here is added, which makes it a lower bound. The clock of this machine decides nothing.

use std::collections::HashMap;
use std::time::Duration;

use posthaste_core::ids::{CronId, Shard};
use posthaste_core::schedule::{Schedule, ScheduleError};
use posthaste_core::time::Timestamp;
use posthaste_store::connect::Connection;
use posthaste_store::error::StoreError;
use posthaste_store::lease::Lease;
use posthaste_store::tick::{self, Due, DueCron, Fired, Firing, NextTick};
use posthaste_store::{partition, wakeup};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

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
/// How long a cron whose next tick the database refuses to store is left out.
const ASIDE: Duration = Duration::from_secs(60);
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
) -> Result<(), StoreError> {
    let mut state = State::default();
    while !quit.is_cancelled() && lease.is_live() {
        let until = match state.round(conn, lease).await {
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
    async fn round(&mut self, conn: &mut Connection, lease: &Lease) -> Result<Instant, StoreError> {
        self.aside.retain(|_, until| *until > Instant::now());
        let aside: Vec<CronId> = self.aside.keys().copied().collect();
        let due = tick::due(conn, &aside, BATCH).await?;
        let clock = Clock { database: due.now, at: Instant::now() };
        let full = due.crons.len() >= usize::from(BATCH);
        let upcoming = due.upcoming;

        let plan = plan(due, &mut self.schedules);
        let fired = self.store(conn, lease, &plan.firings).await?;
        report(&fired, &plan.ends);
        let soon = due_before(&fired, clock.database_now().saturating_add(SOON));
        if let Err(error) = wakeup::notify_pending(conn, &soon).await {
            tracing::debug!(%error, "deliverers were not woken up; they poll");
        }

        if full && !fired.is_empty() {
            return Ok(Instant::now());
        }
        let next = fired.iter().filter_map(stored_at).chain(upcoming).min();
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
    fn get(&mut self, expression: &str, zone: &str) -> Result<&Schedule, ScheduleError> {
        if self.0.len() >= SCHEDULES {
            self.0.clear();
        }
        match self.0.entry((expression.to_owned(), zone.to_owned())) {
            std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(new) => Ok(new.insert(Schedule::parse(expression, zone)?)),
        }
    }
}

/// Why a cron has no next tick.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// It was valid when it was stored, and is not for this version, or was changed behind the API's back.
    Invalid(String),
    /// Its last tick has come.
    Over,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    firings: Vec<Firing>,
    ends: HashMap<CronId, End>,
}

/// What follows for every due cron. One that cannot go on ends, and stops no other.
fn plan(due: Due, schedules: &mut Schedules) -> Plan {
    let mut plan = Plan::default();
    for cron in due.crons {
        let next = match next_tick(&cron, due.now, schedules) {
            Ok(next) => Some(next),
            Err(end) => {
                plan.ends.insert(cron.id, end);
                None
            }
        };
        plan.firings.push(Firing { cron, next });
    }
    plan
}

fn next_tick(cron: &DueCron, now: Timestamp, schedules: &mut Schedules) -> Result<Timestamp, End> {
    let schedule = schedules.get(&cron.schedule, &cron.time_zone).map_err(|error| End::Invalid(error.to_string()))?;
    schedule.following(cron.fired_at, now).ok_or(End::Over)
}

/// Tells what an operator should know: crons that ended, and ticks that were there before, which normal work never makes.
fn report(fired: &[Fired], ends: &HashMap<CronId, End>) {
    if !fired.is_empty() {
        tracing::debug!(crons = fired.len(), "stored the next ticks");
    }
    for Fired { cron, next } in fired {
        match next {
            NextTick::Stored { .. } => {}
            NextTick::StoredBefore { at, message } => {
                tracing::warn!(%cron, tick = %at, %message, "the tick has its message already; none was added");
            }
            NextTick::None => match ends.get(cron) {
                Some(End::Invalid(reason)) => {
                    tracing::error!(%cron, reason, "the cron's schedule cannot be read; it fires no more until it is changed");
                }
                Some(End::Over) | None => tracing::info!(%cron, "the cron has no further tick"),
            },
        }
    }
}

fn stored_at(fired: &Fired) -> Option<Timestamp> {
    match fired.next {
        NextTick::Stored { at, .. } | NextTick::StoredBefore { at, .. } => Some(at),
        NextTick::None => None,
    }
}

/// The shards of new messages that are due before `time`.
fn due_before(fired: &[Fired], time: Timestamp) -> Vec<Shard> {
    let shard = |fired: &Fired| match fired.next {
        NextTick::Stored { at, shard } if at < time => Some(shard),
        NextTick::Stored { .. } | NextTick::StoredBefore { .. } | NextTick::None => None,
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

    fn cron(id: i64, schedule: &str, zone: &str, fired_at: Timestamp) -> DueCron {
        DueCron { id: CronId(id), schedule: schedule.to_owned(), time_zone: zone.to_owned(), fired_at }
    }

    fn planned(now: Timestamp, crons: Vec<DueCron>) -> Plan {
        plan(Due { now, crons, upcoming: None }, &mut Schedules::default())
    }

    fn next(plan: &Plan) -> Vec<Option<Timestamp>> {
        plan.firings.iter().map(|firing| firing.next).collect()
    }

    #[test]
    fn each_due_cron_gets_the_tick_after_the_one_that_came() {
        let now = Timestamp(at(0).0 + 20_000);
        let plan = planned(
            now,
            vec![
                cron(1, "*/1 * * * * *", "UTC", at(0)),
                cron(2, "*/5 * * * *", "UTC", at(0)),
                cron(3, "0 12 * * *", "Europe/Berlin", at(-13 * 3600)),
            ],
        );
        assert_eq!(next(&plan), [Some(at(1)), Some(at(300)), Some(at(10 * 3600))]);
        assert!(plan.ends.is_empty());
    }

    #[test]
    fn a_cron_that_cannot_go_on_ends_alone() {
        let plan = planned(
            at(0),
            vec![
                cron(1, "every full moon", "UTC", at(0)),
                cron(2, "*/1 * * * * *", "Moon/Tycho", at(0)),
                cron(3, "*/1 * * * * *", "UTC", at(0)),
            ],
        );
        assert_eq!(next(&plan), [None, None, Some(at(1))]);
        assert!(matches!(plan.ends.get(&CronId(1)), Some(End::Invalid(_))));
        assert!(matches!(plan.ends.get(&CronId(2)), Some(End::Invalid(_))));
        assert_eq!(plan.ends.len(), 2);
    }

    #[test]
    fn the_next_tick_is_never_the_one_that_came() {
        // A database whose clock was set back sees a tick as due that lies ahead of its own time.
        for now in [at(-3600), at(0), at(1), at(3600)] {
            let plan = planned(now, vec![cron(1, "*/1 * * * * *", "UTC", at(0))]);
            assert!(next(&plan)[0].is_some_and(|next| next > at(0)), "{now}");
        }
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
        let stored = |shard, tick| Fired { cron: CronId(1), next: NextTick::Stored { at: tick, shard: Shard(shard) } };
        let fired = [
            stored(1, at(0)),
            stored(2, at(10)),
            Fired { cron: CronId(2), next: NextTick::StoredBefore { at: at(0), message: MessageId(7) } },
            Fired { cron: CronId(3), next: NextTick::None },
        ];
        assert_eq!(due_before(&fired, at(1)), [Shard(1)]);
        assert_eq!(fired.iter().filter_map(stored_at).max(), Some(at(10)));
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
