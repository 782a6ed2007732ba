//! Who may start now: a limited number of slots, shared so that no queue can take them all.
//!
//! The rule is the *dynamic threshold* of shared-memory switches (Choudhury and Hahne, "Dynamic Queue Length Thresholds
//! for Shared-Memory Packet Switches", IEEE/ACM Transactions on Networking 6(2), 1998) with its factor at 1: a queue may
//! hold no more slots than are free. What it gives:
//!
//! - One queue that hangs ends with half of the slots; two end with a third each, n with 1/(n + 1) each. The same share
//!   stays free, so a queue that holds nothing can start at once: there is always room for the others.
//! - Nobody has to be told which queues exist, hang or are fast. The threshold follows from what is free at the moment,
//!   falls when many want slots, and rises again when they leave.
//! - The price is the share that stays free; it buys the start without waiting.
//!
//! Pure arithmetic: the counts per queue are the caller's.

/// The slots of one worker and how many are taken.
#[derive(Debug, Clone)]
pub struct Gate {
    slots: usize,
    taken: usize,
}

impl Gate {
    /// A gate with all its slots free. With 0 slots nothing ever starts.
    #[must_use]
    pub fn new(slots: usize) -> Gate {
        Gate { slots, taken: 0 }
    }

    /// The slots that are taken, over all queues.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// The slots that are free; also what one queue may hold at most at this moment.
    #[must_use]
    pub fn free(&self) -> usize {
        self.slots.saturating_sub(self.taken)
    }

    /// Whether a queue that holds `in_flight` slots may take one more. A queue that holds none may whenever one is free.
    #[must_use]
    pub fn admits(&self, in_flight: usize) -> bool {
        in_flight < self.free()
    }

    /// Takes a slot.
    pub fn enter(&mut self) {
        self.taken += 1;
    }

    /// Gives a slot back.
    pub fn leave(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets `queues` take slots in turn until none of them may take another.
    fn saturate(slots: usize, queues: usize) -> (Gate, Vec<usize>) {
        let mut gate = Gate::new(slots);
        let mut held = vec![0; queues];
        loop {
            let before = gate.taken();
            for mine in &mut held {
                if gate.admits(*mine) {
                    gate.enter();
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
    fn a_queue_that_came_first_does_not_keep_what_it_no_longer_may_hold() {
        let (mut gate, held) = saturate(100, 1);
        assert_eq!(held, [50]);
        // A second queue takes some; now the first is over its share and must wait until its own fall below what is free.
        for _ in 0..20 {
            gate.enter();
        }
        assert!(!gate.admits(50) && !gate.admits(30) && gate.admits(29));
        gate.leave();
        assert!(gate.admits(30));
    }

    #[test]
    fn the_last_slot_goes_to_a_queue_that_holds_none() {
        let mut gate = Gate::new(1);
        assert!(gate.admits(0) && !gate.admits(1));
        gate.enter();
        assert!(!gate.admits(0));
        gate.leave();
        assert_eq!((gate.free(), gate.taken()), (1, 0));
        assert!(!Gate::new(0).admits(0));
    }
}
