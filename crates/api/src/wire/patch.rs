//! What a request asks to change about a message.

use posthaste_core::entity::MessageField;
use posthaste_core::time::Timestamp;
use posthaste_store::message::{Body, Message, Progress, Sending};
use serde_json::Value;

use super::echo::{Echo, ReadOnly};
use super::fields::Fields;
use super::message::{body_of, output, time_of};
use super::output::Output;
use super::trace;
use super::value::{connect_timeout, headers, integer, invalid, ordering_key, priority, timeout};
use crate::error::ApiError;

const REQUIRED: [&str; 1] = ["queueId"];

/// What clients cannot set, and what to call instead.
pub const READ_ONLY: [ReadOnly<MessageField>; 9] = [
    (MessageField::Id, "leave it out; PUT /messages/{id} changes a message"),
    (MessageField::SentAt, "deliveries set it; POST /messages/{id}/cancel stops one"),
    (MessageField::Failed, "deliveries set it; POST /messages/{id}/cancel stops one"),
    (MessageField::Retries, "deliveries count it; PUT /queues/{id} sets maxRetries"),
    (MessageField::CronId, "crons set it; POST /crons creates one"),
    (MessageField::Status, "deliveries set it; POST /messages/{id}/cancel stops one"),
    (MessageField::Origin, "dead letters have it; PUT /queues/{id} sets deadLetterQueueId"),
    (MessageField::ReplayOf, "replays have it; POST /messages/{id}/replay makes one"),
    (MessageField::EventType, "events have it; PUT /queues/{id} sets eventQueueId"),
];

/// What a request says about a message; what it does not mention is `None`.
#[derive(Debug, Clone)]
pub struct MessagePatch {
    queue_id: Option<i64>,
    when: Option<Timestamp>,
    body: Option<Option<Body>>,
    headers: Option<Option<Value>>,
    expires_at: Option<Option<Timestamp>>,
    connect_timeout_ms: Option<Option<i32>>,
    timeout_ms: Option<Option<i32>>,
    traceparent: Option<Option<String>>,
    tracestate: Option<Option<String>>,
    ordering_key: Option<Option<String>>,
    priority: Option<i16>,
    echo: Echo<MessageField>,
}

impl MessagePatch {
    /// Reads and validates a request's body.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(mut fields: Fields<'_>) -> Result<MessagePatch, ApiError> {
        let queue_id = fields.take("queueId").map(|value| integer("queueId", value)).transpose()?;
        let when = time_of("when", fields.take("when"))?;
        // Answers have both, one of them null.
        let (text, binary) = (fields.take("body"), fields.take("bodyBase64"));
        let is_given = text.is_some() || binary.is_some();
        let body = body_of(text, binary)?;
        let headers = fields.take("headers").map(|value| headers(Some(value))).transpose()?;
        let expires_at = fields.take("expiresAt").map(|value| time_of("expiresAt", Some(value))).transpose()?;
        let connect_timeout_ms =
            fields.take("connectTimeoutMs").map(|value| connect_timeout(Some(value))).transpose()?;
        let timeout_ms = fields.take("timeoutMs").map(|value| timeout(Some(value))).transpose()?;
        let traceparent = fields.take("traceparent").map(|value| trace::parent(Some(value))).transpose()?;
        let tracestate = fields.take("tracestate").map(|value| trace::state(Some(value))).transpose()?;
        let ordering_key = fields.take("orderingKey").map(|value| ordering_key(Some(value))).transpose()?;
        let priority = fields.take("priority").map(|value| priority(Some(value))).transpose()?;
        let echo = Echo::take(&mut fields, &READ_ONLY);
        fields.finish()?;
        Ok(MessagePatch {
            queue_id,
            when,
            body: is_given.then_some(body),
            headers,
            expires_at,
            connect_timeout_ms,
            timeout_ms,
            traceparent,
            tracestate,
            ordering_key,
            priority,
            echo,
        })
    }

    /// The same, but what a message cannot do without must be there.
    ///
    /// # Errors
    /// As [`MessagePatch::read`].
    pub fn read_whole(fields: Fields<'_>) -> Result<MessagePatch, ApiError> {
        fields.must_have(&REQUIRED)?;
        MessagePatch::read(fields)
    }

    /// The message as it is to become. Times that say no other millisecond than answers do change nothing.
    ///
    /// # Errors
    /// What cannot be set, or cannot be set any more.
    pub fn apply(&self, message: &Message) -> Result<Message, ApiError> {
        self.echo.check(|field| output(message, field))?;
        if self.queue_id.is_some_and(|id| id != message.queue_id.0) {
            return Err(ApiError::ReadOnlyField {
                field: "queueId",
                instead: "a message stays in its queue; cancel it and POST /messages to the other",
            });
        }
        if self.ordering_key.as_ref().is_some_and(|key| *key != message.sending.ordering_key) {
            return Err(ApiError::ReadOnlyField {
                field: "orderingKey",
                instead: "the order of a message is fixed when it is stored; cancel it and POST /messages again",
            });
        }
        let mut changed = message.clone();
        if let Some(headers) = &self.headers {
            changed.headers.clone_from(headers);
        }
        if let Some(body) = &self.body
            && !self.is_shown_body(message, body.as_ref())
        {
            changed.body.clone_from(body);
        }
        if let Some(expires_at) = self.expires_at
            && expires_at.map(millis) != message.expires_at.map(millis)
        {
            changed.expires_at = expires_at;
        }
        if let Some(when) = self.when
            && !matches!(output(message, MessageField::When), Output::Time(at) if millis(at) == millis(when))
        {
            changed.scheduled_at = when;
            if let Progress::Pending { due_at, .. } = &mut changed.progress {
                *due_at = when;
            }
        }
        self.change_sending(&mut changed.sending)?;
        if changed == *message {
            return Ok(changed);
        }
        let Progress::Pending { due_at, .. } = changed.progress else { return Err(ApiError::NotPending) };
        if changed.expires_at.is_some_and(|at| at <= due_at) {
            return Err(invalid("expiresAt", "must be later than the message is due"));
        }
        Ok(changed)
    }

    fn change_sending(&self, sending: &mut Sending) -> Result<(), ApiError> {
        if let Some(timeout) = self.connect_timeout_ms {
            sending.connect_timeout_ms = timeout;
        }
        if let Some(timeout) = self.timeout_ms {
            sending.timeout_ms = timeout;
        }
        if let Some(parent) = &self.traceparent {
            sending.traceparent.clone_from(parent);
        }
        if let Some(state) = &self.tracestate {
            sending.tracestate.clone_from(state);
        }
        if let Some(priority) = self.priority {
            sending.priority = priority;
        }
        trace::check(sending.traceparent.as_ref(), sending.tracestate.as_ref())
    }

    /// Whether this is the body as answers show it: binary ones are shown as text, too.
    fn is_shown_body(&self, message: &Message, body: Option<&Body>) -> bool {
        match (body, output(message, MessageField::Body)) {
            (Some(Body::Text(given)), Output::Text(shown)) => *given == *shown,
            _ => body == message.body.as_ref(),
        }
    }
}

fn millis(at: Timestamp) -> i64 {
    at.0.div_euclid(1000)
}
