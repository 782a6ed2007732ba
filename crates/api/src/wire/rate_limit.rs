//! Rate limits in JSON.

use posthaste_core::gate::rate::{LEAST_PER_SECOND, MOST_BURST, MOST_PER_SECOND};
use posthaste_store::queue::RateLimit;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::retry_policy::number;
use super::value::{given, invalid};
use crate::error::ApiError;

const FIELD: &str = "rateLimit";
/// What a rate limit may be, for whoever wrote another.
const EXPECTED: &str = "takes null, or an object with perSecond and, if more than 1, burst";

/// A rate limit: an object with `perSecond` and perhaps `burst`, which is 1 if it is missing; `null` or nothing is none.
///
/// # Errors
/// It is something else, or out of bounds.
pub fn read(value: Option<&RawValue>) -> Result<Option<RateLimit>, ApiError> {
    let Some(value) = given(value) else { return Ok(None) };
    // Nested beyond what is read, or half of a surrogate pair.
    let Value::Object(mut parts) = serde_json::from_str(value.get()).map_err(|_| ApiError::InvalidJson)? else {
        return Err(invalid(FIELD, EXPECTED));
    };
    let per_second = parts.remove("perSecond").ok_or_else(|| invalid(FIELD, "must have the property 'perSecond'"))?;
    let burst = parts.remove("burst").unwrap_or(json!(1));
    if let Some(name) = parts.keys().next() {
        return Err(invalid(FIELD, format!("has no property '{name}'")));
    }
    let per_second = per_second.as_f64().filter(|rate| (LEAST_PER_SECOND..=MOST_PER_SECOND).contains(rate));
    let per_second = per_second.ok_or_else(|| {
        invalid(FIELD, format!("perSecond takes a number from 1/86400 (one a day) to {MOST_PER_SECOND}"))
    })?;
    let burst =
        burst.as_u64().and_then(|burst| u32::try_from(burst).ok()).filter(|burst| (1..=MOST_BURST).contains(burst));
    let burst = burst.and_then(|burst| i32::try_from(burst).ok());
    let burst = burst.ok_or_else(|| invalid(FIELD, format!("burst takes a whole number from 1 to {MOST_BURST}")))?;
    Ok(Some(RateLimit { per_second, burst }))
}

/// A rate limit as [`read`] reads it.
#[must_use]
pub fn write(limit: RateLimit) -> Value {
    json!({"perSecond": number(limit.per_second), "burst": limit.burst})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Option<RateLimit>, String> {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        read(Some(&raw)).map_err(|error| error.to_string())
    }

    #[test]
    fn limits_are_read_and_written() {
        for (json, per_second, burst) in [
            (r#"{"perSecond":2}"#, 2.0, 1),
            (r#"{"perSecond":0.5,"burst":100000}"#, 0.5, 100_000),
            (r#"{"burst":3,"perSecond":100000}"#, 100_000.0, 3),
            (r#"{"perSecond":0.0000115741}"#, 0.000_011_574_1, 1),
        ] {
            let limit = parse(json).unwrap().unwrap();
            assert_eq!(limit, RateLimit { per_second, burst }, "{json}");
            assert_eq!(parse(&write(limit).to_string()), Ok(Some(limit)));
        }
        assert_eq!(parse("null"), Ok(None));
        assert_eq!(write(RateLimit { per_second: 2.0, burst: 1 }).to_string(), r#"{"burst":1,"perSecond":2}"#);
    }

    #[test]
    fn other_things_are_refused_with_what_is_wrong() {
        for (json, why) in [
            ("5", "takes null, or an object"),
            ("[]", "takes null, or an object"),
            ("{}", "must have the property 'perSecond'"),
            (r#"{"perSecond":"2"}"#, "perSecond takes a number"),
            (r#"{"perSecond":0}"#, "perSecond takes a number"),
            (r#"{"perSecond":-1}"#, "perSecond takes a number"),
            (r#"{"perSecond":0.00001}"#, "perSecond takes a number"),
            (r#"{"perSecond":100001}"#, "perSecond takes a number"),
            (r#"{"perSecond":1,"burst":0}"#, "burst takes a whole number"),
            (r#"{"perSecond":1,"burst":1.5}"#, "burst takes a whole number"),
            (r#"{"perSecond":1,"burst":100001}"#, "burst takes a whole number"),
            (r#"{"perSecond":1,"burst":null}"#, "burst takes a whole number"),
            (r#"{"perSecond":1,"perMinute":1}"#, "has no property 'perMinute'"),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.contains(why), "{json}: {error}");
        }
    }
}
