//! A worker of the model: `Windows`, and what is on its way between it and the database. Every read is taken at one moment
//! and passed on at another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use posthaste_core::ids::{MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use posthaste_core::window::{Band, Limits, Read, Refill, Row, Start, Windows};

use super::database::Database;

/// Queues that one step of discovery reads.
const STEP: usize = 2;

/// How a delivery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Final,
    Retry {
        due: Timestamp,
    },
    /// Not a delivery: the row's shard was no longer right, its owner moves it.
    Move {
        to: Shard,
    },
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Finished(MessageId, i32),
    Refused(Start),
}

pub struct Worker {
    pub windows: Windows,
    limits: Limits,
    /// Whether there ever were as many held and cancelled messages as fit beside the windows. More delay what is behind
    /// them until their holds end.
    pub crowded: bool,
    /// Up to where the log has been read.
    position: usize,
    arrivals: Option<(Read, VecDeque<Row>, usize)>,
    steps: VecDeque<(Shard, Option<Band>, Option<Vec<Band>>)>,
    refills: Vec<(Refill, Option<Vec<Row>>)>,
    to_reread: VecDeque<Start>,
    rereads: VecDeque<(Read, Option<Row>)>,
    pub started: VecDeque<Start>,
    pub sending: Vec<Start>,
    answers: VecDeque<Answer>,
    /// What the windows were told of and not told to have ended, and what they were told to have ended.
    flying: BTreeMap<MessageId, (i32, Shard)>,
    finished: BTreeSet<(MessageId, i32)>,
    shown: BTreeMap<MessageId, Vec<Row>>,
    /// The queues that the windows were told to be paused.
    paused: BTreeSet<QueueId>,
}

impl Worker {
    pub fn new(limits: Limits) -> Worker {
        Worker {
            windows: Windows::new(limits),
            limits,
            crowded: false,
            position: 0,
            arrivals: None,
            steps: VecDeque::new(),
            refills: Vec::new(),
            to_reread: VecDeque::new(),
            rereads: VecDeque::new(),
            started: VecDeque::new(),
            sending: Vec::new(),
            answers: VecDeque::new(),
            flying: BTreeMap::new(),
            finished: BTreeSet::new(),
            shown: BTreeMap::new(),
            paused: BTreeSet::new(),
        }
    }

    fn show(&mut self, row: Row) {
        self.shown.entry(row.id).or_default().push(row);
    }

    /// Takes the snapshot of a read of arrivals, unless one is under way.
    pub fn send_arrivals(&mut self, db: &Database, owned: &[Shard]) -> bool {
        if self.arrivals.is_some() || self.position == db.log.len() {
            return false;
        }
        let rows = db.arrivals(self.position, owned).into();
        self.arrivals = Some((self.windows.begin_read(), rows, db.log.len()));
        true
    }

    /// Passes on up to `count` of the rows that arrived; after the last one the snapshot is adopted.
    pub fn receive_arrivals(&mut self, count: usize) -> bool {
        let Some((read, mut rows, position)) = self.arrivals.take() else {
            return false;
        };
        for _ in 0..count {
            let Some(row) = rows.pop_front() else {
                self.windows.end_read(read);
                self.position = position;
                self.check();
                return true;
            };
            self.show(row);
            self.windows.arrive(row);
        }
        self.arrivals = Some((read, rows, position));
        self.check();
        true
    }

    /// Hands out, sends or answers a step of discovery, whatever is next.
    pub fn discover(&mut self, db: &Database, fails: bool) -> bool {
        match self.steps.pop_front() {
            None => {
                let steps = self.windows.next_discovery(2);
                self.steps.extend(steps.into_iter().map(|(shard, after)| (shard, after, None)));
                !self.steps.is_empty()
            }
            Some((shard, after, None)) => {
                self.steps.push_front((shard, after, Some(db.bands(shard, after, STEP))));
                true
            }
            Some((shard, ..)) if fails => {
                self.windows.discovery_failed(shard);
                true
            }
            Some((shard, _, Some(bands))) => {
                self.windows.discovered(shard, &bands, bands.len() < STEP);
                true
            }
        }
    }

    pub fn hand_out_refills(&mut self, now: Timestamp, max: usize) -> bool {
        let refills = self.windows.next_refills(now, max);
        let some = !refills.is_empty();
        self.refills.extend(refills.into_iter().map(|refill| (refill, None)));
        some
    }

