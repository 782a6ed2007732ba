//! Why a value is not stored, as far as whoever answers for it must know.

use std::fmt;

use crate::queue::{HeaderError, NameError, UrlError};
use crate::schedule::ScheduleError;

/// A value that is refused; shown, it says what is wrong, for whoever gave it.
pub trait Refusal: fmt::Display {
    /// Whether the value is only too long, too large or too many.
    fn is_excess(&self) -> bool;
}

impl Refusal for NameError {
    fn is_excess(&self) -> bool {
        match self {
            NameError::TooLong { .. } => true,
            NameError::Empty | NameError::ControlCharacter { .. } => false,
        }
    }
}

impl Refusal for UrlError {
    fn is_excess(&self) -> bool {
        match self {
            UrlError::TooLong { .. } => true,
            UrlError::Empty
            | UrlError::Character { .. }
            | UrlError::Fragment
            | UrlError::NotAbsolute
            | UrlError::Scheme { .. }
            | UrlError::UserInfo
            | UrlError::Host
            | UrlError::Port
            | UrlError::NotEncoded => false,
        }
    }
}

impl Refusal for HeaderError {
    fn is_excess(&self) -> bool {
        match self {
            HeaderError::TooMany { .. } | HeaderError::TooLarge { .. } => true,
            HeaderError::Name { .. }
            | HeaderError::NotSettable { .. }
            | HeaderError::Ours { .. }
            | HeaderError::Duplicate { .. }
            | HeaderError::Kind { .. }
            | HeaderError::ControlCharacter { .. } => false,
        }
    }
}

impl Refusal for ScheduleError {
    fn is_excess(&self) -> bool {
        matches!(self, ScheduleError::TooLong { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{CallbackUrl, QueueName, check_headers};
    use crate::schedule::Schedule;

    #[test]
    fn too_much_is_told_from_wrong() {
        let long = "x".repeat(5000);
        assert!(QueueName::parse(&long).unwrap_err().is_excess() && !QueueName::parse("").unwrap_err().is_excess());
        assert!(
            CallbackUrl::parse(&long).unwrap_err().is_excess() && !CallbackUrl::parse("x").unwrap_err().is_excess()
        );
        let schedule = |text: &str| Schedule::parse(text, "UTC").unwrap_err().is_excess();
        assert!(schedule(&long) && !schedule("x"));
        let headers = |count: usize, value: &str| {
            let headers = (0..count).map(|n| (format!("x-{n}"), value.into())).collect();
            check_headers(&headers).unwrap_err().is_excess()
        };
        assert!(headers(65, "x") && headers(4, &long) && !headers(1, "\n"));
    }
}
