//! Writes when schedules fire: each line of the input is an expression, a time zone, a time in seconds since 1970, and how many ticks
//! after it to tell, with tabs between; each line of the output their times, or what is wrong.

use std::io::{BufRead, Error, Write, stdin, stdout};

use posthaste_core::schedule::Schedule;
use posthaste_core::time::Timestamp;

fn main() -> Result<(), Error> {
    let mut out = stdout().lock();
    for line in stdin().lock().lines() {
        let line = line?;
        let answer = ticks(&line).ok_or_else(|| Error::other(format!("not understood: {line:?}")))?;
        writeln!(out, "{answer}")?;
    }
    Ok(())
}

fn ticks(line: &str) -> Option<String> {
    let [expression, zone, after, count] = line.split('\t').collect::<Vec<_>>().try_into().ok()?;
    let (after, count) = (Timestamp(after.parse::<i64>().ok()?.checked_mul(1_000_000)?), count.parse().ok()?);
    Some(match Schedule::parse(expression, zone) {
        Err(error) => error.to_string(),
        Ok(schedule) => {
            let ticks = std::iter::successors(schedule.next_after(after), |tick| schedule.next_after(*tick));
            ticks.take(count).map(|tick| (tick.0 / 1_000_000).to_string()).collect::<Vec<_>>().join(" ")
        }
    })
}
