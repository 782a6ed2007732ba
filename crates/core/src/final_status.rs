//! The statuses after which a queue does not try again.

use std::fmt;

use crate::excerpt::excerpt;

/// A set of HTTP statuses, such as `400, 404` or `4xx`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FinalStatuses(Vec<Entry>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    One(u16),
    /// The hundreds, 3 to 5.
    Class(u16),
}

/// Not a status that can be final.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FinalStatusError {
    /// Neither a status nor a class.
    #[error("\"{given}\" is neither a status from 300 to 599 nor 3xx, 4xx or 5xx")]
    Entry {
        /// What was given, escaped and cut.
        given: String,
    },
    /// Too many entries.
    #[error("there may be at most {} final statuses", FinalStatuses::MOST)]
    TooMany,
}

impl FinalStatuses {
    /// The most entries.
    pub const MOST: usize = 50;
    /// The receiver asks to come again: a class does not contain them, they have to be named.
    const ASKING_AGAIN: [u16; 4] = [408, 425, 429, 503];

    /// Reads entries such as `404` and `4xx`.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn parse<T: AsRef<str>>(entries: &[T]) -> Result<FinalStatuses, FinalStatusError> {
        if entries.len() > FinalStatuses::MOST {
            return Err(FinalStatusError::TooMany);
        }
        entries.iter().map(|entry| parse_entry(entry.as_ref())).collect::<Result<_, _>>().map(FinalStatuses)
    }

    /// Whether a message is not tried again after an answer with this status. A class does not contain 408, 425, 429 and 503.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|entry| match *entry {
            Entry::One(one) => one == status,
            Entry::Class(hundreds) => status / 100 == hundreds && !FinalStatuses::ASKING_AGAIN.contains(&status),
        })
    }

    /// The entries, as they are read.
    #[must_use]
    pub fn entries(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::One(status) => write!(f, "{status}"),
            Entry::Class(hundreds) => write!(f, "{hundreds}xx"),
        }
    }
}

fn parse_entry(text: &str) -> Result<Entry, FinalStatusError> {
    match text {
        "3xx" => return Ok(Entry::Class(3)),
        "4xx" => return Ok(Entry::Class(4)),
        "5xx" => return Ok(Entry::Class(5)),
        _ => {}
    }
    let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let status = text.parse().ok().filter(|status| digits && (300..=599).contains(status));
    status.map(Entry::One).ok_or_else(|| FinalStatusError::Entry { given: excerpt(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_classes() {
        let set = FinalStatuses::parse(&["4xx", "501", "429"]).unwrap();
        let contained: Vec<u16> = [399, 400, 404, 408, 425, 429, 499, 500, 501, 503].into();
        let contained: Vec<u16> = contained.into_iter().filter(|&status| set.contains(status)).collect();
        assert_eq!(contained, [400, 404, 429, 499, 501]);
        assert_eq!(set.entries(), ["4xx", "501", "429"]);
        assert!(FinalStatuses::parse(&["5xx"]).unwrap().contains(500));
        assert!(!FinalStatuses::parse(&["5xx"]).unwrap().contains(503));
        assert!((0..=u16::MAX).all(|status| !FinalStatuses::default().contains(status)));
    }

    #[test]
    fn everything_else_is_refused() {
        for entry in ["", "200", "2xx", "1xx", "6xx", "600", "299", "0404", "+40", "4XX", "404 ", "٤٠٤"] {
            let error = FinalStatuses::parse(&[entry]).unwrap_err();
            assert!(matches!(error, FinalStatusError::Entry { .. }), "{entry}");
        }
        assert_eq!(FinalStatuses::parse(&["404"; 51]).unwrap_err(), FinalStatusError::TooMany);
    }
}
