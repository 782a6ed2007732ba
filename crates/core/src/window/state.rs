//! What is remembered of a row, of a window and of a message in flight.

use std::collections::BTreeSet;

use super::{Band, Key, Row};
use crate::gate::rate::Token;
use crate::ids::{MessageId, QueueId, Shard};
use crate::time::Timestamp;

/// Before every key: the tail of a window of which nothing has been read.
pub(super) const NOTHING: Key = (Timestamp::MIN, MessageId(i64::MIN));
/// After every key: the tail of a window that has been read to its end.
pub(super) const EVERYTHING: Key = (Timestamp::MAX, MessageId(i64::MAX));

/// Where a row is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In its window, to start when due.
    Waiting,
    /// In its window, not to start before its hold has ended; only where too many are loose.
    Held,
    /// Beyond the tail, until the refill under way is merged.
    Aside,
    /// Outside its window: cancelled, so it starts whatever its key and need not wait for the tail to reach it; or held, so
    /// it cannot start whatever its key and need not keep others out of the window.
    Loose,
}

/// A row that is in memory and not in flight; its id is the key of the map that holds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub window: usize,
    pub due: Timestamp,
    pub attempt: i32,
    pub held_until: Option<Timestamp>,
    pub cancelled: bool,
    pub key: Option<i64>,
    pub place: Place,
}

impl Known {
    /// The row that it was made from.
    pub fn row(&self, id: MessageId, window: &Window) -> Row {
        Row {
            id,
            queue: window.queue,
            shard: window.shard,
            due: self.due,
            attempt: self.attempt,
            held_until: self.held_until,
            cancelled: self.cancelled,
            priority: window.priority,
            key: self.key,
        }
    }

    /// When a held row becomes startable.
    pub fn hold_ends(&self) -> Option<Timestamp> {
        let until = self.held_until?;
        Some(if self.cancelled { until } else { until.max(self.due) })
    }
}

/// A refill under way, and what arrived beyond the tail since it was handed out.
#[derive(Debug)]
pub(super) struct Reading {
    pub number: u64,
    pub limit: usize,
    pub aside: BTreeSet<Key>,
    /// The smallest key that did not fit into `aside`: the merged tail stays before it.
    pub dropped: Option<Key>,
}

impl Reading {
    /// How far the tail may rise when the refill is merged.
    pub fn bound(&self) -> Key {
        match self.dropped {
            Some((due, id)) => (due, MessageId(id.0.saturating_sub(1))),
            None => EVERYTHING,
        }
    }
}

/// Whether a window waits for time or for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    Idle,
    /// Its first key falls due then.
    At(Timestamp),
    /// Its first key was due: it is among the ready windows of its queue.
    Ready,
}

/// Whether a window needs to be read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    No,
    /// Nothing unread is due before then.
    Later(Timestamp),
    /// In line for `next_refills`.
    Soon,
}

/// What is known of one (shard, queue, priority).
#[derive(Debug)]
pub(super) struct Window {
    /// Unique over all windows ever; 0 marks a vacant place.
    pub serial: u64,
    pub shard: Shard,
    pub queue: QueueId,
    pub priority: i16,
    /// The queue's place in `Queues`.
    pub lane: usize,
    /// Everything visible at or before it is in memory, in flight or done.
    pub tail: Key,
    /// What waits for its first attempt.
    pub fresh: BTreeSet<Key>,
    /// What waits for a retry.
    pub retrying: BTreeSet<Key>,
    pub held: BTreeSet<Key>,
    /// How many loose rows it has.
    pub loose: usize,
    pub reading: Option<Box<Reading>>,
    pub wake: Wake,
    pub want: Want,
}

impl Window {
    pub fn new(serial: u64, shard: Shard, (queue, priority): Band, lane: usize, tail: Key) -> Window {
        Window {
            serial,
            shard,
            queue,
            priority,
            lane,
            tail,
            fresh: BTreeSet::new(),
            retrying: BTreeSet::new(),
            held: BTreeSet::new(),
            loose: 0,
            reading: None,
            wake: Wake::Idle,
            want: Want::No,
        }
    }

    pub fn vacant() -> Window {
        Window::new(0, Shard(0), (QueueId(0), 0), 0, NOTHING)
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.fresh.len() + self.retrying.len() + self.held.len()
    }

    pub fn first(&self) -> Option<Key> {
        self.first_waiting().into_iter().chain(self.held.first().copied()).min()
    }

    pub fn last(&self) -> Option<Key> {
        self.fresh.last().copied().max(self.retrying.last().copied()).max(self.held.last().copied())
    }

    /// What waits for its turn.
    pub fn first_waiting(&self) -> Option<Key> {
        self.fresh.first().copied().into_iter().chain(self.retrying.first().copied()).min()
    }

    /// What of it is due and has its turn: retries and first attempts alternate where both wait, so that neither starves the other.
    pub fn next_due(&self, retried_last: bool, now: Timestamp) -> Option<Key> {
        let due = |keys: &BTreeSet<Key>| keys.first().copied().filter(|(due, _)| *due <= now);
        let (fresh, retry) = (due(&self.fresh), due(&self.retrying));
        if retried_last { fresh.or(retry) } else { retry.or(fresh) }
    }

    pub fn waiting_of(&mut self, attempt: i32) -> &mut BTreeSet<Key> {
        if attempt > 0 { &mut self.retrying } else { &mut self.fresh }
    }

    /// Whether nothing would be lost with it, once the shard's queues are discovered.
    pub fn is_spent(&self) -> bool {
        self.tail == EVERYTHING && self.len() == 0 && self.loose == 0 && self.reading.is_none()
    }
}

/// A message in flight.
#[derive(Debug)]
pub(super) struct Flight {
    pub attempt: i32,
    pub shard: Shard,
    pub queue: QueueId,
    pub key: Option<i64>,
    pub started: Timestamp,
    /// The queue whose slot it holds; `None` for a cancelled one, which holds none.
    pub lane: Option<usize>,
    /// How many slots it holds there.
    pub slots: usize,
    /// What it uses of its queue's rate.
    pub token: Option<Token>,
    /// A later attempt that showed itself before this one's outcome was answered.
    pub next: Option<Row>,
}
