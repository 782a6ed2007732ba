//! How long an owner may still believe that its locks are its own.
//!
//! The server ends a lock session that has been silent for `idle_session_timeout`, and another process may own what was
//! ours from then on. So a delivery may start only while the last answered ping was *sent* less than [`LEASE`] ago: the
//! server heard of us after that moment, and its own clock for us started later still. Time is counted by a clock that
//! does not stop while the machine sleeps, so that a process which was frozen or suspended stops by itself when it thaws.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long an answered ping vouches for the locks; shorter than the server's patience, which is 5 s.
pub const LEASE: Duration = Duration::from_secs(3);

const NEVER_RENEWED: i64 = i64::MIN;
/// Later than every time: no renewal of an earlier one can take its place.
const REVOKED: i64 = i64::MAX;

/// A moment of the machine, in nanoseconds since it was started, sleep included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(i64);

impl BootTime {
    /// Now.
    #[must_use]
    pub fn now() -> BootTime {
        // Elsewhere (macOS) the monotonic clock counts sleep as well.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        const CLOCK: ClockId = ClockId::Boottime;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        const CLOCK: ClockId = ClockId::Monotonic;
        let now = clock_gettime(CLOCK);
        BootTime(now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec))
    }
}

/// Whether the locks of one lock session can be trusted. Clones share the answer; asking takes no lock and no system call
/// beyond the clock's. Once revoked it stays so: a new session has a new lease.
#[derive(Debug, Clone)]
pub struct Lease(Arc<AtomicI64>);

impl Lease {
    /// Not live until it is renewed.
    #[must_use]
    pub fn new() -> Lease {
        Lease(Arc::new(AtomicI64::new(NEVER_RENEWED)))
    }

    /// The server has answered what was sent at `sent_at`.
    pub fn renew(&self, sent_at: BootTime) {
        self.0.fetch_max(sent_at.0, Ordering::AcqRel);
    }

    /// The session is over, or about to be.
    pub fn revoke(&self) {
        self.0.store(REVOKED, Ordering::Release);
    }

    /// Whether a delivery may start now.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.is_live_at(BootTime::now())
    }

    fn is_live_at(&self, now: BootTime) -> bool {
        match self.0.load(Ordering::Acquire) {
            NEVER_RENEWED | REVOKED => false,
            sent_at => u128::try_from(now.0.saturating_sub(sent_at)).is_ok_and(|age| age < LEASE.as_nanos()),
        }
    }
}

impl Default for Lease {
    fn default() -> Lease {
        Lease::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: BootTime, by: Duration) -> BootTime {
        BootTime(start.0 + i64::try_from(by.as_nanos()).unwrap())
    }

    #[test]
    fn it_lives_for_three_seconds_after_the_sending() {
        let (lease, sent) = (Lease::new(), BootTime::now());
        assert!(!lease.is_live_at(sent), "nothing was answered yet");
        lease.renew(sent);
        assert!(lease.is_live_at(sent));
        assert!(lease.is_live_at(after(sent, LEASE - Duration::from_nanos(1))));
        assert!(!lease.is_live_at(after(sent, LEASE)));
        lease.renew(after(sent, Duration::from_secs(1)));
        assert!(lease.is_live_at(after(sent, LEASE)));
    }

    #[test]
    fn an_older_answer_takes_nothing_away() {
        let (lease, sent) = (Lease::new(), BootTime::now());
        lease.renew(after(sent, Duration::from_secs(2)));
        lease.renew(sent);
        assert!(lease.is_live_at(after(sent, Duration::from_secs(4))));
    }

    #[test]
    fn revoked_is_for_ever_and_for_all_clones() {
        let lease = Lease::new();
        let worker = lease.clone();
        lease.renew(BootTime::now());
        assert!(worker.is_live());
        lease.revoke();
        lease.renew(BootTime::now());
        assert!(!worker.is_live());
    }
}
