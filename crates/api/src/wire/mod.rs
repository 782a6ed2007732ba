//! The JSON of requests and answers: names, types, order and formats exactly as clients of pg-hooks know them.

pub mod api_key;
pub mod attempt;
pub mod audit;
pub mod cron;
pub mod delay;
pub mod echo;
pub mod fields;
pub mod idempotency;
pub mod job;
pub mod message;
pub mod output;
pub mod patch;
pub mod queue;
pub mod rate_limit;
pub mod retry_policy;
pub mod secret;
pub mod testing;
pub mod tick;
pub mod time;
pub mod topic;
pub mod trace;
pub mod value;

use posthaste_core::time::Timestamp;
use serde::{Serialize, Serializer};

/// An id, as a string: JavaScript's numbers do not hold all of them.
#[derive(Debug, Clone, Copy)]
pub struct Id(pub i64);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A time in UTC with milliseconds, such as `2026-11-23T13:15:54.470Z`; what is finer is cut off.
#[derive(Debug, Clone, Copy)]
pub struct Date(pub Timestamp);

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.to_datetime() {
            Some(at) => serializer.collect_str(&at.format("%Y-%m-%dT%H:%M:%S%.3fZ")),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_milliseconds() {
        let json = |micros| serde_json::to_string(&Date(Timestamp(micros))).unwrap();
        assert_eq!(json(1_795_439_754_470_999), r#""2026-11-23T13:15:54.470Z""#);
        assert_eq!(json(0), r#""1970-01-01T00:00:00.000Z""#);
        assert_eq!(json(253_402_300_799_999_999), r#""9999-12-31T23:59:59.999Z""#);
        assert_eq!(json(i64::MAX), "null");
    }

    #[test]
    fn ids_are_strings() {
        assert_eq!(serde_json::to_string(&Id(9_007_199_254_740_993)).unwrap(), r#""9007199254740993""#);
    }
}
