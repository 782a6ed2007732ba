//! Retry policies and final statuses in JSON.

use std::time::Duration;

use posthaste_core::backoff::{Backoff, Shape};
use posthaste_core::final_status::FinalStatuses;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value, json};

use super::value::{given, invalid};
use crate::error::ApiError;

const FIELD: &str = "retryPolicy";
const FINAL: &str = "finalStatuses";

/// What a retry policy may be, for whoever wrote another.
const EXPECTED: &str =
    "takes \"fast\", \"standard\", null, or an object whose type is exponential, linear, fixed or schedule";

/// A retry policy: `"fast"`, `"standard"`, or an object that describes one; `null` or nothing is the deployment's.
///
/// # Errors
/// It is something else, or out of bounds.
pub fn read(value: Option<&RawValue>) -> Result<Option<Backoff>, ApiError> {
    let Some(value) = given(value) else { return Ok(None) };
    // Nested beyond what is read, or half of a surrogate pair.
    let backoff = match serde_json::from_str(value.get()).map_err(|_| ApiError::InvalidJson)? {
        Value::String(name) => Backoff::preset(&name).ok_or_else(|| invalid(FIELD, EXPECTED))?,
        Value::Object(object) => described(Parts(object))?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return Err(invalid(FIELD, EXPECTED)),
    };
    backoff.check().map_err(|problem| invalid(FIELD, problem))?;
    Ok(Some(backoff))
}

/// A retry policy as [`read`] reads it.
#[must_use]
pub fn write(backoff: &Backoff) -> Value {
    let millis = |wait: &Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let jitter = number(backoff.jitter);
    match &backoff.shape {
        Shape::Exponential { initial, multiplier, max } => json!({
            "type": "exponential", "initialMs": millis(initial), "multiplier": number(*multiplier), "maxMs": millis(max),
            "jitter": jitter
        }),
        Shape::Linear { step, max } => {
            json!({"type": "linear", "stepMs": millis(step), "maxMs": millis(max), "jitter": jitter})
        }
        Shape::Fixed { wait } => json!({"type": "fixed", "waitMs": millis(wait), "jitter": jitter}),
        Shape::Schedule { waits } => {
            json!({"type": "schedule", "waitsMs": waits.iter().map(millis).collect::<Vec<_>>(), "jitter": jitter})
        }
    }
}

/// 2 rather than 2.0, as it came.
pub(super) fn number(number: f64) -> Value {
    number.to_string().parse::<Number>().map_or(Value::Null, Value::Number)
}

/// The final statuses of a queue: an array of statuses, as numbers or text, and of classes such as `4xx`; `null` or nothing is
/// none.
///
/// # Errors
/// It is something else.
pub fn read_final(value: Option<&RawValue>) -> Result<Option<Vec<String>>, ApiError> {
    let Some(value) = given(value) else { return Ok(None) };
    let no_array = || ApiError::Validation(format!("body/{FINAL} must be array"));
    let items: Vec<Value> = match serde_json::from_str(value.get()).map_err(|_| ApiError::InvalidJson)? {
        Value::Array(items) => items,
        _ => return Err(no_array()),
    };
    let entries = items.into_iter().map(|item| match item {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => item.to_string(),
    });
    let statuses = FinalStatuses::parse(&entries.collect::<Vec<_>>()).map_err(|problem| invalid(FINAL, problem))?;
    Ok(Some(statuses.entries()))
}

/// The parts of a policy that nobody has taken yet.
struct Parts(Map<String, Value>);

impl Parts {
    fn take(&mut self, name: &str) -> Result<Value, ApiError> {
        self.0.remove(name).ok_or_else(|| invalid(FIELD, format!("must have the property '{name}'")))
    }

    fn wait(&mut self, name: &str) -> Result<Duration, ApiError> {
        let value = self.take(name)?;
        wait_of(&value).ok_or_else(|| invalid(FIELD, format!("{name} must be a whole number of milliseconds")))
    }

    fn number(&mut self, name: &str) -> Result<f64, ApiError> {
        self.take(name)?.as_f64().ok_or_else(|| invalid(FIELD, format!("{name} must be a number")))
    }
}

fn wait_of(value: &Value) -> Option<Duration> {
    value.as_u64().map(Duration::from_millis)
}

