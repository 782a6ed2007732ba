//! At most so many requests a second, and so many at once: a token bucket, kept as the generic cell rate algorithm keeps it (ITU-T
//! I.371, annex A), by one time instead of a count.
//!
//! Promise: in any span of `w` seconds at most `burst + perSecond * w` requests start; with a burst of 1 they are at least
//! `1 / perSecond` apart. It holds over restarts and changes of the owner, though the bucket is in memory: an owner *reserves* ahead.
//! What is stored is a time up to which every token counts as used; an owner starts nothing beyond what it has stored, and its
//! successor begins where that ends. A crash so costs at most what was reserved, and gives nothing twice.

use std::time::Duration;

use crate::time::Timestamp;

/// How far ahead an owner reserves: one small write a second for each queue that uses its rate.
const AHEAD: Duration = Duration::from_secs(1);

/// The highest rate; beyond it a limit limits nothing.
pub const MOST_PER_SECOND: f64 = 100_000.0;
/// The lowest: one a day.
pub const LEAST_PER_SECOND: f64 = 1.0 / 86_400.0;
/// The largest burst.
pub const MOST_BURST: u32 = 100_000;

/// A limit of requests in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Between two requests, on average. At least 1 µs.
    interval: Duration,
    /// Requests that may start at once, at least 1.
    burst: u32,
}

impl Rate {
    /// `per_second` between [`LEAST_PER_SECOND`] and [`MOST_PER_SECOND`], `burst` from 1 to [`MOST_BURST`]; what is beyond counts as
    /// the bound.
    #[must_use]
    pub fn new(per_second: f64, burst: u32) -> Rate {
        let per_second = if per_second.is_nan() { LEAST_PER_SECOND } else { per_second };
        let interval = Duration::from_secs_f64(1.0 / per_second.clamp(LEAST_PER_SECOND, MOST_PER_SECOND));
        Rate { interval, burst: burst.clamp(1, MOST_BURST) }
    }

    /// By how much requests may be earlier than evenly spaced.
    fn tolerance(self) -> Duration {
        self.interval.saturating_mul(self.burst - 1)
    }
}

/// Whether a request may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    Now,
    At(Timestamp),
    /// Not before it is stored that all until then counts as used; see [`Bucket::reserved`].
    Reserve(Timestamp),
}

/// What one request has used of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    interval: Duration,
    era: u64,
}

/// How much of a rate is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// When the next request would start if all were evenly spaced.
    next: Timestamp,
    /// What is stored.
    reserved: Timestamp,
    /// Counts when it was full, or used by somebody else: what was taken before that is in it again, or never was this owner's.
    era: u64,
}

impl Bucket {
    /// What a new owner begins with, given what its predecessor has stored.
    #[must_use]
    pub fn after(reserved: Timestamp) -> Bucket {
        Bucket { next: reserved, reserved, era: 0 }
    }

    /// Whether a request may start.
    #[must_use]
    pub fn permits(&self, rate: Rate, now: Timestamp) -> Permission {
        let earliest = minus(self.next, rate.tolerance());
        if earliest > now {
            return Permission::At(earliest);
        }
        let next = self.next.max(now).saturating_add(rate.interval);
        if next > self.reserved { Permission::Reserve(next.saturating_add(AHEAD)) } else { Permission::Now }
    }

    /// A request starts, as it was permitted.
    pub fn start(&mut self, rate: Rate, now: Timestamp) -> Token {
        if self.next <= now {
            self.next = now;
            self.era += 1;
        }
        self.next = self.next.saturating_add(rate.interval);
        Token { interval: rate.interval, era: self.era }
    }

    /// A request that was to start was not sent.
    pub fn give_back(&mut self, token: Token) {
        if token.era == self.era {
            self.next = minus(self.next, token.interval);
        }
    }

    /// All until then is stored as used.
    pub fn reserved(&mut self, until: Timestamp) {
        self.reserved = self.reserved.max(until);
    }

    /// Somebody else has used it meanwhile, up to this.
    pub fn used(&mut self, until: Timestamp) {
        if self.next < until {
            self.next = until;
            self.era += 1;
        }
        self.reserved(until);
    }

    /// Whether nothing of it is in use that would have to be remembered.
    #[must_use]
    pub fn is_full(&self, now: Timestamp) -> bool {
        self.next <= now
    }
}

