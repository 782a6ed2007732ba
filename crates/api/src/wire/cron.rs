//! Crons in JSON.

use posthaste_core::entity::CronField;
use posthaste_core::ids::QueueId;
use posthaste_core::schedule::Schedule;
use posthaste_store::cron::{Cron, NewCron};
use serde_json::Value;

use super::echo::{Echo, ReadOnly};
use super::fields::Fields;
use super::output::Output;
use super::value::{body, headers, invalid, queue_id, refused, string};
use crate::error::ApiError;

const REQUIRED: [&str; 2] = ["queueId", "schedule"];

const READ_ONLY: [ReadOnly<CronField>; 1] = [(CronField::Id, "leave it out; PUT /crons/{id} changes a cron")];

/// What a field of a cron holds.
#[must_use]
pub fn output(cron: &Cron, field: CronField) -> Output<'_> {
    match field {
        CronField::Id => Output::Id(cron.id.0),
        CronField::QueueId => Output::Id(cron.queue_id.0),
        CronField::Schedule => Output::text(Some(&cron.schedule)),
        CronField::CreatedAt => Output::Time(cron.created_at),
        CronField::UpdatedAt => Output::Time(cron.updated_at),
        CronField::Body => Output::text(cron.body.as_deref()),
        CronField::Headers => Output::json(cron.headers.as_ref()),
    }
}

/// What a field of a cron that is to be created will hold, as far as that is known.
#[must_use]
pub fn new_output(cron: &NewCron, field: CronField) -> Output<'_> {
    match field {
        CronField::QueueId => Output::Id(cron.queue_id.0),
        CronField::Schedule => Output::text(Some(&cron.schedule)),
        CronField::Body => Output::text(cron.body.as_deref()),
        CronField::Headers => Output::json(cron.headers.as_ref()),
        CronField::Id | CronField::CreatedAt | CronField::UpdatedAt => Output::Null,
    }
}

/// What a request says about a cron; what it does not mention is `None`.
#[derive(Debug, Clone)]
pub struct CronPatch {
    queue_id: Option<QueueId>,
    schedule: Option<String>,
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
        let schedule = fields
            .take("schedule")
            .map(|value| {
                let expression = string("schedule", value)?;
                let parsed = Schedule::parse(&expression, Schedule::DEFAULT_TIME_ZONE);
                parsed.map_err(|problem| refused("schedule", &problem))?;
                Ok(expression)
            })
            .transpose()?;
        let body = fields.take("body").map(|value| body(Some(value))).transpose()?;
        if body.as_ref().and_then(Option::as_ref).is_some_and(|body| body.contains('\0')) {
            return Err(invalid("body", "the body of a cron must not contain U+0000"));
        }
        let headers = fields.take("headers").map(|value| headers(Some(value))).transpose()?;
        let echo = Echo::take(&mut fields, &READ_ONLY);
        fields.finish()?;
        Ok(CronPatch { queue_id, schedule, body, headers, echo })
    }

    /// The same, but what a cron cannot do without must be there.
    ///
    /// # Errors
    /// As [`CronPatch::read`].
    pub fn read_whole(fields: Fields<'_>) -> Result<CronPatch, ApiError> {
        fields.must_have(&REQUIRED)?;
        CronPatch::read(fields)
    }

    /// The cron that it describes.
    ///
    /// # Errors
    /// What is missing, or cannot be set.
    pub fn create(self) -> Result<NewCron, ApiError> {
        self.echo.check_new(|_| Output::Null)?;
        let missing = |name: &str| ApiError::Validation(format!("body must have required property '{name}'"));
        Ok(NewCron {
            queue_id: self.queue_id.ok_or_else(|| missing("queueId"))?,
            schedule: self.schedule.ok_or_else(|| missing("schedule"))?,
            time_zone: Schedule::DEFAULT_TIME_ZONE.to_owned(),
            body: self.body.flatten(),
            headers: self.headers.flatten(),
        })
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
        Ok(Cron {
            queue_id: self.queue_id.unwrap_or(cron.queue_id),
            schedule: self.schedule.as_ref().unwrap_or(&cron.schedule).clone(),
            body: self.body.as_ref().unwrap_or(&cron.body).clone(),
            headers: self.headers.as_ref().unwrap_or(&cron.headers).clone(),
            ..cron.clone()
        })
    }
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
            schedule: "* * * * *".to_owned(),
            body: Some("x".to_owned()),
            headers: None,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        }
    }

    #[test]
    fn a_cron_is_read() {
        let cron = create(r#"{"queueId":"7","schedule":"*/5 * * * *","body":{"a": 1},"headers":{"x":"y"}}"#).unwrap();
        assert_eq!((cron.queue_id, cron.schedule.as_str()), (QueueId(7), "*/5 * * * *"));
        assert_eq!(cron.body.as_deref(), Some(r#"{"a":1}"#));
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
        assert_eq!(
            problem(r#"{"queueId":7,"schedule":"* * * * *","timezone":"UTC"}"#),
            "body has no property 'timezone'"
        );
        for schedule in ["", "x", "* * *", "99 * * * *", "0 0 30 2 *", "@reboot"] {
            let problem = problem(&format!(r#"{{"queueId":7,"schedule":"{schedule}"}}"#));
            assert!(problem.starts_with("body/schedule: "), "{problem}");
        }
    }

    #[test]
    fn what_is_not_mentioned_stays() {
        let patch = |json: &str| CronPatch::read(Fields::parse(json).unwrap()).unwrap().apply(&cron());
        assert_eq!(patch("{}"), Ok(cron()));
        let changed = Cron { body: None, schedule: "@daily".to_owned(), ..cron() };
        assert_eq!(patch(r#"{"body":null,"schedule":"@daily","id":1}"#), Ok(changed));
    }

    #[test]
    fn keys_come_in_the_order_of_the_original() {
        let view = View { row: &cron(), fields: CronField::ALL, ids: IdStyle::Text, output };
        assert_eq!(
            serde_json::to_string(&view).unwrap(),
            r#"{"id":"1","queueId":"2","schedule":"* * * * *","createdAt":"1970-01-01T00:00:00.000Z","updatedAt":"1970-01-01T00:00:00.000Z","body":"x","headers":null}"#
        );
    }
}
