//! Crons in JSON.

use std::borrow::Cow;
use std::time::Duration;

use posthaste_core::cron::{Missed, Overlap};
use posthaste_core::entity::CronField;
use posthaste_core::ids::QueueId;
use posthaste_core::queue::Method;
use posthaste_core::schedule::{Schedule, ScheduleError};

use posthaste_core::time::Timestamp;
use posthaste_store::cron::{Cron, NewCron, Settings};
use serde_json::Value;
use serde_json::value::RawValue;

use super::delay::iso;
use super::echo::{Echo, ReadOnly};
use super::fields::Fields;
use super::message::time_of;
use super::output::Output;
use super::value::{body, boolean, delay, given, headers, invalid, queue_id, refused, string};
use crate::error::ApiError;

/// The longest jitter.
pub const LONGEST_JITTER: Duration = Duration::from_secs(86_400);
/// What a header of a cron may name between double braces.
const PLACEHOLDERS: [&str; 2] = ["scheduledTime", "tick"];

const READ_ONLY: [ReadOnly<CronField>; 1] = [(CronField::Id, "leave it out; PUT /crons/{id} changes a cron")];

/// What a field of a cron holds.
#[must_use]
pub fn output(cron: &Cron, field: CronField) -> Output<'_> {
    match field {
        CronField::Id => Output::Id(cron.id.0),
        CronField::QueueId => Output::Id(cron.queue_id.0),
        CronField::CreatedAt => Output::Time(cron.created_at),
        CronField::UpdatedAt => Output::Time(cron.updated_at),
        CronField::Paused => Output::Boolean(cron.paused),
        CronField::PausedAt => Output::time(cron.paused_at),
        CronField::NextFireAt => Output::time(cron.next_fire_at),
        field => setting(&cron.settings, field),
    }
}

/// What a field of a cron that is to be created will hold, as far as that is known.
#[must_use]
pub fn new_output(cron: &NewCron, field: CronField) -> Output<'_> {
    match field {
        CronField::QueueId => Output::Id(cron.queue_id.0),
        CronField::Paused => Output::Boolean(cron.paused),
        field => setting(&cron.settings, field),
    }
}

fn setting(settings: &Settings, field: CronField) -> Output<'_> {
    let text = |text: String| Output::Text(Cow::Owned(text));
    match field {
        CronField::Schedule => Output::text(settings.schedule.as_deref()),
        CronField::Body => Output::text(settings.body.as_deref()),
        CronField::Headers => Output::json(settings.headers.as_ref()),
        CronField::TimeZone => Output::text(Some(&settings.time_zone)),
        CronField::Every => settings.every.map_or(Output::Null, |every| text(iso(every))),
        CronField::At => Output::time(settings.at),
        CronField::StartAt => Output::time(settings.start_at),
        CronField::EndAt => Output::time(settings.end_at),
        CronField::Jitter if settings.jitter.is_zero() => Output::Null,
        CronField::Jitter => text(iso(settings.jitter)),
        CronField::Missed => Output::text(Some(settings.missed.as_str())),
        CronField::MissedTolerance => text(iso(settings.tolerance)),
        CronField::Overlap => Output::text(Some(settings.overlap.as_str())),
        CronField::Method => Output::text(settings.method.as_deref()),
        CronField::Id
        | CronField::QueueId
        | CronField::CreatedAt
        | CronField::UpdatedAt
        | CronField::Paused
        | CronField::PausedAt
        | CronField::NextFireAt => Output::Null,
    }
}

/// When it fires: one of three.
#[derive(Debug, Clone, PartialEq)]
enum When {
    Schedule(String),
    Every(Duration),
    At(Timestamp),
}

/// What a request says about a cron; what it does not mention is `None`.
#[derive(Debug, Clone)]
pub struct CronPatch {
    queue_id: Option<QueueId>,
    when: Option<When>,
    time_zone: Option<String>,
    start_at: Option<Option<Timestamp>>,
    end_at: Option<Option<Timestamp>>,
    jitter: Option<Duration>,
    missed: Option<Missed>,
    tolerance: Option<Duration>,
    overlap: Option<Overlap>,
    method: Option<Option<String>>,
    paused: Option<bool>,
    body: Option<Option<String>>,
    headers: Option<Option<Value>>,
    echo: Echo<CronField>,
}

