//! A year of a cron, seen by schedulers that overlap, are late, and die at every step of storing a tick, while the cron is paused,
//! resumed and changed: each tick is fired exactly once, or recorded as skipped exactly once.
//!
//! Postgres is here what it promises to be: a compare-and-set that happens whole or not at all, whoever hears of it. The decisions are the
//! real ones. Run with more seeds by `SIMULATIONS=5000 cargo test --release -p posthaste-core --test cron_simulation`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a simulation that cannot go on has failed")]

mod dice;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dice::Dice;
use posthaste_core::cron::{GRACE, Missed, Overlap, Present, Rules, Standing, Step, step};
use posthaste_core::schedule::Schedule;
use posthaste_core::time::Timestamp;

const SECOND: i64 = 1_000_000;
/// 2026-11-01T00:00:00Z: the clocks of New York go back within the day.
const BEGIN: i64 = 1_793_491_200 * SECOND;
const YEAR: i64 = 366 * 86_400 * SECOND;

const SCHEDULES: [(&str, &str); 10] = [
    ("30 2 * * *", "Europe/Berlin"),
    ("30 1 * * *", "America/New_York"),
    ("*/30 * * * *", "Australia/Lord_Howe"),
    ("0 0 * * *", "America/Santiago"),
    ("30 23 * * 6", "America/Godthab"),
    ("0 */3 * * *", "Africa/Cairo"),
    ("15 4 L * *", "Europe/London"),
    ("0 9 * * 1-5", "Asia/Kolkata"),
    ("@weekly", "UTC"),
    ("0 12 1,15 * *", "Pacific/Auckland"),
];

/// What is stored of a cron.
struct Stored {
    schedule: Schedule,
    rules: Rules,
    standing: Option<Standing>,
    revision: u32,
    paused: bool,
    resumed: Option<Timestamp>,
}

/// What a scheduler has read, and decided.
struct Decided {
    standing: Standing,
    revision: u32,
    step: Step,
}

struct World {
    random: Dice,
    now: Timestamp,
    cron: Stored,
    schedulers: [Option<Decided>; 3],
    /// How often a tick's message was stored and not taken back.
    fired: BTreeMap<Timestamp, u32>,
    skipped: Vec<(Timestamp, Timestamp)>,
    /// From when on the present schedule is in force.
    since: Timestamp,
    checked: usize,
}

/// Where a cron stands that is new or changed.
fn start(schedule: &Schedule, now: Timestamp) -> Option<Standing> {
    schedule.next_after(now).map(|tick| Standing { tick, stored: false })
}

fn any<T: Copy>(random: &mut Dice, of: &[T]) -> T {
    of[usize::try_from(random.below(i64::try_from(of.len()).unwrap())).unwrap()]
}

fn any_schedule(random: &mut Dice, now: Timestamp) -> Schedule {
    if random.below(5) == 0 {
        let seconds = Duration::from_secs(600 + random.below(200_000).cast_unsigned());
        return Schedule::every(seconds, Timestamp(now.0 + random.below(SECOND))).unwrap();
    }
    let (expression, zone) = any(random, &SCHEDULES);
    Schedule::parse(expression, zone).unwrap()
}

