//! Whether a queue may start one more: its own limits, its receiver's health, and its rate.
//!
//! A *destination* is a queue's callback URL: two queues that call one host are told apart, because one path of it may hang while the
//! other answers, and because one tenant's trouble is not another's.

use std::time::Duration;

use super::breaker::{self, Breaker, Position};
use super::congestion::Congestion;
use super::rate::{self, Bucket, Rate, Token};
use crate::time::Timestamp;
use crate::transition::{AttemptResult, ErrorClass, Signals};

/// What a queue's settings allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueLimits {
    /// Requests in flight; at least 1.
    pub max_concurrency: Option<usize>,
    pub rate: Option<Rate>,
}

impl QueueLimits {
    /// Whether there is no limit.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.max_concurrency.is_none() && self.rate.is_none()
    }
}

/// What an attempt says about its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answered, and not that it has too much to do.
    Well,
    /// It answered 429 or 5xx, or no HTTP.
    Strained,
    /// It did not answer.
    Unreachable,
    /// Nothing: there was no request, for reasons that are not the receiver's.
    Unknown,
}

impl Health {
    /// By how an attempt ended.
    #[must_use]
    pub const fn of(result: AttemptResult) -> Health {
        match result {
            AttemptResult::Answered(Signals { status: 429 | 500..=599, .. }) => Health::Strained,
            AttemptResult::Answered(_) => Health::Well,
            AttemptResult::Error(class) => match class {
                ErrorClass::Dns
                | ErrorClass::Refused
                | ErrorClass::Reset
                | ErrorClass::Tls
                | ErrorClass::ConnectTimeout
                | ErrorClass::TotalTimeout
                | ErrorClass::Proxy => Health::Unreachable,
                ErrorClass::Protocol | ErrorClass::Status => Health::Strained,
                ErrorClass::BlockedAddress
                | ErrorClass::Oauth
                | ErrorClass::Secrets
                | ErrorClass::InvalidRequest
                | ErrorClass::QueueDeleted
                | ErrorClass::Cancelled
                | ErrorClass::Expired => Health::Unknown,
            },
        }
    }
}

/// Whether one more may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Now,
    /// Not before one that is in flight ends.
    WhenOneEnds,
    At(Timestamp),
    /// Not before this is stored; see [`Flow::reserved`].
    Reserve(Timestamp),
}

/// Body bytes that count as one turn: a queue with large bodies has its turn less often.
const BYTES_A_TURN: usize = 64 * 1024;
/// Turns that a queue may owe at most.
const MOST_DEBT: usize = 256;

/// The flow of one queue.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Of which revision of the queue; `None`: not known yet, or not any more.
    revision: Option<i64>,
    limits: QueueLimits,
    congestion: Congestion,
    breaker: Breaker,
    bucket: Bucket,
    /// Nothing starts before.
    not_before: Timestamp,
    /// Turns that it has used ahead of its time.
    debt: usize,
}

impl Flow {
    /// Of a queue of which nothing is known: `opening` requests at once.
    #[must_use]
    pub fn new(opening: usize) -> Flow {
        Flow {
            revision: None,
            limits: QueueLimits::default(),
            congestion: Congestion::new(opening),
            breaker: Breaker::default(),
            bucket: Bucket::after(Timestamp::MIN),
            not_before: Timestamp::MIN,
            debt: 0,
        }
    }

    /// Whether one more may start beside those in flight here and those that a former owner is still sending.
    #[must_use]
    pub fn admits(&self, in_flight: usize, elsewhere: usize, now: Timestamp) -> Admission {
        if self.not_before > now {
            return Admission::At(self.not_before);
        }
        let most = self.limits.max_concurrency.unwrap_or(usize::MAX);
        if in_flight + elsewhere >= most || in_flight >= self.congestion.window() {
            return Admission::WhenOneEnds;
        }
        match self.breaker.permits(now) {
            breaker::Permission::Now => {}
            breaker::Permission::At(at) => return Admission::At(at),
            breaker::Permission::AfterProbe => return Admission::WhenOneEnds,
        }
        match self.limits.rate.map_or(rate::Permission::Now, |rate| self.bucket.permits(rate, now)) {
            rate::Permission::Now => Admission::Now,
            rate::Permission::At(at) => Admission::At(at),
            rate::Permission::Reserve(until) => Admission::Reserve(until),
        }
    }

    /// One starts, as it was admitted. What it uses of the rate, if one is known.
    pub fn start(&mut self, now: Timestamp) -> Option<Token> {
        self.breaker.start();
        self.limits.rate.map(|rate| self.bucket.start(rate, now))
    }

    /// One that was to start was not sent.
    pub fn not_sent(&mut self, token: Option<Token>, now: Timestamp) {
        self.breaker.lapsed(now);
        if let Some(token) = token {
            self.bucket.give_back(token);
        }
    }

    /// One that began at `started` has ended, while `in_flight` were under way, itself included. True: the breaker has opened.
    pub fn ended(&mut self, health: Health, started: Timestamp, in_flight: usize, now: Timestamp) -> bool {
        match health {
            Health::Well => {
                self.congestion.well(in_flight);
                self.breaker.answered();
                false
            }
            Health::Strained => {
                self.congestion.badly(started, now);
                self.breaker.answered();
                false
            }
            Health::Unreachable => {
                self.congestion.badly(started, now);
                self.breaker.unanswered(started, now)
            }
            Health::Unknown => {
                self.breaker.lapsed(now);
                false
            }
        }
    }

