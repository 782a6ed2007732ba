use super::{
    CronId, Duration, Firing, MOST_CAUGHT_UP, Missed, Overlap, Present, Rules, Schedule, Skipped, Standing, Step,
    Timestamp, jitter, step as step_at,
};

const SECOND: i64 = 1_000_000;

fn at(seconds: i64) -> Timestamp {
    // 2026-01-01T00:00:00Z, a Thursday.
    Timestamp((1_767_225_600 + seconds) * SECOND)
}

fn rules(missed: Missed, overlap: Overlap) -> Rules {
    Rules { missed, tolerance: Duration::from_secs(3_600), overlap }
}

/// Of a cron that was never paused.
fn step(schedule: &Schedule, rules: &Rules, standing: Standing, now: Timestamp) -> Step {
    step_at(schedule, rules, standing, Present { now, resumed: None })
}

fn minutely() -> Schedule {
    Schedule::parse("* * * * *", "UTC").unwrap()
}

fn stored(seconds: i64) -> Standing {
    Standing { tick: at(seconds), stored: true }
}

fn waiting(seconds: i64) -> Standing {
    Standing { tick: at(seconds), stored: false }
}

fn fire(seconds: i64, caught_up: bool) -> Option<Firing> {
    Some(Firing { tick: at(seconds), caught_up })
}

fn range(first: i64, last: i64, count: u32) -> Option<Skipped> {
    Some(Skipped { first: at(first), last: at(last), count: Some(count) })
}

#[test]
fn the_next_message_is_stored_when_a_tick_has_come() {
    let rules = rules(Missed::One, Overlap::Allow);
    for late in [0, 1, 59, 119] {
        let step = step(&minutely(), &rules, stored(0), at(late));
        assert_eq!(step, Step { skipped: None, fire: fire(60, false), next: Some(stored(60)) }, "{late} s late");
    }
}

#[test]
fn what_is_stored_when_due_is_stored_at_its_tick() {
    for rules in [rules(Missed::Skip, Overlap::Allow), rules(Missed::One, Overlap::Skip)] {
        let step = |standing, now| step(&minutely(), &rules, standing, at(now));
        assert_eq!(step(waiting(60), 60), Step { skipped: None, fire: fire(60, false), next: Some(waiting(120)) });
        assert_eq!(step(waiting(60), 119), Step { skipped: None, fire: fire(60, false), next: Some(waiting(120)) });
        // As a cron stands whose settings have changed.
        assert_eq!(step(stored(60), 60), Step { skipped: None, fire: None, next: Some(waiting(120)) });
    }
    // And the other way round: what comes next is stored ahead from then on.
    let ahead = rules(Missed::One, Overlap::Allow);
    let now = step(&minutely(), &ahead, waiting(60), at(60));
    assert_eq!(now, Step { skipped: None, fire: fire(60, false), next: Some(stored(60)) });
}

#[test]
fn missed_ticks_are_dealt_with_as_the_cron_says() {
    let of = |missed, now| step(&minutely(), &rules(missed, Overlap::Allow), stored(0), at(now));
    // Late by 10 minutes and a half: 60 to 600 have been missed.
    let now = 630;
    assert_eq!(
        of(Missed::One, now),
        Step { skipped: range(60, 540, 9), fire: fire(600, true), next: Some(stored(600)) }
    );
    assert_eq!(of(Missed::All, now), Step { skipped: None, fire: fire(60, true), next: Some(stored(60)) });
    assert_eq!(of(Missed::Skip, now), Step { skipped: range(60, 600, 10), fire: None, next: Some(waiting(660)) });
    // One alone is made up for.
    assert_eq!(of(Missed::One, 179).skipped, range(60, 60, 1));
    assert_eq!(of(Missed::One, 179).fire, fire(120, true));
}

#[test]
fn what_is_older_than_the_tolerance_is_not_made_up_for() {
    let day = Schedule::parse("@daily", "UTC").unwrap();
    let of = |missed, late: i64| step(&day, &rules(missed, Overlap::Allow), stored(0), at(86_400_i64 + late));
    for missed in [Missed::One, Missed::All] {
        assert_eq!(of(missed, 3_600).fire, fire(86_400, true));
        assert_eq!(of(missed, 3_601).fire, fire(2 * 86_400, false));
        assert_eq!(of(missed, 3_601).skipped, range(86_400, 86_400, 1));
    }
    // Of many, those that are within it.
    let now = step(&minutely(), &rules(Missed::All, Overlap::Allow), stored(0), at(7_200));
    assert_eq!((now.skipped, now.fire), (range(60, 3_540, 59), fire(3_600, true)));
}

#[test]
fn not_more_than_a_bound_is_made_up_for_and_counted() {
    let secondly = Schedule::parse("* * * * * *", "UTC").unwrap();
    let now = step(&secondly, &rules(Missed::All, Overlap::Allow), stored(0), at(3_000));
    assert_eq!((now.skipped, now.fire), (range(1, 2_000, 2_000), fire(2_001, true)));
    let long = step(&secondly, &rules(Missed::One, Overlap::Allow), stored(0), at(20_000));
    assert_eq!(long.skipped, Some(Skipped { first: at(1), last: at(19_999), count: None }));
}

