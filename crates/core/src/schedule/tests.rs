use chrono::{DateTime, NaiveDateTime, Offset, TimeZone, Utc};
use proptest::prelude::*;

use super::*;

/// A time in UTC, `2026-01-31 12:00:00` or with a fraction.
fn at(text: &str) -> Timestamp {
    let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").unwrap();
    Timestamp::from(Utc.from_utc_datetime(&naive))
}

fn utc(expression: &str) -> Schedule {
    Schedule::parse(expression, "UTC").unwrap_or_else(|error| panic!("{expression}: {error}"))
}

/// The next two ticks, as `2026-01-31 12:00:00, 2026-01-31 13:00:00` in UTC.
fn ticks(schedule: &Schedule, after: &str) -> String {
    let first = schedule.next_after(at(after)).unwrap();
    let second = schedule.next_after(first).unwrap();
    [first, second].map(|tick| tick.to_datetime().unwrap().format("%Y-%m-%d %H:%M:%S").to_string()).join(", ")
}

/// The rows of a table whose columns are divided by ` | `; blank lines and those with `# ` are between rows.
fn rows<const COLUMNS: usize>(table: &str) -> impl Iterator<Item = [&str; COLUMNS]> {
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines.map(|line| line.split(" | ").collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("columns of {line:?}")))
}