    /// The queue's limits as they were read, up to when its rate is used, and when its messages were gathered in one shard. True: it
    /// has other limits than were known.
    pub fn learn(&mut self, revision: i64, limits: QueueLimits, used_until: Timestamp, not_before: Timestamp) -> bool {
        let changed = self.limits != limits;
        self.revision = Some(revision);
        self.limits = limits;
        self.bucket.used(used_until);
        self.not_before = not_before;
        changed
    }

    /// Somebody else may use its rate from now on: what is known of it counts no more.
    pub fn unlearn(&mut self) {
        self.revision = None;
    }

    /// Whose limits are known.
    #[must_use]
    pub fn revision(&self) -> Option<i64> {
        self.revision
    }

    #[must_use]
    pub fn limits(&self) -> QueueLimits {
        self.limits
    }

    /// It is stored that the rate is used up to then.
    pub fn reserved(&mut self, until: Timestamp) {
        self.bucket.reserved(until);
    }

    /// What started carries this much: beyond what a turn is good for, it is owed.
    pub fn charge(&mut self, bytes: usize) {
        self.debt = (self.debt + bytes / BYTES_A_TURN).min(MOST_DEBT);
    }

    /// Whether its turn is used up by what it owes.
    pub fn pays(&mut self) -> bool {
        let owes = self.debt > 0;
        self.debt = self.debt.saturating_sub(1);
        owes
    }

    /// How many may be in flight by how its receiver answers.
    #[must_use]
    pub fn window(&self) -> usize {
        self.congestion.window()
    }

    #[must_use]
    pub fn breaker(&self) -> Position {
        self.breaker.position()
    }

    /// The grace that a change of the spread gives former owners to tell what they are sending.
    pub const GATHERING: Duration = Duration::from_millis(1_000);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    fn limited(limits: QueueLimits) -> Flow {
        let mut flow = Flow::new(100);
        assert!(flow.learn(1, limits, Timestamp::MIN, Timestamp::MIN));
        flow
    }

    #[test]
    fn what_a_former_owner_is_still_sending_counts() {
        let flow = limited(QueueLimits { max_concurrency: Some(3), rate: None });
        assert_eq!(flow.admits(1, 1, at(0)), Admission::Now);
        assert_eq!(flow.admits(1, 2, at(0)), Admission::WhenOneEnds);
        assert_eq!(flow.admits(0, 3, at(0)), Admission::WhenOneEnds);
        // It says nothing about how the receiver answers here.
        assert_eq!(Flow::new(2).admits(1, 50, at(0)), Admission::Now);
    }

    #[test]
    fn the_strictest_bound_decides() {
        let mut flow = limited(QueueLimits { max_concurrency: Some(50), rate: Some(Rate::new(1.0, 2)) });
        let Admission::Reserve(until) = flow.admits(0, 0, at(10)) else { panic!("nothing is reserved") };
        flow.reserved(until);
        flow.start(at(10));
        let token = flow.start(at(10));
        assert_eq!(flow.admits(2, 0, at(10)), Admission::At(at(11)));
        flow.not_sent(token, at(10));
        assert_eq!(flow.admits(1, 0, at(10)), Admission::Now);
        assert_eq!(flow.admits(50, 0, at(10)), Admission::WhenOneEnds);
    }

    #[test]
    fn what_was_started_before_the_rate_was_known_gives_nothing_back() {
        let mut flow = Flow::new(100);
        let tokens: Vec<_> = (0..10).map(|_| flow.start(at(10))).collect();
        flow.learn(1, QueueLimits { max_concurrency: None, rate: Some(Rate::new(1.0, 1)) }, at(20), Timestamp::MIN);
        for token in tokens {
            flow.not_sent(token, at(10));
        }
        assert_eq!(flow.admits(0, 0, at(10)), Admission::At(at(20)));
    }

    #[test]
    fn every_result_of_an_attempt_says_something_about_the_receiver_or_nothing() {
        let answered = |status| Health::of(AttemptResult::Answered(Signals::status(status)));
        for (status, health) in [
            (200, Health::Well),
            (301, Health::Well),
            (404, Health::Well),
            (429, Health::Strained),
            (503, Health::Strained),
        ] {
            assert_eq!(answered(status), health, "{status}");
        }
        for class in ErrorClass::ALL {
            let health = Health::of(AttemptResult::Error(*class));
            let mut flow = Flow::new(64);
            for _ in 0..breaker::FAILURES {
                flow.ended(health, at(1), 64, at(1));
            }
            assert_eq!(flow.breaker() == Position::Open, health == Health::Unreachable, "{class}");
            assert_eq!(flow.window() < 64, health != Health::Unknown, "{class}");
        }
    }

    #[test]
    fn large_bodies_use_up_turns() {
        let mut flow = Flow::new(1);
        flow.charge(BYTES_A_TURN - 1);
        assert!(!flow.pays());
        flow.charge(3 * BYTES_A_TURN);
        assert_eq!((0..5).map(|_| flow.pays()).collect::<Vec<_>>(), [true, true, true, false, false]);
        flow.charge(usize::MAX);
        assert_eq!((0..1000).filter(|_| flow.pays()).count(), MOST_DEBT);
    }

    #[test]
    fn a_changed_limit_is_told_from_a_changed_queue() {
        let limits = QueueLimits { max_concurrency: Some(3), rate: None };
        let mut flow = limited(limits);
        assert!(!flow.learn(2, limits, Timestamp::MIN, Timestamp::MIN));
        assert_eq!(flow.revision(), Some(2));
        assert!(flow.learn(3, QueueLimits::default(), Timestamp::MIN, at(9)));
        assert_eq!(flow.admits(0, 0, at(8)), Admission::At(at(9)));
        flow.unlearn();
        assert_eq!(flow.revision(), None);
    }
}