#[test]
fn the_bound_is_the_same_whether_ticks_are_counted_or_not() {
    let most = i64::from(MOST_CAUGHT_UP);
    let hour = Duration::from_secs(3_600);
    for (schedule, distance) in [
        (minutely(), 60),
        (Schedule::parse("30 * * * * *", "UTC").unwrap(), 60),
        (Schedule::parse("@hourly", "UTC").unwrap(), 3_600),
        (Schedule::every(hour, at(0)).unwrap(), 3_600),
    ] {
        let rules = Rules { tolerance: hour * 5_000, ..rules(Missed::All, Overlap::Allow) };
        let first = schedule.next_after(at(0)).unwrap();
        for missed in [1, most - 1, most, most + 1, 2 * most] {
            let now = Timestamp(first.0 + (missed - 1) * distance * 1_000_000 + 61_000_000).max(first);
            let fired = step_at(&schedule, &rules, stored(0), Present { now, resumed: None }).fire.unwrap();
            let ticks = (now.0 - fired.tick.0) / (distance * 1_000_000) + 1;
            let come = (now.0 - first.0) / (distance * 1_000_000) + 1;
            assert_eq!(ticks, come.min(most), "{missed} of {}", schedule.describe());
        }
    }
}

#[test]
fn the_last_tick_ends_a_cron() {
    let over = Step { skipped: None, fire: None, next: None };
    let once = Schedule::once(at(60));
    let ahead = rules(Missed::One, Overlap::Allow);
    assert_eq!(step(&once, &ahead, stored(60), at(60)), over);
    let when_due = rules(Missed::Skip, Overlap::Allow);
    assert_eq!(step(&once, &when_due, waiting(60), at(61)), Step { fire: fire(60, false), ..over });
    assert_eq!(step(&once, &when_due, waiting(60), at(121)), Step { skipped: range(60, 60, 1), ..over });
    assert_eq!(once.next_after(at(60)), None);
    assert_eq!(once.next_after(at(59)), Some(at(60)));
    // The end comes during an outage.
    let ending = minutely().within(None, Some(at(300)));
    let late = step(&ending, &ahead, stored(0), at(900));
    assert_eq!((late.skipped, late.fire), (range(60, 240, 4), fire(300, true)));
}

#[test]
fn what_came_during_a_pause_is_missed_however_short_that_was() {
    let secondly = Schedule::parse("* * * * * *", "UTC").unwrap();
    let of = |missed, standing| {
        let present = Present { now: Timestamp(at(10).0 + 5_000), resumed: Some(at(10)) };
        step_at(&secondly, &rules(missed, Overlap::Allow), standing, present)
    };
    assert_eq!((of(Missed::One, stored(2)).skipped, of(Missed::One, stored(2)).fire), (range(3, 9, 7), fire(10, true)));
    assert_eq!((of(Missed::All, waiting(3)).skipped, of(Missed::All, waiting(3)).fire), (None, fire(3, true)));
    assert_eq!(of(Missed::Skip, waiting(3)), Step { skipped: range(3, 10, 8), fire: None, next: Some(waiting(11)) });
    // What comes after it does not.
    assert_eq!(of(Missed::One, waiting(11)).fire, fire(11, false));
}

#[test]
fn a_clock_that_was_set_back_changes_nothing() {
    for missed in [Missed::One, Missed::All] {
        let now = step(&minutely(), &rules(missed, Overlap::Allow), stored(0), at(-3_600));
        assert_eq!(now, Step { skipped: None, fire: fire(60, false), next: Some(stored(60)) });
    }
}

#[test]
fn jitter_is_stable_bounded_and_spread() {
    let most = Duration::from_secs(30);
    let of = |cron, tick| jitter(most, CronId(cron), at(tick));
    assert_eq!(of(7, 60), of(7, 60));
    // A later version must agree with messages that are stored.
    assert_eq!(of(7, 60), Duration::from_micros(19_178_941));
    assert_eq!(jitter(Duration::ZERO, CronId(7), at(60)), Duration::ZERO);
    let offsets: Vec<f64> = (0..10_000_i64).map(|i| of(i % 100, i / 100).as_secs_f64()).collect();
    assert!(offsets.iter().all(|offset| *offset <= 30.0));
    for part in 0..10 {
        let within = offsets.iter().filter(|offset| (**offset / 3.0).floor() == f64::from(part)).count();
        assert!((800..1_200).contains(&within), "{within} of 10,000 in part {part}");
    }
}

#[test]
fn words_are_read_as_they_are_written() {
    for missed in [Missed::Skip, Missed::One, Missed::All] {
        assert_eq!(Missed::parse(missed.as_str()), Some(missed));
    }
    for overlap in [Overlap::Allow, Overlap::Skip] {
        assert_eq!(Overlap::parse(overlap.as_str()), Some(overlap));
    }
    assert_eq!((Missed::parse("none"), Overlap::parse("")), (None, None));
}
