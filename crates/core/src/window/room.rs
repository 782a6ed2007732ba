//! Bounded memory: whose keys go when there are too many.
//!
//! A window never holds more than its cap, and all together no more than the budget and one for each. Whoever wants room
//! takes it first from windows that sleep, those with nothing due soon or paused, which need no more than their next key; then from
//! what is over its share. The others are looked at a few at a time, where a cursor stands, so that what it costs does not
//! grow with their number.

use super::Windows;

/// How many others are looked at when a window grows, before one that is over its share gives up its own.
const PROBES: usize = 8;

/// How many others are looked at before a window is read further.
const PROBES_FOR_REFILL: usize = 64;

impl Windows {
    /// Keys that all windows may hold together: the budget, and one for each, so that many that sleep, each with its next
    /// key, leave the budget to those that are awake.
    pub(super) fn ceiling(&self) -> usize {
        self.limits.budget + self.windows()
    }

    /// Keys that any window may hold, however many the others have.
    pub(super) fn share(&self) -> usize {
        1 + self.limits.budget / self.windows().max(1)
    }

    /// Held and cancelled rows that may be kept outside the windows.
    pub(super) fn most_loose(&self) -> usize {
        (self.limits.budget / 4).max(self.limits.slots)
    }

    /// Keeps a window that grew within its cap, and all of them within the ceiling.
    pub(super) fn make_room(&mut self, window: usize) {
        while self.windows[window].len() > self.limits.window {
            self.evict(window);
        }
        for _ in 0..PROBES {
            if self.fits(0) {
                return;
            }
            self.trim_next(window);
        }
        while !self.fits(0) && self.windows[window].len() > self.share() {
            self.evict(window);
        }
        // It is within its share, so another is not.
        self.trim(window);
    }

    /// Lets windows other than this one give up keys until all are within the ceiling.
    pub(super) fn trim(&mut self, except: usize) {
        while !self.fits(0) {
            self.trim_next(except);
        }
    }

    /// Lets windows that sleep give up keys, so that this one can be read further.
    pub(super) fn make_room_for_refill(&mut self, window: usize, rows: usize) {
        for _ in 0..PROBES_FOR_REFILL {
            if self.fits(rows) {
                return;
            }
            let other = self.next_other();
            if other != window && self.sleeps(other) {
                self.shrink(other, 1, rows);
            }
        }
    }

    fn trim_next(&mut self, except: usize) {
        let other = self.next_other();
        if other != except {
            let floor = if self.sleeps(other) { 1 } else { self.share() };
            self.shrink(other, floor, 0);
        }
    }

    /// Whether that many more keys are within the ceiling.
    fn fits(&self, more: usize) -> bool {
        self.keys + more <= self.ceiling()
    }

    /// Whether nothing that the window holds starts soon.
    fn sleeps(&self, window: usize) -> bool {
        self.rests(window) || self.windows[window].first().is_some_and(|(due, _)| due > self.horizon())
    }

    /// The window after the cursor; it may be vacant.
    fn next_other(&mut self) -> usize {
        self.cursor = if self.cursor + 1 < self.windows.len() { self.cursor + 1 } else { 0 };
        self.cursor
    }

    /// Gives up a window's greatest keys, as far as is needed for that many more to fit and down to the floor.
    fn shrink(&mut self, window: usize, floor: usize, more: usize) {
        let before = self.keys;
        while !self.fits(more) && self.windows[window].len() > floor {
            self.evict(window);
        }
        if self.keys < before {
            self.settle(window);
        }
    }

    /// Gives up the greatest key of a window that holds more than one.
    fn evict(&mut self, window: usize) {
        if let Some((_, id)) = self.windows[window].last() {
            let following = self.following.len();
            self.remove(id);
            // What waits behind it is after it in the table too, and comes when it has ended.
            self.following.truncate(following);
        }
        if let Some(last) = self.windows[window].last() {
            self.windows[window].tail = last;
        }
    }
}
