//! Single values of a request's body.
//!
//! One coercion is left of those of the original: a number may come as a string, as ids do in every answer. A string
//! that comes as a number is more often a mistake than meant.

use std::ops::RangeInclusive;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use posthaste_core::ids::QueueId;
use posthaste_core::queue::{CONNECT_TIMEOUT_MS, LONGEST_ORDERING_KEY, PRIORITY, TIMEOUT_MS, check_headers};
use posthaste_core::refusal::Refusal;
use serde_json::Value;
use serde_json::value::RawValue;

use super::delay;
use crate::error::{ApiError, Limited};

fn must_be(field: &str, what: &str) -> ApiError {
    ApiError::Validation(format!("body/{field} must be {what}"))
}

/// A value that is right in type and wrong in itself.
pub fn invalid(field: &'static str, problem: impl ToString) -> ApiError {
    ApiError::InvalidValue { field, problem: problem.to_string() }
}

/// A value that the domain refuses: one that is too much is told from one that is wrong.
pub fn refused(field: &'static str, refusal: &impl Refusal) -> ApiError {
    if refusal.is_excess() {
        ApiError::Limit { of: Limited::Value, problem: format!("body/{field}: {refusal}") }
    } else {
        invalid(field, refusal)
    }
}

/// The value unless it is missing or `null`.
pub fn given(value: Option<&RawValue>) -> Option<&RawValue> {
    value.filter(|value| value.get() != "null")
}

/// A string.
///
/// # Errors
/// It is something else.
pub fn string(field: &str, value: &RawValue) -> Result<String, ApiError> {
    if !value.get().starts_with('"') {
        return Err(must_be(field, "string"));
    }
    // Half of a surrogate pair: no text.
    serde_json::from_str(value.get()).map_err(|_| ApiError::InvalidJson)
}

/// Why a queue is paused: nothing, or up to 1000 characters.
///
/// # Errors
/// It is something else.
pub fn reason(value: Option<&RawValue>) -> Result<Option<String>, ApiError> {
    let Some(value) = given(value) else { return Ok(None) };
    let reason = string("reason", value)?;
    if reason.chars().count() > 1000 {
        return Err(ApiError::value_limit("body/reason may have at most 1000 characters".to_owned()));
    }
    if reason.contains('\0') { Err(invalid("reason", "must not contain U+0000")) } else { Ok(Some(reason)) }
}

/// A whole number, or a string of one.
///
/// # Errors
/// It is something else, or beyond 64 bits.
pub fn integer(field: &str, value: &RawValue) -> Result<i64, ApiError> {
    let text = value.get();
    let digits = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    // JSON has no whole numbers: 5.0 is 5. Rust also reads "+5".
    let whole = digits.strip_suffix(".0").unwrap_or(digits);
    let number = if whole.starts_with('+') { None } else { whole.parse().ok() };
    number.ok_or_else(|| must_be(field, "integer"))
}

/// True or false.
///
/// # Errors
/// It is something else.
pub fn boolean(field: &str, value: &RawValue) -> Result<bool, ApiError> {
    match value.get() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(must_be(field, "boolean")),
    }
}

/// A whole number within bounds.
///
/// # Errors
/// As [`integer`]; it is out of the bounds.
pub fn within(field: &'static str, bounds: RangeInclusive<i32>, value: &RawValue) -> Result<i32, ApiError> {
    let number = i32::try_from(integer(field, value)?).ok().filter(|number| bounds.contains(number));
    number.ok_or_else(|| invalid(field, format!("takes {} to {}", bounds.start(), bounds.end())))
}

/// A whole number within bounds; `null` or nothing as none.
///
/// # Errors
/// As [`within`].
pub fn most(
    field: &'static str,
    bounds: RangeInclusive<i32>,
    value: Option<&RawValue>,
) -> Result<Option<i32>, ApiError> {
    given(value).map(|value| within(field, bounds, value)).transpose()
}

/// Milliseconds until there is a connection; `null` or nothing as none.
///
/// # Errors
/// As [`within`].
pub fn connect_timeout(value: Option<&RawValue>) -> Result<Option<i32>, ApiError> {
    most("connectTimeoutMs", CONNECT_TIMEOUT_MS, value)
}