#[test]
fn expressions_fire_when_they_say() {
    let table = "
        # Seconds and minutes.
        */1 * * * * * | 2026-01-31 23:59:58.5 | 2026-01-31 23:59:59, 2026-02-01 00:00:00
        * * * * * * | 2026-01-31 23:59:58 | 2026-01-31 23:59:59, 2026-02-01 00:00:00
        * * * * * | 2026-01-31 23:58:00 | 2026-01-31 23:59:00, 2026-02-01 00:00:00
        * * * * * | 2026-01-31 23:57:59.999999 | 2026-01-31 23:58:00, 2026-01-31 23:59:00
        */15 * * * * | 2026-01-01 10:10:00 | 2026-01-01 10:15:00, 2026-01-01 10:30:00
        */25 * * * * * | 2026-01-01 10:10:26 | 2026-01-01 10:10:50, 2026-01-01 10:11:00
        10/20 * * * * * | 2026-01-01 10:10:30 | 2026-01-01 10:10:50, 2026-01-01 10:11:10
        10-30/10 * * * * | 2026-01-01 10:20:00 | 2026-01-01 10:30:00, 2026-01-01 11:10:00
        5,10 3-4 * * * | 2026-01-01 03:10:00 | 2026-01-01 04:05:00, 2026-01-01 04:10:00
        30 0 9 * * * | 2026-01-01 09:00:30 | 2026-01-02 09:00:30, 2026-01-03 09:00:30
        # Month lengths and leap years.
        0 0 31 * * | 2026-01-31 00:00:00 | 2026-03-31 00:00:00, 2026-05-31 00:00:00
        0 0 30 * * | 2026-01-30 00:00:00 | 2026-03-30 00:00:00, 2026-04-30 00:00:00
        0 0 L * * | 2027-12-31 00:00:00 | 2028-01-31 00:00:00, 2028-02-29 00:00:00
        0 0 29 2 * | 2026-01-01 00:00:00 | 2028-02-29 00:00:00, 2032-02-29 00:00:00
        0 0 29 2 * | 2096-02-29 00:00:00 | 2104-02-29 00:00:00, 2108-02-29 00:00:00
        0 0 29 2 +MON | 2026-01-01 00:00:00 | 2044-02-29 00:00:00, 2072-02-29 00:00:00
        59 59 23 31 12 * | 2026-12-31 23:59:58 | 2026-12-31 23:59:59, 2027-12-31 23:59:59
        # Names, in any case.
        0 0 1 JAN,jul * | 2026-01-01 00:00:00 | 2026-07-01 00:00:00, 2027-01-01 00:00:00
        0 0 1 nov-Dec * | 2026-01-01 00:00:00 | 2026-11-01 00:00:00, 2026-12-01 00:00:00
        0 0 * * mon-FRI | 2026-01-30 00:00:00 | 2026-02-02 00:00:00, 2026-02-03 00:00:00
        0 0 * * Sat-SUN | 2026-01-30 00:00:00 | 2026-01-31 00:00:00, 2026-02-01 00:00:00
        0 0 * * SUN-MON | 2026-01-30 00:00:00 | 2026-02-01 00:00:00, 2026-02-02 00:00:00
        0 0 * * SUN-SUN | 2026-01-30 00:00:00 | 2026-02-01 00:00:00, 2026-02-08 00:00:00
        0 0 * * 7 | 2026-01-30 00:00:00 | 2026-02-01 00:00:00, 2026-02-08 00:00:00
        0 0 * * 0 | 2026-01-30 00:00:00 | 2026-02-01 00:00:00, 2026-02-08 00:00:00
        0 0 * * 5/2 | 2026-01-29 00:00:00 | 2026-01-30 00:00:00, 2026-02-01 00:00:00
        0 0 ? * 1 | 2026-01-30 00:00:00 | 2026-02-02 00:00:00, 2026-02-09 00:00:00
        0 0 1 * ? | 2026-01-30 00:00:00 | 2026-02-01 00:00:00, 2026-03-01 00:00:00
        # The n-th and the last.
        0 0 * * FRI#2 | 2026-01-30 00:00:00 | 2026-02-13 00:00:00, 2026-03-13 00:00:00
        0 0 * * 5#5 | 2026-01-30 00:00:00 | 2026-05-29 00:00:00, 2026-07-31 00:00:00
        0 0 * * 5L | 2026-01-01 00:00:00 | 2026-01-30 00:00:00, 2026-02-27 00:00:00
        0 0 * * sunL | 2026-01-01 00:00:00 | 2026-01-25 00:00:00, 2026-02-22 00:00:00
        0 0 * * FRI#L | 2026-01-01 00:00:00 | 2026-01-30 00:00:00, 2026-02-27 00:00:00
        0 0 15W * * | 2026-02-01 00:00:00 | 2026-02-16 00:00:00, 2026-03-16 00:00:00
        0 0 LW * * | 2026-01-01 00:00:00 | 2026-01-30 00:00:00, 2026-02-27 00:00:00
        # Day of month or day of week; with + both.
        0 0 13 * FRI | 2026-02-01 00:00:00 | 2026-02-06 00:00:00, 2026-02-13 00:00:00
        0 0 13 * +FRI | 2026-02-01 00:00:00 | 2026-02-13 00:00:00, 2026-03-13 00:00:00
        # Macros.
        @yearly | 2026-01-01 00:00:00 | 2027-01-01 00:00:00, 2028-01-01 00:00:00
        @annually | 2026-06-01 00:00:00 | 2027-01-01 00:00:00, 2028-01-01 00:00:00
        @monthly | 2026-01-01 00:00:00 | 2026-02-01 00:00:00, 2026-03-01 00:00:00
        @weekly | 2026-01-31 00:00:00 | 2026-02-01 00:00:00, 2026-02-08 00:00:00
        @daily | 2026-02-27 00:00:00 | 2026-02-28 00:00:00, 2026-03-01 00:00:00
        @midnight | 2026-02-27 00:00:01 | 2026-02-28 00:00:00, 2026-03-01 00:00:00
        @hourly | 2026-01-31 22:59:59 | 2026-01-31 23:00:00, 2026-02-01 00:00:00
        @minutely | 2026-01-31 23:58:00 | 2026-01-31 23:59:00, 2026-02-01 00:00:00
        @secondly | 2026-01-31 23:59:58 | 2026-01-31 23:59:59, 2026-02-01 00:00:00
        @weekdays | 2026-01-30 00:00:00 | 2026-02-02 00:00:00, 2026-02-03 00:00:00
        @weekends | 2026-01-30 00:00:00 | 2026-01-31 00:00:00, 2026-02-01 00:00:00
    ";
    for [expression, after, expected] in rows(table) {
        assert_eq!(ticks(&utc(expression), after), expected, "{expression:?} after {after}");
    }
}

