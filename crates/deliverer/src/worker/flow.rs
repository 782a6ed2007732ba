//! What a worker stores and tells so that queues flow as their limits say, whoever owns their shards: what it has used of their
//! rates, what it is sending from shards where it does not belong any more, and how it stands with each.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use posthaste_core::ids::{MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use posthaste_core::window::State;
use posthaste_store::connect::Connection;
use posthaste_store::error::StoreError;
use posthaste_store::shard::{Hold, Place, hold, move_rows};
use posthaste_store::target::Settings;
use posthaste_store::{flow, queue_state, reading, target};

use super::{HOLD_MARGIN, Step, Worker};

/// How long the end of a delivery that a former owner makes may stay unseen.
const POLL_HELD: Duration = Duration::from_millis(250);
/// Of so many at once.
const HELD: usize = 500;
/// How often a worker says how it stands.
const REPORT: Duration = Duration::from_secs(1);
/// With so many queues at most.
const REPORTED: usize = 1_000;

/// What is due when, and what is under way.
#[derive(Debug)]
pub(super) struct Chores {
    held_at: Instant,
    report_at: Instant,
    /// The queues whose messages are being gathered, as far as this worker has done its part.
    gathered: HashMap<QueueId, Timestamp>,
    /// Whose breakers have opened, and nobody has been told.
    pub(super) opened: BTreeSet<QueueId>,
    /// The rows of a queue in a shard that are looked through, and how far.
    moving: Vec<(QueueId, Shard, Place)>,
}

impl Chores {
    pub(super) fn new() -> Chores {
        let now = Instant::now();
        Chores { held_at: now, report_at: now, gathered: HashMap::new(), opened: BTreeSet::new(), moving: Vec::new() }
    }

    /// When the next of them is due.
    pub(super) fn next(&self) -> Instant {
        self.held_at.min(self.report_at)
    }
}

/// What is only told to somebody must not keep anything from being delivered.
fn told(told: Result<(), StoreError>) -> Result<(), StoreError> {
    match told {
        Err(error) if !error.is_transient() => {
            tracing::warn!(%error, "how the queues stand cannot be told");
            Ok(())
        }
        told => told,
    }
}

impl Worker {
    /// Does what is due. More: there is more to move.
    pub(super) async fn chores(&mut self, reader: &mut Connection) -> Result<Step, StoreError> {
        let now = Instant::now();
        if self.chores.held_at <= now {
            self.chores.held_at = now + POLL_HELD;
            self.look_for_held(reader).await?;
        }
        if self.chores.report_at <= now {
            self.chores.report_at = now + REPORT;
            let states: Vec<State> = self.windows.states().take(REPORTED).collect();
            told(flow::report(reader, self.instance, &self.config.name, &states).await)?;
        }
        if !self.chores.opened.is_empty() {
            let opened: Vec<QueueId> = std::mem::take(&mut self.chores.opened).into_iter().collect();
            told(flow::breakers_opened(reader, &opened).await)?;
        }
        self.move_on(reader).await
    }

    /// That a delivery has ended which a former owner made does not arrive: its row is only gone.
    async fn look_for_held(&mut self, reader: &mut Connection) -> Result<(), StoreError> {
        let held = self.windows.held(HELD);
        if held.is_empty() {
            return Ok(());
        }
        let pending: BTreeSet<(MessageId, i32)> = reading::still_pending(reader, &held).await?.into_iter().collect();
        for (id, attempt) in held.into_iter().filter(|attempt| !pending.contains(attempt)) {
            self.windows.finished(id, attempt);
        }
        Ok(())
    }