    /// Takes the snapshot of a refill that was handed out.
    pub fn send_refill(&mut self, db: &Database, pick: usize) -> bool {
        let mut unsent: Vec<_> = self.refills.iter_mut().filter(|(_, rows)| rows.is_none()).collect();
        if unsent.is_empty() {
            return false;
        }
        let pick = pick % unsent.len();
        let (refill, rows) = &mut *unsent[pick];
        *rows = Some(db.read(refill));
        true
    }

    /// Merges a refill that was sent, or lets it fail.
    pub fn receive_refill(&mut self, pick: usize, fails: bool) -> bool {
        if self.refills.is_empty() {
            return false;
        }
        let pick = pick % self.refills.len();
        if !fails && self.refills[pick].1.is_none() {
            return false;
        }
        match self.refills.swap_remove(pick) {
            (refill, Some(rows)) if !fails => {
                rows.iter().for_each(|row| self.show(*row));
                let exhausted = rows.len() < refill.limit;
                self.windows.refilled(refill, &rows, exhausted);
            }
            (refill, _) => self.windows.refill_failed(refill),
        }
        self.check();
        true
    }

    /// Reads by id.
    pub fn send_reread(&mut self, db: &Database) -> bool {
        let Some(start) = self.to_reread.pop_front() else {
            return false;
        };
        let row = db.rows.get(&start.id).copied();
        self.rereads.push_back((self.windows.begin_read(), row));
        true
    }

    pub fn receive_reread(&mut self) -> bool {
        let Some((read, row)) = self.rereads.pop_front() else {
            return false;
        };
        if let Some(row) = row {
            self.show(row);
            self.windows.reread(row);
        }
        self.windows.end_read(read);
        self.check();
        true
    }

    /// Looks for what a former owner was sending: that it has ended does not arrive.
    pub fn look_for_held(&mut self, db: &Database) -> bool {
        let held = self.windows.held(100).into_iter();
        let ended: Vec<_> = held.filter(|(id, attempt)| db.pending(*id, *attempt).is_none()).collect();
        for (id, attempt) in &ended {
            self.windows.finished(*id, *attempt);
        }
        self.check();
        !ended.is_empty()
    }

    /// Reads which queues are paused.
    pub fn read_paused(&mut self, db: &Database) -> bool {
        let news = self.paused != db.paused;
        self.paused = db.paused.clone();
        self.windows.set_paused(&self.paused);
        self.check();
        news
    }

    /// Starts, and checks each start against what the windows have been told.
    pub fn start(&mut self, now: Timestamp, max: usize) -> bool {
        let starts = self.windows.start(now, max);
        for start in &starts {
            assert!(self.windows.owns(start.shard), "{start:?} of a shard that is not owned");
            assert!(start.cancelled || !self.paused.contains(&start.queue), "{start:?} of a paused queue");
            let before = self.flying.insert(start.id, (start.attempt, start.shard));
            assert_eq!(before, None, "{start:?} is in flight");
            assert!(!self.finished.contains(&(start.id, start.attempt)), "{start:?} is finished");
            let shown = self.shown.get(&start.id).map(Vec::as_slice).unwrap_or_default();
            let as_shown = |row: &Row| {
                (row.queue, row.shard, row.attempt, row.cancelled)
                    == (start.queue, start.shard, start.attempt, start.cancelled)
                    && row.held_until.is_none_or(|until| until <= now)
                    && (row.cancelled || row.due <= now)
            };
            assert!(shown.iter().any(as_shown), "{start:?} at {now:?} was never shown so: {shown:?}");
        }
        let some = !starts.is_empty();
        self.started.extend(starts);
        some
    }

    /// The next start is looked up in the database, and claimed if it has an ordering key: true if it may be sent. Otherwise it is given
    /// up and read again, or the one of its ordering key that precedes it.
    pub fn verify(&mut self, db: &mut Database, now: Timestamp, until: Timestamp, owned: &[Shard]) -> Option<Start> {
        let start = self.started.pop_front()?;
        let row = db.pending(start.id, start.attempt);
        let good = row.is_some_and(|row| {
            owned.contains(&row.shard)
                && row.shard == start.shard
                && row.cancelled == start.cancelled
                && row.held_until.is_none_or(|until| until <= now)
                && (row.cancelled || row.due <= now)
        });
        if let Some(row) = row.filter(|_| good && !start.cancelled) {
            if let Some(id) = db.precedes(&row) {
                self.forget(start);
                // It may have been left out of memory because this one was in flight.
                self.to_reread.push_back(Start { id, ..start });
                return None;
            }
            if let Some(until) = db.other_is_sent_until(&row, now) {
                self.forget(start);
                let row = Row { held_until: Some(until), ..row };
                self.show(row);
                self.windows.reread(row);
                self.check();
                return None;
            }
        }
        if good && (start.cancelled || !db.paused.contains(&start.queue)) {
            if start.key.is_some() && !start.cancelled {
                db.update(start.id, |row| row.held_until = Some(until));
            }
            self.sending.push(start);
            return Some(start);
        }
        if let Some(row) = row.filter(|_| good) {
            // Paused since the last look: it goes back as it is, and its queue is not tried again.
            self.paused.insert(start.queue);
            self.windows.pause(start.queue);
            self.forget(start);
            self.show(row);
            self.windows.reread(row);
            self.check();
            return None;
        }
        self.give_up(start);
        None
    }