/// Milliseconds for an attempt as a whole; `null` or nothing as none.
///
/// # Errors
/// As [`within`].
pub fn timeout(value: Option<&RawValue>) -> Result<Option<i32>, ApiError> {
    most("timeoutMs", TIMEOUT_MS, value)
}

/// An ordering key: 1 to 255 characters; `null` or nothing as none.
///
/// # Errors
/// It is something else.
pub fn ordering_key(value: Option<&RawValue>) -> Result<Option<String>, ApiError> {
    const FIELD: &str = "orderingKey";
    let Some(value) = given(value) else { return Ok(None) };
    let key = string(FIELD, value)?;
    if key.chars().count() > LONGEST_ORDERING_KEY {
        return Err(ApiError::value_limit(format!("body/{FIELD} may have at most {LONGEST_ORDERING_KEY} characters")));
    }
    match key.as_str() {
        "" => Err(invalid(FIELD, "must not be empty; leave it out, or null, for none")),
        _ if key.contains('\0') => Err(invalid(FIELD, "must not contain U+0000")),
        _ => Ok(Some(key)),
    }
}

/// A priority, -9 to 9; `null` or nothing as 0.
///
/// # Errors
/// As [`within`].
pub fn priority(value: Option<&RawValue>) -> Result<i16, ApiError> {
    let priority = most("priority", PRIORITY, value)?.unwrap_or(0);
    Ok(i16::try_from(priority).unwrap_or(0))
}

/// The id of a queue.
///
/// # Errors
/// As [`integer`].
pub fn queue_id(field: &str, value: &RawValue) -> Result<QueueId, ApiError> {
    integer(field, value).map(QueueId)
}

/// Headers: an object of names to values that can be sent, or `null`.
///
/// # Errors
/// It is something else, or cannot be sent.
pub fn headers(value: Option<&RawValue>) -> Result<Option<Value>, ApiError> {
    let Some(value) = given(value) else { return Ok(None) };
    if !value.get().starts_with('{') {
        return Err(must_be("headers", "object"));
    }
    match serde_json::from_str(value.get()) {
        Ok(Value::Object(headers)) => {
            check_headers(&headers).map_err(|problem| refused("headers", &problem))?;
            Ok(Some(Value::Object(headers)))
        }
        // Nested beyond what is read, or half of a surrogate pair.
        Ok(_) | Err(_) => Err(ApiError::InvalidJson),
    }
}

/// The text of a message's body: a string as it is, `null` or nothing as none, any other value as its JSON without
/// blanks between its tokens, numbers and the order of keys untouched.
///
/// # Errors
/// A string with half of a surrogate pair.
pub fn body(value: Option<&RawValue>) -> Result<Option<String>, ApiError> {
    let Some(value) = given(value) else { return Ok(None) };
    if value.get().starts_with('"') { string("body", value).map(Some) } else { Ok(Some(compact(value.get()))) }
}

/// The bytes of a message's body, in base64 with its padding; `null` or nothing as none.
///
/// # Errors
/// No string, or no base64.
pub fn bytes(field: &'static str, value: Option<&RawValue>) -> Result<Option<Vec<u8>>, ApiError> {
    let Some(value) = given(value) else { return Ok(None) };
    let expected = |_| invalid(field, "takes base64 of the standard alphabet, with its padding and nothing else");
    STANDARD.decode(string(field, value)?).map(Some).map_err(expected)
}

/// Bytes as [`bytes`] reads them.
#[must_use]
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A delay: a number of seconds, or a string of one or of an ISO 8601 duration; `null` or nothing as none.
///
/// # Errors
/// Neither number nor string, or none that is a delay.
pub fn delay(field: &'static str, value: Option<&RawValue>) -> Result<Option<Duration>, ApiError> {
    let Some(value) = given(value) else { return Ok(None) };
    let text = value.get();
    let text = match text.as_bytes().first() {
        Some(b'"') => string(field, value)?,
        Some(b'-' | b'0'..=b'9') => text.to_owned(),
        _ => return Err(must_be(field, "number or string")),
    };
    delay::parse(&text).map(Some).map_err(|problem| invalid(field, problem))
}

fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    compact.extend(json.chars().filter(|&c| {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            return true;
        }
        in_string = c == '"';
        !c.is_ascii_whitespace()
    }));
    compact
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn whole_numbers() {
        for (json, number) in
            [("7", 7), ("\"7\"", 7), ("-1", -1), ("5.0", 5), ("9007199254740993", 9_007_199_254_740_993)]
        {
            assert_eq!(integer("x", raw(json)), Ok(number), "{json}");
        }
        for json in
            ["7.5", "\"\"", "\"+7\"", "\" 7\"", "true", "null", "[]", "{}", "\"seven\"", "1e3", "9223372036854775808"]
        {
            assert_eq!(integer("x", raw(json)).unwrap_err().to_string(), "body/x must be integer", "{json}");
        }
    }

    #[test]
    fn strings_are_not_made_of_other_things() {
        assert_eq!(string("x", raw(r#""a\u00fc""#)), Ok("aü".to_owned()));
        for json in ["1", "true", "null", "[\"a\"]", "{}"] {
            assert_eq!(string("x", raw(json)).unwrap_err().to_string(), "body/x must be string", "{json}");
        }
        assert_eq!(string("x", raw(r#""\ud800""#)), Err(ApiError::InvalidJson));
    }

    #[test]
    fn headers_are_checked() {
        assert_eq!(headers(None), Ok(None));
        assert_eq!(headers(Some(raw("null"))), Ok(None));
        assert_eq!(headers(Some(raw("{}"))), Ok(Some(serde_json::json!({}))));
        for json in ["[]", "\"{}\"", "1"] {
            assert_eq!(headers(Some(raw(json))).unwrap_err().to_string(), "body/headers must be object", "{json}");
        }
        for json in [r#"{"a b": "c"}"#, r#"{"a": "x\ny"}"#, r#"{"a": {}}"#, r#"{"content-length": "1"}"#] {
            let error = headers(Some(raw(json))).unwrap_err();
            assert!(matches!(error, ApiError::InvalidValue { field: "headers", .. }), "{json}: {error}");
        }
    }

    #[test]
    fn bytes_are_strict_base64() {
        let read = |json: &str| bytes("x", Some(raw(json)));
        assert_eq!(bytes("x", None), Ok(None));
        assert_eq!(read("null"), Ok(None));
        assert_eq!(read(r#""""#), Ok(Some(vec![])));
        assert_eq!(read(r#""AP+A\u002f\/8=""#), Ok(Some(vec![0, 0xff, 0x80, 0xff, 0xff])));
        assert_eq!(to_base64(&[0, 0xff, 0x80, 0xff, 0xff]), "AP+A//8=");
        for json in
            [r#""AP8""#, r#""AP8==""#, r#""AP-_""#, r#""AP 8=""#, r#""AP9=""#, r#""AA==\n""#, r#""=""#, r#""ü""#]
        {
            assert!(matches!(read(json), Err(ApiError::InvalidValue { field: "x", .. })), "{json}");
        }
        assert_eq!(read("7").unwrap_err().to_string(), "body/x must be string");
    }

    #[test]
    fn a_delay_is_a_number_or_a_string() {
        let read = |json: &str| delay("x", Some(raw(json)));
        assert_eq!(delay("x", None), Ok(None));
        assert_eq!(read("null"), Ok(None));
        for json in ["1.5", "\"1.5\"", "\"PT1.5S\""] {
            assert_eq!(read(json), Ok(Some(Duration::from_millis(1500))), "{json}");
        }
        for json in ["true", "{}", "[1]"] {
            assert_eq!(read(json).unwrap_err().to_string(), "body/x must be number or string", "{json}");
        }
        for json in ["-1", "1e3", "\"\"", "\"P1M\""] {
            assert!(matches!(read(json), Err(ApiError::InvalidValue { field: "x", .. })), "{json}");
        }
    }

    #[test]
    fn a_body_is_any_json() {
        assert_eq!(body(None), Ok(None));
        for (json, text) in [
            (r#""as is { }""#, "as is { }"),
            (r#""""#, ""),
            (r#"{ "b" : 1.0, "a" : [ 1 , "x  \" y\\" ] }"#, r#"{"b":1.0,"a":[1,"x  \" y\\"]}"#),
            ("12345678901234567890.10", "12345678901234567890.10"),
            ("true", "true"),
            ("[\n]", "[]"),
            (r#"{"nul":"\u0000 ü"}"#, r#"{"nul":"\u0000 ü"}"#),
        ] {
            assert_eq!(body(Some(raw(json))), Ok(Some(text.to_owned())), "{json}");
        }
        assert_eq!(body(Some(raw("null"))), Ok(None));
    }
}