#[test]
fn time_zones_and_their_clock_changes_are_followed() {
    let table = "
        0 9 * * * | Europe/Berlin | 2026-01-01 00:00:00 | 2026-01-01 08:00:00, 2026-01-02 08:00:00
        0 9 * * * | Asia/Kolkata | 2026-01-01 00:00:00 | 2026-01-01 03:30:00, 2026-01-02 03:30:00
        # 02:30 does not exist on 29 March: it fires at 03:00, when the gap ends.
        30 2 * * * | Europe/Berlin | 2026-03-28 12:00:00 | 2026-03-29 01:00:00, 2026-03-30 00:30:00
        # Repeating: nothing in the gap.
        0 */2 * * * | Europe/Berlin | 2026-03-28 23:00:00 | 2026-03-29 02:00:00, 2026-03-29 04:00:00
        # 02:30 comes twice on 25 October: it fires the first time.
        30 2 * * * | Europe/Berlin | 2026-10-24 12:00:00 | 2026-10-25 00:30:00, 2026-10-26 01:30:00
        # Repeating: both times.
        30 * * * * | Europe/Berlin | 2026-10-25 00:00:00 | 2026-10-25 00:30:00, 2026-10-25 01:30:00
        * * * * * * | America/New_York | 2026-11-01 05:59:59 | 2026-11-01 06:00:00, 2026-11-01 06:00:01
    ";
    for [expression, zone, after, expected] in rows(table) {
        let schedule = Schedule::parse(expression, zone).unwrap();
        assert_eq!(ticks(&schedule, after), expected, "{expression:?} in {zone} after {after}");
    }
}

#[test]
fn the_last_tick_is_found_backwards() {
    for (expression, now, expected) in [
        ("* * * * *", "2026-01-31 23:59:59.999999", "2026-01-31 23:59:00"),
        ("* * * * *", "2026-01-31 23:59:00", "2026-01-31 23:59:00"),
        ("* * * * * *", "2026-01-31 23:59:00.5", "2026-01-31 23:59:00"),
        ("0 0 29 2 *", "2026-01-01 00:00:00", "2024-02-29 00:00:00"),
        ("@yearly", "2026-01-01 00:00:00", "2026-01-01 00:00:00"),
    ] {
        assert_eq!(utc(expression).last_at_or_before(at(now)), Some(at(expected)), "{expression:?} at {now}");
    }
}

#[test]
fn times_beyond_the_calendar_have_no_tick() {
    let schedule = Schedule::parse("* * * * *", "Pacific/Kiritimati").unwrap();
    for time in
        [Timestamp::MIN, Timestamp::MAX, Timestamp(i64::MAX / 2), at("1969-12-31 23:59:59"), at("4901-01-01 00:00:00")]
    {
        assert_eq!(schedule.next_after(time), None, "{time}");
        assert_eq!(schedule.last_at_or_before(time), None, "{time}");
    }
}

fn refused(expression: &str) -> ScheduleError {
    match Schedule::parse(expression, "UTC") {
        Ok(_) => panic!("{expression:?} was accepted"),
        Err(error) => error,
    }
}

#[test]
fn wrong_shapes_are_refused() {
    for blank in ["", " ", "\t\n"] {
        assert_eq!(refused(blank), ScheduleError::Empty);
    }
    for (count, expression) in [(1, "*"), (2, "* *"), (4, "* * * *"), (7, "* * * * * * *"), (7, "0 0 0 1 1 * 2030")] {
        assert_eq!(refused(expression), ScheduleError::FieldCount { count }, "{expression:?}");
    }
    for unknown in ["@reboot", "@", "@every 5m", "@hourly @daily", "@hourly * * * *"] {
        assert_eq!(refused(unknown), ScheduleError::Macro { given: unknown.to_owned() });
    }
    assert_eq!(
        refused("@reboot").to_string(),
        "\"@reboot\" is not a schedule macro: there are @yearly, @annually, \
        @monthly, @weekly, @daily, @midnight, @hourly, @minutely, @secondly, @weekdays, @weekends"
    );
    assert_eq!(refused(&format!("{}*", "* ".repeat(130))), ScheduleError::TooLong { length: 261 });
}

