//! What one worker holds of what it may deliver soon: a bounded window per shard and queue, over a backlog of any size.
//!
//! A pure state machine: its caller reads the database, tells the time and delivers. It promises, whatever the order in
//! which transactions commit and answers arrive:
//!
//! - *Nothing is forgotten.* Every row that some read has shown, or will show, starts once it may; whatever does not fit
//!   in memory is read again when there is room.
//! - *Nothing starts twice.* An attempt of a message starts once, unless the caller gives it up with [`Windows::forget`].
//! - *Nothing starts early*: not before its due time, not before its hold has ended, as far as the reads have shown.
//! - *Memory is bounded*: by [`Limits`], whatever the backlog, however many rows one transaction brings, and however large the bodies
//!   are that its caller sends.
//! - *Fair*: queues take turns, and none holds more than its share of the slots (see [`crate::gate`]).
//! - *Limited*: of a queue whose limits it was told no more start than those allow, what a former owner is still sending included.
//! - *In order*: of messages with the same ordering key only the first that is known starts, and one more is kept: who ends the
//!   first makes the next arrive.
//! - *Paused is still*: of a queue that is paused only what is cancelled starts, and it is not read further (see
//!   [`Windows::set_paused`]).
//!
//! What is started may be stale all the same, since the database can change behind any read. So the caller verifies each
//! start against the database just before it sends, by `(id, attempt)`, and gives up what does not hold.
//!
//! # The tail
//!
//! A window holds keys `(due, id)` in order and a *tail*: everything visible at or before the tail is in memory, in flight
//! or done. A queue read to its end has its tail at +∞, one that was never read at −∞. Beyond its cap a window gives up its
//! greatest keys and the tail falls to the greatest one that is left; a refill reads beyond the tail. An arrival at or before
//! the tail joins; a later one is left for the refill that comes by. This is right because a refill that begins after an
//! arrival was seen sees it too; while one is under way, what arrives beyond the tail is set aside, and judged against the
//! new tail when the refill is merged.
//!
//! # Which version of a row counts
//!
//! Each change of a row arrives once, and arrivals come in the order of commits. So the last arrival is never wrong for
//! long, while another read (a refill, a read by id) may be older than an arrival that was already seen. Hence: a higher
//! attempt replaces a lower one, an arrival replaces the same attempt, and any other read leaves what is there.
//!
//! # What the caller owes
//!
//! - Reads of arrivals do not overlap each other, and each is passed on whole before its snapshot is adopted.
//! - Reads that may overlap the commit of an outcome are between [`Windows::begin_read`] and [`Windows::end_read`];
//!   refills are so by themselves.
//! - A read of arrivals or by id that began before a shard was released has ended before it is taken again.
//! - Every [`Start`] ends in `finished` or `forget`, every [`Refill`] in `refilled` or `refill_failed`. A row that was not
//!   finished but moved to another shard is forgotten and read again: the same attempt is still to be made.

mod discovery;
mod flow;
mod hash;
mod joining;
mod ordering;
mod pausing;
mod queues;
mod reads;
mod refilling;
mod room;
mod starting;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};

use self::discovery::Tenure;
pub use self::flow::State;
use self::hash::IdMap;
use self::ordering::Head;
use self::queues::Queues;
use self::reads::Reads;
use self::state::{EVERYTHING, Flight, Known, NOTHING, Wake, Want, Window};
use crate::ids::{MessageId, QueueId, Shard};
use crate::time::Timestamp;

/// The reading order of a queue's messages of one priority.
type Key = (Timestamp, MessageId);

/// How many tombstones are kept at most (some 5 MB): what 25,000 messages a second leave during a read of four seconds.
const TOMBSTONES: usize = 100_000;

/// What one worker may hold. Each limit counts as at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Keys of one shard and queue.
    pub window: usize,
    /// Keys over all windows, besides one for each window.
    pub budget: usize,
    /// Messages in flight, of which those with large bodies count several times (see [`crate::gate::share::BODY`]); cancelled messages
    /// on their way out have as many places of their own.
    pub slots: usize,
    /// One queue may hold one in this many of the slots that are free; see [`crate::gate::share`].
    pub share: usize,
    /// Messages of one queue that may be in flight before its receiver has answered anything; see [`crate::gate::congestion`].
    pub opening: usize,
}

/// A row of `pending`, as some read has shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub id: MessageId,
    pub queue: QueueId,
    pub shard: Shard,
    pub due: Timestamp,
    /// Attempts that have ended.
    pub attempt: i32,
    /// Until then a former owner may still be delivering it.
    pub held_until: Option<Timestamp>,
    /// To be recorded as cancelled instead of sent.
    pub cancelled: bool,
    /// Of what is due, what has a higher one starts first.
    pub priority: i16,
    /// The hash of its ordering key.
    pub key: Option<i64>,
}

