//! Ticks of crons in JSON, and when a cron would fire.

use posthaste_core::time::Timestamp;
use posthaste_store::cron::{Settings, Tick};
use serde::Serialize;

use super::cron::CronPatch;
use super::fields::Fields;
use super::{Date, Id, time};
use crate::error::ApiError;
use crate::ops::crons::Preview;

/// Ticks that are told at once, at most.
pub const MOST: i64 = 1_000;
/// And where nobody says how many.
pub const DEFAULT: i64 = 100;
/// Ticks of a preview, at most.
pub const MOST_PREVIEWED: i64 = 100;
/// And where nobody says how many.
pub const PREVIEWED: i64 = 5;

/// A tick as it is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TickView<'a> {
    at: Date,
    outcome: &'a str,
    reason: Option<&'a str>,
    number: Option<i64>,
    message_id: Option<Id>,
    until: Option<Date>,
    count: Option<i32>,
}

impl<'a> From<&'a Tick> for TickView<'a> {
    fn from(tick: &'a Tick) -> TickView<'a> {
        TickView {
            at: Date(tick.at),
            outcome: &tick.outcome,
            reason: tick.reason.as_deref(),
            number: tick.number,
            message_id: tick.message.map(|id| Id(id.0)),
            until: tick.until.map(Date),
            count: tick.count,
        }
    }
}

/// When a cron would fire, as it is answered.
#[derive(Debug, Serialize)]
pub struct PreviewView<'a> {
    description: &'a str,
    ticks: Vec<Date>,
}

impl<'a> From<&'a Preview> for PreviewView<'a> {
    fn from(preview: &'a Preview) -> PreviewView<'a> {
        PreviewView { description: &preview.description, ticks: preview.ticks.iter().copied().map(Date).collect() }
    }
}

/// The fields of a cron that a preview may be asked for with.
pub const FIELDS: [&str; 6] = ["schedule", "timezone", "every", "at", "startAt", "endAt"];

/// The settings that a preview is asked for with: some of [`FIELDS`].
///
/// # Errors
/// What is wrong with them.
pub fn settings(given: impl IntoIterator<Item = (&'static str, String)>) -> Result<Settings, ApiError> {
    let mut object: serde_json::Map<String, serde_json::Value> =
        given.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
    object.insert("queueId".to_owned(), 0.into());
    let json = serde_json::Value::Object(object).to_string();
    Ok(CronPatch::read_whole(Fields::parse(&json)?)?.create()?.settings)
}

/// How many are asked for.
///
/// # Errors
/// It is not from 1 to `most`.
pub fn count(name: &str, given: Option<i64>, default: i64, most: i64) -> Result<i64, ApiError> {
    match given {
        None => Ok(default),
        Some(count) if (1..=most).contains(&count) => Ok(count),
        Some(_) => Err(ApiError::Validation(format!("{name} must be from 1 to {most}"))),
    }
}

/// A time, if one is given.
///
/// # Errors
/// It is something else.
pub fn time_of(name: &str, given: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    let wrong = || ApiError::Validation(format!("{name} {}", time::EXPECTED));
    given.map(|text| time::parse(text).ok_or_else(wrong)).transpose()
}

/// The present, for whoever does not say from when on.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from(chrono::Utc::now())
}
