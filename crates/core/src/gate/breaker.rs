//! A circuit breaker: a receiver that does not answer is asked by one request now and then, and its messages wait.
//!
//! Closed, everything may start. After [`FAILURES`] requests in a row without any answer it opens: nothing starts until a wait is
//! over, then one request, the probe. Any answer closes it, whatever its status; a probe without an answer opens it again, for twice
//! as long, up to [`LONGEST`]. What waits keeps its attempts: an outage costs a message the attempts that were under way when it
//! began, not all that its queue allows.
//!
//! Answers of 5xx do not open it: there is somebody, and what that means is for the queue's retry policy to say.

use std::time::Duration;

use crate::time::Timestamp;

/// Requests in a row without an answer after which it opens.
pub const FAILURES: u32 = 20;
/// For how long it opens first.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// For how long it opens at most.
pub const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Timestamp,
    },
    /// The probe is under way.
    HalfOpen,
}

/// In one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    Closed,
    Open,
    HalfOpen,
}

impl Position {
    /// As it is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Position::Closed => "closed",
            Position::Open => "open",
            Position::HalfOpen => "half_open",
        }
    }
}

/// The breaker of one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    state: State,
    /// In a row, while closed.
    failures: u32,
    /// For how long it opens next.
    wait: Duration,
    /// Requests that began by then say nothing.
    opened_at: Timestamp,
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker { state: State::Closed, failures: 0, wait: SHORTEST, opened_at: Timestamp::MIN }
    }
}

/// Whether a request may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    Now,
    At(Timestamp),
    /// Not before the probe has ended.
    AfterProbe,
}

impl Breaker {
    #[must_use]
    pub fn position(&self) -> Position {
        match self.state {
            State::Closed => Position::Closed,
            State::Open { .. } => Position::Open,
            State::HalfOpen => Position::HalfOpen,
        }
    }

    /// Whether a request may start.
    #[must_use]
    pub fn permits(&self, now: Timestamp) -> Permission {
        match self.state {
            State::Open { until } if until > now => Permission::At(until),
            State::Closed | State::Open { .. } => Permission::Now,
            State::HalfOpen => Permission::AfterProbe,
        }
    }

    /// A request starts, as it was permitted.
    pub fn start(&mut self) {
        if matches!(self.state, State::Open { .. }) {
            self.state = State::HalfOpen;
        }
    }

    /// There was an answer.
    pub fn answered(&mut self) {
        *self = Breaker { opened_at: self.opened_at, ..Breaker::default() };
    }

    /// A request that began at `started` has ended without an answer. True: that has opened it, where it was closed.
    pub fn unanswered(&mut self, started: Timestamp, now: Timestamp) -> bool {
        if started <= self.opened_at {
            return false;
        }
        match self.state {
            State::Closed => {
                self.failures += 1;
                let opens = self.failures >= FAILURES;
                if opens {
                    self.open(now);
                }
                opens
            }
            State::HalfOpen => {
                self.open(now);
                false
            }
            State::Open { .. } => false,
        }
    }

    /// A request ended without saying anything about the receiver. If it was the probe, there may be another.
    pub fn lapsed(&mut self, now: Timestamp) {
        if self.state == State::HalfOpen {
            self.state = State::Open { until: now };
        }
    }

    fn open(&mut self, now: Timestamp) {
        self.state = State::Open { until: now.saturating_add(self.wait) };
        self.wait = (self.wait * 2).min(LONGEST);
        self.opened_at = now;
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    fn opened(now: i64) -> Breaker {
        let mut breaker = Breaker::default();
        let opened: Vec<bool> = (0..FAILURES).map(|_| breaker.unanswered(at(now), at(now))).collect();
        assert_eq!(opened.iter().filter(|opened| **opened).count(), 1);
        assert_eq!(opened.last(), Some(&true));
        breaker
    }

    #[test]
    fn it_opens_after_enough_failures_in_a_row_and_not_before() {
        let mut breaker = Breaker::default();
        for _ in 0..1000 {
            for _ in 1..FAILURES {
                assert!(!breaker.unanswered(at(1), at(1)));
            }
            assert_eq!(breaker.permits(at(1)), Permission::Now);
            breaker.answered();
        }
        assert_eq!(opened(1).permits(at(1)), Permission::At(at(2)));
    }

    #[test]
    fn one_probe_at_a_time_and_longer_waits_between_them() {
        let mut breaker = opened(0);
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..9 {
            let Permission::At(until) = breaker.permits(now) else { panic!("{breaker:?}") };
            waits.push(until.since(now).as_secs());
            now = until;
            assert_eq!(breaker.permits(now), Permission::Now);
            breaker.start();
            assert_eq!((breaker.permits(now), breaker.position()), (Permission::AfterProbe, Position::HalfOpen));
            assert!(!breaker.unanswered(now, now));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn any_answer_closes_it_and_the_waits_begin_anew() {
        let mut breaker = opened(0);
        breaker.start();
        assert!(!breaker.unanswered(at(1), at(1)));
        breaker.start();
        breaker.answered();
        assert_eq!((breaker.permits(at(1)), breaker.position()), (Permission::Now, Position::Closed));
        for _ in 0..FAILURES {
            breaker.unanswered(at(2), at(2));
        }
        assert_eq!(breaker.permits(at(2)), Permission::At(at(3)));
    }

    #[test]
    fn what_began_before_it_opened_decides_nothing() {
        let mut breaker = opened(10);
        breaker.start();
        // A request that hung since before comes to its end while the probe is under way.
        assert!(!breaker.unanswered(at(3), at(12)));
        assert_eq!(breaker.position(), Position::HalfOpen);
        // Its answer would be one, though.
        breaker.answered();
        assert_eq!(breaker.position(), Position::Closed);
    }

    #[test]
    fn a_probe_that_was_not_sent_makes_room_for_another() {
        let mut breaker = opened(0);
        breaker.start();
        breaker.lapsed(at(5));
        assert_eq!(breaker.permits(at(5)), Permission::Now);
        let mut closed = Breaker::default();
        closed.lapsed(at(5));
        assert_eq!(closed, Breaker::default());
    }
}