#[test]
fn wrong_fields_are_named() {
    let table = r##"
        60 * * * * * | second field is wrong: "60" is not a number from 0 to 59
        60 * * * * | minute field is wrong: "60" is not a number from 0 to 59
        -1 * * * * | minute field is wrong: a number is missing
        +1 * * * * | minute field is wrong: "+1" is not a number from 0 to 59
        1.5 * * * * | minute field is wrong: "1.5" is not a number from 0 to 59
        MON * * * * | minute field is wrong: "MON" is not a number from 0 to 59
        L * * * * | minute field is wrong: "L" is not a number from 0 to 59
        ? * * * * | minute field is wrong: "?" is not a number from 0 to 59
        99999999999999999999 * * * * | minute field is wrong: "99999999999999999999" is not a number from 0 to 59
        */0 * * * * | minute field is wrong: the step "0" is not a number from 1 to 59
        */60 * * * * | minute field is wrong: the step "60" is not a number from 1 to 59
        */ * * * * | minute field is wrong: the step "" is not a number from 1 to 59
        */5/5 * * * * | minute field is wrong: the step "5/5" is not a number from 1 to 59
        /5 * * * * | minute field is wrong: a number is missing
        * 24 * * * | hour field is wrong: "24" is not a number from 0 to 23
        * 5-3 * * * | hour field is wrong: the range "5-3" ends before it begins
        * 1-2-3 * * * | hour field is wrong: "2-3" is not a number from 0 to 23
        * 1,,2 * * * | hour field is wrong: it has an empty item between commas
        * , * * * | hour field is wrong: it has an empty item between commas
        * * 0 * * | day of month field is wrong: "0" is not a number from 1 to 31
        * * 32 * * | day of month field is wrong: "32" is not a number from 1 to 31
        * * W * * | day of month field is wrong: a number is missing
        * * 1-5W * * | day of month field is wrong: "1-5" is not a number from 1 to 31
        * * 5L * * | day of month field is wrong: "5L" is not a number from 1 to 31
        * * * 13 * | month field is wrong: "13" is not a number from 1 to 12 or a name from JAN to DEC
        * * * JANUARY * | month field is wrong: "JANUARY" is not a number from 1 to 12 or a name from JAN to DEC
        * * * MON * | month field is wrong: "MON" is not a number from 1 to 12 or a name from JAN to DEC
        * * * * 8 | day of week field is wrong: "8" is not a number from 0 to 7 or a name from SUN to SAT
        * * * * SUNMON | day of week field is wrong: "SUNMON" is not a number from 0 to 7 or a name from SUN to SAT
        * * * * 5#6 | day of week field is wrong: after "#" there must be a number from 1 to 5 or L, not "6"
        * * * * *#2 | day of week field is wrong: "*" is not a number from 0 to 7 or a name from SUN to SAT
        * * * * FRI-MON | day of week field is wrong: the range "FRI-MON" ends before it begins
        * * * * L | day of week field is wrong: "L" needs a day before it, such as "FRIL" for the last Friday of the month
    "##;
    for [expression, message] in rows(table) {
        let error = refused(expression).to_string();
        let (before, after) = error.split_once(" at position ").unwrap();
        let (_, reason) = after.split_once(": ").unwrap();
        assert_eq!(format!("{before}: {reason}"), format!("the schedule's {message}"), "{expression:?}");
    }
}

#[test]
fn the_place_of_what_is_wrong_is_told() {
    for (expression, wrong) in [
        ("60 * * * *", 1),
        ("  0,15,75 * * * *", 8),
        ("* * 1-5,,7 * *", 9),
        ("*\u{3000}*\u{3000}32 * *", 5),
        ("* * * * MON,FUN", 13),
        ("* * * * +MON,FUN", 14),
        ("0 0 0 1 1 8", 11),
    ] {
        let ScheduleError::Field { position, .. } = refused(expression) else { panic!("{expression:?}") };
        assert_eq!(position, wrong, "{expression:?}");
    }
}