/// What a window is of, within its shard: the messages of a queue that have the same priority.
pub type Band = (QueueId, i16);

impl Row {
    fn band(&self) -> Band {
        (self.queue, self.priority)
    }

    fn key(&self) -> Key {
        (self.due, self.id)
    }
}

/// A message to be delivered now. It is in flight until [`Windows::finished`] or [`Windows::forget`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    pub id: MessageId,
    pub queue: QueueId,
    pub shard: Shard,
    /// Attempts that have ended.
    pub attempt: i32,
    /// Do not send: record it as cancelled.
    pub cancelled: bool,
    /// The hash of its ordering key.
    pub key: Option<i64>,
}

/// A read to be made: the first `limit` rows of a shard, queue and priority in the order of `(due, id)`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "its window waits until it is answered"]
pub struct Refill {
    pub shard: Shard,
    pub queue: QueueId,
    pub priority: i16,
    /// Only rows strictly beyond this key; `None` reads from the beginning.
    pub after: Option<(Timestamp, MessageId)>,
    /// At least 1.
    pub limit: usize,
    number: u64,
}

/// A read under way that is not a [`Refill`]; see [`Windows::begin_read`].
#[derive(Debug)]
#[must_use = "tombstones are kept until it ends"]
pub struct Read(u64);

/// The windows of one worker; see the module.
pub struct Windows {
    limits: Limits,
    /// The latest time that the caller has told.
    now: Timestamp,
    shards: IdMap<Shard, Tenure>,
    /// Shards with a step of discovery to be made, in turn.
    undiscovered: VecDeque<Shard>,
    /// Steps of discovery that were under way when their shard was released.
    abandoned_steps: IdMap<Shard, usize>,
    windows: Vec<Window>,
    vacant: Vec<usize>,
    serials: u64,
    queues: Queues,
    known: IdMap<MessageId, Known>,
    /// Per queue and ordering key the message that is in flight, or else the smallest in memory.
    heads: IdMap<(QueueId, i64), Head>,
    /// What waited behind a first that has left memory, until the end of the call.
    following: Vec<Row>,
    /// Of `known`, how many are in a window, and how many are set aside.
    keys: usize,
    aside: usize,
    loose: BTreeSet<MessageId>,
    flights: IdMap<MessageId, Flight>,
    /// Of `flights`, how many are cancelled.
    cancelling: usize,
    reads: Reads,
    /// When windows that wait for time have something due.
    alarms: BTreeSet<(Timestamp, usize)>,
    /// When holds end.
    holds: BTreeSet<(Timestamp, MessageId)>,
    /// What is cancelled and not held.
    cancelled: BTreeSet<MessageId>,
    /// Windows to be read further, by the time before which nothing unread is due; and those for which it has come, with
    /// their serial.
    wants: BTreeSet<(Timestamp, usize)>,
    wanting: VecDeque<(usize, u64)>,
    /// Where trimming went on.
    cursor: usize,
}

impl Windows {
    /// Without shards.
    #[must_use]
    pub fn new(limits: Limits) -> Windows {
        let Limits { window, budget, slots, share, opening } = limits;
        let limits = Limits {
            window: window.max(1),
            budget: budget.max(1),
            slots: slots.max(1),
            share: share.max(1),
            opening: opening.max(1),
        };
        Windows {
            limits,
            now: Timestamp::MIN,
            shards: IdMap::default(),
            undiscovered: VecDeque::new(),
            abandoned_steps: IdMap::default(),
            windows: Vec::new(),
            vacant: Vec::new(),
            serials: 0,
            queues: Queues::new(limits.slots, limits.share, limits.opening),
            known: IdMap::default(),
            heads: IdMap::default(),
            following: Vec::new(),
            keys: 0,
            aside: 0,
            loose: BTreeSet::new(),
            flights: IdMap::default(),
            cancelling: 0,
            reads: Reads::new(TOMBSTONES),
            alarms: BTreeSet::new(),
            holds: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            wants: BTreeSet::new(),
            wanting: VecDeque::new(),
            cursor: 0,
        }
    }

    /// Begins to own a shard, of which nothing is known yet. To be called after the lock was won and the snapshot taken
    /// beyond which arrivals are read: what committed before is found by discovery and refills, what commits later arrives.
    pub fn take(&mut self, shard: Shard) {
        if !self.owns(shard) {
            self.shards.insert(shard, Tenure::default());
            self.undiscovered.push_back(shard);
        }
    }

