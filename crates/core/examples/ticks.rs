//! Prints when schedules fire: each line of the input is an expression, a time zone, a time in seconds since 1970, and how many ticks
//! after it to tell, with tabs between; each line of the output their times, or what is wrong.

use std::io::{BufRead, stdin};

use posthaste_core::schedule::Schedule;
use posthaste_core::time::Timestamp;

fn main() {
    for line in stdin().lock().lines() {
        let line = line.expect("input");
        let [expression, zone, after, count] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        let after = Timestamp(after.parse::<i64>().expect("a time") * 1_000_000);
        match Schedule::parse(expression, zone) {
            Err(error) => println!("{error}"),
            Ok(schedule) => {
                let ticks = std::iter::successors(schedule.next_after(after), |tick| schedule.next_after(*tick));
                let ticks = ticks.take(count.parse().expect("a count")).map(|tick| (tick.0 / 1_000_000).to_string());
                println!("{}", ticks.collect::<Vec<_>>().join(" "));
            }
        }
    }
}
