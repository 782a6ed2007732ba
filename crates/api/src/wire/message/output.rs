//! What the fields of a message hold.

use std::borrow::Cow;
use std::time::Duration;

use posthaste_core::entity::MessageField;
use posthaste_core::time::Timestamp;
use posthaste_store::message::{Accepted, Body, Ending, Message, NewMessage, Progress, Provenance};

use super::super::output::Output;
use super::super::value::to_base64;

/// What a field of a message holds.
#[must_use]
pub fn output(message: &Message, field: MessageField) -> Output<'_> {
    match field {
        MessageField::Id => Output::Id(message.id.0),
        MessageField::QueueId => Output::Id(message.queue_id.0),
        MessageField::When => Output::Time(State::of(message).when),
        MessageField::Body => text(message.body.as_ref()),
        MessageField::Failed => Output::Boolean(State::of(message).failed),
        MessageField::Headers => Output::json(message.headers.as_ref()),
        MessageField::SentAt => Output::time(State::of(message).sent_at),
        MessageField::Retries => Output::Number(State::of(message).retries.into()),
        MessageField::CronId => Output::id(message.cron_id.map(|id| id.0)),
        MessageField::CreatedAt => Output::Time(message.created_at),
        MessageField::UpdatedAt => Output::Time(message.updated_at),
        MessageField::Status => Output::text(Some(status(message.progress))),
        MessageField::ExpiresAt => Output::time(message.expires_at),
        MessageField::BodyBase64 => base64(message.body.as_ref()),
        MessageField::ConnectTimeoutMs => Output::number(message.sending.connect_timeout_ms),
        MessageField::TimeoutMs => Output::number(message.sending.timeout_ms),
        MessageField::Traceparent => Output::text(message.sending.traceparent.as_deref()),
        MessageField::Tracestate => Output::text(message.sending.tracestate.as_deref()),
        MessageField::OrderingKey => Output::text(message.sending.ordering_key.as_deref()),
        MessageField::Priority => Output::Number(message.sending.priority.into()),
        MessageField::Origin => Output::json(message.provenance.origin.as_ref()),
        MessageField::ReplayOf => Output::id(message.provenance.replay_of.map(|id| id.0)),
        MessageField::EventType => Output::text(message.provenance.event_type.as_deref()),
    }
}

/// What a field of a message that is to be stored will hold, as far as that is known.
#[must_use]
pub fn new_output(message: &NewMessage, field: MessageField) -> Output<'_> {
    match field {
        MessageField::QueueId => Output::Id(message.queue_id.0),
        MessageField::When => Output::time(message.at),
        MessageField::Body => text(message.body.as_ref()),
        MessageField::Failed => Output::Boolean(false),
        MessageField::Headers => Output::json(message.headers.as_ref()),
        MessageField::Retries => Output::Number(0),
        MessageField::Status => Output::text(Some("pending")),
        MessageField::ExpiresAt => Output::time(message.expires_at.or_else(|| Some(after(message.at?, message.ttl?)))),
        MessageField::BodyBase64 => base64(message.body.as_ref()),
        MessageField::ConnectTimeoutMs => Output::number(message.sending.connect_timeout_ms),
        MessageField::TimeoutMs => Output::number(message.sending.timeout_ms),
        MessageField::Traceparent => Output::text(message.sending.traceparent.as_deref()),
        MessageField::Tracestate => Output::text(message.sending.tracestate.as_deref()),
        MessageField::OrderingKey => Output::text(message.sending.ordering_key.as_deref()),
        MessageField::Priority => Output::Number(message.sending.priority.into()),
        MessageField::Id
        | MessageField::SentAt
        | MessageField::CronId
        | MessageField::CreatedAt
        | MessageField::UpdatedAt
        | MessageField::Origin
        | MessageField::ReplayOf
        | MessageField::EventType => Output::Null,
    }
}

/// A message as it was when it was stored.
#[must_use]
pub fn accepted(message: NewMessage, accepted: &Accepted) -> Message {
    Message {
        id: accepted.id,
        queue_id: message.queue_id,
        body: message.body,
        headers: message.headers,
        scheduled_at: accepted.scheduled_at,
        cron_id: None,
        created_at: accepted.created_at,
        updated_at: accepted.created_at,
        expires_at: message.expires_at.or(message.ttl.map(|ttl| after(accepted.scheduled_at, ttl))),
        progress: Progress::Pending { attempts_ended: 0, due_at: accepted.scheduled_at },
        sending: message.sending,
        provenance: Provenance::default(),
    }
}

fn after(at: Timestamp, duration: Duration) -> Timestamp {
    at.saturating_add(duration)
}

/// A body as text, if it is.
fn text(body: Option<&Body>) -> Output<'_> {
    match body {
        Some(Body::Text(text)) => Output::text(Some(text)),
        Some(Body::Binary(bytes)) => Output::text(std::str::from_utf8(bytes).ok()),
        None => Output::Null,
    }
}

/// A body in base64, if it is not text.
fn base64(body: Option<&Body>) -> Output<'static> {
    match body {
        Some(Body::Binary(bytes)) if std::str::from_utf8(bytes).is_err() => Output::Text(Cow::Owned(to_base64(bytes))),
        Some(Body::Binary(_) | Body::Text(_)) | None => Output::Null,
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

#[cfg(test)]
mod tests;
