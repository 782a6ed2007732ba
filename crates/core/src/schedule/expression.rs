//! The grammar of cron expressions.
//!
//! Reads an expression field by field and writes it anew in the plain form that the cron library takes: six fields,
//! numbers only. The library's own parser accepts names in any field and does not say which field is wrong.

use std::fmt;

use super::ScheduleError;
use crate::excerpt::excerpt;

/// A field of a cron expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// 0–59; 0 where the expression has five fields.
    Second,
    /// 0–59.
    Minute,
    /// 0–23.
    Hour,
    /// 1–31.
    DayOfMonth,
    /// 1–12 or `JAN`–`DEC`.
    Month,
    /// 0–7 or `SUN`–`SAT`; 0 and 7 are Sunday.
    DayOfWeek,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Second => "second",
            Field::Minute => "minute",
            Field::Hour => "hour",
            Field::DayOfMonth => "day of month",
            Field::Month => "month",
            Field::DayOfWeek => "day of week",
        })
    }
}

const FIELDS: [Field; 6] =
    [Field::Second, Field::Minute, Field::Hour, Field::DayOfMonth, Field::Month, Field::DayOfWeek];

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The macros of Vixie cron, and those that pg-hooks takes besides.
const MACROS: [(&str, &str); 11] = [
    ("@yearly", "0 0 0 1 1 *"),
    ("@annually", "0 0 0 1 1 *"),
    ("@monthly", "0 0 0 1 * *"),
    ("@weekly", "0 0 0 * * 0"),
    ("@daily", "0 0 0 * * *"),
    ("@midnight", "0 0 0 * * *"),
    ("@hourly", "0 0 * * * *"),
    ("@minutely", "0 * * * * *"),
    ("@secondly", "* * * * * *"),
    ("@weekdays", "0 0 0 * * 1-5"),
    ("@weekends", "0 0 0 * * 0,6"),
];

pub(super) fn macro_names() -> String {
    MACROS.map(|(name, _)| name).join(", ")
}

/// The expression as six fields of numbers.
pub(super) fn normalize(given: &str) -> Result<String, ScheduleError> {
    let expression = given.trim();
    if expression.is_empty() {
        return Err(ScheduleError::Empty);
    }
    if expression.starts_with('@') {
        let known = MACROS.iter().find(|(name, _)| name.eq_ignore_ascii_case(expression));
        return known
            .map(|&(_, fields)| fields.to_owned())
            .ok_or_else(|| ScheduleError::Macro { given: excerpt(expression) });
    }
    let texts: Vec<&str> = expression.split_whitespace().collect();
    let (mut plain, fields) = match texts.len() {
        5 => (vec!["0".to_owned()], &FIELDS[1..]),
        6 => (Vec::new(), &FIELDS[..]),
        count => return Err(ScheduleError::FieldCount { count }),
    };
    for (&field, text) in fields.iter().zip(texts) {
        plain.push(field.normalize(text).map_err(|Fault { item, reason }| ScheduleError::Field {
            field,
            position: position(given, text) + item,
            reason,
        })?);
    }
    Ok(plain.join(" "))
}

/// The place of a part in the whole that it was cut from, in characters from 1.
fn position(whole: &str, part: &str) -> usize {
    let bytes = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    whole.get(..bytes).map_or(1, |before| before.chars().count() + 1)
}

/// What is wrong with a field, and how many characters are before the wrong item of its list.
struct Fault {
    item: usize,
    reason: Reason,
}

/// The reason why a field is wrong, in words.
type Reason = String;

impl Field {
    const fn bounds(self) -> (u16, u16) {
        match self {
            Field::Second | Field::Minute => (0, 59),
            Field::Hour => (0, 23),
            Field::DayOfMonth => (1, 31),
            Field::Month => (1, 12),
            Field::DayOfWeek => (0, 7),
        }
    }