fn described(mut parts: Parts) -> Result<Backoff, ApiError> {
    let shape = match parts.take("type")?.as_str() {
        Some("exponential") => Shape::Exponential {
            initial: parts.wait("initialMs")?,
            multiplier: parts.number("multiplier")?,
            max: parts.wait("maxMs")?,
        },
        Some("linear") => Shape::Linear { step: parts.wait("stepMs")?, max: parts.wait("maxMs")? },
        Some("fixed") => Shape::Fixed { wait: parts.wait("waitMs")? },
        Some("schedule") => {
            let waits = parts.take("waitsMs")?;
            let waits = waits.as_array().and_then(|waits| waits.iter().map(wait_of).collect());
            let expected = || invalid(FIELD, "waitsMs must be an array of whole numbers of milliseconds");
            Shape::Schedule { waits: waits.ok_or_else(expected)? }
        }
        _ => return Err(invalid(FIELD, EXPECTED)),
    };
    let jitter = if parts.0.contains_key("jitter") { parts.number("jitter")? } else { 0.0 };
    match parts.0.keys().next() {
        None => Ok(Backoff { shape, jitter }),
        Some(name) => {
            let name: String = name.chars().take(100).collect();
            Err(invalid(FIELD, format!("has no property '{name}' with this type")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Option<&RawValue> {
        Some(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn policies_come_back_as_they_were_sent() {
        for json in [
            r#"{"initialMs":100,"jitter":0,"maxMs":86400000,"multiplier":2,"type":"exponential"}"#,
            r#"{"initialMs":1,"jitter":0.5,"maxMs":604800000,"multiplier":1.5,"type":"exponential"}"#,
            r#"{"jitter":1,"maxMs":60000,"stepMs":1000,"type":"linear"}"#,
            r#"{"jitter":0,"type":"fixed","waitMs":30000}"#,
            r#"{"jitter":0.1,"type":"schedule","waitsMs":[5000,300000]}"#,
        ] {
            let policy = read(raw(json)).unwrap().unwrap();
            assert_eq!(write(&policy), serde_json::from_str::<Value>(json).unwrap());
        }
        assert_eq!(read(raw(r#"{"type":"fixed","waitMs":1}"#)).unwrap().unwrap().jitter, 0.0);
    }

    #[test]
    fn presets_are_written_out() {
        let written = |json| read(raw(json)).unwrap().as_ref().map(write);
        assert_eq!((read(None), written("null")), (Ok(None), None));
        let fast = json!({"type": "exponential", "initialMs": 100, "multiplier": 2, "maxMs": 86_400_000, "jitter": 0});
        assert_eq!(written("\"fast\""), Some(fast));
        let standard = written("\"standard\"").unwrap();
        assert_eq!((&standard["type"], standard["waitsMs"].as_array().map(Vec::len)), (&json!("schedule"), Some(9)));
    }

    #[test]
    fn what_is_wrong_with_a_policy_is_told() {
        for (json, says) in [
            ("\"slow\"", "takes \"fast\", \"standard\", null, or an object"),
            ("1", "takes \"fast\""),
            ("[]", "takes \"fast\""),
            ("{}", "must have the property 'type'"),
            (r#"{"type":"cubic"}"#, "takes \"fast\""),
            (r#"{"type":1}"#, "takes \"fast\""),
            (r#"{"type":"exponential","initialMs":1,"maxMs":1}"#, "must have the property 'multiplier'"),
            (r#"{"type":"fixed","waitMs":"1"}"#, "waitMs must be a whole number of milliseconds"),
            (r#"{"type":"fixed","waitMs":1.5}"#, "waitMs must be a whole number of milliseconds"),
            (r#"{"type":"fixed","waitMs":-1}"#, "waitMs must be a whole number of milliseconds"),
            (r#"{"type":"fixed","waitMs":0}"#, "a wait must be from 1 ms to 7 days"),
            (r#"{"type":"fixed","waitMs":18446744073709551615}"#, "a wait must be from 1 ms to 7 days"),
            (r#"{"type":"fixed","waitMs":1,"maxMs":2}"#, "has no property 'maxMs' with this type"),
            (r#"{"type":"fixed","waitMs":1,"jitter":2}"#, "the jitter must be from 0 to 1"),
            (r#"{"type":"fixed","waitMs":1,"jitter":null}"#, "jitter must be a number"),
            (r#"{"type":"linear","stepMs":2,"maxMs":1}"#, "the longest wait must not be shorter"),
            (r#"{"type":"schedule","waitsMs":[]}"#, "a schedule must have 1 to 100 waits"),
            (r#"{"type":"schedule","waitsMs":[1,"2"]}"#, "waitsMs must be an array"),
            (r#"{"type":"schedule","waitsMs":7}"#, "waitsMs must be an array"),
        ] {
            let problem = read(raw(json)).unwrap_err().to_string();
            assert!(problem.starts_with(&format!("body/retryPolicy: {says}")), "{json}: {problem}");
        }
    }

    #[test]
    fn final_statuses() {
        assert_eq!((read_final(None), read_final(raw("null"))), (Ok(None), Ok(None)));
        assert_eq!(read_final(raw("[]")), Ok(Some(vec![])));
        let expected = ["404", "410", "5xx"].map(str::to_owned).to_vec();
        assert_eq!(read_final(raw(r#"["404", 410, "5xx"]"#)), Ok(Some(expected)));
        assert_eq!(read_final(raw("404")).unwrap_err().to_string(), "body/finalStatuses must be array");
        for json in ["[200]", "[null]", "[[404]]", "[404.0]", "[\"6xx\"]", &format!("[{}]", vec!["404"; 51].join(","))]
        {
            let problem = read_final(raw(json)).unwrap_err().to_string();
            assert!(problem.starts_with("body/finalStatuses: "), "{json}: {problem}");
        }
    }
}
