//! What a queue and its messages may hold: the checks that every write path makes, REST and GraphQL, single and bulk.
//!
//! Promise: what passes here can be sent. What cannot be sent is refused when it is stored, in words for whoever stores
//! it, and not when it is delivered hours later.

mod callback_url;
mod headers;
mod method;

use std::fmt;
use std::ops::RangeInclusive;

pub use callback_url::{CallbackUrl, UrlError};
pub use headers::{HeaderError, check_headers, merge_headers, sendable};
pub use method::{Method, MethodError};

use crate::excerpt::excerpt;

/// How many retries a queue may ask for. Beyond that it means "until the maximum age", which is no number.
pub const MAX_RETRIES: RangeInclusive<i64> = 0..=1000;

/// How many seconds a message may be tried.
pub const MAX_AGE_SECONDS: RangeInclusive<i32> = 1..=31_536_000;

/// How many milliseconds may pass until there is a connection.
pub const CONNECT_TIMEOUT_MS: RangeInclusive<i32> = 1..=60_000;

/// How many milliseconds an attempt may take.
pub const TIMEOUT_MS: RangeInclusive<i32> = 1..=900_000;

/// How many requests at once a queue may be limited to.
pub const MAX_CONCURRENCY: RangeInclusive<i32> = 1..=10_000;

/// How many pending messages a queue may be limited to.
pub const MAX_BACKLOG: RangeInclusive<i32> = 1..=100_000_000;

/// The priorities of messages; 0 is that of those that do not say.
pub const PRIORITY: RangeInclusive<i32> = -9..=9;

/// The longest ordering key, in characters.
pub const LONGEST_ORDERING_KEY: usize = 255;

/// The name of a queue: 1 to 255 characters, none of them a control character. Names need not be unique.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QueueName(String);

impl QueueName {
    /// In characters, not bytes.
    pub const LONGEST: usize = 255;

    /// Takes the name as it is given; nothing is trimmed.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<QueueName, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let length = text.chars().count();
        if length > QueueName::LONGEST {
            return Err(NameError::TooLong { length });
        }
        if text.chars().any(char::is_control) {
            return Err(NameError::ControlCharacter { name: excerpt(text) });
        }
        Ok(QueueName(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with a queue's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is `""`.
    #[error("the name must not be empty")]
    Empty,
    /// It has more than [`QueueName::LONGEST`] characters.
    #[error("the name may have at most {} characters, not {length}", QueueName::LONGEST)]
    TooLong {
        /// Its length in characters.
        length: usize,
    },
    /// It has a control character, such as a line break.
    #[error("the name \"{name}\" must not contain control characters")]
    ControlCharacter {
        /// The name, escaped and cut.
        name: String,
    },
}

/// Checks a number of retries; `None` retries until the queue's maximum age.
///
/// # Errors
///
/// It is not in [`MAX_RETRIES`].
pub fn check_max_retries(given: Option<i64>) -> Result<Option<u16>, MaxRetriesError> {
    let Some(given) = given else { return Ok(None) };
    let checked = u16::try_from(given).ok().filter(|_| MAX_RETRIES.contains(&given));
    checked.map(Some).ok_or(MaxRetriesError { given })
}

/// A number of retries out of [`MAX_RETRIES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the number of retries must be from {} to {}, or null to retry until the maximum age; {given} is not",
    MAX_RETRIES.start(),
    MAX_RETRIES.end()
)]
pub struct MaxRetriesError {
    /// What was given.
    pub given: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_1_to_255_characters() {
        for name in ["q", "orders", "Bestellungen für Zoë", " ", "…", &"ü".repeat(255)] {
            assert_eq!(QueueName::parse(name).map(QueueName::into_string), Ok(name.to_owned()));
        }
        assert_eq!(QueueName::parse(""), Err(NameError::Empty));
        assert_eq!(QueueName::parse(&"ü".repeat(256)), Err(NameError::TooLong { length: 256 }));
        for name in ["a\0b", "a\nb", "\u{7f}", "\u{85}"] {
            assert!(matches!(QueueName::parse(name), Err(NameError::ControlCharacter { .. })), "{name:?}");
        }
    }

    #[test]
    fn name_errors_are_for_people() {
        let say = |name: &str| QueueName::parse(name).unwrap_err().to_string();
        assert_eq!(say(""), "the name must not be empty");
        assert_eq!(say(&"x".repeat(300)), "the name may have at most 255 characters, not 300");
        assert_eq!(say("a\0"), "the name \"a\\0\" must not contain control characters");
    }

    #[test]
    fn retries_are_from_0_to_1000_or_unlimited() {
        for (given, checked) in [(None, None), (Some(0), Some(0)), (Some(5), Some(5)), (Some(1000), Some(1000))] {
            assert_eq!(check_max_retries(given), Ok(checked));
        }
        for given in [-1, 1001, 65_536, i64::MIN, i64::MAX] {
            assert_eq!(check_max_retries(Some(given)), Err(MaxRetriesError { given }));
        }
        assert_eq!(
            MaxRetriesError { given: -1 }.to_string(),
            "the number of retries must be from 0 to 1000, or null to retry until the maximum age; -1 is not"
        );
    }
}
