//! Reading windows further, and merging what was read.

use super::joining::Source;
use super::state::{EVERYTHING, NOTHING, Reading, Want};
use super::{Refill, Row, Windows};
use crate::time::Timestamp;

/// How long before it may be needed a window is read further. Longer than a read takes at its worst and than the caller
/// lets pass between two calls; short enough that what is due tomorrow takes no room today.
const SOON_MICROS: i64 = 30_000_000;

/// How many rows the first read of a window asks for: enough to see whether anything is due soon.
const FIRST: usize = 100;

impl Windows {
    /// The next refills, at most `max`: of windows that ran low and have something unread that may be due soon, in turn.
    pub fn next_refills(&mut self, now: Timestamp, max: usize) -> Vec<Refill> {
        self.now = self.now.max(now);
        while let Some(&(at, window)) = self.wants.first()
            && at <= self.horizon()
        {
            self.wants.pop_first();
            let of = &mut self.windows[window];
            of.want = Want::Soon;
            self.wanting.push_back((window, of.serial));
        }
        let mut refills = Vec::new();
        while refills.len() < max
            && let Some((window, serial)) = self.wanting.pop_front()
        {
            if self.windows[window].serial != serial {
                continue;
            }
            self.windows[window].want = Want::No;
            if self.ran_low(window) {
                refills.push(self.refill(window));
            }
        }
        refills
    }

    /// When `next_refills` will have something, as far as is known; in the past if it has.
    #[must_use]
    pub fn next_refill(&self) -> Option<Timestamp> {
        if !self.wanting.is_empty() {
            return Some(Timestamp::MIN);
        }
        self.wants.first().map(|(at, _)| Timestamp(at.0.saturating_sub(SOON_MICROS)))
    }

    /// The rows that a refill has shown. `exhausted`: there were none beyond them when it was read, that is, fewer came
    /// than its limit. Ignored if its shard was released since.
    pub fn refilled(&mut self, refill: Refill, rows: &[Row], exhausted: bool) {
        let Some(window) = self.window_reading(&refill) else {
            return;
        };
        let of = &mut self.windows[window];
        // If the tail has fallen since, there is a gap before these rows; they will be read again.
        if of.tail == refill.after.unwrap_or(NOTHING)
            && let Some(reading) = &of.reading
        {
            let last = rows.iter().map(Row::key).max();
            let reached = if exhausted { EVERYTHING } else { last.unwrap_or(of.tail) };
            of.tail = reached.min(reading.bound());
            for row in rows {
                if row.key() <= self.windows[window].tail {
                    self.admit(*row, Source::Other);
                }
            }
        }
        self.end_refill(window);
        self.let_follow();
    }

    /// A refill failed; its window will be read again.
    pub fn refill_failed(&mut self, refill: Refill) {
        if let Some(window) = self.window_reading(&refill) {
            self.end_refill(window);
            self.let_follow();
        }
    }

    /// What is due by then is due soon.
    pub(super) fn horizon(&self) -> Timestamp {
        Timestamp(self.now.0.saturating_add(SOON_MICROS))
    }

    /// Whether a window should be read further: it can be, is not being, its queue is not paused, and it is at most half of
    /// what it may be.
    pub(super) fn ran_low(&self, window: usize) -> bool {
        let of = &self.windows[window];
        of.tail != EVERYTHING && of.reading.is_none() && !self.rests(window) && of.len() <= self.target(window) / 2
    }

    /// How many keys a window may hold now: its share at least, and what others leave.
    fn target(&self, window: usize) -> usize {
        let free = self.ceiling().saturating_sub(self.keys);
        (self.windows[window].len() + free).max(self.share()).min(self.limits.window)
    }

    /// Hands out a refill of a window that ran low.
    fn refill(&mut self, window: usize) -> Refill {
        let of = &self.windows[window];
        let after = (of.tail != NOTHING).then_some(of.tail);
        let most = if after.is_none() { FIRST } else { usize::MAX };
        let len = of.len();
        self.make_room_for_refill(window, most.min(self.limits.window - len));
        let limit = most.min(self.target(window) - len);
        let of = &mut self.windows[window];
        let number = self.reads.begin();
        of.reading = Some(Box::new(Reading { number, limit, aside: Default::default(), dropped: None }));
        Refill { shard: of.shard, queue: of.queue, priority: of.priority, after, limit, number }
    }

    /// The window for which this refill is under way.
    fn window_reading(&self, refill: &Refill) -> Option<usize> {
        let window = *self.shards.get(&refill.shard)?.windows.get(&(refill.queue, refill.priority))?;
        let reading = self.windows[window].reading.as_ref()?;
        (reading.number == refill.number).then_some(window)
    }

    /// Judges what was set aside by the tail as it is now: what is still beyond it is left for the next refill.
    fn end_refill(&mut self, window: usize) {
        let Some(reading) = self.windows[window].reading.take() else {
            return;
        };
        self.aside -= reading.aside.len();
        for (_, id) in reading.aside {
            if let Some(known) = self.known.remove(&id) {
                self.place(known.row(id, &self.windows[window]));
            }
        }
        self.reads.end(reading.number);
        self.settle(window);
    }
}
