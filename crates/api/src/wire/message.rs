//! Messages in JSON.

use std::borrow::Cow;

use posthaste_core::time::Timestamp;
use posthaste_store::message::{Accepted, Body, Ending, Message, NewMessage, Progress};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::value::{body, given, headers, invalid, queue_id, string};
use super::{Date, Id, time};
use crate::error::ApiError;
use crate::json::Input;

/// A message as it is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageView<'a> {
    id: Id,
    queue_id: Id,
    /// The next attempt's time while it is pending, or else the time that was asked for.
    when: Date,
    /// Bytes that are no text, which only SQL can have stored, are shown with replacement characters.
    body: Option<Cow<'a, str>>,
    failed: bool,
    headers: Option<&'a Value>,
    /// When its last attempt ended; `null` while it is pending and for what ended without one.
    sent_at: Option<Date>,
    /// Attempts beyond the first; while it is pending, attempts that have ended.
    retries: i32,
    cron_id: Option<Id>,
    created_at: Date,
    updated_at: Date,
}

impl<'a> MessageView<'a> {
    /// A message that was stored just now.
    #[must_use]
    pub fn accepted(message: &'a NewMessage, accepted: &Accepted) -> MessageView<'a> {
        MessageView {
            id: Id(accepted.id.0),
            queue_id: Id(message.queue_id.0),
            when: Date(accepted.scheduled_at),
            body: message.body.as_ref().map(text),
            failed: false,
            headers: message.headers.as_ref(),
            sent_at: None,
            retries: 0,
            cron_id: None,
            created_at: Date(accepted.created_at),
            updated_at: Date(accepted.created_at),
        }
    }
}

impl<'a> From<&'a Message> for MessageView<'a> {
    fn from(message: &'a Message) -> MessageView<'a> {
        let state = State::of(message);
        MessageView {
            id: Id(message.id.0),
            queue_id: Id(message.queue_id.0),
            when: Date(state.when),
            body: message.body.as_ref().map(text),
            failed: state.failed,
            headers: message.headers.as_ref(),
            sent_at: state.sent_at.map(Date),
            retries: state.retries,
            cron_id: message.cron_id.map(|id| Id(id.0)),
            created_at: Date(message.created_at),
            updated_at: Date(message.updated_at),
        }
    }
}

fn text(body: &Body) -> Cow<'_, str> {
    match body {
        Body::Text(text) => Cow::Borrowed(text),
        Body::Binary(bytes) => String::from_utf8_lossy(bytes),
    }
}

/// How far a message has come, in the terms of the original.
#[derive(Debug, PartialEq, Eq)]
struct State {
    when: Timestamp,
    failed: bool,
    sent_at: Option<Timestamp>,
    retries: i32,
}

impl State {
    fn of(message: &Message) -> State {
        let asked = State { when: message.scheduled_at, failed: false, sent_at: None, retries: 0 };
        match message.progress {
            Progress::Pending { attempts_ended, due_at } => State { when: due_at, retries: attempts_ended, ..asked },
            Progress::Ended { ending, number, at } => {
                let asked = State { retries: (number - 1).max(0), ..asked };
                match ending {
                    Ending::Delivered => State { sent_at: Some(at), ..asked },
                    Ending::Failed => State { sent_at: Some(at), failed: true, ..asked },
                    Ending::Expired => State { failed: true, ..asked },
                    Ending::Cancelled => asked,
                }
            }
            Progress::Forgotten => asked,
        }
    }
}

impl Input for NewMessage {
    fn read(mut fields: Fields<'_>) -> Result<NewMessage, ApiError> {
        let [queue] = fields.require(["queueId"])?;
        let queue_id = queue_id("queueId", queue)?;
        let at = when(fields.take("when"))?;
        let body = body(fields.take("body"))?.map(storable);
        let headers = headers(fields.take("headers"))?;
        for (field, default) in
            [("id", "null"), ("sentAt", "null"), ("failed", "false"), ("retries", "0"), ("cronId", "null")]
        {
            fields.take_read_only(field, default)?;
        }
        fields.ignore_times();
        fields.finish()?;
        Ok(NewMessage { queue_id, body, headers, at })
    }
}

/// Postgres' `text` holds every text but those with U+0000.
fn storable(text: String) -> Body {
    if text.contains('\0') { Body::Binary(text.into_bytes()) } else { Body::Text(text) }
}

/// A time; nothing, `null` and `""` are now.
fn when(value: Option<&RawValue>) -> Result<Option<Timestamp>, ApiError> {
    let Some(value) = given(value) else { return Ok(None) };
    let Ok(text) = string("when", value) else {
        return Err(invalid("when", time::EXPECTED));
    };
    if text.is_empty() {
        return Ok(None);
    }
    time::parse(&text).map(Some).ok_or_else(|| invalid("when", time::EXPECTED))
}

#[cfg(test)]
mod tests;
