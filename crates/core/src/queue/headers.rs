//! The headers of a callback, as queues and messages store them: a JSON object of names to values.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::excerpt::excerpt;

/// The most that names and values of one object may take together, in bytes, with 4 for each header's `: ` and line end.
/// Receivers commonly refuse requests with more than 8 to 32 KiB of headers.
const LARGEST: usize = 16 * 1024;

/// The most headers of one object. Receivers commonly refuse requests with more than a hundred.
const MOST: usize = 64;

/// Headers that frame the message or belong to one connection (RFC 9110 §7.6.1), so that only the HTTP client can know
/// them; with `expect`, the client would have to wait for a permission that many receivers never give.
const NOT_SETTABLE: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers in which Posthaste tells the receiver what it gets, beside all those that begin with [`OUR_PREFIX`]. A receiver trusts
/// them, so nobody else may write them.
const OURS: [&str; 3] = ["webhook-id", "webhook-signature", "webhook-timestamp"];

/// What the names of our other headers begin with.
const OUR_PREFIX: &str = "posthaste-";

/// Whether a name, in lower case, is none that users may set.
fn is_reserved(name: &str) -> bool {
    NOT_SETTABLE.contains(&name) || is_ours(name)
}

fn is_ours(name: &str) -> bool {
    OURS.contains(&name) || name.starts_with(OUR_PREFIX)
}

/// Checks headers before they are stored.
///
/// A name is a token (RFC 9110 §5.6.2), is not one that only the HTTP client or Posthaste may set, and differs from the others in
/// more than case. A value is a string, a number or a boolean; a string has no control character but the tab (§5.5) and is
/// sent as UTF-8.
///
/// # Errors
///
/// The first fault: their number, then in the order of the object.
pub fn check_headers(headers: &Map<String, Value>) -> Result<(), HeaderError> {
    let count = headers.len();
    if count > MOST {
        return Err(HeaderError::TooMany { count });
    }
    let mut seen = BTreeSet::new();
    let mut size = 0;
    for (name, value) in headers {
        check_name(name)?;
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(HeaderError::Duplicate { name: excerpt(name) });
        }
        size += name.len() + check_value(name, value)? + 4;
    }
    if size > LARGEST { Err(HeaderError::TooLarge { size }) } else { Ok(()) }
}

/// The headers of a request: the message's over the queue's over `content-type: application/json`. Names are compared
/// without case and come out in lower case and order; numbers and booleans as JSON writes them.
///
/// Takes what [`check_headers`] accepts. Whatever else may have been written into the database by hand: a header that only
/// the HTTP client or Posthaste may set is left out, and a value that is no string comes out as its JSON text.
#[must_use]
pub fn merge_headers(
    queue: Option<&Map<String, Value>>,
    message: Option<&Map<String, Value>>,
) -> Vec<(String, String)> {
    let mut merged = BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]);
    merged.extend(queue.into_iter().chain(message).flat_map(sendable));
    merged.into_iter().collect()
}

/// Headers as they are sent, one after the other: names in lower case, values as text. Takes what [`merge_headers`] takes.
pub fn sendable(headers: &Map<String, Value>) -> impl Iterator<Item = (String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), text_of(value)))
        .filter(|(name, _)| !is_reserved(name))
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn check_name(name: &str) -> Result<(), HeaderError> {
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        return Err(HeaderError::Name { name: excerpt(name) });
    }
    let lower = name.to_ascii_lowercase();
    if NOT_SETTABLE.contains(&lower.as_str()) {
        return Err(HeaderError::NotSettable { name: excerpt(name) });
    }
    if is_ours(&lower) { Err(HeaderError::Ours { name: excerpt(name) }) } else { Ok(()) }
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The value's length in bytes as it is sent.
fn check_value(name: &str, value: &Value) -> Result<usize, HeaderError> {
    let kind = match value {
        Value::String(text) if text.chars().any(|c| c.is_ascii_control() && c != '\t') => {
            return Err(HeaderError::ControlCharacter { name: excerpt(name) });
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) => return Ok(text_of(value).len()),
        Value::Null => "null",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Err(HeaderError::Kind { name: excerpt(name), kind })
}

/// What is wrong with headers. Values are not repeated: they may be secrets. Names are escaped and cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The name is not a token.
    #[error("\"{name}\" is not a header name: use letters, digits and !#$%&'*+-.^_`|~")]
    Name {
        /// The name.
        name: String,
    },
    /// Only the HTTP client may set it.
    #[error("the header \"{name}\" cannot be set: it belongs to the connection, not to the message")]
    NotSettable {
        /// The name.
        name: String,
    },
    /// Only Posthaste may set it.
    #[error("the header \"{name}\" cannot be set: Posthaste tells receivers about a delivery in it")]
    Ours {
        /// The name.
        name: String,
    },
    /// Another name differs from it only in case.
    #[error("the header \"{name}\" is given twice: the case of names does not matter")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// The value is of a kind that has no text.
    #[error("the header \"{name}\" must be a string, a number or a boolean, not {kind}")]
    Kind {
        /// The name.
        name: String,
        /// What it is instead.
        kind: &'static str,
    },
    /// The value has a control character other than the tab.
    #[error("the value of the header \"{name}\" must not contain line breaks or other control characters")]
    ControlCharacter {
        /// The name.
        name: String,
    },
    /// There are too many.
    #[error("there may be at most {MOST} headers, not {count}")]
    TooMany {
        /// Their number.
        count: usize,
    },
    /// All together are too large.
    #[error("the headers may take at most {LARGEST} bytes together, not {size}")]
    TooLarge {
        /// Their size in bytes.
        size: usize,
    },
}

#[cfg(test)]
mod tests;