impl CronPatch {
    /// Reads and validates a request's body.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(mut fields: Fields<'_>) -> Result<CronPatch, ApiError> {
        let queue_id = fields.take("queueId").map(|value| queue_id("queueId", value)).transpose()?;
        let when = when(&mut fields)?;
        let time_zone = given(fields.take("timezone")).map(|value| string("timezone", value)).transpose()?;
        let start_at = time("startAt", &mut fields)?;
        let end_at = time("endAt", &mut fields)?;
        let jitter = fields.take("jitter").map(|value| jitter(Some(value))).transpose()?;
        let missed = word("missed", &mut fields, Missed::parse, "takes skip, one or all")?;
        let tolerance = delay("missedTolerance", fields.take("missedTolerance"))?;
        let overlap = word("overlap", &mut fields, Overlap::parse, "takes allow or skip")?;
        let method = fields.take("method").map(|value| method(Some(value))).transpose()?;
        let paused = given(fields.take("paused")).map(|value| boolean("paused", value)).transpose()?;
        let body = fields.take("body").map(|value| body(Some(value))).transpose()?;
        if body.as_ref().and_then(Option::as_ref).is_some_and(|body| body.contains('\0')) {
            return Err(invalid("body", "the body of a cron must not contain U+0000"));
        }
        let headers = fields.take("headers").map(|value| headers(Some(value))).transpose()?;
        if let Some(headers) = headers.as_ref().and_then(Option::as_ref) {
            check_placeholders(headers)?;
        }
        // They change by themselves, so that an answer sent back may be out of date.
        for follows in ["pausedAt", "nextFireAt"] {
            fields.take(follows);
        }
        let echo = Echo::take(&mut fields, &READ_ONLY);
        fields.finish()?;
        let patch = CronPatch {
            queue_id,
            when,
            time_zone,
            start_at,
            end_at,
            jitter,
            missed,
            tolerance,
            overlap,
            method,
            paused,
            body,
            headers,
            echo,
        };
        if patch.when.is_some() {
            check(&patch.settings(&Settings::default()))?;
        }
        Ok(patch)
    }

    /// The same, but what a cron cannot do without must be there.
    ///
    /// # Errors
    /// As [`CronPatch::read`].
    pub fn read_whole(fields: Fields<'_>) -> Result<CronPatch, ApiError> {
        fields.must_have(&["queueId"])?;
        if !["every", "at"].iter().any(|name| fields.names().any(|given| given == *name)) {
            fields.must_have(&["schedule"])?;
        }
        CronPatch::read(fields)
    }

    /// The cron that it describes.
    ///
    /// # Errors
    /// What is missing, or cannot be set.
    pub fn create(self) -> Result<NewCron, ApiError> {
        self.echo.check_new(|_| Output::Null)?;
        let missing = |name: &str| ApiError::Validation(format!("body must have required property '{name}'"));
        if self.when.is_none() {
            return Err(missing("schedule"));
        }
        // They were checked when they were read.
        let settings = self.settings(&Settings::default());
        let queue_id = self.queue_id.ok_or_else(|| missing("queueId"))?;
        Ok(NewCron { queue_id, settings, paused: self.paused.unwrap_or(false) })
    }

    /// The queue that it names.
    #[must_use]
    pub fn queue(&self) -> Option<QueueId> {
        self.queue_id
    }

    /// The cron as it is to become.
    ///
    /// # Errors
    /// What cannot be set.
    pub fn apply(&self, cron: &Cron) -> Result<Cron, ApiError> {
        self.echo.check(|field| output(cron, field))?;
        let settings = self.settings(&cron.settings);
        check(&settings)?;
        Ok(Cron {
            queue_id: self.queue_id.unwrap_or(cron.queue_id),
            settings,
            paused: self.paused.unwrap_or(cron.paused),
            ..cron.clone()
        })
    }

    /// What it makes of these.
    fn settings(&self, of: &Settings) -> Settings {
        let (schedule, every, at) = match &self.when {
            None => (of.schedule.clone(), of.every, of.at),
            Some(When::Schedule(schedule)) => (Some(schedule.clone()), None, None),
            Some(When::Every(every)) => (None, Some(*every), None),
            Some(When::At(at)) => (None, None, Some(*at)),
        };
        Settings {
            schedule,
            time_zone: self.time_zone.as_ref().unwrap_or(&of.time_zone).clone(),
            every,
            at,
            start_at: self.start_at.unwrap_or(of.start_at),
            end_at: self.end_at.unwrap_or(of.end_at),
            jitter: self.jitter.unwrap_or(of.jitter),
            missed: self.missed.unwrap_or(of.missed),
            tolerance: self.tolerance.unwrap_or(of.tolerance),
            overlap: self.overlap.unwrap_or(of.overlap),
            method: self.method.as_ref().unwrap_or(&of.method).clone(),
            body: self.body.as_ref().unwrap_or(&of.body).clone(),
            headers: self.headers.as_ref().unwrap_or(&of.headers).clone(),
        }
    }
}

