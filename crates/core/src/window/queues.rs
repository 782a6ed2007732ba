//! Whose turn it is: round robin over the queues that have something due, each within its share of the slots.
//!
//! A queue that has something due stands in a ring. When its turn comes it starts one message from one of its windows
//! (one per shard, in turn as well) and goes to the end. A queue that holds its share is parked, ordered by what it holds,
//! so that finding out that none of a thousand parked queues may start costs one look at the first. Each started message
//! brings back at most one parked queue, so the cost per message does not grow with their number. A paused queue stands
//! nowhere: it goes back into the ring when it is resumed.

use std::collections::{BTreeSet, VecDeque};

use super::hash::IdMap;
use crate::gate::Gate;
use crate::ids::QueueId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing due, or paused.
    None,
    InRing,
    /// Something due, but over its share; the number keeps parked queues with the same count in the order they came.
    Parked(u64),
}

#[derive(Debug)]
struct Queue {
    id: QueueId,
    windows: usize,
    in_flight: usize,
    /// Its windows whose first key was due.
    ready: VecDeque<usize>,
    turn: Turn,
    paused: bool,
}

/// The queues that have a window or something in flight. A queue is named by its *lane*, its place in here.
pub(super) struct Queues {
    gate: Gate,
    lanes: Vec<Queue>,
    vacant: Vec<usize>,
    index: IdMap<QueueId, usize>,
    ring: VecDeque<usize>,
    /// (in flight, number, lane)
    parked: BTreeSet<(usize, u64, usize)>,
    parkings: u64,
    /// Those that are paused, whether they have a lane or not.
    paused: BTreeSet<QueueId>,
}

impl Queues {
    pub fn new(slots: usize, share: usize) -> Queues {
        Queues {
            gate: Gate::new(slots, share),
            lanes: Vec::new(),
            vacant: Vec::new(),
            index: IdMap::default(),
            ring: VecDeque::new(),
            parked: BTreeSet::new(),
            parkings: 0,
            paused: BTreeSet::new(),
        }
    }

    pub fn in_flight(&self) -> usize {
        self.gate.taken()
    }

    pub fn in_flight_of(&self, id: QueueId) -> usize {
        self.index.get(&id).map_or(0, |lane| self.lanes[*lane].in_flight)
    }

    /// A window of this queue came into being.
    pub fn join(&mut self, id: QueueId) -> usize {
        let lane = match self.index.get(&id) {
            Some(lane) => *lane,
            None => self.open(id),
        };
        self.lanes[lane].windows += 1;
        lane
    }

    /// A window of this queue is gone.
    pub fn leave(&mut self, lane: usize, window: usize) {
        let queue = &mut self.lanes[lane];
        queue.windows -= 1;
        queue.ready.retain(|ready| *ready != window);
        self.close_if_unused(lane);
    }

    /// The first key of this window is due.
    pub fn ready(&mut self, lane: usize, window: usize) {
        let queue = &mut self.lanes[lane];
        queue.ready.push_back(window);
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
        if news && let Some(&lane) = self.index.get(&id) {
            let queue = &mut self.lanes[lane];
            queue.paused = true;
            if let Turn::Parked(number) = queue.turn {
                queue.turn = Turn::None;
                self.parked.remove(&(queue.in_flight, number, lane));
            }
        }
        news
    }

    /// Its windows that were ready have their turn again.
    pub fn resume(&mut self, id: QueueId) {
        self.paused.remove(&id);
        if let Some(&lane) = self.index.get(&id) {
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

    /// The window whose turn it is, with its lane; it is no longer ready until `ready` is called again.
    pub fn next(&mut self) -> Option<(usize, usize)> {
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
            } else if !self.gate.admits(queue.in_flight) {
                queue.turn = Turn::Parked(self.parkings);
                self.parked.insert((queue.in_flight, self.parkings, lane));
                self.parkings += 1;
            } else if let Some(window) = queue.ready.pop_front() {
                self.ring.push_back(lane);
                return Some((lane, window));
            }
        }
    }

    /// A message of this queue took a slot.
    pub fn started(&mut self, lane: usize) {
        self.gate.enter();
        self.lanes[lane].in_flight += 1;
    }

    /// A message of this queue gave its slot back.
    pub fn ended(&mut self, lane: usize) {
        self.gate.leave();
        let queue = &mut self.lanes[lane];
        if let Turn::Parked(number) = queue.turn {
            self.parked.remove(&(queue.in_flight, number, lane));
            self.parked.insert((queue.in_flight - 1, number, lane));
        }
        queue.in_flight -= 1;
        self.close_if_unused(lane);
    }

    /// Puts one parked queue back into the ring, if one may start: the one that holds the least.
    fn unpark(&mut self) {
        if let Some(&(in_flight, number, lane)) = self.parked.first()
            && self.gate.admits(in_flight)
        {
            self.parked.remove(&(in_flight, number, lane));
            self.lanes[lane].turn = Turn::InRing;
            self.ring.push_back(lane);
        }
    }

    fn open(&mut self, id: QueueId) -> usize {
        let paused = self.paused.contains(&id);
        let queue = Queue { id, windows: 0, in_flight: 0, ready: VecDeque::new(), turn: Turn::None, paused };
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
        let queue = &self.lanes[lane];
        if queue.windows == 0 && queue.in_flight == 0 && queue.turn == Turn::None {
            self.index.remove(&queue.id);
            self.vacant.push(lane);
        }
    }
}