    /// Takes over what was taken: what former owners are still sending counts before anything starts.
    pub(super) async fn open(&mut self, reader: &mut Connection) -> Result<(), StoreError> {
        if self.taking.is_empty() {
            return Ok(());
        }
        let held = reading::held(reader, &self.taking).await?;
        for shard in std::mem::take(&mut self.taking) {
            self.windows.take(shard);
        }
        for row in held {
            self.windows.reread(row);
        }
        if let Some(since) = self.taking_since.take() {
            self.metrics.takeover.observe(since.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// Stores what of their rates queues are about to use.
    pub(super) async fn reserve(&mut self, reader: &mut Connection) -> Result<Step, StoreError> {
        let wanted = self.windows.take_reservations();
        if wanted.is_empty() {
            return Ok(Step::Idle);
        }
        // Of those whose limits count no more, somebody else may have used the rate.
        let (known, unknown): (Vec<_>, Vec<_>) =
            wanted.iter().partition(|(queue, _)| self.windows.revision(*queue).is_some());
        let done = async {
            if !known.is_empty() {
                flow::reserve(reader, &known).await?;
            }
            let unknown: Vec<QueueId> = unknown.iter().map(|(queue, _): &(QueueId, Timestamp)| *queue).collect();
            if unknown.is_empty() { Ok(Vec::new()) } else { target::settings(reader, &unknown).await }
        };
        let settings = done.await;
        for (queue, until) in &known {
            match &settings {
                Ok(_) => self.windows.reserved(*queue, *until),
                Err(_) => self.windows.not_reserved(*queue),
            }
        }
        let learnt = settings.map(|settings| self.learn(settings));
        for (queue, _) in &unknown {
            self.windows.not_reserved(*queue);
        }
        learnt.map(|_| Step::More)
    }

    /// Takes in settings as they were read, and answers the queues whose limits were believed to be others.
    pub(super) fn learn(&mut self, settings: Vec<Settings>) -> BTreeSet<QueueId> {
        let mut changed = BTreeSet::new();
        for of in &settings {
            // While they are known, nobody else has used the rate.
            let used = if self.windows.revision(of.queue).is_some() { None } else { of.used_until };
            let not_before = of.not_before.unwrap_or(Timestamp::MIN);
            if self.windows.learn(of.queue, of.revision, of.limits, used.unwrap_or(Timestamp::MIN), not_before) {
                changed.insert(of.queue);
            }
        }
        self.targets.learn(settings, self.dispatcher.workshop());
        changed
    }

    /// Tells the owner of the one shard of a queue that has been given a limit what is being sent from others.
    pub(super) async fn gather(&mut self, reader: &mut Connection) -> Result<(), StoreError> {
        let gathering: HashMap<QueueId, Timestamp> = queue_state::gathering(reader).await?.into_iter().collect();
        for (queue, at) in &gathering {
            if self.chores.gathered.get(queue) == Some(at) {
                continue;
            }
            let holds: Vec<Hold> =
                self.windows.flights_of(*queue).into_iter().filter_map(|flight| self.hold(flight)).collect();
            hold(reader, &holds).await?;
            self.chores.gathered.insert(*queue, *at);
        }
        self.chores.gathered.retain(|queue, _| gathering.contains_key(queue));
        Ok(())
    }

    /// What is to be written of a delivery under way, so that whoever else owns its message waits for its end.
    pub(super) fn hold(&self, (id, attempt, shard): (MessageId, i32, Shard)) -> Option<Hold> {
        let running = self.running.get(&id).filter(|running| running.attempt == attempt)?;
        running.permit.hold();
        let remaining = running.permit.deadline().saturating_duration_since(Instant::now()) + HOLD_MARGIN;
        Some(Hold { id, attempt, shard, epoch: running.epoch, remaining: Some(remaining) })
    }

    /// A queue has rows in a shard that belong elsewhere.
    pub(super) fn move_queue(&mut self, queue: QueueId, shard: Shard) {
        if !self.chores.moving.iter().any(|(of, from, _)| (*of, *from) == (queue, shard)) {
            self.chores.moving.push((queue, shard, Place::START));
        }
    }

    /// Moves the next step of rows.
    async fn move_on(&mut self, reader: &mut Connection) -> Result<Step, StoreError> {
        let Some(&(queue, shard, place)) = self.chores.moving.first() else { return Ok(Step::Idle) };
        let place = match self.owned.get(&shard) {
            Some(epoch) => move_rows(reader, queue, (shard, *epoch), place).await?,
            None => None,
        };
        let step = self.chores.moving.remove(0);
        if let Some(place) = place {
            self.chores.moving.push((step.0, step.1, place));
        }
        Ok(Step::More)
    }
}