fn when(fields: &mut Fields<'_>) -> Result<Option<When>, ApiError> {
    let schedule = fields.take("schedule").filter(|value| value.get() != "null");
    let schedule = schedule.map(|value| string("schedule", value)).transpose()?.map(When::Schedule);
    let every = delay("every", fields.take("every"))?.map(When::Every);
    let at = time("at", fields)?.flatten().map(When::At);
    let mut all = [schedule, every, at].into_iter().flatten();
    match (all.next(), all.next()) {
        (_, Some(_)) => Err(refused("schedule", &ScheduleError::Ambiguous)),
        (when, None) => Ok(when),
    }
}

/// Whether they are right. For that it does not matter from when `every` counts.
fn check(settings: &Settings) -> Result<(), ApiError> {
    // The time zone also of a cron that does not need it.
    let zone = Schedule::parse("@yearly", &settings.time_zone);
    zone.and_then(|_| settings.timing(Timestamp(0)).schedule()).map(drop).map_err(|problem| wrong(&problem))
}

/// Says which field is wrong.
#[must_use]
pub fn wrong(problem: &ScheduleError) -> ApiError {
    let field = match problem {
        ScheduleError::TimeZone { .. } => "timezone",
        ScheduleError::Interval => "every",
        ScheduleError::EndsBeforeStart => "endAt",
        _ => "schedule",
    };
    refused(field, problem)
}

/// A time without what is finer than a millisecond, which answers do not show.
fn time(field: &'static str, fields: &mut Fields<'_>) -> Result<Option<Option<Timestamp>>, ApiError> {
    let time = fields.take(field).map(|value| time_of(field, Some(value))).transpose()?;
    Ok(time.map(|time| time.map(|time| Timestamp(time.0.div_euclid(1_000) * 1_000))))
}

fn word<T>(
    field: &'static str,
    fields: &mut Fields<'_>,
    parse: fn(&str) -> Option<T>,
    expected: &str,
) -> Result<Option<T>, ApiError> {
    let Some(value) = given(fields.take(field)) else { return Ok(None) };
    parse(&string(field, value)?).map(Some).ok_or_else(|| invalid(field, expected))
}

fn jitter(value: Option<&RawValue>) -> Result<Duration, ApiError> {
    let jitter = delay("jitter", value)?.unwrap_or_default();
    if jitter > LONGEST_JITTER { Err(invalid("jitter", "must be at most a day")) } else { Ok(jitter) }
}

fn method(value: Option<&RawValue>) -> Result<Option<String>, ApiError> {
    let Some(value) = given(value) else { return Ok(None) };
    let method = Method::parse(&string("method", value)?).map_err(|problem| invalid("method", problem))?;
    Ok(Some(method.as_str().to_owned()))
}

