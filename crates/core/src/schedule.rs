//! When a cron fires.
//!
//! Promise: the ticks of an expression in a time zone are whole seconds and always the same; an expression that would
//! never fire is refused when it is stored. Ticks come from the time of the last tick, never from when someone looked, so
//! a late or restarted scheduler loses none of them.
//!
//! Daylight saving time, as Vixie cron does it: a fixed time of day that the clock skips fires right after the gap, and
//! one that the clock repeats fires once, the first time. Repeating expressions (`*/15`, lists, ranges) follow the
//! clock: nothing fires in the gap, and both passes of a repeated hour fire.

mod expression;

use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Year};

use crate::excerpt::excerpt;
use crate::time::Timestamp;

pub use expression::Field;

/// A cron expression in a time zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Cron,
    zone: Tz,
}

impl Schedule {
    /// The time zone of schedules that name none.
    pub const DEFAULT_TIME_ZONE: &str = "UTC";

    /// The longest expression, in characters.
    pub const LONGEST: usize = 255;

    /// How late a tick may be and still fire on its own; see [`Schedule::following`].
    pub const CATCH_UP: Duration = Duration::from_secs(60);

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
        if fires(&cron) { Ok(Schedule { cron, zone }) } else { Err(ScheduleError::NeverFires) }
    }

    /// The first tick after `at`; `None` beyond the years that a cron is computed for (1970 to 4900).
    #[must_use]
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let tick = self.cron.find_next_occurrence(&self.local_second(at)?, false).ok()?;
        Some(Timestamp::from(tick.with_timezone(&Utc)))
    }

    /// The last tick that is not after `now`; `None` beyond the years that a cron is computed for.
    #[must_use]
    pub fn last_at_or_before(&self, now: Timestamp) -> Option<Timestamp> {
        let tick = self.cron.find_previous_occurrence(&self.local_second(now)?, true).ok()?;
        Some(Timestamp::from(tick.with_timezone(&Utc)))
    }

    /// The tick to store when the tick `previous` has come.
    ///
    /// Ticks that are up to [`Schedule::CATCH_UP`] late fire one by one, so a restart loses none. After a longer outage
    /// the latest tick stands for all the older ones: nobody wants a thousand reminders at once.
    #[must_use]
    pub fn following(&self, previous: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let next = self.next_after(previous)?;
        if now.since(next) < Schedule::CATCH_UP {
            return Some(next);
        }
        Some(self.last_at_or_before(now).map_or(next, |latest| latest.max(next)))
    }

    /// The second that `at` lies in, as the clocks of the zone show it.
    fn local_second(&self, at: Timestamp) -> Option<DateTime<Tz>> {
        let second = DateTime::from_timestamp(at.0.div_euclid(1_000_000), 0)?;
        (1970..=4900).contains(&second.year()).then(|| second.with_timezone(&self.zone))
    }
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
    #[error("the schedule's {field} field is wrong: {reason}")]
    Field {
        /// Which.
        field: Field,
        /// Why.
        reason: String,
    },
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
