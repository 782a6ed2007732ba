//! Whose turn it is: round robin over the queues that have something due, each within its share of the slots and its own flow.
//!
//! A queue that has something due stands in a ring. When its turn comes it starts one message from one of its windows (those of the
//! highest priority first, and among them one per shard in turn) and goes to the end. What large bodies use beyond a turn is paid
//! back in turns, so this is deficit round robin with a quantum of one message of an ordinary size.
//!
//! A queue that may not start now stands elsewhere, so that a thousand of them cost nothing: over its share it is *parked*, ordered by
//! the slots it holds, so that finding out that none may start costs one look at the first; full by its own flow it waits until one of its
//! own ends; before its time it waits for that. Each started message brings back at most one parked queue, so the cost per message
//! does not grow with their number. A paused queue stands nowhere: it goes back into the ring when it is resumed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};

use super::hash::IdMap;
use crate::gate::Gate;
use crate::gate::flow::{Admission, Flow};
use crate::gate::rate::Token;
use crate::ids::QueueId;
use crate::time::Timestamp;

/// Flows of queues that have nothing to deliver now, remembered at most: what is forgotten begins anew.
const RESTING: usize = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing due, or paused.
    None,
    InRing,
    /// Something due, but over its share; the number keeps parked queues with the same count in the order they came.
    Parked(u64),
    /// Something due, but nothing more may start before one of its own ends.
    Full,
    /// Something due, but nothing may start before then.
    Until(Timestamp),
    /// Something due, but its rate must be reserved first.
    Reserving,
}

#[derive(Debug)]
pub(super) struct Queue {
    id: QueueId,
    pub windows: Vec<usize>,
    in_flight: usize,
    /// What these take.
    slots: usize,
    /// Messages that a former owner is still sending.
    elsewhere: usize,
    /// Its windows whose first key was due, by priority and then in turn.
    ready: BTreeSet<(Reverse<i16>, u64, usize)>,
    turn: Turn,
    paused: bool,
    /// Whether the last that started was a retry; see `Windows::start`.
    pub retried_last: bool,
    pub flow: Flow,
}

/// The queues that have a window or something in flight. A queue is named by its *lane*, its place in here.
pub(super) struct Queues {
    gate: Gate,
    in_flight: usize,
    opening: usize,
    lanes: Vec<Queue>,
    vacant: Vec<usize>,
    index: IdMap<QueueId, usize>,
    ring: VecDeque<usize>,
    /// (slots, number, lane)
    parked: BTreeSet<(usize, u64, usize)>,
    /// When queues may start something again.
    timers: BTreeSet<(Timestamp, usize)>,
    /// What is to be stored before a queue may start something.
    reservations: Vec<(QueueId, Timestamp)>,
    /// Numbers what stands in some line.
    numbers: u64,
    /// Those that are paused, whether they have a lane or not.
    paused: BTreeSet<QueueId>,
    /// The flows of queues without a lane, and the order in which they came to rest.
    resting: IdMap<QueueId, Flow>,
    rested: VecDeque<QueueId>,
}