fn check_placeholders(headers: &Value) -> Result<(), ApiError> {
    for value in headers.as_object().into_iter().flat_map(|headers| headers.values()).filter_map(Value::as_str) {
        for part in value.split("{{").skip(1) {
            let name = part.split_once("}}").map(|(name, _)| name);
            if !name.is_some_and(|name| PLACEHOLDERS.contains(&name)) {
                return Err(invalid("headers", "knows the placeholders {{scheduledTime}} and {{tick}} only"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use posthaste_core::entity::Field;
    use posthaste_core::ids::CronId;
    use posthaste_core::time::Timestamp;

    use super::super::output::{IdStyle, View};
    use super::*;

    fn create(json: &str) -> Result<NewCron, ApiError> {
        CronPatch::read_whole(Fields::parse(json)?)?.create()
    }

    fn cron() -> Cron {
        Cron {
            id: CronId(1),
            queue_id: QueueId(2),
            settings: Settings {
                schedule: Some("* * * * *".to_owned()),
                body: Some("x".to_owned()),
                ..Settings::default()
            },
            paused: false,
            paused_at: None,
            next_fire_at: Some(Timestamp(60_000_000)),
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        }
    }

    #[test]
    fn a_cron_is_read() {
        let cron = create(r#"{"queueId":"7","schedule":"*/5 * * * *","body":{"a": 1},"headers":{"x":"y"}}"#).unwrap();
        assert_eq!((cron.queue_id, cron.settings.schedule.as_deref()), (QueueId(7), Some("*/5 * * * *")));
        assert_eq!(cron.settings.body.as_deref(), Some(r#"{"a":1}"#));
        let all = r#"{"queueId":7,"every":"PT1H","timezone":"Europe/Berlin","startAt":"2026-01-01T00:00:00.123456Z",
            "endAt":"2027-01-01","jitter":30,"missed":"all","missedTolerance":"P1W","overlap":"skip","method":"PUT","paused":true,
            "headers":{"x":"{{tick}} at {{scheduledTime}}"},"nextFireAt":"x","pausedAt":1,"schedule":null}"#;
        let cron = create(all).unwrap();
        let settings = cron.settings;
        assert_eq!((settings.every, settings.schedule, settings.at), (Some(Duration::from_secs(3_600)), None, None));
        assert_eq!(settings.start_at, Some(Timestamp(1_767_225_600_123_000)), "as answers show it");
        assert_eq!((settings.missed, settings.overlap, cron.paused), (Missed::All, Overlap::Skip, true));
        assert_eq!((settings.jitter.as_secs(), settings.tolerance.as_secs()), (30, 604_800));
        assert_eq!(settings.method.as_deref(), Some("PUT"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let problem = |json: &str| create(json).unwrap_err().to_string();
        assert_eq!(problem(r#"{"schedule":"x"}"#), "body must have required property 'queueId'");
        assert_eq!(problem(r#"{"queueId":7}"#), "body must have required property 'schedule'");
        assert_eq!(problem(r#"{"queueId":7,"schedule":5}"#), "body/schedule must be string");
        assert_eq!(
            problem(r#"{"queueId":7,"schedule":"* * * * *","body":"\u0000"}"#),
            "body/body: the body of a cron must not contain U+0000"
        );
        for (further, says) in [
            (r#""timezone":"Mars/Olympus""#, "body/timezone: \"Mars/Olympus\" is not an IANA time zone"),
            (r#""every":"PT1H""#, "body/schedule: takes one of schedule, every and at"),
            (r#""startAt":"2027-01-01","endAt":"2026-01-01""#, "body/endAt: endAt must not be before startAt"),
            (r#""jitter":"P2D""#, "body/jitter: must be at most a day"),
            (r#""missed":"none""#, "body/missed: takes skip, one or all"),
            (r#""overlap":true"#, "body/overlap must be string"),
            (r#""method":"FETCH""#, "body/method: "),
            (r#""paused":1"#, "body/paused must be boolean"),
            (r#""headers":{"x":"{{now}}"}"#, "body/headers: knows the placeholders"),
            (r#""headers":{"x":"{{tick"}"#, "body/headers: knows the placeholders"),
            (r#""time_zone":"UTC""#, "body has no property 'time_zone'"),
        ] {
            let problem = problem(&format!(r#"{{"queueId":7,"schedule":"* * * * *",{further}}}"#));
            assert!(problem.starts_with(says), "{further}: {problem}");
        }
        assert!(problem(r#"{"queueId":7,"every":"PT0.5S"}"#).starts_with("body/every: the interval must be"));
        assert!(problem(r#"{"queueId":7,"every":null}"#).starts_with("body must have required property 'schedule'"));
        assert!(problem(r#"{"queueId":7,"schedule":"* 25 * * *"}"#).contains("hour field is wrong at position 3"));
        for schedule in ["", "x", "* * *", "99 * * * *", "0 0 30 2 *", "@reboot"] {
            let problem = problem(&format!(r#"{{"queueId":7,"schedule":"{schedule}"}}"#));
            assert!(problem.starts_with("body/schedule: "), "{problem}");
        }
    }

    #[test]
    fn what_is_not_mentioned_stays() {
        let patch = |json: &str| CronPatch::read(Fields::parse(json).unwrap()).unwrap().apply(&cron());
        assert_eq!(patch("{}"), Ok(cron()));
        let settings = Settings { body: None, schedule: Some("@daily".to_owned()), ..cron().settings };
        assert_eq!(patch(r#"{"body":null,"schedule":"@daily","id":1}"#), Ok(Cron { settings, ..cron() }));
        let settings = Settings { schedule: None, every: Some(Duration::from_secs(60)), ..cron().settings };
        assert_eq!(patch(r#"{"every":60}"#), Ok(Cron { settings, ..cron() }));
        assert_eq!(patch(r#"{"paused":true}"#), Ok(Cron { paused: true, ..cron() }));
    }

    #[test]
    fn keys_come_in_the_order_of_the_original() {
        let view = View { row: &cron(), fields: CronField::ALL, ids: IdStyle::Text, output };
        assert_eq!(
            serde_json::to_string(&view).unwrap(),
            r#"{"id":"1","queueId":"2","schedule":"* * * * *","createdAt":"1970-01-01T00:00:00.000Z","updatedAt":"1970-01-01T00:00:00.000Z","body":"x","headers":null,"timezone":"UTC","every":null,"at":null,"startAt":null,"endAt":null,"jitter":null,"missed":"one","missedTolerance":"P1D","overlap":"allow","method":null,"paused":false,"pausedAt":null,"nextFireAt":"1970-01-01T00:01:00.000Z"}"#
        );
    }
}