    /// Ceases to own a shard: forgets its windows, and ignores the reads for it that are under way. Answers what is in
    /// flight there, with the attempt; that stays known as in flight, also to a later tenure of the same shard.
    pub fn release(&mut self, shard: Shard) -> Vec<(MessageId, i32)> {
        self.queues.unlearn_limited();
        if let Some(tenure) = self.shards.remove(&shard) {
            if tenure.step_under_way {
                *self.abandoned_steps.entry(shard).or_default() += 1;
            }
            self.undiscovered.retain(|undiscovered| *undiscovered != shard);
            let loose: Vec<MessageId> =
                self.loose.iter().copied().filter(|id| self.shard_of(*id) == Some(shard)).collect();
            for id in loose {
                self.remove(id);
            }
            for window in tenure.windows.into_values() {
                self.close(window);
            }
            self.wanting.retain(|(window, serial)| self.windows[*window].serial == *serial);
            self.let_follow();
        }
        let in_flight = self.flights.iter().filter(|(_, flight)| flight.shard == shard);
        in_flight.map(|(id, flight)| (*id, flight.attempt)).collect()
    }

    /// Whether the shard is owned.
    #[must_use]
    pub fn owns(&self, shard: Shard) -> bool {
        self.shards.contains_key(&shard)
    }

    /// To be called just before a read of arrivals or by id is sent, if outcomes may commit before all its rows have been
    /// passed on: it could show a message that is finished by then.
    pub fn begin_read(&mut self) -> Read {
        Read(self.reads.begin())
    }

    /// The rows of that read have all been passed on, or it failed.
    pub fn end_read(&mut self, read: Read) {
        self.reads.end(read.0);
    }

    /// Messages in flight that hold a slot: all but the cancelled ones.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.queues.in_flight()
    }

    /// The same of one queue.
    #[must_use]
    pub fn in_flight_of(&self, queue: QueueId) -> usize {
        self.queues.in_flight_of(queue)
    }

    /// Keys in windows: at most the budget and one per window.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Keys that wait for a refill under way; of each no more than it may bring.
    #[must_use]
    pub fn set_aside(&self) -> usize {
        self.aside
    }

    /// Cancelled and held messages that wait outside the windows: at most a quarter of the budget, or the slots if those are
    /// more. Beyond that they take room in their windows like any other.
    #[must_use]
    pub fn loose(&self) -> usize {
        self.loose.len()
    }

    /// Finished attempts that are remembered because of reads under way.
    #[must_use]
    pub fn tombstones(&self) -> usize {
        self.reads.tombstones()
    }

    /// Pairs of shard and queue of which something is known or to be read.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.windows.len() - self.vacant.len()
    }

    fn shard_of(&self, id: MessageId) -> Option<Shard> {
        self.known.get(&id).map(|known| self.windows[known.window].shard)
    }

    /// The window of an owned shard's queue, opened if there is none. Once all queues that had rows are discovered, a queue
    /// without a window has none but those that arrive.
    fn window_of(&mut self, shard: Shard, band: Band) -> Option<usize> {
        let tenure = self.shards.get_mut(&shard)?;
        if let Some(window) = tenure.windows.get(&band) {
            return Some(*window);
        }
        let tail = if tenure.complete { EVERYTHING } else { NOTHING };
        self.serials += 1;
        let window = self.vacant.pop().unwrap_or(self.windows.len());
        let opened = Window::new(self.serials, shard, band, self.queues.join(band.0, window), tail);
        if window < self.windows.len() {
            self.windows[window] = opened;
        } else {
            self.windows.push(opened);
        }
        tenure.windows.insert(band, window);
        Some(window)
    }

    /// Takes a window out of everything but its tenure.
    fn close(&mut self, window: usize) {
        let mut closed = std::mem::replace(&mut self.windows[window], Window::vacant());
        let reading = closed.reading.take();
        let aside = reading.iter().flat_map(|reading| &reading.aside);
        for (_, id) in closed.fresh.iter().chain(&closed.retrying).chain(&closed.held).chain(aside) {
            if let Some(known) = self.known.remove(id) {
                self.unschedule(*id, closed.queue, &known);
            }
        }
        self.queues.ended_elsewhere(closed.lane, closed.held.len());
        self.keys -= closed.len();
        if let Some(reading) = reading {
            self.aside -= reading.aside.len();
            self.reads.end(reading.number);
        }
        if let Wake::At(at) = closed.wake {
            self.alarms.remove(&(at, window));
        }
        if let Want::Later(at) = closed.want {
            self.wants.remove(&(at, window));
        }
        self.queues.leave(closed.lane, window);
        self.vacant.push(window);
        // One window less is one key less.
        self.trim(window);
    }

    /// Drops a row from the indexes over all windows.
    fn unschedule(&mut self, id: MessageId, queue: QueueId, known: &Known) {
        self.behead(id, queue, known.key);
        if known.cancelled {
            self.cancelled.remove(&id);
        }
        if let Some(ends) = known.hold_ends() {
            self.holds.remove(&(ends, id));
        }
    }
}
