//! The database's clock, as known between two answers.
//!
//! A pod's wall clock decides nothing here. What the database said when it answered, plus the monotonic time since the
//! answer came in, is a lower bound of what its clock shows now; so a delivery that waits for it is never early.

use std::time::Instant;

use posthaste_core::time::Timestamp;

/// One answer of the database's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DatabaseClock {
    said: Timestamp,
    at: Instant,
}

impl DatabaseClock {
    /// `said` has just been received.
    pub(crate) fn set(said: Timestamp) -> DatabaseClock {
        DatabaseClock { said, at: Instant::now() }
    }

    /// Never later than the database's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.said.saturating_add(self.at.elapsed())
    }

    /// When this process' monotonic clock will be at `due`.
    pub(crate) fn instant(&self, due: Timestamp) -> Instant {
        self.at + due.since(self.said)
    }
}