#[test]
fn distances_and_single_times() {
    let anchor = at("2026-01-01 10:00:00.25");
    let every = |seconds| Schedule::every(Duration::from_secs(seconds), anchor);
    let schedule = every(5_400).unwrap();
    assert_eq!(schedule.next_after(at("2025-12-31 00:00:00")), Some(anchor));
    assert_eq!(schedule.next_after(anchor), Some(at("2026-01-01 11:30:00.25")));
    assert_eq!(schedule.last_at_or_before(at("2026-01-01 12:00:00")), Some(at("2026-01-01 11:30:00.25")));
    assert_eq!(schedule.last_at_or_before(Timestamp(anchor.0 - 1)), None);
    for wrong in [0, 3_650 * 86_400 + 1] {
        assert_eq!(every(wrong).unwrap_err(), ScheduleError::Interval);
    }
    let once = Schedule::once(anchor);
    assert_eq!((once.next_after(Timestamp(anchor.0 - 1)), once.next_after(anchor)), (Some(anchor), None));
    assert_eq!((once.last_at_or_before(Timestamp(anchor.0 - 1)), once.last_at_or_before(anchor)), (None, Some(anchor)));
    for time in [Timestamp::MIN, Timestamp::MAX] {
        let _ = (schedule.next_after(time), schedule.last_at_or_before(time));
    }
}

#[test]
fn nothing_is_before_the_start_and_after_the_end() {
    let (start, end) = (at("2026-01-01 10:00:00"), at("2026-01-01 12:00:00"));
    let schedule = utc("@hourly").within(Some(start), Some(end));
    assert_eq!(schedule.next_after(at("2025-01-01 00:00:00")), Some(start));
    assert_eq!(schedule.next_after(at("2026-01-01 11:00:00")), Some(end));
    assert_eq!(schedule.next_after(end), None);
    assert_eq!(schedule.last_at_or_before(at("2027-01-01 00:00:00")), Some(end));
    assert_eq!(schedule.last_at_or_before(Timestamp(start.0 - 1)), None);
}

#[test]
fn a_timing_names_one_way() {
    let timing = |schedule: Option<&str>, every, at_time| Timing {
        schedule: schedule.map(str::to_owned),
        every,
        at: at_time,
        time_zone: "UTC".to_owned(),
        start: None,
        end: None,
        created: at("2026-01-01 00:00:00"),
    };
    let day = Some(Duration::from_secs(86_400));
    let of = |timing: Timing| timing.schedule().map(|schedule| schedule.next_after(at("2026-01-01 00:00:00")));
    assert_eq!(of(timing(Some("@hourly"), None, None)), Ok(Some(at("2026-01-01 01:00:00"))));
    assert_eq!(of(timing(None, day, None)), Ok(Some(at("2026-01-02 00:00:00"))));
    assert_eq!(of(timing(None, None, Some(at("2026-01-03 00:00:00")))), Ok(Some(at("2026-01-03 00:00:00"))));
    for ambiguous in
        [timing(None, None, None), timing(Some("@hourly"), day, None), timing(None, day, Some(Timestamp(0)))]
    {
        assert_eq!(of(ambiguous), Err(ScheduleError::Ambiguous));
    }
    let (start, end) = (Some(at("2026-01-02 00:00:00")), Some(at("2026-01-01 00:00:00")));
    assert_eq!(of(Timing { start, end, ..timing(None, day, None) }), Err(ScheduleError::EndsBeforeStart));
    assert_eq!(of(Timing { start, ..timing(None, day, None) }), Ok(start));
}

#[test]
fn schedules_are_described() {
    for (expression, zone, text) in [
        ("*/5 * * * *", "UTC", "Every 5 minutes (UTC)."),
        ("30 2 * * *", "Europe/Berlin", "At 02:30 (Europe/Berlin)."),
        ("0 9 * * 5#2", "UTC", "At 09:00, on the 2nd Friday of the month (UTC)."),
        ("0 0 13 * +FRI", "UTC", "At 00:00, on day 13 (if it is also Friday) (UTC)."),
        ("@secondly", "UTC", "Every second (UTC)."),
    ] {
        assert_eq!(Schedule::parse(expression, zone).unwrap().describe(), text, "{expression:?}");
    }
    let every = Schedule::every(Duration::from_secs(93_600), at("2026-01-01 10:00:00")).unwrap();
    assert_eq!(every.describe(), "Every 1 day, 2 hours, counted from 2026-01-01T10:00:00.000000Z.");
    assert_eq!(Schedule::once(at("2026-01-01 10:00:00")).describe(), "Once, at 2026-01-01T10:00:00.000000Z.");
}

