//! Jobs in JSON.

use posthaste_core::gate::rate::MOST_PER_SECOND;
use posthaste_core::transition::ErrorClass;
use posthaste_store::job::Job;
use serde::Serialize;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::value::{boolean, given, invalid, string};
use super::{Date, Id};
use crate::error::ApiError;
use crate::ops::jobs::{Asked, Preview};

/// A job as it is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobView<'a> {
    id: Id,
    kind: &'static str,
    state: &'a str,
    queue_id: Id,
    error_class: Option<&'a str>,
    rate_per_second: Option<f64>,
    total: Option<i64>,
    done: i64,
    created_at: Date,
    finished_at: Option<Date>,
}

impl<'a> From<&'a Job> for JobView<'a> {
    fn from(job: &'a Job) -> JobView<'a> {
        JobView {
            id: Id(job.id),
            kind: job.kind.as_str(),
            state: &job.state,
            queue_id: Id(job.queue.0),
            error_class: job.error_class.as_deref(),
            rate_per_second: job.rate_per_second,
            total: job.total,
            done: job.done,
            created_at: Date(job.created_at),
            finished_at: job.finished_at.map(Date),
        }
    }
}

/// What a job would do, as it is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviewView<'a> {
    total: Option<i64>,
    targets: Vec<TargetView<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TargetView<'a> {
    queue_id: Id,
    name: &'a str,
    callback_url: &'a str,
    messages: i64,
}

impl<'a> From<&'a Preview> for PreviewView<'a> {
    fn from(preview: &'a Preview) -> PreviewView<'a> {
        let targets = preview.targets.iter().map(|target| TargetView {
            queue_id: Id(target.queue.0),
            name: &target.name,
            callback_url: &target.callback_url,
            messages: target.messages,
        });
        PreviewView { total: preview.count, targets: targets.collect() }
    }
}

/// What a request says about a job besides its filter.
#[derive(Debug, Default, PartialEq)]
pub struct JobInput {
    pub asked: Asked,
    /// Only tell what it would do.
    pub preview: bool,
}

impl JobInput {
    /// Reads and validates a request's body; nothing asks for everything, at once.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(body: Option<Fields<'_>>) -> Result<JobInput, ApiError> {
        let Some(mut fields) = body else { return Ok(JobInput::default()) };
        let error_class = error_class(fields.take("errorClass"))?;
        let rate_per_second = rate(fields.take("ratePerSecond"))?;
        let preview = given(fields.take("preview")).map(|value| boolean("preview", value)).transpose()?;
        fields.finish()?;
        let asked = Asked { error_class, rate_per_second, ..Asked::default() };
        Ok(JobInput { asked, preview: preview.unwrap_or(false) })
    }
}

fn error_class(value: Option<&RawValue>) -> Result<Option<ErrorClass>, ApiError> {
    let Some(value) = given(value) else { return Ok(None) };
    let text = string("errorClass", value)?;
    let known = || ErrorClass::ALL.iter().map(|class| class.as_str()).collect::<Vec<_>>().join(", ");
    ErrorClass::parse(&text).map(Some).ok_or_else(|| invalid("errorClass", format!("takes one of {}", known())))
}

fn rate(value: Option<&RawValue>) -> Result<Option<f64>, ApiError> {
    let Some(value) = given(value) else { return Ok(None) };
    let number: Option<f64> = value.get().parse().ok();
    let number = number.filter(|rate| *rate >= 0.1 && *rate <= MOST_PER_SECOND);
    number.map(Some).ok_or_else(|| invalid("ratePerSecond", format!("takes a number from 0.1 to {MOST_PER_SECOND}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<JobInput, String> {
        JobInput::read(Some(Fields::parse(json).unwrap())).map_err(|error| error.to_string())
    }

    #[test]
    fn jobs_are_asked_for() {
        assert_eq!(JobInput::read(None), Ok(JobInput::default()));
        assert_eq!(read("{}"), Ok(JobInput::default()));
        let asked = Asked { error_class: Some(ErrorClass::Dns), rate_per_second: Some(0.5), ..Asked::default() };
        let json = r#"{"errorClass":"dns","ratePerSecond":0.5,"preview":true}"#;
        assert_eq!(read(json), Ok(JobInput { asked, preview: true }));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (json, says) in [
            (r#"{"errorClass":"no"}"#, "body/errorClass: takes one of dns, refused"),
            (r#"{"errorClass":1}"#, "body/errorClass must be string"),
            (r#"{"ratePerSecond":0}"#, "body/ratePerSecond: takes a number from 0.1"),
            (r#"{"ratePerSecond":"5"}"#, "body/ratePerSecond: takes a number from 0.1"),
            (r#"{"ratePerSecond":100001}"#, "body/ratePerSecond: takes a number from 0.1"),
            (r#"{"preview":1}"#, "body/preview must be boolean"),
            (r#"{"rate":1}"#, "body has no property 'rate'"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.starts_with(says), "{json}: {error}");
        }
    }
}