fn any_rules(random: &mut Dice) -> Rules {
    Rules {
        missed: any(random, &[Missed::Skip, Missed::One, Missed::All]),
        tolerance: Duration::from_secs(any(random, &[60, 7_200, 86_400, 30 * 86_400])),
        overlap: any(random, &[Overlap::Allow, Overlap::Skip]),
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Dice(0x9e37_79b9_7f4a_7c15 ^ seed);
        let now = Timestamp(BEGIN + random.below(86_400 * SECOND));
        let (schedule, rules) = (any_schedule(&mut random, now), any_rules(&mut random));
        let standing = start(&schedule, now);
        let cron = Stored { schedule, rules, standing, revision: 0, paused: false, resumed: None };
        let mut world = World {
            random,
            now,
            cron,
            schedulers: [None, None, None],
            fired: BTreeMap::new(),
            skipped: Vec::new(),
            since: now,
            checked: 0,
        };
        world.store_ahead();
        world
    }

    /// As the API does it: where a message is stored ahead, it is stored with the cron.
    fn store_ahead(&mut self) {
        if let Some(standing) = &mut self.cron.standing
            && !self.cron.rules.stores_when_due()
        {
            standing.stored = true;
            *self.fired.entry(standing.tick).or_default() += 1;
        }
    }

    /// Takes back a message that is stored and not due.
    fn take_back(&mut self) {
        if let Some(standing) = &mut self.cron.standing
            && standing.stored
            && standing.tick > self.now
        {
            standing.stored = false;
            *self.fired.get_mut(&standing.tick).unwrap() -= 1;
        }
    }

    fn run(&mut self) {
        while self.now.0 < BEGIN + YEAR {
            let who = usize::try_from(self.random.below(3)).unwrap();
            match self.random.below(100) {
                0..40 => self.look(who),
                40..75 => self.commit(who),
                // Killed between its two statements; or after the second, whose answer it never had.
                75..80 => self.schedulers[who] = None,
                80..97 => self.pass(),
                97 => self.pause(),
                98 => self.resume(),
                _ => self.change(),
            }
        }
        self.check();
    }

    fn look(&mut self, who: usize) {
        let due = self.cron.standing.filter(|standing| standing.tick <= self.now && !self.cron.paused);
        self.schedulers[who] = due.map(|standing| Decided {
            standing,
            revision: self.cron.revision,
            step: step(
                &self.cron.schedule,
                &self.cron.rules,
                standing,
                Present { now: self.now, resumed: self.cron.resumed },
            ),
        });
    }

    fn commit(&mut self, who: usize) {
        let Some(Decided { standing, revision, step }) = self.schedulers[who].take() else { return };
        if self.cron.paused || self.cron.revision != revision || self.cron.standing != Some(standing) {
            return;
        }
        self.skipped.extend(step.skipped.map(|range| (range.first, range.last)));
        if let Some(fire) = step.fire {
            if self.cron.rules.overlap == Overlap::Skip && self.random.below(4) == 0 {
                self.skipped.push((fire.tick, fire.tick));
            } else {
                *self.fired.entry(fire.tick).or_default() += 1;
            }
        }
        self.cron.standing = step.next;
    }

    fn pass(&mut self) {
        let most = any(&mut self.random, &[1, 90, 3_600, 86_400, 10 * 86_400]);
        let passed = self.random.below(most * SECOND + 1);
        self.now = Timestamp(self.now.0 + passed);
        // Mostly somebody is there when the next tick comes.
        if let Some(standing) = self.cron.standing
            && standing.tick < self.now
            && passed > 0
            && self.random.below(10) > 0
        {
            let late = self.random.below(2 * i64::try_from(GRACE.as_micros()).unwrap());
            self.now = Timestamp(self.now.0.min(standing.tick.0.max(self.now.0 - passed) + late));
        }
    }

    fn pause(&mut self) {
        self.cron.paused = true;
        self.cron.revision += 1;
        self.take_back();
    }

    fn resume(&mut self) {
        if std::mem::take(&mut self.cron.paused) {
            self.cron.resumed = Some(self.now);
        }
        self.cron.revision += 1;
    }

    fn change(&mut self) {
        // One that has come and is not yet followed is left to the scheduler.
        if self.cron.paused || self.cron.standing.is_some_and(|standing| standing.tick <= self.now) {
            return;
        }
        self.take_back();
        self.check();
        self.cron.schedule = any_schedule(&mut self.random, self.now);
        self.cron.rules = any_rules(&mut self.random);
        self.cron.revision += 1;
        self.cron.standing = start(&self.cron.schedule, self.now);
        self.since = self.now;
        self.store_ahead();
    }

    /// Of the present schedule, each tick before the one where the cron stands.
    fn check(&mut self) {
        let standing = self.cron.standing.expect("none of these ends");
        let mut ticks = BTreeSet::new();
        let mut tick = self.cron.schedule.next_after(self.since).unwrap();
        while tick < standing.tick {
            ticks.insert(tick);
            tick = self.cron.schedule.next_after(tick).unwrap();
        }
        assert_eq!(tick, standing.tick, "it stands at a tick of its schedule");
        for (first, last) in &self.skipped {
            let inside: Vec<Timestamp> = ticks.range(first..=last).copied().collect();
            assert!(!inside.is_empty(), "a range of ticks that were to come was skipped: {first} to {last}");
            assert_eq!(
                (inside.first(), inside.last()),
                (Some(first), Some(last)),
                "the range begins and ends with a tick"
            );
            for tick in inside {
                *self.fired.entry(tick).or_default() += 1;
            }
        }
        let last = standing.stored.then_some(standing.tick);
        for tick in ticks.iter().copied().chain(last) {
            assert_eq!(self.fired.remove(&tick), Some(1), "fired or skipped: {tick}");
        }
        self.fired.retain(|_, count| *count > 0);
        assert!(self.fired.is_empty(), "fired beside the schedule: {:?}", self.fired);
        self.checked += ticks.len();
        self.skipped.clear();
    }
}

#[test]
fn each_tick_is_fired_or_skipped_exactly_once() {
    let seeds: u64 = std::env::var("SIMULATIONS").ok().map_or(40, |count| count.parse().expect("SIMULATIONS"));
    let mut checked = 0;
    for seed in 0..seeds {
        let mut world = World::new(seed);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
        assert!(outcome.is_ok(), "seed {seed}");
        checked += world.checked;
    }
    assert!(checked > 500 * usize::try_from(seeds).unwrap(), "{checked} ticks of {seeds} crons");
}
