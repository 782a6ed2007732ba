//! What a receiver asks in `Retry-After` (RFC 9110 §10.2.3): not before so many seconds, or a date, have passed.
//!
//! Promise: every text has an answer, and none makes a message wait longer than [`LONGEST`].

use std::time::{Duration, SystemTime};

use crate::time::Timestamp;

/// A receiver that asks for more is believed to mean this.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How long to wait from `now`; `None` where the text is neither a number of seconds nor an HTTP date. A date that has passed
/// asks for nothing.
#[must_use]
pub fn parse(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim_matches([' ', '\t']);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has ask for more than the longest wait.
        return Some(text.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let at = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let at = Timestamp(i64::try_from(at.as_micros()).unwrap_or(i64::MAX));
    Some(at.since(now).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 1994-11-06T08:49:00Z, 37 s before the RFC's example.
    const NOW: Timestamp = Timestamp(784_111_740_000_000);

    #[test]
    fn seconds_and_dates_are_understood() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let cases = [
            ("0", seconds(0)),
            ("120", seconds(120)),
            (" 7\t", seconds(7)),
            ("0007", seconds(7)),
            ("86400", seconds(86_400)),
            ("86401", seconds(86_400)),
            ("18446744073709551615", seconds(86_400)),
            ("99999999999999999999999999", seconds(86_400)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", seconds(37)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", seconds(37)),
            ("Sun Nov  6 08:49:37 1994", seconds(37)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", seconds(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", seconds(86_400)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1 2", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Mon, 06 Nov 1994", None),
            ("١", None),
        ];
        for (text, wait) in cases {
            assert_eq!(parse(text, NOW), wait, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_overflows(text in ".{0,40}", seconds in any::<u128>(), now in any::<i64>()) {
            for text in [text, seconds.to_string()] {
                prop_assert!(parse(&text, Timestamp(now)).is_none_or(|wait| wait <= LONGEST));
            }
            for at in ["Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"] {
                prop_assert!(parse(at, Timestamp(now)).is_some_and(|wait| wait <= LONGEST));
            }
        }
    }
}
