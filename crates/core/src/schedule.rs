//! When a cron fires: by an expression in a time zone, at a fixed distance, or once; between a first and a last time.
//!
//! Promise: the ticks of a schedule are always the same, those of an expression whole seconds; an expression that would never fire is
//! refused when it is stored. Ticks come from the time of the last tick, never from when someone looked, so a late or restarted
//! scheduler loses none of them. What is done about those that nobody looked for in time is [`crate::cron`]'s.
//!
//! Daylight saving time, as Vixie cron does it: a fixed time of day that the clock skips fires right after the gap, and
//! one that the clock repeats fires once, the first time. Repeating expressions (`*/15`, lists, ranges) follow the
//! clock: nothing fires in the gap, and both passes of a repeated hour fire.

mod expression;
mod local;
mod timing;

use std::sync::Arc;
use std::time::Duration;

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Year};

use crate::excerpt::excerpt;
use crate::time::Timestamp;

pub use expression::Field;
pub use timing::Timing;

/// When a cron fires. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Schedule {
    rule: Rule,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

#[derive(Debug, Clone)]
enum Rule {
    Expression {
        cron: Arc<Cron>,
        zone: Tz,
        /// See [`Schedule::least_distance`].
        least: Duration,
    },
    /// At the anchor, and every so many microseconds after it.
    Every {
        interval: i64,
        anchor: Timestamp,
    },
    Once(Timestamp),
}

impl Schedule {
    /// The time zone of schedules that name none.
    pub const DEFAULT_TIME_ZONE: &str = "UTC";

    /// The longest expression, in characters.
    pub const LONGEST: usize = 255;

    /// The shortest distance of ticks.
    pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

    /// The longest: ten years.
    pub const LONGEST_INTERVAL: Duration = Duration::from_secs(3_650 * 86_400);

    /// Reads an expression of five fields (minute, hour, day of month, month, day of week) or six (a second before them),
    /// or a macro such as `@hourly`, and the IANA name of a time zone such as `Europe/Berlin`.
    ///
    /// A field is a list of values, ranges (`1-5`) and steps (`*/5`, `10-30/5`, `10/5`); months and weekdays may be names
    /// (`JAN`, `MON`; case does not matter), Sunday is 0 or 7. Day of month also takes `L` (the last), `LW` (the last
    /// working day), `15W` (the working day nearest the 15th); day of week `FRI#2` (the second) and `FRIL` (the last).
    /// Where day of month and day of week are both given, either is enough, or, with `+` before the day of week, both must
    /// hold.
    ///
    /// # Errors
    ///
    /// What is wrong, and in which field.
    pub fn parse(expression: &str, time_zone: &str) -> Result<Schedule, ScheduleError> {
        let length = expression.chars().count();
        if length > Schedule::LONGEST {
            return Err(ScheduleError::TooLong { length });
        }
        let fields = expression::normalize(expression)?;
        let zone: Tz = time_zone.parse().map_err(|_| ScheduleError::TimeZone { given: excerpt(time_zone) })?;
        let parser = CronParser::builder().year(Year::Disallowed).build();
        let cron = parser.parse(&fields).map_err(|_| ScheduleError::NotUnderstood { given: excerpt(expression) })?;
        if fires(&cron) {
            // Gaps of clocks end at whole minutes, so ticks at second 0 stay that far apart also there.
            let least = Duration::from_secs(if fields.starts_with("0 ") { 60 } else { 1 });
            Ok(Schedule::of(Rule::Expression { cron: Arc::new(cron), zone, least }))
        } else {
            Err(ScheduleError::NeverFires)
        }
    }

    /// Ticks at `anchor` and every `interval` after it, whatever the clocks on the wall do.
    ///
    /// # Errors
    ///
    /// The interval is shorter than [`Schedule::SHORTEST_INTERVAL`] or longer than [`Schedule::LONGEST_INTERVAL`].
    pub fn every(interval: Duration, anchor: Timestamp) -> Result<Schedule, ScheduleError> {
        if !(Schedule::SHORTEST_INTERVAL..=Schedule::LONGEST_INTERVAL).contains(&interval) {
            return Err(ScheduleError::Interval);
        }
        let interval = i64::try_from(interval.as_micros()).map_err(|_| ScheduleError::Interval)?;
        Ok(Schedule::of(Rule::Every { interval, anchor }))
    }

    /// One tick.
    #[must_use]
    pub fn once(at: Timestamp) -> Schedule {
        Schedule::of(Rule::Once(at))
    }

    fn of(rule: Rule) -> Schedule {
        Schedule { rule, start: None, end: None }
    }

    /// The same, without the ticks before `start` and those after `end`.
    #[must_use]
    pub fn within(self, start: Option<Timestamp>, end: Option<Timestamp>) -> Schedule {
        Schedule { start, end, ..self }
    }

