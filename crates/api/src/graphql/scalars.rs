//! The scalars of the schema, and what fields are in them.

use async_graphql::Value;
use async_graphql::dynamic::{Scalar, TypeRef};
use posthaste_core::entity::Kind;

use crate::wire::output::{IdStyle, Output};
use crate::wire::time;

/// A part of a list, from 0 to the largest that is allowed.
pub const LIMIT: &str = "LimitInt";
/// A time with its offset, as RFC 3339 writes it.
pub const TIME: &str = "DateTime";
/// A JSON object.
pub const OBJECT: &str = "JSONObject";
/// Any JSON.
pub const JSON: &str = "JSON";
/// A time from now.
pub const DELAY: &str = "Delay";
/// A whole number of 64 bits.
pub const COUNT: &str = "Count";

/// All of them but those that GraphQL has itself.
pub fn all() -> [Scalar; 6] {
    [
        Scalar::new(LIMIT)
            .description(
                "How many rows a list may have, from 0 to 100; 10 where nothing is said. More is an error of the field.",
            )
            .validator(is_whole),
        Scalar::new(TIME)
            .description("A time such as `2026-11-23T13:15:54.470Z`. An offset is required, and honoured.")
            .specified_by_url("https://www.rfc-editor.org/rfc/rfc3339")
            .validator(is_time),
        Scalar::new(OBJECT)
            .description("A JSON object. As an input also a string that holds one.")
            .validator(|value| object(value).is_some()),
        Scalar::new(JSON).description("Any JSON value."),
        Scalar::new(DELAY)
            .description("A time from now: seconds, or an ISO 8601 duration such as `PT15M`.")
            .validator(|value| matches!(value, Value::Number(_) | Value::String(_))),
        Scalar::new(COUNT).description("How many; up to 2⁶³ - 1.").validator(is_whole),
    ]
}

fn is_whole(value: &Value) -> bool {
    matches!(value, Value::Number(number) if number.is_i64())
}

/// As strict as the original: an offset must be there, and a `T`.
fn is_time(value: &Value) -> bool {
    let Value::String(text) = value else { return false };
    let has_offset = text.ends_with(['Z', 'z'])
        || text.len().checked_sub(6).and_then(|at| text.get(at..)).is_some_and(|offset| offset.starts_with(['+', '-']));
    has_offset && text.get(10..11).is_some_and(|t| t.eq_ignore_ascii_case("t")) && time::parse(text).is_some()
}

/// The JSON object that a value is, or that its text holds.
pub fn object(value: &Value) -> Option<serde_json::Value> {
    let json = match value {
        Value::String(text) => serde_json::from_str(text).ok()?,
        Value::Object(_) => value.clone().into_json().ok()?,
        _ => return None,
    };
    matches!(json, serde_json::Value::Object(_)).then_some(json)
}

/// The type of a field.
pub fn of(kind: Kind) -> &'static str {
    match kind {
        Kind::Id => TypeRef::ID,
        Kind::Integer => TypeRef::INT,
        Kind::Text => TypeRef::STRING,
        Kind::Boolean => TypeRef::BOOLEAN,
        Kind::Time => TIME,
        Kind::Json => OBJECT,
        Kind::AnyJson => JSON,
    }
}

/// What a field holds; `None` is null.
pub fn value(output: &Output<'_>) -> Option<Value> {
    match output {
        Output::Null => None,
        Output::Text(text) => Some(Value::String(text.clone().into_owned())),
        Output::Boolean(boolean) => Some(Value::Boolean(*boolean)),
        Output::Number(number) => Some(Value::Number((*number).into())),
        Output::Id(_) | Output::Time(_) | Output::Json(_) => json(output.to_json(IdStyle::Text)),
    }
}

/// JSON as a value; null is `None`.
pub fn json(json: serde_json::Value) -> Option<Value> {
    match Value::from_json(json) {
        Ok(Value::Null) | Err(_) => None,
        Ok(value) => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_an_offset() {
        for time in ["2026-11-23T13:15:54.470Z", "2026-11-23t15:15:54+02:00", "2026-11-23T13:15:54-00:00"] {
            assert!(is_time(&Value::from(time)), "{time}");
        }
        for time in ["2026-11-23T13:15:54", "2026-11-23", "2026-11-23 13:15:54Z", "soon", "", "2026-13-23T13:15:54Z"] {
            assert!(!is_time(&Value::from(time)), "{time}");
        }
        assert!(!is_time(&Value::from(1_795_439_754)));
    }

    #[test]
    fn objects_may_be_text() {
        let expected = Some(serde_json::json!({"a": "b"}));
        assert_eq!(object(&Value::from(r#"{"a":"b"}"#)), expected);
        assert_eq!(object(&Value::from_json(serde_json::json!({"a": "b"})).unwrap()), expected);
        for other in [Value::from("[]"), Value::from("x"), Value::from(1), Value::List(vec![]), Value::Null] {
            assert_eq!(object(&other), None, "{other}");
        }
    }
}