/// Clock changes of a zone, each with how many seconds the clocks go forward: the time of the change, and the time that they show just
/// before it, as seconds since 1970 as if that were UTC.
fn changes(zone: Tz, from: i64, until: i64) -> Vec<(i64, i64, i64)> {
    let offset = |at: i64| {
        let utc = DateTime::from_timestamp(at, 0).unwrap().with_timezone(&zone);
        i64::from(utc.offset().fix().local_minus_utc())
    };
    let mut found = Vec::new();
    let mut at = from;
    while at < until {
        let step = 86_400;
        if offset(at) != offset(at + step) {
            let (mut low, mut high) = (at, at + step);
            while high - low > 1 {
                let middle = i64::midpoint(low, high);
                if offset(middle) == offset(at) { low = middle } else { high = middle }
            }
            found.push((high, high + offset(at), offset(high) - offset(at)));
        }
        at += step;
    }
    found
}

#[test]
fn every_clock_change_of_the_next_two_years_is_as_promised() {
    let (from, until) = (at("2026-11-01 00:00:00").0 / 1_000_000, at("2028-12-01 00:00:00").0 / 1_000_000);
    let (mut zones, mut gaps, mut repeats) = (0, 0, 0);
    for zone in chrono_tz::TZ_VARIANTS {
        let changes = changes(zone, from, until);
        zones += usize::from(!changes.is_empty());
        for (change, shown, forward) in changes {
            let fires = |expression: &str| -> Vec<i64> {
                let schedule = Schedule::parse(expression, zone.name()).unwrap();
                let (mut at, end) =
                    (Timestamp((change - 43_200) * 1_000_000), Timestamp((change + 43_200) * 1_000_000));
                let mut ticks = Vec::new();
                while let Some(tick) = schedule.next_after(at).filter(|tick| *tick < end) {
                    ticks.push(tick.0 / 1_000_000);
                    at = tick;
                }
                ticks
            };
            // A minute within what the clocks skip or repeat.
            let inside = shown + forward / 2;
            let local = DateTime::from_timestamp(inside.div_euclid(60) * 60, 0).unwrap();
            let (minute, hour) = (local.format("%-M"), local.format("%-H"));
            let fixed = fires(&format!("{minute} {hour} * * *"));
            let every_minute = fires("* * * * *");
            let fixed_day = fires(&format!("{minute} {hour} {} * *", local.format("%-d")));
            if forward > 0 {
                gaps += 1;
                assert_eq!(fixed_day, [change], "{zone}: skipped, so it fires when the gap ends");
                assert!(fixed.contains(&change), "{zone}: {fixed:?}");
                // Nothing is lost or doubled of what goes by the minute.
                assert!(every_minute.windows(2).all(|pair| pair[1] - pair[0] == 60), "{zone}");
            } else {
                repeats += 1;
                let first = change + (local.timestamp() - shown);
                assert_eq!(fixed_day, [first], "{zone}: repeated, so it fires the first time");
                assert!(every_minute.windows(2).all(|pair| pair[1] - pair[0] == 60), "{zone}");
                assert!(
                    every_minute.contains(&first) && every_minute.contains(&(first - forward)),
                    "{zone}: both times"
                );
            }
        }
    }
    assert!(zones > 100 && gaps > 200 && repeats > 200, "{zones} zones, {gaps} gaps, {repeats} repeated times");
}

#[test]
fn expressions_that_never_fire_are_refused() {
    for never in ["0 0 30 2 *", "0 0 31 4 *", "0 0 31 2,4,6,9,11 *", "0 0 1 * +MON#2", "0 0 0 30 FEB *", "0 0 30W 2 *"]
    {
        assert_eq!(refused(never), ScheduleError::NeverFires, "{never:?}");
    }
    // Rare, but not never.
    for rare in ["0 0 29 2 *", "0 0 29 2 +MON#5", "0 0 31 1-12 *", "0 0 30 2 MON"] {
        assert!(utc(rare).next_after(at("2026-01-01 00:00:00")).is_some(), "{rare:?}");
    }
}

#[test]
fn white_space_and_case_do_not_matter() {
    for expression in ["@hourly", " @Hourly\t", "0 * * * *", "\t0  *\n* *   *  "] {
        assert_eq!(ticks(&utc(expression), "2026-01-01 10:00:00"), "2026-01-01 11:00:00, 2026-01-01 12:00:00");
    }
}

