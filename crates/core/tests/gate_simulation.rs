//! Whole seconds of deliveries in virtual time, over hundreds of seeds: many quiet queues beside one with an endless backlog, one that
//! never answers, one that is slow, one that refuses, one that fails, and two with limits. What starts when is decided by `Windows` and
//! the gate alone.
//!
//! Shown is that neighbours do not delay the quiet queues, that limits hold and are used up, that what fails does not starve what is
//! new, and that a broken receiver is left alone.
//!
//! `SIMULATIONS` sets how many seeds are tried.

mod dice;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use dice::Dice;
use posthaste_core::gate::flow::{Health, QueueLimits};
use posthaste_core::gate::rate::Rate;
use posthaste_core::ids::{MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use posthaste_core::window::{Limits, Row, Start, Windows};

const MS: i64 = 1_000;
const SECOND: i64 = 1_000 * MS;
/// What is simulated.
const END: i64 = 12 * SECOND;
const LIMITS: Limits = Limits { window: 5_000, budget: 50_000, slots: 256, share: 8, opening: 32 };

const BACKLOG: QueueId = QueueId(1);
const HANGS: QueueId = QueueId(2);
const SLOW: QueueId = QueueId(3);
const REFUSES: QueueId = QueueId(4);
const FAILS: QueueId = QueueId(5);
const FEW: QueueId = QueueId(6);
const RATED: QueueId = QueueId(7);
/// The first of the quiet ones.
const QUIET: i64 = 100;

const MOST: usize = 3;
const PER_SECOND: i64 = 40;
const BURST: i64 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A message of this queue is stored.
    Arrives(QueueId),
    Ends {
        id: MessageId,
        attempt: i32,
        queue: QueueId,
        health: u8,
    },
    /// A retry is due.
    Retries {
        id: MessageId,
        attempt: i32,
        queue: QueueId,
    },
    Wakes,
}

struct World {
    now: i64,
    dice: Dice,
    windows: Windows,
    events: BinaryHeap<Reverse<(i64, u64, Event)>>,
    numbers: u64,
    /// The next wake that counts.
    wakes: Option<i64>,
    next_id: i64,
    due: HashMap<MessageId, i64>,
    in_flight: HashMap<QueueId, usize>,
    /// When first attempts and retries of each queue started, and how long after they were due.
    starts: HashMap<QueueId, Vec<(i64, i32, i64)>>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut windows = Windows::new(LIMITS);
        windows.take(Shard(0));
        for (shard, _) in windows.next_discovery(1) {
            windows.discovered(shard, &[], true);
        }
        World {
            now: 0,
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            windows,
            events: BinaryHeap::new(),
            numbers: 0,
            wakes: None,
            next_id: 0,
            due: HashMap::new(),
            in_flight: HashMap::new(),
            starts: HashMap::new(),
        }
    }

    fn at(&mut self, at: i64, event: Event) {
        self.numbers += 1;
        self.events.push(Reverse((at, self.numbers, event)));
    }

    fn arrive(&mut self, queue: QueueId) {
        self.next_id += 1;
        let id = MessageId(self.next_id);
        self.show(id, queue, 0);
    }

    fn show(&mut self, id: MessageId, queue: QueueId, attempt: i32) {
        self.due.insert(id, self.now);
        self.windows.arrive(Row {
            id,
            queue,
            shard: Shard(0),
            due: Timestamp(self.now),
            attempt,
            held_until: None,
            cancelled: false,
            priority: 0,
            key: None,
        });
    }

    fn limits(queue: QueueId) -> QueueLimits {
        match queue {
            FEW => QueueLimits { max_concurrency: Some(MOST), rate: None },
            RATED => QueueLimits { max_concurrency: None, rate: Some(Rate::new(40.0, 4)) },
            _ => QueueLimits::default(),
        }
    }

    fn run(&mut self) {
        while let Some(Reverse((at, _, event))) = self.events.pop()
            && at <= END
        {
            self.now = at;
            match event {
                Event::Arrives(queue) => self.arrive(queue),
                Event::Retries { id, attempt, queue } => self.show(id, queue, attempt),
                Event::Ends { id, attempt, queue, health } => self.end(id, attempt, queue, health),
                Event::Wakes if self.wakes == Some(at) => self.wakes = None,
                // There was an earlier one.
                Event::Wakes => continue,
            }
            self.start();
        }
    }

    fn end(&mut self, id: MessageId, attempt: i32, queue: QueueId, health: u8) {
        *self.in_flight.entry(queue).or_default() -= 1;
        let health = [Health::Well, Health::Strained, Health::Unreachable][usize::from(health)];
        self.windows.heard(id, attempt, health, Timestamp(self.now));
        self.windows.finished(id, attempt);
        if health == Health::Well || attempt >= 8 {
            // An endless backlog.
            if queue == BACKLOG {
                self.arrive(BACKLOG);
            }
        } else {
            let wait = (20 * MS) << attempt.min(6);
            self.at(self.now + wait, Event::Retries { id, attempt: attempt + 1, queue });
        }
    }

    fn start(&mut self) {
        let refills = self.windows.next_refills(Timestamp(self.now), usize::MAX);
        assert!(refills.is_empty(), "everything has arrived: {refills:?}");
        loop {
            let starts = self.windows.start(Timestamp(self.now), 64);
            let mut back = Vec::new();
            for start in &starts {
                if self.windows.revision(start.queue).is_none()
                    && self.windows.learn(start.queue, 1, World::limits(start.queue), Timestamp::MIN, Timestamp::MIN)
                {
                    back.push(start.queue);
                }
            }
            for start in &starts {
                if back.contains(&start.queue) {
                    self.windows.forget(start.id, start.attempt);
                    let due = self.due[&start.id];
                    self.windows.reread(Row { due: Timestamp(due), ..row_of(start) });
                } else {
                    self.send(start);
                }
            }
            let reservations = self.windows.take_reservations();
            for (queue, until) in &reservations {
                self.windows.reserved(*queue, *until);
            }
            if starts.is_empty() && reservations.is_empty() {
                break;
            }
        }
        if let Some(next) = self.windows.next_due().map(|next| next.0.max(self.now + 1))
            && self.wakes.is_none_or(|wakes| next < wakes)
        {
            self.wakes = Some(next);
            self.at(next, Event::Wakes);
        }
    }

    fn send(&mut self, start: &Start) {
        let Start { id, queue, attempt, .. } = *start;
        let late = self.now - self.due[&id];
        self.starts.entry(queue).or_default().push((self.now, attempt, late));
        let open = self.in_flight.entry(queue).or_default();
        *open += 1;
        assert!(queue != FEW || *open <= MOST, "{open} requests at once");
        let (lasts, health) = match queue {
            HANGS => (5 * SECOND, 2),
            SLOW => (2 * SECOND, 0),
            REFUSES => (MS, 2),
            FAILS => (20 * MS, 1),
            BACKLOG => (10 * MS + self.dice.below(10 * MS), 0),
            FEW => (30 * MS + self.dice.below(30 * MS), 0),
            _ => (5 * MS + self.dice.below(5 * MS), 0),
        };
        self.at(self.now + lasts, Event::Ends { id, attempt, queue, health });
    }

    fn starts_of(&self, queue: QueueId) -> &[(i64, i32, i64)] {
        self.starts.get(&queue).map(Vec::as_slice).unwrap_or_default()
    }
}