    fn give_up(&mut self, start: Start) {
        self.forget(start);
        self.to_reread.push_back(start);
    }

    fn forget(&mut self, Start { id, attempt, .. }: Start) {
        if self.flying.get(&id).is_some_and(|(flying, _)| *flying == attempt) {
            self.flying.remove(&id);
        }
        self.windows.forget(id, attempt);
        self.check();
    }

    /// Commits the outcome of something that is being sent, through the fence of `(id, attempt)`. Answers whether the
    /// message has ended.
    pub fn commit(&mut self, db: &mut Database, pick: usize, ending: Ending) -> bool {
        let start = self.sending.swap_remove(pick);
        let (id, attempt) = (start.id, start.attempt);
        if db.pending(id, attempt).is_none() {
            self.answers.push_back(Answer::Refused(start));
            return false;
        }
        match ending {
            Ending::Final => {
                db.rows.remove(&id);
                db.touch(start.queue, start.key);
                self.answers.push_back(Answer::Finished(id, attempt));
            }
            Ending::Retry { due } => {
                let next = |row: &mut Row| (row.attempt, row.due, row.held_until) = (attempt + 1, due, None);
                db.update(id, next);
                db.touch(start.queue, start.key);
                self.answers.push_back(Answer::Finished(id, attempt));
            }
            Ending::Move { to } => {
                db.update(id, |row| row.shard = to);
                self.answers.push_back(Answer::Refused(start));
            }
        }
        ending == Ending::Final
    }

    /// Tells the windows what became of an outcome.
    pub fn receive_answer(&mut self) -> bool {
        match self.answers.pop_front() {
            Some(Answer::Finished(id, attempt)) => {
                self.flying.remove(&id);
                self.finished.insert((id, attempt));
                self.windows.finished(id, attempt);
            }
            Some(Answer::Refused(start)) => self.give_up(start),
            None => return false,
        }
        self.check();
        true
    }

    pub fn release(&mut self, shard: Shard, drops_answers: bool) -> Vec<(MessageId, i32)> {
        let mut released = self.windows.release(shard);
        released.sort();
        let flying = self.flying.iter().filter(|(_, (_, of))| *of == shard);
        let flying: Vec<_> = flying.map(|(id, (attempt, _))| (*id, *attempt)).collect();
        assert_eq!(released, flying, "in flight in a released shard");
        if drops_answers {
            self.steps.retain(|(of, ..)| *of != shard);
            self.refills.retain(|(refill, _)| refill.shard != shard);
        }
        released
    }

    /// Reads of a former tenure end before a shard is taken again.
    pub fn take(&mut self, shard: Shard) {
        while self.arrivals.is_some() {
            self.receive_arrivals(100);
        }
        while self.receive_reread() {}
        self.windows.take(shard);
    }

    /// What holds at every moment.
    pub fn check(&mut self) {
        let Limits { window, budget, slots, share: _, opening: _ } = self.limits;
        let loose = (budget / 4).max(slots);
        let windows = &self.windows;
        assert!(windows.keys() <= budget + windows.windows(), "{} keys", windows.keys());
        assert!(windows.set_aside() <= self.refills.len() * window, "{} set aside", windows.set_aside());
        assert!(windows.loose() <= loose, "{} loose", windows.loose());
        self.crowded |= windows.loose() == loose;
        assert!(windows.in_flight() <= slots, "{} in flight", windows.in_flight());
        assert!(self.flying.len() <= 2 * slots, "{} flying", self.flying.len());
        if self.refills.is_empty() && self.rereads.is_empty() && self.arrivals.is_none() {
            assert_eq!(windows.tombstones(), 0, "tombstones without a read");
            assert_eq!(windows.set_aside(), 0, "set aside without a refill");
        }
    }
}