    /// The first tick after `at`; `None` where there is none, or beyond the years that a cron is computed for (1970 to 4900).
    #[must_use]
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let after = self.start.map_or(at, |start| at.max(Timestamp(start.0.saturating_sub(1))));
        self.rule.next_after(after).filter(|tick| self.end.is_none_or(|end| *tick <= end))
    }

    /// The last tick that is not after `now`; `None` as for [`Schedule::next_after`].
    #[must_use]
    pub fn last_at_or_before(&self, now: Timestamp) -> Option<Timestamp> {
        let now = self.end.map_or(now, |end| now.min(end));
        self.rule.last_at_or_before(now).filter(|tick| self.start.is_none_or(|start| *tick >= start))
    }

    /// No two ticks are closer together; often none are that close.
    #[must_use]
    pub fn least_distance(&self) -> Duration {
        match self.rule {
            Rule::Expression { least, .. } => least,
            Rule::Every { interval, .. } => Duration::from_micros(interval.unsigned_abs()),
            Rule::Once(_) => Schedule::LONGEST_INTERVAL,
        }
    }

    /// When it fires, in plain English and in its time zone.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.rule {
            Rule::Expression { cron, zone, .. } => {
                let text = cron.describe();
                let text = text.trim_end_matches('.').replace("At every", "Every");
                if zone.name() == Schedule::DEFAULT_TIME_ZONE {
                    format!("{text} (UTC).")
                } else {
                    format!("{text} ({zone}).")
                }
            }
            Rule::Every { interval, anchor } => format!("Every {}, counted from {anchor}.", in_words(*interval)),
            Rule::Once(at) => format!("Once, at {at}."),
        }
    }
}

impl Rule {
    fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Rule::Expression { cron, zone, .. } => local::next_after(cron, *zone, at),
            Rule::Every { anchor, .. } if at < *anchor => Some(*anchor),
            Rule::Every { interval, anchor } => {
                let passed = at.0.checked_sub(anchor.0)?.div_euclid(*interval);
                passed.checked_add(1)?.checked_mul(*interval)?.checked_add(anchor.0).map(Timestamp)
            }
            Rule::Once(tick) => (*tick > at).then_some(*tick),
        }
    }

    fn last_at_or_before(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Rule::Expression { cron, zone, .. } => local::last_at_or_before(cron, *zone, now),
            Rule::Every { anchor, .. } if now < *anchor => None,
            Rule::Every { interval, anchor } => {
                let passed = now.0.checked_sub(anchor.0)?.div_euclid(*interval);
                passed.checked_mul(*interval)?.checked_add(anchor.0).map(Timestamp)
            }
            Rule::Once(tick) => (*tick <= now).then_some(*tick),
        }
    }
}

/// Microseconds as `1 day, 2 hours`.
fn in_words(micros: i64) -> String {
    let (mut rest, mut parts) = (micros, Vec::new());
    for (unit, name) in
        [(86_400_000_000, "day"), (3_600_000_000, "hour"), (60_000_000, "minute"), (1_000_000, "second")]
    {
        let count = rest / unit;
        rest %= unit;
        if count > 0 {
            parts.push(format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
        }
    }
    if rest > 0 {
        parts.push(format!("{rest} µs"));
    }
    parts.join(", ")
}

/// Whether any date matches. Within 28 years without a skipped leap year, every kind of year comes: each with January 1
/// on each day of the week, with and without February 29.
fn fires(cron: &Cron) -> bool {
    let matches = |date: NaiveDate| -> Result<bool, croner::errors::CronError> {
        let weekday = croner::Weekday::from_days_from_sunday(date.weekday().num_days_from_sunday());
        Ok(cron.pattern.month_match(date.month())?
            && cron.pattern.day_match(date.year(), date.month(), date.day(), weekday)?)
    };
    NaiveDate::from_ymd_opt(2001, 1, 1)
        .into_iter()
        .flat_map(|start| start.iter_days().take_while(|date| date.year() < 2001 + 28))
        .any(|date| matches(date).unwrap_or(false))
}

/// What is wrong with a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It is empty or all white space.
    #[error("the schedule must not be empty; \"* * * * *\" is every minute")]
    Empty,
    /// It has more than [`Schedule::LONGEST`] characters.
    #[error("the schedule may have at most {} characters, not {length}", Schedule::LONGEST)]
    TooLong {
        /// Its length in characters.
        length: usize,
    },
    /// It has not five or six fields.
    #[error(
        "the schedule must have five fields (minute, hour, day of month, month, day of week) or six (second first), not \
         {count}"
    )]
    FieldCount {
        /// How many it has.
        count: usize,
    },
    /// It begins with `@` but is no macro.
    #[error("\"{given}\" is not a schedule macro: there are {}", expression::macro_names())]
    Macro {
        /// What was given.
        given: String,
    },
    /// One of its fields is wrong.
    #[error("the schedule's {field} field is wrong at position {position}: {reason}")]
    Field {
        /// Which.
        field: Field,
        /// Where the wrong part begins: 1 is the expression's first character.
        position: usize,
        /// Why.
        reason: String,
    },
    /// It names not exactly one of an expression, an interval and a time.
    #[error("takes one of schedule, every and at")]
    Ambiguous,
    /// No tick can be.
    #[error("endAt must not be before startAt")]
    EndsBeforeStart,
    /// It repeats too fast or too seldom.
    #[error("the interval must be from a second to 3650 days")]
    Interval,
    /// No date matches, such as February 30.
    #[error("the schedule never fires: no date matches it")]
    NeverFires,
    /// Its fields are right each by itself, but not together.
    #[error("the schedule \"{given}\" is not a cron expression")]
    NotUnderstood {
        /// What was given.
        given: String,
    },
    /// The time zone is not known.
    #[error("\"{given}\" is not an IANA time zone such as UTC or Europe/Berlin")]
    TimeZone {
        /// What was given.
        given: String,
    },
}

#[cfg(test)]
mod tests;
