//! What is to be done when a cron's tick has come, and about those that nobody looked for in time.
//!
//! Promise: walking from look to look, each tick of the schedule is fired once or is in one range of ticks that are recorded as skipped,
//! however late and irregular the looks are. The decision depends on the cron, where it stands and the database's clock alone, so
//! whoever looks decides the same.
//!
//! A cron *stands* at a tick. Its message is stored ahead, so that it is delivered on time while nobody looks, and when the tick has
//! come the next one's is; unless its firing depends on how things are when its time comes: then its message is stored at the tick.
//! That is so where firings must not overlap, and where a missed one must not be made up for.
//!
//! A tick that is less than [`GRACE`] late fires as if it were on time, so a change of the leader costs nothing. Beyond that it is
//! *missed*, and the cron says what becomes of it and of all up to now. Missed is also what came while it was paused, however late.

use std::time::Duration;

use crate::ids::CronId;
use crate::schedule::Schedule;
use crate::time::Timestamp;

/// A tick that is less late than this is not missed.
pub const GRACE: Duration = Duration::from_secs(60);
/// Of missed ticks that are all made up for, the latest so many are.
pub const MOST_CAUGHT_UP: u32 = 1_000;
/// Up to so many ticks that are skipped together are counted.
pub const MOST_COUNTED: u32 = 10_000;

/// What becomes of missed ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    Skip,
    /// The latest stands for all.
    #[default]
    One,
    /// Each is made up for, oldest first, at most [`MOST_CAUGHT_UP`].
    All,
}

impl Missed {
    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Missed::Skip => "skip",
            Missed::One => "one",
            Missed::All => "all",
        }
    }

    /// What is written so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Missed> {
        [Missed::Skip, Missed::One, Missed::All].into_iter().find(|missed| missed.as_str() == text)
    }
}

/// What becomes of a tick that comes while the firing before it has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    #[default]
    Allow,
    Skip,
}

impl Overlap {
    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Overlap::Allow => "allow",
            Overlap::Skip => "skip",
        }
    }

    /// What is written so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Overlap> {
        [Overlap::Allow, Overlap::Skip].into_iter().find(|overlap| overlap.as_str() == text)
    }
}

/// How a cron deals with what does not go as planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub missed: Missed,
    /// Missed ticks that are older than this are not made up for.
    pub tolerance: Duration,
    pub overlap: Overlap,
}

impl Rules {
    /// The tolerance of crons that name none: a day.
    pub const TOLERANCE: Duration = Duration::from_secs(86_400);

    /// Whether messages are stored when their tick comes, and not ahead.
    #[must_use]
    pub fn stores_when_due(&self) -> bool {
        self.overlap == Overlap::Skip || self.missed == Missed::Skip
    }
}

/// Where a cron stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub tick: Timestamp,
    /// Whether this tick's message is stored already.
    pub stored: bool,
}

/// The present, as far as a cron is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// By the database's clock.
    pub now: Timestamp,
    /// When the cron was resumed last.
    pub resumed: Option<Timestamp>,
}

/// A tick whose message is to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firing {
    pub tick: Timestamp,
    /// It was missed, and is made up for.
    pub caught_up: bool,
}

/// Ticks that follow one another and are not fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    pub first: Timestamp,
    pub last: Timestamp,
    /// `None`: more than [`MOST_COUNTED`].
    pub count: Option<u32>,
}

/// What is to be done at once, all or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub skipped: Option<Skipped>,
    pub fire: Option<Firing>,
    /// Where the cron stands then; `None`: it has no tick any more.
    pub next: Option<Standing>,
}

/// What is to be done with a cron that stands there, whose tick has come.
#[must_use]
pub fn step(schedule: &Schedule, rules: &Rules, standing: Standing, present: Present) -> Step {
    let first = if standing.stored { schedule.next_after(standing.tick) } else { Some(standing.tick) };
    let Some(first) = first else { return Step { skipped: None, fire: None, next: None } };
    let (skipped, firing) = decide(schedule, rules, first, present);
    match firing {
        None => Step { skipped, fire: None, next: None },
        Some(fire) if !rules.stores_when_due() => {
            Step { skipped, fire: Some(fire), next: Some(Standing { tick: fire.tick, stored: true }) }
        }
        Some(fire) if fire.tick > present.now => {
            Step { skipped, fire: None, next: Some(Standing { tick: fire.tick, stored: false }) }
        }
        Some(fire) => {
            let next = schedule.next_after(fire.tick).map(|tick| Standing { tick, stored: false });
            Step { skipped, fire: Some(fire), next }
        }
    }
}

/// Of the ticks from `first` on: those that are skipped, and the one to fire next, which may be yet to come.
fn decide(schedule: &Schedule, rules: &Rules, first: Timestamp, present: Present) -> (Option<Skipped>, Option<Firing>) {
    let now = present.now;
    if now.since(first) < GRACE && present.resumed.is_none_or(|resumed| first > resumed) {
        return (None, Some(Firing { tick: first, caught_up: false }));
    }
    let last = schedule.last_at_or_before(now).map_or(first, |last| last.max(first));
    let oldest = Timestamp(now.0.saturating_sub(micros(rules.tolerance.max(GRACE))));
    let caught_up = match rules.missed {
        Missed::Skip => None,
        Missed::One => Some(last).filter(|last| *last >= oldest),
        Missed::All => {
            let from = if first >= oldest { Some(first) } else { schedule.next_after(Timestamp(oldest.0 - 1)) };
            from.filter(|from| *from <= now).map(|from| latest(schedule, from, last))
        }
    };
    match caught_up {
        None => {
            let next = schedule.next_after(last).map(|tick| Firing { tick, caught_up: false });
            (skipped(schedule, first, last), next)
        }
        Some(tick) => {
            let before = schedule.last_at_or_before(Timestamp(tick.0 - 1));
            let skipped = before.and_then(|before| skipped(schedule, first, before));
            (skipped, Some(Firing { tick, caught_up: true }))
        }
    }
}

/// The first of the last [`MOST_CAUGHT_UP`] ticks from `from` to `last`.
fn latest(schedule: &Schedule, from: Timestamp, last: Timestamp) -> Timestamp {
    // Mostly they are so few that none needs to be counted: whoever makes up for a thousand of them asks a thousand times.
    if last.since(from) < schedule.least_distance() * MOST_CAUGHT_UP {
        return from;
    }
    let mut tick = last;
    for _ in 1..MOST_CAUGHT_UP {
        match schedule.last_at_or_before(Timestamp(tick.0 - 1)) {
            Some(before) if before >= from => tick = before,
            Some(_) | None => break,
        }
    }
    tick
}

fn skipped(schedule: &Schedule, first: Timestamp, last: Timestamp) -> Option<Skipped> {
    if first > last {
        return None;
    }
    let (mut tick, mut count) = (first, 1);
    while tick < last && count <= MOST_COUNTED {
        tick = schedule.next_after(tick)?;
        count += 1;
    }
    Some(Skipped { first, last, count: (count <= MOST_COUNTED).then_some(count) })
}

/// By how much a tick's message is due after the tick: between zero and `most`, always the same for the same tick, and spread evenly
/// over ticks and crons.
#[must_use]
pub fn jitter(most: Duration, cron: CronId, tick: Timestamp) -> Duration {
    let mixed = mix(mix(cron.0.cast_unsigned()) ^ tick.0.cast_unsigned());
    let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(most.checked_add(1).map_or(mixed, |count| mixed % count))
}

/// SplitMix64's finalizer (Steele, Lea and Flood, OOPSLA 2014).
fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