fn minus(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp(at.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// Starts everything that may start until `end`, reserving whenever that is asked for.
    fn run(bucket: &mut Bucket, rate: Rate, from: i64, end: i64) -> Vec<i64> {
        let mut now = Timestamp(from);
        let mut started = Vec::new();
        while now.0 < end {
            match bucket.permits(rate, now) {
                Permission::Now => {
                    bucket.start(rate, now);
                    started.push(now.0);
                }
                Permission::At(at) => now = at,
                Permission::Reserve(until) => bucket.reserved(until),
            }
        }
        started
    }

    /// The most that start in any span of this length.
    fn densest(started: &[i64], span: i64) -> usize {
        let within = |from: &i64| started.iter().filter(|at| (*from..*from + span).contains(*at)).count();
        started.iter().map(within).max().unwrap_or(0)
    }

    #[test]
    fn evenly_spaced_without_a_burst() {
        let started = run(&mut Bucket::after(Timestamp(0)), Rate::new(10.0, 1), 0, 2 * SECOND);
        assert_eq!(started.len(), 20);
        assert!(started.windows(2).all(|pair| pair[1] - pair[0] == SECOND / 10));
        assert_eq!(densest(&started, SECOND), 10);
    }

    #[test]
    fn a_burst_is_possible_once_and_again_when_it_has_been_saved_up() {
        let rate = Rate::new(10.0, 5);
        let mut bucket = Bucket::after(Timestamp(0));
        let started = run(&mut bucket, rate, SECOND, SECOND + 1);
        assert_eq!(started.len(), 5);
        assert_eq!(run(&mut bucket, rate, SECOND + 1, 2 * SECOND).len(), 9);
        assert_eq!(run(&mut bucket, rate, 9 * SECOND, 9 * SECOND + 1).len(), 5);
    }

    #[test]
    fn a_successor_begins_where_the_reservation_ends() {
        let rate = Rate::new(100.0, 10);
        let mut first = Bucket::after(Timestamp(0));
        let mut started = run(&mut first, rate, 0, SECOND / 2);
        // Killed; its successor knows only what is stored.
        let mut second = Bucket::after(first.reserved);
        started.extend(run(&mut second, rate, SECOND / 2, 4 * SECOND));
        assert!(densest(&started, SECOND) <= 110, "{}", densest(&started, SECOND));
        assert!(started.len() > 300, "what a crash costs is bounded: {}", started.len());
    }

    #[test]
    fn nothing_starts_before_its_reservation_is_stored() {
        let bucket = Bucket::after(Timestamp(0));
        assert_eq!(bucket.permits(Rate::new(1.0, 1), Timestamp(5)), Permission::Reserve(Timestamp(5 + 2 * SECOND)));
    }

    #[test]
    fn what_was_not_sent_is_given_back() {
        let rate = Rate::new(1.0, 1);
        let mut bucket = Bucket::after(Timestamp(0));
        bucket.reserved(Timestamp(100 * SECOND));
        let token = bucket.start(rate, Timestamp(SECOND));
        assert_eq!(bucket.permits(rate, Timestamp(SECOND)), Permission::At(Timestamp(2 * SECOND)));
        bucket.give_back(token);
        assert_eq!(bucket.permits(rate, Timestamp(SECOND)), Permission::Now);
    }

    #[test]
    fn nothing_is_given_back_twice() {
        let rate = Rate::new(1.0, 2);
        let mut bucket = Bucket::after(Timestamp(0));
        bucket.reserved(Timestamp(100 * SECOND));
        // It has filled up since, and what is used now is no less for it.
        let old = bucket.start(rate, Timestamp(SECOND));
        bucket.start(rate, Timestamp(10 * SECOND));
        bucket.start(rate, Timestamp(10 * SECOND));
        bucket.give_back(old);
        assert_eq!(bucket.permits(rate, Timestamp(10 * SECOND)), Permission::At(Timestamp(11 * SECOND)));
        // Nor is what somebody else has used.
        let mine = bucket.start(rate, Timestamp(11 * SECOND));
        bucket.used(Timestamp(20 * SECOND));
        bucket.give_back(mine);
        assert_eq!(bucket.permits(rate, Timestamp(12 * SECOND)), Permission::At(Timestamp(19 * SECOND)));
    }

    #[test]
    fn the_bounds_hold_whatever_is_asked_for() {
        for (per_second, burst) in [(f64::NAN, 0), (0.0, 1), (-1.0, u32::MAX), (f64::INFINITY, 1), (1e300, 1)] {
            let rate = Rate::new(per_second, burst);
            assert!(rate.interval >= Duration::from_micros(10), "{per_second}");
            let mut bucket = Bucket::after(Timestamp::MAX);
            bucket.start(rate, Timestamp::MAX);
            assert!(matches!(bucket.permits(rate, Timestamp(0)), Permission::At(_)));
        }
    }
}
