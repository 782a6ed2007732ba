//! A model of Posthaste around `Windows`: a database, two workers between which shards move, and time.
//!
//! It asserts as it goes: what may start, what memory holds, that each attempt is delivered once and none of a paused queue, and of
//! an ordering key one at a time;
//! and when the world comes to rest, that nothing which may be delivered is left, that the windows would wake their caller
//! in time for the rest, and that they do not wake it for what is paused.

pub mod database;
pub mod worker;

use std::collections::BTreeSet;

use posthaste_core::ids::{MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use posthaste_core::window::{Limits, Row, Start};

use self::database::{Change, Database};
use self::worker::{Ending, Worker};

/// The unit of time: windows are read further three of them ahead.
const UNIT: i64 = 10_000_000;
const SHARDS: [Shard; 3] = [Shard(0), Shard(1), Shard(2)];
const QUEUES: [QueueId; 3] = [QueueId(0), QueueId(1), QueueId(2)];

pub struct World {
    pub db: Database,
    pub workers: [Worker; 2],
    /// Which worker owns each shard.
    owners: [usize; SHARDS.len()],
    pub now: Timestamp,
    /// Which attempts were delivered, and how many messages have ended.
    delivered: BTreeSet<(MessageId, i32)>,
    ended: usize,
}

impl World {
    pub fn new(limits: Limits) -> World {
        let mut world = World {
            db: Database::default(),
            workers: [Worker::new(limits), Worker::new(limits)],
            owners: [0; SHARDS.len()],
            now: Timestamp(0),
            delivered: BTreeSet::new(),
            ended: 0,
        };
        for shard in SHARDS {
            world.workers[0].take(shard);
        }
        world
    }

    pub fn in_units(&self, units: i64) -> Timestamp {
        Timestamp(self.now.0 + units * UNIT)
    }

    pub fn owned(&self, worker: usize) -> Vec<Shard> {
        SHARDS.into_iter().zip(self.owners).filter(|(_, owner)| *owner == worker).map(|(shard, _)| shard).collect()
    }

    pub fn insertion(&mut self, place: usize, due: Timestamp) -> Change {
        let queue = QUEUES[place % QUEUES.len()];
        // A third have one of two ordering keys; those of one key are in one shard.
        let key = place.is_multiple_of(3).then(|| i64::from(place.is_multiple_of(2)));
        let shard = key.map_or(place / QUEUES.len(), |key| usize::from(key > 0));
        Change::Insert(Row {
            id: self.db.next_id(),
            queue,
            shard: SHARDS[shard % SHARDS.len()],
            due,
            attempt: 0,
            held_until: None,
            cancelled: false,
            priority: if place.is_multiple_of(4) { 3 } else { 0 },
            key,
        })
    }

    /// Some message that has not ended.
    pub fn some_message(&self, pick: usize) -> Option<MessageId> {
        self.db.rows.keys().nth(pick % self.db.rows.len().max(1)).copied()
    }

    /// Pauses a queue, or resumes it if it is paused.
    pub fn pause_or_resume(&mut self, place: usize) {
        let queue = QUEUES[place % QUEUES.len()];
        if !self.db.paused.remove(&queue) {
            self.db.paused.insert(queue);
        }
    }

    pub fn verify(&mut self, worker: usize) -> bool {
        let owned = self.owned(worker);
        let some = !self.workers[worker].started.is_empty();
        // A claim outlasts what it was set for.
        let until = self.in_units(5);
        if let Some(sent) = self.workers[worker].verify(&mut self.db, self.now, until, &owned) {
            let of_key = |other: &&Start| sent.key.is_some() && (other.queue, other.key) == (sent.queue, sent.key);
            let sending = self.workers.iter().flat_map(|worker| &worker.sending).filter(of_key);
            let others: Vec<&Start> =
                sending.filter(|other| !other.cancelled && !sent.cancelled && other.id != sent.id).collect();
            assert!(others.is_empty(), "{sent:?} beside {others:?} of its ordering key");
            assert!(
                sent.cancelled || !self.db.paused.contains(&sent.queue),
                "{sent:?} of a paused queue was delivered"
            );
            let first = self.delivered.insert((sent.id, sent.attempt));
            assert!(first, "{sent:?} was delivered before");
        }
        some
    }

    pub fn commit(&mut self, worker: usize, pick: usize, ending: Ending) -> bool {
        let sending = &self.workers[worker].sending;
        if sending.is_empty() {
            return false;
        }
        let pick = pick % sending.len();
        let start = sending[pick];
        let owns = self.owned(worker).contains(&start.shard);
        let ending = match ending {
            Ending::Retry { .. } if start.attempt >= 3 || start.cancelled => Ending::Final,
            Ending::Move { .. } if !owns || start.cancelled || start.key.is_some() => Ending::Final,
            // It has not been sent after all.
            Ending::Move { .. } => {
                self.delivered.remove(&(start.id, start.attempt));
                ending
            }
            _ => ending,
        };
        if self.workers[worker].commit(&mut self.db, pick, ending) {
            self.ended += 1;
        }
        true
    }

    /// Hands a shard to the other worker, or lets its owner lose it and take it again.
    pub fn hand_over(&mut self, place: usize, to: usize, hold: i64, drops_answers: bool) {
        let shard = SHARDS[place % SHARDS.len()];
        let owner = &mut self.owners[place % SHARDS.len()];
        let in_flight = self.workers[*owner].release(shard, drops_answers);
        *owner = to;
        let until = self.in_units(hold);
        for (id, attempt) in in_flight {
            if self.db.pending(id, attempt).is_some() {
                self.db.update(id, |row| row.held_until = Some(until));
            }
        }
        self.workers[to].take(shard);
    }

    /// Time passes. A hold outlasts every delivery that it was set for, so those end before it does.
    pub fn advance(&mut self, to: Timestamp) {
        let ends = |row: &Row| row.held_until.is_some_and(|until| self.now < until && until <= to);
        let ending: BTreeSet<MessageId> = self.db.rows.values().filter(|row| ends(row)).map(|row| row.id).collect();
        for worker in 0..2 {
            while let Some(pick) = self.workers[worker].sending.iter().position(|start| ending.contains(&start.id)) {
                self.commit(worker, pick, Ending::Final);
            }
        }
        self.now = to;
    }

    /// Lets everything run until the last message has ended: first what is not paused, then, resumed, the rest.
    pub fn run_down(&mut self) {
        for changes in std::mem::take(&mut self.db.open) {
            self.db.commit(&changes);
        }
        self.run_down_what_may();
        let paused = std::mem::take(&mut self.db.paused);
        let left = self.db.rows.values().find(|row| !paused.contains(&row.queue));
        assert_eq!(left, None, "left beside {paused:?}");
        self.run_down_what_may();
        assert_eq!(self.ended, self.db.inserted, "messages that ended");
        self.now = self.in_units(100);
        self.come_to_rest();
        for worker in &self.workers {
            let windows = &worker.windows;
            assert_eq!((windows.keys(), windows.loose(), windows.in_flight(), windows.windows()), (0, 0, 0, 0));
        }
    }

    /// Until nothing is left but in paused queues, time passing only when there is nothing else to do.
    fn run_down_what_may(&mut self) {
        loop {
            self.come_to_rest();
            let Some(next) = self.unpaused().map(|row| self.db.startable_at(row)).min() else {
                break;
            };
            let crowded = self.workers.iter().any(|worker| worker.crowded);
            assert!(next > self.now || crowded, "left at {:?}: {:?}", self.now, self.db.rows);
            for worker in 0..2 {
                self.check_wake(worker, crowded);
            }
            self.advance(next.max(self.in_units(1)));
        }
        // Holds end by themselves, in paused queues too.
        self.advance(self.in_units(10));
        self.come_to_rest();
        for worker in &self.workers {
            let wakes = worker.windows.next_due().into_iter().chain(worker.windows.next_refill()).min();
            assert_eq!(wakes, None, "woken for what is paused");
        }
    }

    /// What may start in time: nothing of a paused queue, and of an ordering key only the first.
    fn unpaused(&self) -> impl Iterator<Item = &Row> {
        let rows = self.db.rows.values().filter(|row| !self.db.paused.contains(&row.queue));
        rows.filter(|row| row.cancelled || self.db.is_first(row))
    }

    fn come_to_rest(&mut self) {
        let mut busy = true;
        let mut rounds = 0;
        while busy {
            busy = false;
            rounds += 1;
            assert!(rounds < 1000, "does not come to rest");
            for index in 0..2 {
                let owned = self.owned(index);
                let (now, worker) = (self.now, &mut self.workers[index]);
                busy |= worker.read_paused(&self.db);
                busy |= worker.look_for_held(&self.db);
                busy |= worker.send_arrivals(&self.db, &owned);
                busy |= worker.receive_arrivals(100);
                busy |= worker.discover(&self.db, false);
                busy |= worker.hand_out_refills(now, 3);
                while worker.send_refill(&self.db, 0) {}
                busy |= worker.receive_refill(0, false);
                busy |= worker.start(now, 100);
                while self.verify(index) {}
                while self.commit(index, 0, Ending::Final) {}
                let worker = &mut self.workers[index];
                while worker.receive_answer() || worker.send_reread(&self.db) || worker.receive_reread() {
                    busy = true;
                }
                worker.check();
            }
        }
    }

    /// At rest, the caller is not woken for nothing, and is woken in time for what comes next.
    fn check_wake(&self, worker: usize, crowded: bool) {
        let (owned, windows) = (self.owned(worker), &self.workers[worker].windows);
        assert!(windows.next_due().is_none_or(|due| due > self.now), "would spin");
        let rows = self.unpaused().filter(|row| owned.contains(&row.shard));
        if let Some(next) = rows.map(|row| self.db.startable_at(row)).min() {
            let wakes = windows.next_due().into_iter().chain(windows.next_refill()).min();
            assert!(crowded || wakes.is_some_and(|wakes| wakes <= next), "wakes at {wakes:?} for {next:?}");
        }
    }
}
