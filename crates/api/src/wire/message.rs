//! Messages in JSON.

use std::borrow::Cow;

use posthaste_core::time::Timestamp;
use posthaste_store::message::{Accepted, Body, Ending, IdempotencyKey, Message, NewMessage, Progress};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::value::{body, bytes, delay, given, headers, invalid, queue_id, string, to_base64};
use super::{Date, Id, idempotency, time};
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
    /// `null` where it is not text.
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
    status: &'static str,
    expires_at: Option<Date>,
    /// The body where it is not text.
    body_base64: Option<String>,
}

impl<'a> MessageView<'a> {
    /// A message that was stored just now.
    #[must_use]
    pub fn accepted(message: &'a NewMessage, accepted: &Accepted) -> MessageView<'a> {
        MessageView {
            id: Id(accepted.id.0),
            queue_id: Id(message.queue_id.0),
            when: Date(accepted.scheduled_at),
            body: message.body.as_ref().and_then(text),
            failed: false,
            headers: message.headers.as_ref(),
            sent_at: None,
            retries: 0,
            cron_id: None,
            created_at: Date(accepted.created_at),
            updated_at: Date(accepted.created_at),
            status: "pending",
            expires_at: message.expires_at.map(Date),
            body_base64: message.body.as_ref().and_then(base64),
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
            body: message.body.as_ref().and_then(text),
            failed: state.failed,
            headers: message.headers.as_ref(),
            sent_at: state.sent_at.map(Date),
            retries: state.retries,
            cron_id: message.cron_id.map(|id| Id(id.0)),
            created_at: Date(message.created_at),
            updated_at: Date(message.updated_at),
            status: status(message.progress),
            expires_at: message.expires_at.map(Date),
            body_base64: message.body.as_ref().and_then(base64),
        }
    }
}

/// A body as text, if it is.
fn text(body: &Body) -> Option<Cow<'_, str>> {
    match body {
        Body::Text(text) => Some(Cow::Borrowed(text)),
        Body::Binary(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
    }
}

/// A body in base64, if it is not text.
fn base64(body: &Body) -> Option<String> {
    match body {
        Body::Binary(bytes) if std::str::from_utf8(bytes).is_err() => Some(to_base64(bytes)),
        Body::Binary(_) | Body::Text(_) => None,
    }
}

fn status(progress: Progress) -> &'static str {
    match progress {
        Progress::Pending { .. } => "pending",
        Progress::Ended { ending: Ending::Delivered, .. } => "delivered",
        Progress::Ended { ending: Ending::Failed, .. } => "failed",
        Progress::Ended { ending: Ending::Cancelled, .. } => "cancelled",
        Progress::Ended { ending: Ending::Expired, .. } => "expired",
        Progress::Forgotten => "unknown",
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
        let at = time("when", fields.take("when"))?;
        let delay = delay("delay", fields.take("delay"))?;
        let expires_at = time("expiresAt", fields.take("expiresAt"))?;
        let text = body(fields.take("body"))?;
        let binary = bytes("bodyBase64", fields.take("bodyBase64"))?;
        let headers = headers(fields.take("headers"))?;
        let key = idempotency::field(fields.take("idempotencyKey"))?;
        for (field, default) in [
            ("id", "null"),
            ("sentAt", "null"),
            ("failed", "false"),
            ("retries", "0"),
            ("cronId", "null"),
            ("status", "\"pending\""),
        ] {
            fields.take_read_only(field, default)?;
        }
        fields.ignore_times();
        fields.finish()?;

        if at.is_some() && delay.is_some() {
            return Err(invalid("delay", "cannot be given together with when"));
        }
        if at.is_some() && expires_at <= at && expires_at.is_some() {
            return Err(expires_too_soon());
        }
        let body = match (text, binary) {
            (Some(_), Some(_)) => return Err(invalid("bodyBase64", "cannot be given together with body")),
            (text, None) => text.map(storable),
            (None, Some(bytes)) => Some(of_bytes(bytes)),
        };
        let mut message = NewMessage { queue_id, body, headers, at, delay, expires_at, idempotency: None };
        message.idempotency = key.map(|key| IdempotencyKey { key, fingerprint: idempotency::fingerprint(&message) });
        Ok(message)
    }
}

/// What there is to say where a message would never be sent.
#[must_use]
pub fn expires_too_soon() -> ApiError {
    invalid("expiresAt", "must be later than the time at which the message is due, and than now")
}

/// Postgres' `text` holds every text but those with U+0000.
fn storable(text: String) -> Body {
    if text.contains('\0') { Body::Binary(text.into_bytes()) } else { Body::Text(text) }
}

/// Text is stored as text, however it came.
fn of_bytes(bytes: Vec<u8>) -> Body {
    match String::from_utf8(bytes) {
        Ok(text) => storable(text),
        Err(error) => Body::Binary(error.into_bytes()),
    }
}

/// A time; nothing, `null` and `""` are none.
fn time(field: &'static str, value: Option<&RawValue>) -> Result<Option<Timestamp>, ApiError> {
    let Some(value) = given(value) else { return Ok(None) };
    let Ok(text) = string(field, value) else {
        return Err(invalid(field, time::EXPECTED));
    };
    if text.is_empty() {
        return Ok(None);
    }
    time::parse(&text).map(Some).ok_or_else(|| invalid(field, time::EXPECTED))
}

#[cfg(test)]
mod tests;
