//! Single values of a request's body.
//!
//! One coercion is left of those of the original: a number may come as a string, as ids do in every answer. A string
//! that comes as a number is more often a mistake than meant.

use posthaste_core::ids::QueueId;
use posthaste_core::queue::check_headers;
use posthaste_core::refusal::Refusal;
use serde_json::Value;
use serde_json::value::RawValue;

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
