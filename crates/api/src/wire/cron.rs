//! Crons in JSON.

use posthaste_core::ids::QueueId;
use posthaste_core::schedule::Schedule;
use posthaste_store::cron::Cron;
use serde::Serialize;
use serde_json::Value;

use super::fields::Fields;
use super::value::{body, headers, invalid, queue_id, refused, string};
use super::{Date, Id};
use crate::error::ApiError;
use crate::json::Input;

/// A cron as it is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CronView<'a> {
    id: Id,
    queue_id: Id,
    schedule: &'a str,
    created_at: Date,
    updated_at: Date,
    body: Option<&'a str>,
    headers: Option<&'a Value>,
}

impl<'a> From<&'a Cron> for CronView<'a> {
    fn from(cron: &'a Cron) -> CronView<'a> {
        CronView {
            id: Id(cron.id.0),
            queue_id: Id(cron.queue_id.0),
            schedule: &cron.schedule,
            created_at: Date(cron.created_at),
            updated_at: Date(cron.updated_at),
            body: cron.body.as_deref(),
            headers: cron.headers.as_ref(),
        }
    }
}

/// A cron that is asked for.
#[derive(Debug)]
pub struct CronInput {
    pub queue_id: QueueId,
    /// As it was written.
    pub expression: String,
    /// What it means.
    pub schedule: Schedule,
    pub body: Option<String>,
    pub headers: Option<Value>,
}

impl Input for CronInput {
    fn read(mut fields: Fields<'_>) -> Result<CronInput, ApiError> {
        let [queue, expression] = fields.require(["queueId", "schedule"])?;
        let queue_id = queue_id("queueId", queue)?;
        let expression = string("schedule", expression)?;
        let schedule = Schedule::parse(&expression, Schedule::DEFAULT_TIME_ZONE)
            .map_err(|problem| refused("schedule", &problem))?;
        let body = body(fields.take("body"))?;
        if body.as_ref().is_some_and(|body| body.contains('\0')) {
            return Err(invalid("body", "the body of a cron must not contain U+0000"));
        }
        let headers = headers(fields.take("headers"))?;
        fields.take_read_only("id", "null")?;
        fields.ignore_times();
        fields.finish()?;
        Ok(CronInput { queue_id, expression, schedule, body, headers })
    }
}

#[cfg(test)]
mod tests {
    use posthaste_core::ids::CronId;
    use posthaste_core::time::Timestamp;

    use super::*;

    fn read(json: &str) -> Result<CronInput, ApiError> {
        CronInput::read(Fields::parse(json)?)
    }

    #[test]
    fn a_cron_is_read() {
        let cron = read(r#"{"queueId":"7","schedule":"*/5 * * * *","body":{"a": 1},"headers":{"x":"y"}}"#).unwrap();
        assert_eq!((cron.queue_id, cron.expression.as_str()), (QueueId(7), "*/5 * * * *"));
        assert_eq!(cron.body.as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(cron.schedule.next_after(Timestamp(1)), Some(Timestamp(300_000_000)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let problem = |json: &str| read(json).unwrap_err().to_string();
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
    fn keys_come_in_the_order_of_the_original() {
        let cron = Cron {
            id: CronId(1),
            queue_id: QueueId(2),
            schedule: "* * * * *".to_owned(),
            body: Some("x".to_owned()),
            headers: None,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        };
        assert_eq!(
            serde_json::to_string(&CronView::from(&cron)).unwrap(),
            r#"{"id":"1","queueId":"2","schedule":"* * * * *","createdAt":"1970-01-01T00:00:00.000Z","updatedAt":"1970-01-01T00:00:00.000Z","body":"x","headers":null}"#
        );
    }
}
