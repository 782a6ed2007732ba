//! The ticks of an expression, as the clocks of a time zone show them.
//!
//! What repeats within a day follows the clocks, by the cron library. A fixed time of day is looked for on the calendar, where every day
//! has every time once, and then found on the clocks: the library would lose a time that the clocks skip at the end of a day.

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::{Cron, JobType};

use crate::time::Timestamp;

/// Further than clocks are ever changed; in seconds.
const FAR: i64 = 2 * 86_400;

/// The first tick after `at`.
pub(super) fn next_after(cron: &Cron, zone: Tz, at: Timestamp) -> Option<Timestamp> {
    let now = second(zone, at)?;
    if cron.determine_job_type() != JobType::FixedTime {
        return Some(Timestamp::from(cron.find_next_occurrence(&now, false).ok()?.to_utc()));
    }
    let mut time = (now.naive_local() - TimeDelta::seconds(FAR)).and_utc();
    loop {
        time = cron.find_next_occurrence(&time, false).ok()?;
        let tick = on_the_clocks(zone, time.naive_utc())?;
        if tick > now.to_utc() {
            return Some(Timestamp::from(tick));
        }
    }
}

/// The last tick that is not after `now`.
pub(super) fn last_at_or_before(cron: &Cron, zone: Tz, now: Timestamp) -> Option<Timestamp> {
    let now = second(zone, now)?;
    if cron.determine_job_type() != JobType::FixedTime {
        return Some(Timestamp::from(cron.find_previous_occurrence(&now, true).ok()?.to_utc()));
    }
    let mut time = (now.naive_local() + TimeDelta::seconds(FAR)).and_utc();
    loop {
        time = cron.find_previous_occurrence(&time, false).ok()?;
        let tick = on_the_clocks(zone, time.naive_utc())?;
        if tick <= now.to_utc() {
            return Some(Timestamp::from(tick));
        }
    }
}

/// The second that `at` lies in, in the years for which ticks are computed.
fn second(zone: Tz, at: Timestamp) -> Option<DateTime<Tz>> {
    let second = DateTime::from_timestamp(at.0.div_euclid(1_000_000), 0)?;
    (1970..=4900).contains(&second.year()).then(|| second.with_timezone(&zone))
}

/// When the clocks show this first; where they skip it, when they have skipped it.
fn on_the_clocks(zone: Tz, time: NaiveDateTime) -> Option<DateTime<Utc>> {
    let shown = |seconds: i64| zone.from_local_datetime(&(time + TimeDelta::seconds(seconds))).earliest();
    let mut found = shown(0);
    if found.is_none() {
        let (mut skipped, mut there) = (0, FAR);
        while there - skipped > 1 {
            let middle = i64::midpoint(skipped, there);
            if shown(middle).is_some() { there = middle } else { skipped = middle }
        }
        found = shown(there);
    }
    found.map(|found| found.to_utc())
}
