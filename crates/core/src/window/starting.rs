//! What starts, and how it ends.

use super::joining::Source;
use super::state::{Flight, Wake};
use super::{Row, Start, Windows};
use crate::ids::MessageId;
use crate::time::Timestamp;

impl Windows {
    /// Starts what may start, at most `max`. If as many come back there may be more.
    pub fn start(&mut self, now: Timestamp, max: usize) -> Vec<Start> {
        self.now = self.now.max(now);
        self.end_holds(now);
        self.ring_alarms(now);
        self.queues.ring_timers(now);
        self.let_follow();
        let mut starts = Vec::new();
        while starts.len() < max
            && self.cancelling < self.limits.slots
            && let Some(id) = self.cancelled.first().copied()
        {
            let window = self.known.get(&id).map(|known| known.window);
            starts.extend(self.fly(id, None));
            if let Some(window) = window {
                self.settle(window);
            }
        }
        while starts.len() < max
            && let Some((lane, window)) = self.queues.next(now)
        {
            match self.windows[window].next_due(self.queues.lane(lane).retried_last, now) {
                Some((_, id)) => {
                    let start = self.fly(id, Some(lane));
                    self.queues.lane(lane).retried_last = start.is_some_and(|start| start.attempt > 0);
                    starts.extend(start);
                    match self.windows[window].first_waiting() {
                        Some((next, _)) if next <= now => {
                            self.queues.ready(lane, window, self.windows[window].priority);
                            self.settle(window);
                        }
                        _ => self.sleep(window),
                    }
                }
                // What was due has been given up or put off since.
                None => self.sleep(window),
            }
        }
        self.let_follow();
        starts
    }

    /// When something becomes startable that `start` has not yet found so; in the past if it has become so. What `start`
    /// has found and left is not counted: it waits for a slot, or for a call with a higher `max`. Nor is what waits for its
    /// queue to be resumed.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        if !self.cancelled.is_empty() && self.cancelling < self.limits.slots {
            return Some(Timestamp::MIN);
        }
        let alarm = self.alarms.first().map(|(at, _)| *at);
        let hold = self.holds.first().map(|(at, _)| *at);
        alarm.into_iter().chain(hold).chain(self.queues.next_timer()).min()
    }

    /// The outcome of this attempt has committed: the row is deleted, or has a higher attempt, which arrives.
    pub fn finished(&mut self, id: MessageId, attempt: i32) {
        self.reads.bury(id, attempt);
        self.land(id, attempt);
        // It had been given up, and came back before the answer that it was finished after all.
        if let Some(known) = self.known.get(&id)
            && known.attempt <= attempt
        {
            let window = known.window;
            self.remove(id);
            self.settle(window);
        }
        self.let_follow();
    }

    /// This attempt is not in flight: it was stale, or its outcome was refused. The caller reads the row by id and passes
    /// what is there to `reread`; without that, or an arrival, it would not be found again.
    pub fn forget(&mut self, id: MessageId, attempt: i32) {
        if let Some(flight) = self.flights.get(&id).filter(|flight| flight.attempt == attempt)
            && let Some(lane) = flight.lane
        {
            self.queues.lane(lane).flow.not_sent(flight.token, self.now);
        }
        self.land(id, attempt);
        self.let_follow();
    }

    /// Ends a flight, if it is of this attempt, and lets the later one that showed itself in the meantime join.
    fn land(&mut self, id: MessageId, attempt: i32) {
        if self.flights.get(&id).is_none_or(|flight| flight.attempt != attempt) {
            return;
        }
        let Some(flight) = self.flights.remove(&id) else { return };
        self.behead(id, flight.queue, flight.key);
        match flight.lane {
            Some(lane) => self.queues.ended(lane, flight.slots),
            None => self.cancelling -= 1,
        }
        if let Some(next) = flight.next {
            self.admit(next, Source::Arrivals);
        }
    }

    /// Moves a row from memory to in flight, on a slot of its queue or as a cancelled one. Its window is to be settled.
    fn fly(&mut self, id: MessageId, lane: Option<usize>) -> Option<Start> {
        let Row { queue, shard, attempt, cancelled, key, .. } = self.remove(id)?;
        let token = match lane {
            Some(lane) => self.queues.started(lane, self.now),
            None => {
                self.cancelling += 1;
                None
            }
        };
        self.flights
            .insert(id, Flight { attempt, shard, queue, key, started: self.now, lane, slots: 1, token, next: None });
        if lane.is_some() {
            self.enthrone(id, queue, key);
        }
        Some(Start { id, queue, shard, attempt, cancelled, key })
    }

    /// The window has nothing due any more.
    fn sleep(&mut self, window: usize) {
        self.windows[window].wake = Wake::Idle;
        self.settle(window);
    }

    fn end_holds(&mut self, now: Timestamp) {
        while let Some(&(at, id)) = self.holds.first()
            && at <= now
        {
            self.holds.pop_first();
            // It finds its place anew, which may be beyond the tail by now.
            if let Some(row) = self.remove(id) {
                self.place(row);
            }
        }
    }

    /// Windows whose time has come stand in line.
    fn ring_alarms(&mut self, now: Timestamp) {
        while let Some(&(at, window)) = self.alarms.first()
            && at <= now
        {
            self.alarms.pop_first();
            let of = &mut self.windows[window];
            of.wake = Wake::Ready;
            let (lane, priority) = (of.lane, of.priority);
            self.queues.ready(lane, window, priority);
        }
    }
}
