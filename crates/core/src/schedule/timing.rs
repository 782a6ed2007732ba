//! When a cron fires, as it is stored.

use std::time::Duration;

use super::{Schedule, ScheduleError};
use crate::time::Timestamp;

/// One of an expression, a distance and a single time; and between which times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    pub schedule: Option<String>,
    pub every: Option<Duration>,
    pub at: Option<Timestamp>,
    /// An IANA name; of use for an expression only.
    pub time_zone: String,
    /// No tick before it; `every` counts from it.
    pub start: Option<Timestamp>,
    /// No tick after it.
    pub end: Option<Timestamp>,
    /// `every` counts from when the cron was created, where there is no start.
    pub created: Timestamp,
}

impl Timing {
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn schedule(&self) -> Result<Schedule, ScheduleError> {
        self.schedule_by(Schedule::parse)
    }

    /// The same, where whoever calls knows what an expression in a time zone means.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn schedule_by(
        &self,
        parse: impl FnOnce(&str, &str) -> Result<Schedule, ScheduleError>,
    ) -> Result<Schedule, ScheduleError> {
        let schedule = match (&self.schedule, self.every, self.at) {
            (Some(expression), None, None) => parse(expression, &self.time_zone)?,
            (None, Some(interval), None) => Schedule::every(interval, self.start.unwrap_or(self.created))?,
            (None, None, Some(at)) => Schedule::once(at),
            _ => return Err(ScheduleError::Ambiguous),
        };
        if let (Some(start), Some(end)) = (self.start, self.end)
            && end < start
        {
            return Err(ScheduleError::EndsBeforeStart);
        }
        Ok(schedule.within(self.start, self.end))
    }
}
