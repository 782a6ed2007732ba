//! How rows come into memory, and where they are kept.

use super::state::{Known, Place, Wake, Want};
use super::{Row, Windows};
use crate::ids::{MessageId, Shard};

/// What showed a row; see the module `window`, "Which version of a row counts".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Arrivals,
    /// A refill or a read by id: may be older than an arrival that was seen.
    Other,
}

impl Windows {
    /// A row that the read of arrivals has shown: inserted or changed.
    pub fn arrive(&mut self, row: Row) {
        self.admit(row, Source::Arrivals);
        self.let_follow();
    }

    /// A row as it was read by id, after `forget`. If it is beyond the tail it is left for the refill.
    pub fn reread(&mut self, row: Row) {
        self.admit(row, Source::Other);
        self.let_follow();
    }

    /// Takes in a row if it says something new.
    pub(super) fn admit(&mut self, row: Row, source: Source) {
        if !self.owns(row.shard) {
            return;
        }
        if let Some(flight) = self.flights.get_mut(&row.id) {
            let seen = flight.next.map_or(flight.attempt, |next| next.attempt);
            let another_version = flight.next.is_some() && source == Source::Arrivals && row.attempt == seen;
            if row.attempt > seen || another_version {
                flight.next = Some(row);
            }
            return;
        }
        if self.reads.buried(row.id, row.attempt) {
            return;
        }
        if let Some(known) = self.known.get(&row.id) {
            let (window, same) = (known.window, row.attempt == known.attempt);
            if row.attempt < known.attempt || same && source == Source::Other {
                return;
            }
            self.remove(row.id);
            self.settle(window);
        }
        self.place(row);
    }

    /// Finds the place of a row that is not in memory, which may be none.
    pub(super) fn place(&mut self, row: Row) {
        let row = Row { held_until: row.held_until.filter(|until| *until > self.now), ..row };
        if self.stands_behind(&row) {
            return;
        }
        let Some(window) = self.window_of(row.shard, row.band()) else {
            return;
        };
        let within = row.key() <= self.windows[window].tail;
        // What a former owner is sending counts for its queue's limits, wherever in the backlog it stands.
        let needs_no_room = row.cancelled || row.held_until.is_some();
        if needs_no_room && self.loose.len() < self.most_loose() {
            self.put(window, row, Place::Loose);
        } else if within {
            let place = if row.held_until.is_some() { Place::Held } else { Place::Waiting };
            self.put(window, row, place);
            self.make_room(window);
        } else {
            self.set_aside_row(window, row);
        }
        self.settle(window);
    }

    pub(super) fn put(&mut self, window: usize, row: Row, place: Place) {
        let known = Known {
            window,
            due: row.due,
            attempt: row.attempt,
            held_until: row.held_until,
            cancelled: row.cancelled,
            key: row.key,
            place,
        };
        self.known.insert(row.id, known);
        let of = &mut self.windows[window];
        match place {
            Place::Waiting => {
                of.waiting_of(row.attempt).insert(row.key());
                self.keys += 1;
            }
            Place::Held => {
                of.held.insert(row.key());
                self.keys += 1;
            }
            Place::Loose => {
                of.loose += 1;
                self.loose.insert(row.id);
            }
            // Neither starts nor wakes: it is only remembered.
            Place::Aside => {
                self.aside += 1;
                return;
            }
        }
        self.crown(row.id, row.queue, row.key);
        match known.hold_ends() {
            Some(ends) => {
                self.holds.insert((ends, row.id));
                self.queues.begun_elsewhere(self.windows[window].lane);
            }
            None if row.cancelled => {
                self.cancelled.insert(row.id);
            }
            None => {}
        }
    }

    /// Takes a row out of memory, wherever it is. Its window is to be settled.
    pub(super) fn remove(&mut self, id: MessageId) -> Option<Row> {
        let known = self.known.remove(&id)?;
        let key = (known.due, id);
        let of = &mut self.windows[known.window];
        match known.place {
            Place::Waiting => {
                of.waiting_of(known.attempt).remove(&key);
                self.keys -= 1;
            }
            Place::Held => {
                of.held.remove(&key);
                self.keys -= 1;
            }
            Place::Loose => {
                of.loose -= 1;
                self.loose.remove(&id);
            }
            Place::Aside => {
                if let Some(reading) = &mut of.reading {
                    reading.aside.remove(&key);
                }
                self.aside -= 1;
            }
        }
        let of = &self.windows[known.window];
        let (lane, queue) = (of.lane, of.queue);
        if known.place != Place::Aside && known.hold_ends().is_some() {
            self.queues.ended_elsewhere(lane, 1);
        }
        self.unschedule(id, queue, &known);
        Some(known.row(id, &self.windows[known.window]))
    }

    /// Beyond the tail: left for the refill, unless one is under way that may have been read too early to show it. Of more
    /// than that refill can bring only the smallest are kept.
    fn set_aside_row(&mut self, window: usize, row: Row) {
        let Some(reading) = &mut self.windows[window].reading else {
            return;
        };
        if reading.dropped.is_some_and(|dropped| row.key() >= dropped) {
            return;
        }
        reading.aside.insert(row.key());
        let over = if reading.aside.len() > reading.limit { reading.aside.pop_last() } else { None };
        reading.dropped = over.or(reading.dropped);
        self.put(window, row, Place::Aside);
        if let Some((_, id)) = over {
            self.known.remove(&id);
            self.aside -= 1;
        }
    }

    /// Brings a window's alarm and its want of a refill up to date after any change; or closes it, if it says no more than
    /// none would.
    pub(super) fn settle(&mut self, window: usize) {
        let of = &self.windows[window];
        if of.is_spent() && self.is_discovered(of.shard) {
            let (shard, band) = (of.shard, (of.queue, of.priority));
            if let Some(tenure) = self.shards.get_mut(&shard) {
                tenure.windows.remove(&band);
            }
            return self.close(window);
        }
        let wake = match of.first_waiting() {
            _ if of.wake == Wake::Ready => Wake::Ready,
            _ if self.rests(window) => Wake::Idle,
            Some((due, _)) => Wake::At(due),
            None => Wake::Idle,
        };
        if wake != of.wake {
            let before = std::mem::replace(&mut self.windows[window].wake, wake);
            if let Wake::At(at) = before {
                self.alarms.remove(&(at, window));
            }
            if let Wake::At(at) = wake {
                self.alarms.insert((at, window));
            }
        }
        self.settle_want(window);
    }

    fn settle_want(&mut self, window: usize) {
        let of = &self.windows[window];
        let want = match of.want {
            // In line already; whether it still needs it is seen when its turn comes.
            Want::Soon => return,
            _ if self.ran_low(window) => Want::Later(of.tail.0),
            _ => Want::No,
        };
        if want != of.want {
            let before = std::mem::replace(&mut self.windows[window].want, want);
            if let Want::Later(at) = before {
                self.wants.remove(&(at, window));
            }
            if let Want::Later(at) = want {
                self.wants.insert((at, window));
            }
        }
    }

    fn is_discovered(&self, shard: Shard) -> bool {
        self.shards.get(&shard).is_some_and(|tenure| tenure.complete)
    }
}