impl Queues {
    pub fn new(slots: usize, share: usize, opening: usize) -> Queues {
        Queues {
            gate: Gate::new(slots, share),
            in_flight: 0,
            opening,
            lanes: Vec::new(),
            vacant: Vec::new(),
            index: IdMap::default(),
            ring: VecDeque::new(),
            parked: BTreeSet::new(),
            timers: BTreeSet::new(),
            reservations: Vec::new(),
            numbers: 0,
            paused: BTreeSet::new(),
            resting: IdMap::default(),
            rested: VecDeque::new(),
        }
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub fn lane_of(&self, id: QueueId) -> Option<usize> {
        self.index.get(&id).copied()
    }

    pub fn lane(&mut self, lane: usize) -> &mut Queue {
        &mut self.lanes[lane]
    }

    pub fn in_flight_of(&self, id: QueueId) -> usize {
        self.lane_of(id).map_or(0, |lane| self.lanes[lane].in_flight)
    }

    /// The same, with what a former owner is still sending.
    pub fn in_flight_anywhere(&self, id: QueueId) -> usize {
        self.lane_of(id).map_or(0, |lane| self.lanes[lane].in_flight + self.lanes[lane].elsewhere)
    }

    /// Every queue that has a lane, with what it has in flight here.
    pub fn all(&self) -> impl Iterator<Item = (QueueId, usize, &Flow)> {
        self.index.values().map(|lane| (self.lanes[*lane].id, self.lanes[*lane].in_flight, &self.lanes[*lane].flow))
    }

    /// The flow of a queue, whether it has a lane or rests.
    pub fn flow(&self, id: QueueId) -> Option<&Flow> {
        self.lane_of(id).map(|lane| &self.lanes[lane].flow).or_else(|| self.resting.get(&id))
    }

    /// A window of this queue came into being.
    pub fn join(&mut self, id: QueueId, window: usize) -> usize {
        let lane = match self.index.get(&id) {
            Some(lane) => *lane,
            None => self.open(id),
        };
        self.lanes[lane].windows.push(window);
        lane
    }

    /// A window of this queue is gone.
    pub fn leave(&mut self, lane: usize, window: usize) {
        let queue = &mut self.lanes[lane];
        queue.windows.retain(|other| *other != window);
        queue.ready.retain(|(_, _, ready)| *ready != window);
        if queue.ready.is_empty() && queue.turn != Turn::InRing {
            self.stand_aside(lane);
        }
        self.close_if_unused(lane);
    }

    /// The first key of this window is due.
    pub fn ready(&mut self, lane: usize, window: usize, priority: i16) {
        self.numbers += 1;
        let queue = &mut self.lanes[lane];
        queue.ready.insert((Reverse(priority), self.numbers, window));
        self.enter_ring(lane);
    }

    /// The paused queues.
    pub fn paused(&self) -> impl Iterator<Item = QueueId> {
        self.paused.iter().copied()
    }

    pub fn is_paused(&self, id: QueueId) -> bool {
        self.paused.contains(&id)
    }

    /// The same by lane.
    pub fn rests(&self, lane: usize) -> bool {
        self.lanes[lane].paused
    }

    /// No window of this queue has its turn from now on; false if that was so before.
    pub fn pause(&mut self, id: QueueId) -> bool {
        let news = self.paused.insert(id);
        if news && let Some(lane) = self.lane_of(id) {
            self.lanes[lane].paused = true;
            if self.lanes[lane].turn != Turn::InRing {
                self.stand_aside(lane);
            }
        }
        news
    }

    /// Its windows that were ready have their turn again.
    pub fn resume(&mut self, id: QueueId) {
        self.paused.remove(&id);
        if let Some(lane) = self.lane_of(id) {
            self.lanes[lane].paused = false;
            self.enter_ring(lane);
        }
    }

    fn enter_ring(&mut self, lane: usize) {
        let queue = &mut self.lanes[lane];
        if queue.turn == Turn::None && !queue.paused && !queue.ready.is_empty() {
            queue.turn = Turn::InRing;
            self.ring.push_back(lane);
        }
    }

    /// Takes a queue out of whatever line it stands in, but the ring.
    fn stand_aside(&mut self, lane: usize) {
        let queue = &mut self.lanes[lane];
        match queue.turn {
            Turn::Parked(number) => drop(self.parked.remove(&(queue.slots, number, lane))),
            Turn::Until(at) => drop(self.timers.remove(&(at, lane))),
            Turn::None | Turn::InRing | Turn::Full | Turn::Reserving => {}
        }
        queue.turn = Turn::None;
    }

    /// What kept a queue may be over: it is asked again when its turn comes.
    pub fn look_again(&mut self, lane: usize) {
        match self.lanes[lane].turn {
            Turn::Full | Turn::Until(_) | Turn::Reserving => {
                self.stand_aside(lane);
                self.enter_ring(lane);
            }
            Turn::None | Turn::InRing | Turn::Parked(_) => {}
        }
    }

    /// The window whose turn it is, with its lane; it is no longer ready until `ready` is called again.
    pub fn next(&mut self, now: Timestamp) -> Option<(usize, usize)> {
        if self.gate.free() == 0 {
            return None;
        }
        self.unpark();
        loop {
            if self.ring.is_empty() {
                self.unpark();
            }
            let lane = self.ring.pop_front()?;
            let queue = &mut self.lanes[lane];
            if queue.ready.is_empty() || queue.paused {
                queue.turn = Turn::None;
                self.close_if_unused(lane);
                continue;
            }
            if !self.gate.admits(queue.slots) {
                self.numbers += 1;
                queue.turn = Turn::Parked(self.numbers);
                self.parked.insert((queue.slots, self.numbers, lane));
                continue;
            }
            match queue.flow.admits(queue.in_flight, queue.elsewhere, now) {
                Admission::Now if queue.flow.pays() => self.ring.push_back(lane),
                Admission::Now => {
                    if let Some((_, _, window)) = queue.ready.pop_first() {
                        self.ring.push_back(lane);
                        return Some((lane, window));
                    }
                }
                Admission::WhenOneEnds => queue.turn = Turn::Full,
                Admission::At(at) => {
                    queue.turn = Turn::Until(at);
                    self.timers.insert((at, lane));
                }
                Admission::Reserve(until) => {
                    queue.turn = Turn::Reserving;
                    self.reservations.push((queue.id, until));
                }
            }
        }
    }

    /// Queues whose time has come have their turn.
    pub fn ring_timers(&mut self, now: Timestamp) {
        while let Some(&(at, lane)) = self.timers.first()
            && at <= now
        {
            self.look_again(lane);
        }
    }

    /// When a queue may start something again.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// What is to be stored, so that these queues go on; see `Queues::reserved`.
    pub fn take_reservations(&mut self) -> Vec<(QueueId, Timestamp)> {
        std::mem::take(&mut self.reservations)
    }

    /// It is stored.
    pub fn reserved(&mut self, id: QueueId, until: Timestamp) {
        match self.lane_of(id) {
            Some(lane) => {
                self.lanes[lane].flow.reserved(until);
                self.look_again(lane);
            }
            None => drop(self.resting.get_mut(&id).map(|flow| flow.reserved(until))),
        }
    }

    /// It could not be stored; it is asked for again.
    pub fn not_reserved(&mut self, id: QueueId) {
        if let Some(lane) = self.lane_of(id) {
            self.look_again(lane);
        }
    }

    /// A message of this queue took a slot, and this of its rate.
    pub fn started(&mut self, lane: usize, now: Timestamp) -> Option<Token> {
        self.gate.enter(1);
        self.in_flight += 1;
        let queue = &mut self.lanes[lane];
        queue.in_flight += 1;
        queue.slots += 1;
        queue.flow.start(now)
    }

    /// A message that has started needs so many slots more.
    pub fn enlarge(&mut self, lane: usize, more: usize) {
        self.gate.enter(more);
        let slots = self.lanes[lane].slots;
        self.hold(lane, slots + more);
    }

    /// A message of this queue gave its slots back.
    pub fn ended(&mut self, lane: usize, slots: usize) {
        self.gate.leave(slots);
        self.in_flight -= 1;
        self.lanes[lane].in_flight -= 1;
        let held = self.lanes[lane].slots;
        self.hold(lane, held.saturating_sub(slots));
        self.look_again(lane);
        self.close_if_unused(lane);
    }

    /// A queue holds so many slots from now on.
    fn hold(&mut self, lane: usize, slots: usize) {
        let queue = &mut self.lanes[lane];
        let held = std::mem::replace(&mut queue.slots, slots);
        if let Turn::Parked(number) = queue.turn {
            self.parked.remove(&(held, number, lane));
            self.parked.insert((slots, number, lane));
        }
    }

    /// A former owner is sending so many of its messages, beside those counted before.
    pub fn begun_elsewhere(&mut self, lane: usize) {
        self.lanes[lane].elsewhere += 1;
    }

    /// So many of those have ended.
    pub fn ended_elsewhere(&mut self, lane: usize, count: usize) {
        if count > 0 {
            self.lanes[lane].elsewhere = self.lanes[lane].elsewhere.saturating_sub(count);
            self.look_again(lane);
        }
    }

    /// What was known of limited queues counts no more: somebody else uses their limits from now on.
    pub fn unlearn_limited(&mut self) {
        let lanes = self.lanes.iter_mut().map(|queue| &mut queue.flow);
        for flow in lanes.chain(self.resting.values_mut()).filter(|flow| !flow.limits().is_none()) {
            flow.unlearn();
        }
    }

    /// Puts one parked queue back into the ring, if one may start: the one that holds the least.
    fn unpark(&mut self) {
        if let Some(&(slots, number, lane)) = self.parked.first()
            && self.gate.admits(slots)
        {
            self.parked.remove(&(slots, number, lane));
            self.lanes[lane].turn = Turn::InRing;
            self.ring.push_back(lane);
        }
    }

    fn open(&mut self, id: QueueId) -> usize {
        let queue = Queue {
            id,
            windows: Vec::new(),
            in_flight: 0,
            slots: 0,
            elsewhere: 0,
            ready: BTreeSet::new(),
            turn: Turn::None,
            paused: self.paused.contains(&id),
            retried_last: true,
            flow: self.resting.remove(&id).unwrap_or_else(|| Flow::new(self.opening)),
        };
        let lane = match self.vacant.pop() {
            Some(lane) => {
                self.lanes[lane] = queue;
                lane
            }
            None => {
                self.lanes.push(queue);
                self.lanes.len() - 1
            }
        };
        self.index.insert(id, lane);
        lane
    }

    fn close_if_unused(&mut self, lane: usize) {
        let queue = &mut self.lanes[lane];
        if queue.windows.is_empty() && queue.in_flight == 0 && queue.turn == Turn::None {
            let id = queue.id;
            let flow = std::mem::replace(&mut queue.flow, Flow::new(1));
            self.index.remove(&id);
            self.vacant.push(lane);
            self.rest(id, flow);
        }
    }

    fn rest(&mut self, id: QueueId, flow: Flow) {
        self.resting.insert(id, flow);
        self.rested.push_back(id);
        // One that rested, worked and rested again stands in line twice; it is forgotten by its first place at the earliest.
        while self.rested.len() > RESTING {
            if let Some(oldest) = self.rested.pop_front() {
                self.resting.remove(&oldest);
            }
        }
    }
}