    /// Names, and the number of the first of them.
    const fn names(self) -> (&'static [&'static str], u16) {
        match self {
            Field::Second | Field::Minute | Field::Hour | Field::DayOfMonth => (&[], 0),
            Field::Month => (&MONTHS, 1),
            Field::DayOfWeek => (&WEEKDAYS, 0),
        }
    }

    fn normalize(self, text: &str) -> Result<String, Fault> {
        let text = text.to_ascii_uppercase();
        if text == "?" && matches!(self, Field::DayOfMonth | Field::DayOfWeek) {
            return Ok("*".to_owned());
        }
        let (both, list) = match text.strip_prefix('+') {
            Some(list) if self == Field::DayOfWeek => ("+", list),
            Some(_) | None => ("", text.as_str()),
        };
        let mut items = Vec::new();
        for item in list.split(',') {
            items.push(self.item(item).map_err(|reason| Fault { item: position(&text, item) - 1, reason })?);
        }
        Ok(format!("{both}{}", items.join(",")))
    }

    fn item(self, item: &str) -> Result<String, Reason> {
        if item.is_empty() {
            return Err("it has an empty item between commas".to_owned());
        }
        let special = match self {
            Field::DayOfMonth => self.special_day(item)?,
            Field::DayOfWeek => self.special_weekday(item)?,
            Field::Second | Field::Minute | Field::Hour | Field::Month => None,
        };
        if let Some(special) = special {
            return Ok(special);
        }
        match item.split_once('/') {
            Some((base, step)) => Ok(format!("{}/{}", self.stepped(base)?, self.step(step)?)),
            None if item == "*" => Ok("*".to_owned()),
            None => self.value_or_range(item),
        }
    }

    /// `L`, `LW`, `15W`.
    fn special_day(self, item: &str) -> Result<Option<String>, Reason> {
        if matches!(item, "L" | "LW") {
            return Ok(Some(item.to_owned()));
        }
        item.strip_suffix('W').map(|day| Ok(format!("{}W", self.value(day)?))).transpose()
    }

    /// `FRI#2`, `MON-FRI#1`, `5#L`, `FRIL`.
    fn special_weekday(self, item: &str) -> Result<Option<String>, Reason> {
        if item == "L" {
            return Err("\"L\" needs a day before it, such as \"FRIL\" for the last Friday of the month".to_owned());
        }
        let (days, which) = match (item.split_once('#'), item.strip_suffix('L')) {
            (Some(parts), _) => parts,
            (None, Some(days)) => (days, "L"),
            (None, None) => return Ok(None),
        };
        if !matches!(which, "1" | "2" | "3" | "4" | "5" | "L") {
            return Err(format!("after \"#\" there must be a number from 1 to 5 or L, not \"{}\"", excerpt(which)));
        }
        Ok(Some(format!("{}#{which}", self.value_or_range(days)?)))
    }

    /// What stands before a step; a single value means from there to the end, as in `10/5`.
    fn stepped(self, base: &str) -> Result<String, Reason> {
        match base {
            "*" => Ok("*".to_owned()),
            range if range.contains('-') => self.value_or_range(range),
            start => Ok(format!("{}-{}", self.value(start)?, self.bounds().1)),
        }
    }

    fn step(self, text: &str) -> Result<u16, Reason> {
        let (_, max) = self.bounds();
        number(text)
            .filter(|step| (1..=max).contains(step))
            .ok_or_else(|| format!("the step \"{}\" is not a number from 1 to {max}", excerpt(text)))
    }

    fn value_or_range(self, text: &str) -> Result<String, Reason> {
        let Some((start, end)) = text.split_once('-') else {
            return self.value(text).map(|value| value.to_string());
        };
        let start = self.value(start)?;
        // A week that ends on Sunday ends on day 7.
        let end = if end == "SUN" && self == Field::DayOfWeek && start > 0 { 7 } else { self.value(end)? };
        if start > end {
            return Err(format!("the range \"{}\" ends before it begins", excerpt(text)));
        }
        Ok(format!("{start}-{end}"))
    }

    fn value(self, text: &str) -> Result<u16, Reason> {
        if text.is_empty() {
            return Err("a number is missing".to_owned());
        }
        let (min, max) = self.bounds();
        let (names, first) = self.names();
        let named = (first..).zip(names).find_map(|(value, &name)| (name == text).then_some(value));
        named.or_else(|| number(text).filter(|value| (min..=max).contains(value))).ok_or_else(|| {
            let or_names = match names {
                [name, .., last] => format!(" or a name from {name} to {last}"),
                [] | [_] => String::new(),
            };
            format!("\"{}\" is not a number from {min} to {max}{or_names}", excerpt(text))
        })
    }
}

/// Digits only: no sign, no space.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
