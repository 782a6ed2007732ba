//! Points in time as the database counts them.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// Microseconds since 1970-01-01 UTC: the resolution of Postgres' `timestamptz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Earlier than every time that can be stored.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// Later than every time that can be stored.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// `self + by`, or [`Timestamp::MAX`] where that cannot be represented.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero where it is not after it.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// `None` outside the years that chrono can represent.
    #[must_use]
    pub fn to_datetime(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.0)
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(at: DateTime<Utc>) -> Timestamp {
        Timestamp(at.timestamp_micros())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_datetime() {
            Some(at) => write!(f, "{}", at.format("%Y-%m-%dT%H:%M:%S%.6fZ")),
            None => write!(f, "{} µs", self.0),
        }
    }
}
