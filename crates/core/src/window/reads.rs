//! Reads under way and tombstones: a read that began before an outcome committed cannot bring the message back.
//!
//! Each read gets a number when it begins. An outcome that commits while reads are under way leaves a tombstone, kept
//! until all of them have ended. Without reads there are none. A read that never ends cannot fill the memory: beyond
//! a bound the oldest tombstones go, and what then comes back is caught at dispatch, as any stale entry is.

use std::collections::{BTreeSet, VecDeque};

use super::hash::IdMap;
use crate::ids::MessageId;

pub(super) struct Reads {
    /// The number of the next read.
    next: u64,
    under_way: BTreeSet<u64>,
    /// The highest attempt of each message whose outcome has committed.
    attempts: IdMap<MessageId, i32>,
    /// The tombstones in the order they were set, each with the number of the first read that cannot be misled.
    order: VecDeque<(u64, MessageId, i32)>,
    bound: usize,
}

impl Reads {
    pub fn new(bound: usize) -> Reads {
        Reads { next: 0, under_way: BTreeSet::new(), attempts: IdMap::default(), order: VecDeque::new(), bound }
    }

    pub fn begin(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.under_way.insert(number);
        number
    }

    pub fn end(&mut self, number: u64) {
        self.under_way.remove(&number);
        let oldest = self.under_way.first().copied().unwrap_or(self.next);
        while self.order.front().is_some_and(|(clear, ..)| *clear <= oldest) {
            self.drop_oldest();
        }
    }

    /// The outcome of this attempt has committed.
    pub fn bury(&mut self, id: MessageId, attempt: i32) {
        if self.under_way.is_empty() {
            return;
        }
        let highest = self.attempts.entry(id).or_insert(attempt);
        *highest = attempt.max(*highest);
        self.order.push_back((self.next, id, attempt));
        if self.order.len() > self.bound {
            self.drop_oldest();
        }
    }

    /// Whether a row that shows this attempt as still to be made is older than what is known.
    pub fn buried(&self, id: MessageId, attempt: i32) -> bool {
        !self.attempts.is_empty() && self.attempts.get(&id).is_some_and(|highest| attempt <= *highest)
    }

    pub fn tombstones(&self) -> usize {
        self.order.len()
    }

    fn drop_oldest(&mut self) {
        if let Some((_, id, attempt)) = self.order.pop_front()
            && self.attempts.get(&id).is_some_and(|highest| *highest <= attempt)
        {
            self.attempts.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: MessageId = MessageId(7);

    #[test]
    fn a_tombstone_lasts_until_every_read_that_began_before_it_has_ended() {
        let mut reads = Reads::new(10);
        let (first, second) = (reads.begin(), reads.begin());
        reads.bury(ID, 3);
        let third = reads.begin();
        assert!(reads.buried(ID, 3) && reads.buried(ID, 2) && !reads.buried(ID, 4));
        reads.end(second);
        assert!(reads.buried(ID, 3));
        reads.end(first);
        assert!(!reads.buried(ID, 3));
        assert_eq!(reads.tombstones(), 0);
        reads.end(third);
    }

    #[test]
    fn the_tombstone_of_a_later_attempt_outlives_that_of_an_earlier_one() {
        let mut reads = Reads::new(10);
        let first = reads.begin();
        reads.bury(ID, 0);
        let second = reads.begin();
        reads.bury(ID, 1);
        reads.end(first);
        assert!(reads.buried(ID, 1));
        reads.end(second);
        assert!(!reads.buried(ID, 1));
    }

    #[test]
    fn without_a_read_there_is_nothing_to_remember() {
        let mut reads = Reads::new(10);
        reads.bury(ID, 0);
        assert_eq!(reads.tombstones(), 0);
        assert!(!reads.buried(ID, 0));
    }

    #[test]
    fn a_read_that_never_ends_cannot_fill_the_memory() {
        let mut reads = Reads::new(2);
        let _endless = reads.begin();
        for id in 0..100 {
            reads.bury(MessageId(id), 0);
        }
        assert_eq!((reads.tombstones(), reads.attempts.len()), (2, 2));
        assert!(reads.buried(MessageId(99), 0) && !reads.buried(MessageId(97), 0));
    }
}