#[test]
fn unknown_time_zones_are_refused() {
    for zone in ["", "Mars/Olympus", "europe/berlin", "+02:00"] {
        let error = Schedule::parse("* * * * *", zone).map(|_| ()).unwrap_err();
        assert_eq!(error, ScheduleError::TimeZone { given: zone.to_owned() });
    }
    assert!(Schedule::parse("* * * * *", Schedule::DEFAULT_TIME_ZONE).is_ok());
}

const SAMPLES: [&str; 14] = [
    "* * * * * *",
    "*/7 * * * * *",
    "* * * * *",
    "*/20 */2 * * *",
    "0 0-4 * * *",
    "0 0 * * *",
    "30 1 * * *",
    "30 2 * * *",
    "0 3 * * *",
    "15 45 2 * * SUN",
    "0 0 L * *",
    "0 12 13 * +FRI",
    "0 0 29 2 *",
    "@weekly",
];

const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    // Half an hour of daylight saving time.
    "Australia/Lord_Howe",
    // Changes at midnight.
    "America/Santiago",
    "Asia/Kathmandu",
    "Pacific/Apia",
];

/// Times in 2025 to 2030, half of them within hours of a clock change somewhere.
fn times() -> impl Strategy<Value = Timestamp> {
    let anywhere = at("2025-01-01 00:00:00").0..at("2030-01-01 00:00:00").0;
    let changes = prop::sample::select(vec![
        "2026-03-29 01:00:00",
        "2026-10-25 01:00:00",
        "2026-03-08 07:00:00",
        "2026-11-01 06:00:00",
        "2026-04-04 15:00:00",
        "2026-10-03 15:30:00",
        "2026-04-05 03:00:00",
        "2026-09-06 04:00:00",
    ]);
    let near = (changes, -20_000_000_000..20_000_000_000_i64).prop_map(|(change, by)| Timestamp(at(change).0 + by));
    prop_oneof![anywhere.prop_map(Timestamp), near]
}

proptest! {
    #[test]
    fn ticks_are_whole_seconds_and_form_one_sequence(
        expression in prop::sample::select(SAMPLES.as_slice()),
        zone in prop::sample::select(ZONES.as_slice()),
        time in times(),
    ) {
        let schedule = Schedule::parse(expression, zone).unwrap();
        let next = schedule.next_after(time).unwrap();
        let last = schedule.last_at_or_before(time).unwrap();
        prop_assert!(next > time && last <= time, "{} <= {} < {}", last, time, next);
        prop_assert_eq!((next.0 % 1_000_000, last.0 % 1_000_000), (0, 0));
        // Nothing lies between, from either side.
        prop_assert_eq!(schedule.next_after(last), Some(next));
        prop_assert_eq!(schedule.next_after(Timestamp(next.0 - 1)), Some(next));
        prop_assert_eq!(schedule.last_at_or_before(next), Some(next));
        prop_assert_eq!(schedule.last_at_or_before(Timestamp(next.0 - 1)), Some(last));
    }

    #[test]
    fn is_total(expression in "[-0-9*/,#LW?+@A-Za-z ]{0,30}|.{0,30}", zone in "[A-Za-z/_+-]{0,10}|UTC", time: i64, now: i64) {
        if let Ok(schedule) = Schedule::parse(&expression, &zone) {
            let _ = (schedule.next_after(Timestamp(time)), schedule.last_at_or_before(Timestamp(now)), schedule.describe());
        }
    }

    /// The grammar here and the cron library's agree: what passes the one passes the other.
    #[test]
    fn what_the_grammar_accepts_is_understood(
        fields in prop::collection::vec("[*]|[*]/[1-9]|[1-9]|[0-9]-[0-9]|[1-5]/[1-5]|[1-9],[1-9]|L|LW|[1-9]W|[1-5]#[1-5]|[1-5]L|MON|JAN|[?]", 5..7),
    ) {
        let error = Schedule::parse(&fields.join(" "), "UTC").map(|_| ()).err();
        prop_assert!(!matches!(error, Some(ScheduleError::NotUnderstood { .. })), "{:?}", error);
    }
}
