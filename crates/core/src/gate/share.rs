//! A limited number of slots, shared so that no queue can take them all.
//!
//! The rule is the *dynamic threshold* of shared-memory switches (Choudhury and Hahne, "Dynamic Queue Length Thresholds
//! for Shared-Memory Packet Switches", IEEE/ACM Transactions on Networking 6(2), 1998): a queue may hold no more than a
//! fixed part of the slots that are free at that moment. With that part at one in `share`:
//!
//! - One queue that hangs ends with 1 in `share + 1` of all slots, and nobody has to be told which queues exist, hang or are
//!   fast: the threshold falls when many want slots, and rises again when they leave.
//! - Queues that begin to hang one after the other each take that part of what those before them left. A slot that is held
//!   is not taken away, so the share decides how many of them it takes until nothing is left: with a share of 1 ten are
//!   enough for 1,024 slots, with a share of 8 and 2,048 slots it takes fifty-one.
//! - The price is the part that stays free; it buys the start without waiting.
//!
//! Slots stand for memory, too: a message whose body is larger than [`BODY`] takes several. So all the bodies that are in flight
//! are bounded, and a queue of large ones has its share of that memory and no more.
//!
//! Pure arithmetic: the counts per queue are the caller's.

/// The bytes of a body that come with a slot.
pub const BODY: usize = 32 << 10;

/// The slots that a message with a body of so many bytes takes; at least 1.
#[must_use]
pub fn slots_of(body: usize) -> usize {
    body.div_ceil(BODY).max(1)
}

/// The slots of one worker and how many are taken.
#[derive(Debug, Clone)]
pub struct Gate {
    slots: usize,
    share: usize,
    taken: usize,
}

impl Gate {
    /// A gate with all its slots free, of which one queue may hold one in `share` (at least 1). With 0 slots nothing ever
    /// starts.
    #[must_use]
    pub fn new(slots: usize, share: usize) -> Gate {
        Gate { slots, share: share.max(1), taken: 0 }
    }

    /// The slots that are taken, over all queues.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// The slots that are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.slots.saturating_sub(self.taken)
    }

    /// Whether a queue that holds so many slots may take one more. A queue that holds none may whenever one is free.
    #[must_use]
    pub fn admits(&self, held: usize) -> bool {
        held.saturating_mul(self.share) < self.free()
    }

    /// Takes slots, whether they are free or not: what a message needs is known only once it has started.
    pub fn enter(&mut self, slots: usize) {
        self.taken += slots;
    }

    /// Gives slots back.
    pub fn leave(&mut self, slots: usize) {
        self.taken = self.taken.saturating_sub(slots);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets `queues` take slots in turn until none of them may take another.
    fn saturate(slots: usize, queues: usize) -> (Gate, Vec<usize>) {
        let mut gate = Gate::new(slots, 1);
        let mut held = vec![0; queues];
        loop {
            let before = gate.taken();
            for mine in &mut held {
                if gate.admits(*mine) {
                    gate.enter(1);
                    *mine += 1;
                }
            }
            if gate.taken() == before {
                return (gate, held);
            }
        }
    }

    #[test]
    fn one_hanging_queue_takes_half_two_a_third_each() {
        assert_eq!(saturate(1024, 1).1, [512]);
        assert_eq!(saturate(1024, 2).1, [342, 341]);
        assert_eq!(saturate(1024, 3).1, [256, 256, 256]);
    }

    #[test]
    fn a_newcomer_finds_room_beside_hanging_queues() {
        for queues in 1..100 {
            let (gate, _) = saturate(1024, queues);
            assert!(gate.admits(0), "{queues} hanging queues");
        }
    }

    #[test]
    fn queues_that_begin_to_hang_one_after_the_other_leave_room_for_long() {
        let last = |slots, share| {
            let mut gate = Gate::new(slots, share);
            (1..).find(|_| {
                let mut held = 0;
                while gate.admits(held) {
                    gate.enter(1);
                    held += 1;
                }
                gate.free() == 0
            })
        };
        assert_eq!(last(1024, 1), Some(11));
        assert_eq!(last(2048, 8), Some(51));
    }

    #[test]
    fn a_queue_that_came_first_does_not_keep_what_it_no_longer_may_hold() {
        let (mut gate, held) = saturate(100, 1);
        assert_eq!(held, [50]);
        // A second queue takes some; now the first is over its share and must wait until its own fall below what is free.
        for _ in 0..20 {
            gate.enter(1);
        }
        assert!(!gate.admits(50) && !gate.admits(30) && gate.admits(29));
        gate.leave(1);
        assert!(gate.admits(30));
    }

    #[test]
    fn the_last_slot_goes_to_a_queue_that_holds_none() {
        let mut gate = Gate::new(1, 8);
        assert!(gate.admits(0) && !gate.admits(1));
        gate.enter(1);
        assert!(!gate.admits(0));
        gate.leave(1);
        assert_eq!((gate.free(), gate.taken()), (1, 0));
        assert!(!Gate::new(0, 1).admits(0));
    }

    #[test]
    fn a_body_takes_the_slots_of_its_memory() {
        assert_eq!([0, 1, BODY, BODY + 1, 10 * BODY].map(slots_of), [1, 1, 1, 2, 10]);
        let mut gate = Gate::new(10, 1);
        gate.enter(12);
        assert!(gate.free() == 0 && !gate.admits(0), "more than there is: nothing else starts");
        gate.leave(12);
        assert_eq!((gate.free(), gate.taken()), (10, 0));
    }
}
