//! Times as clients write them.

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use posthaste_core::time::Timestamp;

/// What a time may look like, for whoever wrote another.
pub const EXPECTED: &str = "takes a time such as 2026-11-23T13:15:54.470Z or 2026-11-23 15:15:54+02:00 (without an \
     offset: UTC), in the years 1970 to 9999";

/// The first moment of 1970 and the last of 9999, in microseconds.
const RANGE: std::ops::RangeInclusive<i64> = 0..=253_402_300_799_999_999;

/// Reads RFC 3339, and what else Postgres writes and commonly takes: a blank instead of the `T`, no seconds, no zone
/// (then it is UTC), an offset of hours alone, or a date alone. An offset is honoured. `None` if it is nothing of this,
/// no real time, or outside 1970 to 9999 in UTC.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim_ascii();
    let date = date(text.get(..10)?)?;
    let rest = text.get(10..)?;
    let (time, offset) = match rest.strip_prefix(['T', 't', ' ']) {
        None if rest.is_empty() => (TimeDelta::zero(), 0),
        None => return None,
        Some(rest) => {
            let end = rest.find(|c: char| !matches!(c, '0'..='9' | ':' | '.')).unwrap_or(rest.len());
            let (clock, zone) = rest.split_at(end);
            (time(clock)?, offset(zone.trim_ascii_start())?)
        }
    };
    let at = date.and_time(NaiveTime::MIN).checked_add_signed(time)?.and_utc().timestamp_micros();
    let at = at.checked_sub(offset * 1_000_000)?;
    RANGE.contains(&at).then_some(Timestamp(at))
}

/// `YYYY-MM-DD`.
fn date(text: &str) -> Option<NaiveDate> {
    let mut parts = text.split('-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() {
        return None;
    }
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction`, as the time since midnight. Second 60 is the next minute's first.
fn time(text: &str) -> Option<TimeDelta> {
    let (whole, fraction) = match text.split_once('.') {
        None => (text, 0),
        Some((whole, fraction)) => (whole, micros(fraction)?),
    };
    let mut parts = whole.split(':');
    let (hours, minutes) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let seconds = match parts.next() {
        Some(seconds) => digits(seconds, 2)?,
        None if text.contains('.') => return None,
        None => 0,
    };
    if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    Some(TimeDelta::seconds((hours * 3600 + minutes * 60 + seconds).into()) + TimeDelta::microseconds(fraction))
}

/// The digits after the point, in microseconds; finer ones are cut off.
fn micros(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let six: String = fraction.chars().chain(std::iter::repeat('0')).take(6).collect();
    six.parse().ok()
}

/// `Z`, `UTC`, `GMT`, nothing, or `+HH`, `+HHMM`, `+HH:MM`, in seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if ["", "Z", "UTC", "GMT"].iter().any(|utc| zone.eq_ignore_ascii_case(utc)) {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.len() {
        2 => (digits(rest, 2)?, 0),
        4 => (digits(rest.get(..2)?, 2)?, digits(rest.get(2..)?, 2)?),
        _ => {
            let (hours, minutes) = rest.split_once(':')?;
            (digits(hours, 2)?, digits(minutes, 2)?)
        }
    };
    (hours <= 15 && minutes <= 59).then(|| sign * i64::from(hours * 3600 + minutes * 60))
}

/// Exactly `count` digits.
fn digits(text: &str, count: usize) -> Option<u32> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        parse(text).map(|at| at.to_string())
    }

    #[test]
    fn the_usual_forms() {
        for text in [
            "2026-11-23T13:15:54.470Z",
            "2026-11-23T13:15:54.470000+00:00",
            "2026-11-23t13:15:54.47z",
            "2026-11-23 13:15:54.47",
            "2026-11-23T13:15:54.470",
            "2026-11-23 13:15:54.470 UTC",
            "2026-11-23 15:15:54.470+02",
            "2026-11-23T15:15:54.470+02:00",
            "2026-11-23T15:15:54.470+0200",
            "2026-11-23 05:45:54.470 -07:30",
            " 2026-11-23T13:15:54.4700009Z ",
        ] {
            assert_eq!(shown(text).as_deref(), Some("2026-11-23T13:15:54.470000Z"), "{text}");
        }
        assert_eq!(shown("2026-11-23").as_deref(), Some("2026-11-23T00:00:00.000000Z"));
        assert_eq!(shown("2026-11-23 13:15").as_deref(), Some("2026-11-23T13:15:00.000000Z"));
        assert_eq!(shown("2026-11-23T00:30:00+02:00").as_deref(), Some("2026-11-22T22:30:00.000000Z"));
        assert_eq!(shown("2024-02-29T23:59:60Z").as_deref(), Some("2024-03-01T00:00:00.000000Z"));
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "now",
            "tomorrow",
            "1795439754",
            "infinity",
            "2026-11-23T",
            "2026-11-23T13",
            "2026-11-23T13:15:54.",
            "2026-11-23T13:15.5",
            "2026-11-23T24:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01",
            "2026-11-23T13:15:54+16:00",
            "2026-11-23T13:15:54 Europe/Berlin",
            "2026-11-23T13:15:54Z+01",
            "23.11.2026",
            "2026-1-2",
            "20261123T131554Z",
            "２０２６-11-23",
            "2026-11-2３T13:15:54Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_years_are_bounded() {
        assert_eq!(parse("1970-01-01T00:00:00Z"), Some(Timestamp(0)));
        assert_eq!(shown("9999-12-31T23:59:59.999999Z").as_deref(), Some("9999-12-31T23:59:59.999999Z"));
        for text in [
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "0000-01-01",
            "10000-01-01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
