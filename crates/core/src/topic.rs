//! Topics: their names, and which of what is published to one a subscription takes.

use serde_json::{Map, Value};

use crate::queue::sendable;

/// The longest name of a topic, in characters.
pub const LONGEST_NAME: usize = 255;
/// Headers that a filter may name.
pub const MOST_HEADERS: usize = 32;
/// Values that a filter may allow for one header.
pub const MOST_VALUES: usize = 100;

/// Why something is no name or no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    #[error("a topic's name has 1 to {LONGEST_NAME} characters of a-z, A-Z, 0-9, '.', '_', '-' and ':'")]
    Name,
    #[error("takes null, or an object of header names to a value or an array of values")]
    Filter,
    #[error("may name at most {MOST_HEADERS} headers, each with 1 to {MOST_VALUES} values")]
    TooMuch,
}

/// Whether a topic can have this name.
///
/// # Errors
/// It cannot.
pub fn check_name(name: &str) -> Result<(), TopicError> {
    let is_sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    let is_name = (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(is_sound);
    if is_name { Ok(()) } else { Err(TopicError::Name) }
}

/// The headers that a message must have, each with one of some values. Names without case, values with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter(Vec<(String, Vec<String>)>);

impl Filter {
    /// Reads `{"header": "value", "other": ["one", "two"]}`. Numbers and booleans are the text that they are sent as.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(json: &Value) -> Result<Filter, TopicError> {
        let Value::Object(headers) = json else { return Err(TopicError::Filter) };
        if headers.len() > MOST_HEADERS {
            return Err(TopicError::TooMuch);
        }
        let mut all = Vec::with_capacity(headers.len());
        for (name, values) in headers {
            let values: Vec<String> = match values {
                Value::Array(values) => values.iter().map(text).collect::<Option<_>>().ok_or(TopicError::Filter)?,
                value => vec![text(value).ok_or(TopicError::Filter)?],
            };
            if !(1..=MOST_VALUES).contains(&values.len()) {
                return Err(TopicError::TooMuch);
            }
            all.push((name.to_ascii_lowercase(), values));
        }
        Ok(Filter(all))
    }

    /// Whether a message with these headers is taken.
    #[must_use]
    pub fn takes(&self, headers: Option<&Map<String, Value>>) -> bool {
        let sent: Vec<(String, String)> = headers.into_iter().flat_map(sendable).collect();
        self.0.iter().all(|(name, values)| {
            let mut of_name = sent.iter().filter(|(sent, _)| sent.eq_ignore_ascii_case(name));
            of_name.any(|(_, value)| values.contains(value))
        })
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn takes(filter: &Value, headers: &Value) -> bool {
        Filter::parse(filter).unwrap().takes(headers.as_object())
    }

    #[test]
    fn all_headers_must_be_there_with_one_of_their_values() {
        let filter = json!({"X-Kind": ["created", "deleted"], "x-tenant": 7, "x-live": true});
        let headers = |kind: &str| json!({"x-kind": kind, "X-Tenant": "7", "x-live": true, "other": "x"});
        assert!(takes(&filter, &headers("created")));
        assert!(takes(&filter, &headers("deleted")));
        assert!(!takes(&filter, &headers("Created")));
        assert!(!takes(&filter, &json!({"x-kind": "created", "x-tenant": 8, "x-live": true})));
        assert!(!takes(&filter, &json!({"x-kind": "created"})));
        assert!(!takes(&filter, &json!(null)));
        assert!(takes(&json!({}), &json!(null)));
    }

    #[test]
    fn other_filters_are_refused() {
        let many: Value = (0..33).map(|n| (n.to_string(), json!("x"))).collect::<Map<_, _>>().into();
        let filters = [
            (json!("x"), TopicError::Filter),
            (json!([]), TopicError::Filter),
            (json!({"a": null}), TopicError::Filter),
            (json!({"a": {"eq": 1}}), TopicError::Filter),
            (json!({"a": [["x"]]}), TopicError::Filter),
            (json!({"a": []}), TopicError::TooMuch),
            (json!({"a": vec!["x"; 101]}), TopicError::TooMuch),
            (many, TopicError::TooMuch),
        ];
        for (filter, error) in filters {
            assert_eq!(Filter::parse(&filter), Err(error), "{filter}");
        }
    }

    #[test]
    fn names_can_stand_in_a_path() {
        for name in ["a", "orders.created", "eu-1:orders_2", &"x".repeat(255)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "a b", "a/b", "ä", &"x".repeat(256)] {
            assert_eq!(check_name(name), Err(TopicError::Name), "{name}");
        }
    }
}
