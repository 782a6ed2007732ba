//! What queues may start, as far as it is told from outside: their limits, what their receivers answer, what is stored of their rates.
//!
//! Of a queue whose limits are not known, or not any more, messages start as if it had none. So whoever reads the limits just before
//! sending, and learns that they differ, takes back what was started, and it starts again as the limits say.

use super::Windows;
use crate::gate::breaker::Position;
use crate::gate::flow::{Flow, Health, QueueLimits};
use crate::gate::share::slots_of;
use crate::ids::{MessageId, QueueId, Shard};
use crate::time::Timestamp;

/// How it stands with a queue in one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub queue: QueueId,
    /// Requests under way.
    pub in_flight: usize,
    /// How many its receiver seems to take.
    pub window: usize,
    /// How many may be, by that and by its own limit.
    pub allowed: usize,
    pub breaker: Position,
}

impl Windows {
    /// Of which revision a queue's limits are known.
    #[must_use]
    pub fn revision(&self, queue: QueueId) -> Option<i64> {
        self.queues.flow(queue)?.revision()
    }

    /// A queue's limits as they were read: up to when its rate is used, and before when nothing of it may start. True: they are others
    /// than were known, so what has been started of it and not sent yet is to be taken back.
    pub fn learn(
        &mut self,
        queue: QueueId,
        revision: i64,
        limits: QueueLimits,
        used_until: Timestamp,
        not_before: Timestamp,
    ) -> bool {
        let Some(lane) = self.queues.lane_of(queue) else { return false };
        let changed = self.queues.lane(lane).flow.learn(revision, limits, used_until, not_before);
        self.queues.look_again(lane);
        changed
    }

    /// A queue's limits, as they were last known.
    #[must_use]
    pub fn limits(&self, queue: QueueId) -> QueueLimits {
        self.queues.flow(queue).map(Flow::limits).unwrap_or_default()
    }

    /// Whether more of a queue is in flight than its limit allows, what a former owner is still sending included.
    #[must_use]
    pub fn exceeds(&self, queue: QueueId) -> bool {
        let most = self.queues.flow(queue).and_then(|flow| flow.limits().max_concurrency);
        most.is_some_and(|most| self.queues.in_flight_anywhere(queue) > most)
    }

    /// How the receiver did with an attempt that is in flight and has just ended. To be called before `finished`. Answers the queue if
    /// its breaker has opened by it: it had been closed before.
    pub fn heard(&mut self, id: MessageId, attempt: i32, health: Health, now: Timestamp) -> Option<QueueId> {
        self.now = self.now.max(now);
        let flight = self.flights.get(&id).filter(|flight| flight.attempt == attempt)?;
        let (lane, started, queue) = (flight.lane?, flight.started, flight.queue);
        let in_flight = self.queues.in_flight_of(queue);
        self.queues.lane(lane).flow.ended(health, started, in_flight, self.now).then_some(queue)
    }

    /// What was started carries a body of this size; to be told once of each start. It holds the slots for it until it ends.
    pub fn charge(&mut self, id: MessageId, bytes: usize) {
        let Some((flight, lane)) = self.flights.get_mut(&id).and_then(|flight| flight.lane.map(|lane| (flight, lane)))
        else {
            return;
        };
        let more = slots_of(bytes).saturating_sub(flight.slots);
        flight.slots += more;
        self.queues.enlarge(lane, more);
        self.queues.lane(lane).flow.charge(bytes);
    }

    /// What is to be stored before these queues may go on: that their rates are used up to then. Each is to be answered with
    /// `reserved` or `not_reserved`.
    pub fn take_reservations(&mut self) -> Vec<(QueueId, Timestamp)> {
        self.queues.take_reservations()
    }

    /// It is stored.
    pub fn reserved(&mut self, queue: QueueId, until: Timestamp) {
        self.queues.reserved(queue, until);
    }

    /// It could not be stored.
    pub fn not_reserved(&mut self, queue: QueueId) {
        self.queues.not_reserved(queue);
    }

    /// What a former owner is still sending, at most `max`: to be looked for, because the end of it does not arrive.
    #[must_use]
    pub fn held(&self, max: usize) -> Vec<(MessageId, i32)> {
        let ids = self.holds.iter().map(|(_, id)| *id).take(max);
        ids.filter_map(|id| Some((id, self.known.get(&id)?.attempt))).collect()
    }

    /// A queue's messages in flight, each with its attempt and shard.
    #[must_use]
    pub fn flights_of(&self, queue: QueueId) -> Vec<(MessageId, i32, Shard)> {
        if self.queues.in_flight_of(queue) == 0 {
            return Vec::new();
        }
        let of_queue = self.flights.iter().filter(|(_, flight)| flight.queue == queue && flight.lane.is_some());
        of_queue.map(|(id, flight)| (*id, flight.attempt, flight.shard)).collect()
    }

    /// How it stands with the queues that have something to deliver.
    pub fn states(&self) -> impl Iterator<Item = State> {
        self.queues.all().map(|(queue, in_flight, flow)| State {
            queue,
            in_flight,
            window: flow.window(),
            allowed: flow.window().min(flow.limits().max_concurrency.unwrap_or(usize::MAX)),
            breaker: flow.breaker(),
        })
    }
}