fn row_of(start: &Start) -> Row {
    Row {
        id: start.id,
        queue: start.queue,
        shard: start.shard,
        due: Timestamp(0),
        attempt: start.attempt,
        held_until: None,
        cancelled: false,
        priority: 0,
        key: None,
    }
}

/// The quiet queues' messages, each queue one every few hundred milliseconds.
fn quiet(world: &mut World) {
    for number in 0..60 {
        let mut at = world.dice.below(SECOND);
        while at < END {
            world.at(at, Event::Arrives(QueueId(QUIET + number)));
            at += 100 * MS + world.dice.below(400 * MS);
        }
    }
}

fn flood(world: &mut World, queue: QueueId, count: i64) {
    for _ in 0..count {
        world.arrive(queue);
    }
}

/// How late a quiet queue's messages started, of a hundred all but one.
fn lateness(world: &World) -> i64 {
    let quiet = world.starts.iter().filter(|(queue, _)| queue.0 >= QUIET);
    let mut late: Vec<i64> = quiet.flat_map(|(_, starts)| starts).map(|(_, _, late)| *late).collect();
    late.sort_unstable();
    assert!(late.len() > 1_000);
    late[late.len() * 99 / 100]
}

fn seeds() -> u64 {
    std::env::var("SIMULATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(60)
}

#[test]
fn neighbours_in_trouble_do_not_delay_the_others() {
    for seed in 0..seeds() {
        let mut alone = World::new(seed);
        quiet(&mut alone);
        alone.run();
        let mut world = World::new(seed);
        quiet(&mut world);
        for queue in [BACKLOG, HANGS, SLOW, REFUSES, FAILS, FEW, RATED] {
            flood(&mut world, queue, 1_000);
        }
        world.run();
        // A quiet message lasts 5 to 10 ms; a fifth of that is 1 ms.
        let (alone, late) = (lateness(&alone), lateness(&world));
        assert!(late <= alone + MS, "seed {seed}: {late} µs late beside others, {alone} alone");

        // The one that never answers is left alone, but for a probe now and then, once that is known.
        let hanging = world.starts_of(HANGS).iter().filter(|(at, ..)| *at > 6 * SECOND).count();
        assert!(hanging <= 8, "seed {seed}: {hanging} requests to one that does not answer");
        let refused = world.starts_of(REFUSES).len();
        assert!((20..=60).contains(&refused), "seed {seed}: {refused} requests to one that refuses");

        // What failed does not starve what is new, nor the other way round.
        let failing = world.starts_of(FAILS);
        let fresh = failing.iter().filter(|(_, attempt, _)| *attempt == 0).count();
        assert!(
            fresh * 4 >= failing.len() && fresh < failing.len(),
            "seed {seed}: {fresh} of {} were first attempts",
            failing.len()
        );

        // Limits are used up.
        let few = world.starts_of(FEW).len();
        assert!(few > 600, "seed {seed}: {few} of the queue with three at once");
        let times: Vec<i64> = world.starts_of(RATED).iter().map(|(at, ..)| *at).collect();
        let most = BURST + PER_SECOND * END / SECOND;
        let count = i64::try_from(times.len()).unwrap();
        assert!(count <= most && count >= most - 2 * PER_SECOND, "seed {seed}: {count} of at most {most}");
        for (first, from) in times.iter().enumerate() {
            for (count, to) in (1..).zip(&times[first..]) {
                assert!(
                    (count - BURST) * SECOND <= PER_SECOND * (to - from),
                    "seed {seed}: {count} within {} µs",
                    to - from
                );
            }
        }
    }
}
