//! How long a message is to wait, as clients write it.

use std::time::Duration;

/// What a delay may look like, for whoever wrote another.
pub const EXPECTED: &str = "takes seconds, such as 90 or 0.5, or an ISO 8601 duration, such as PT1H30M or P1D";

const MICROS: u128 = 1_000_000;
const DAY: u128 = 86_400 * MICROS;

/// Ten years of 365 days.
const LONGEST: u128 = 3_650 * DAY;

/// Reads seconds (`90`, `0.5`), or an ISO 8601 duration of weeks, days, hours, minutes and seconds, of which the last
/// may have a fraction. What is finer than a microsecond is rounded up: a message is never early.
///
/// # Errors
/// What is wrong with it, in words that follow the field's name.
pub fn parse(text: &str) -> Result<Duration, String> {
    if text.starts_with('-') || text.starts_with("P-") {
        return Err("must not be negative".to_owned());
    }
    let micros = match text.strip_prefix('P') {
        Some(duration) => of_iso(duration)?,
        None => quantity(text, MICROS).ok_or(EXPECTED)?,
    };
    match u64::try_from(micros) {
        Ok(micros) if u128::from(micros) <= LONGEST => Ok(Duration::from_micros(micros)),
        _ => Err("must be at most 3650 days".to_owned()),
    }
}

/// A duration as ISO 8601 has it, such as `P1DT2H` or `PT0.5S`.
#[must_use]
pub fn iso(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let part = |count: u64, unit: char| if count == 0 { String::new() } else { format!("{count}{unit}") };
    let micros = duration.subsec_micros();
    let rest = match (seconds % 60, micros) {
        (0, 0) => String::new(),
        (whole, 0) => format!("{whole}S"),
        (whole, micros) => format!("{}S", format!("{whole}.{micros:06}").trim_end_matches('0')),
    };
    let clock = format!("{}{}{rest}", part(hours, 'H'), part(minutes, 'M'));
    match (part(days, 'D').as_str(), clock.as_str()) {
        ("", "") => "PT0S".to_owned(),
        (days, "") => format!("P{days}"),
        (days, clock) => format!("P{days}T{clock}"),
    }
}

/// What follows the `P`, in microseconds.
fn of_iso(text: &str) -> Result<u128, String> {
    let (days, clock) = match text.split_once('T') {
        None => (text, ""),
        Some((_, "")) => return Err(EXPECTED.to_owned()),
        Some((days, clock)) => (days, clock),
    };
    if days.is_empty() && clock.is_empty() {
        return Err(EXPECTED.to_owned());
    }
    if days.contains(['Y', 'M']) {
        return Err("takes no years and months, which have no fixed length: say it in days".to_owned());
    }
    let mut rest = days;
    let mut total: u128 = 0;
    let mut fraction = false;
    for (part, units) in [
        (days, &[('W', 7 * DAY), ('D', DAY)][..]),
        (clock, &[('H', 3_600 * MICROS), ('M', 60 * MICROS), ('S', MICROS)][..]),
    ] {
        rest = if part.is_empty() { rest } else { part };
        for &(name, unit) in units {
            let Some((number, following)) = rest.split_once(name) else { continue };
            // Only the smallest may have a fraction.
            if fraction {
                return Err(EXPECTED.to_owned());
            }
            fraction = number.contains(['.', ',']);
            total = total.saturating_add(quantity(number, unit).ok_or(EXPECTED)?);
            rest = following;
        }
        if !rest.is_empty() {
            return Err(EXPECTED.to_owned());
        }
    }
    Ok(total)
}

/// A decimal number of `unit`, rounded up.
fn quantity(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once(['.', ',']).map_or((number, None), |(whole, rest)| (whole, Some(rest)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !fraction.is_none_or(digits) {
        return None;
    }
    // So many digits that they do not fit are too much in any case.
    let whole = whole.parse::<u128>().unwrap_or(u128::MAX).saturating_mul(unit);
    let mut part: u128 = 0;
    let mut scale: u128 = 1;
    let mut finer = false;
    for digit in fraction.unwrap_or_default().bytes().map(|b| u128::from(b - b'0')) {
        if scale < 1_000_000_000_000_000_000 {
            part = part * 10 + digit;
            scale *= 10;
        } else {
            finer |= digit != 0;
        }
    }
    let part = (part * unit + u128::from(finer)).div_ceil(scale);
    Some(whole.saturating_add(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["PT0S", "PT0.5S", "PT1M", "PT1H30M", "P1D", "P1DT1S", "P3650D", "P1DT2H3M4.000005S", "PT0.000001S"]
        {
            assert_eq!(iso(parse(text).unwrap()), text);
        }
        assert_eq!(iso(parse("P1W").unwrap()), "P7D");
    }

    #[test]
    fn seconds_and_durations() {
        for (text, micros) in [
            ("0", 0),
            ("90", 90_000_000),
            ("0.5", 500_000),
            ("1.25", 1_250_000),
            ("0.0000001", 1),
            ("0.0000000000000000000000001", 1),
            ("315360000", 315_360_000_000_000),
            ("PT0S", 0),
            ("PT1H30M", 5_400_000_000),
            ("P1D", 86_400_000_000),
            ("P1DT1S", 86_401_000_000),
            ("P2W", 1_209_600_000_000),
            ("P1W1D", 691_200_000_000),
            ("PT36H", 129_600_000_000),
            ("PT0.5S", 500_000),
            ("PT1,5M", 90_000_000),
            ("PT1M0.000001S", 60_000_001),
            ("P3650D", 315_360_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_micros(micros)), "{text}");
        }
    }

    #[test]
    fn what_is_no_delay() {
        for text in [
            "", " 1", "1 ", "+1", "1e3", ".5", "1.", "1.5.5", "NaN", "infinity", "soon", "1h", "P", "PT", "P1", "PT1",
            "P1S", "PT1D", "P1H", "PT1S1M", "PT1M1M", "PT1.5M1S", "P0.5DT1H", "pt1h", "P1D ", "PTS", "PT.5S", "1:30",
            "P1DT", "１",
        ] {
            assert_eq!(parse(text), Err(EXPECTED.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant() {
        for text in ["-1", "-0.5", "-P1D", "P-1D"] {
            assert_eq!(parse(text), Err("must not be negative".to_owned()), "{text}");
        }
        for text in ["P1M", "P1Y", "P1Y2M3D", "P1MT1M"] {
            assert!(parse(text).unwrap_err().starts_with("takes no years and months"), "{text}");
        }
        for text in
            ["315360000.000001", "P3651D", "PT99999999999H", &"9".repeat(1000), &format!("PT{}S", "9".repeat(50))]
        {
            assert_eq!(parse(text), Err("must be at most 3650 days".to_owned()), "{text}");
        }
    }
}
