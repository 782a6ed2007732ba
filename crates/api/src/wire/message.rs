//! Messages in JSON.

mod output;

use posthaste_core::ids::QueueId;
use posthaste_core::time::Timestamp;
use posthaste_store::message::{Body, IdempotencyKey, NewMessage, Sending};
use serde_json::value::RawValue;

use super::echo::Echo;
use super::fields::Fields;
use super::patch::READ_ONLY;
use super::value::{
    body, bytes, connect_timeout, delay, given, headers, invalid, ordering_key, priority, queue_id, string, timeout,
};
use super::{idempotency, time, trace};
use crate::error::ApiError;

pub use output::{accepted, new_output, output};

/// Reads and validates a message to be stored, whose body may have `largest` bytes.
///
/// # Errors
/// The first fault.
pub fn read_new(mut fields: Fields<'_>, largest: usize) -> Result<NewMessage, ApiError> {
    let [queue] = fields.require(["queueId"])?;
    let queue = queue_id("queueId", queue)?;
    read_for(queue, fields, largest)
}

/// The same of a message that is published: whoever subscribes gives it a queue.
///
/// # Errors
/// The first fault.
pub fn read_published(fields: Fields<'_>, largest: usize) -> Result<NewMessage, ApiError> {
    read_for(QueueId(0), fields, largest)
}

fn read_for(queue_id: QueueId, mut fields: Fields<'_>, largest: usize) -> Result<NewMessage, ApiError> {
    let at = time_of("when", fields.take("when"))?;
    let wait = delay("delay", fields.take("delay"))?;
    let expires_at = time_of("expiresAt", fields.take("expiresAt"))?;
    let ttl = delay("ttl", fields.take("ttl"))?;
    let body = body_of(fields.take("body"), fields.take("bodyBase64"))?;
    let sending = sending(&mut fields)?;
    let headers = headers(fields.take("headers"))?;
    let key = idempotency::field(fields.take("idempotencyKey"))?;
    let echo = Echo::take(&mut fields, &READ_ONLY);
    fields.finish()?;

    if at.is_some() && wait.is_some() {
        return Err(invalid("delay", "cannot be given together with when"));
    }
    if ttl.is_some() && expires_at.is_some() {
        return Err(invalid("ttl", "cannot be given together with expiresAt"));
    }
    if ttl.is_some_and(|ttl| ttl.is_zero()) {
        return Err(invalid("ttl", "must be more than 0"));
    }
    if body.as_ref().is_some_and(|body| body.len() > largest) {
        return Err(ApiError::BodyTooLarge);
    }
    let mut message =
        NewMessage { queue_id, body, headers, at, delay: wait, expires_at, ttl, sending, idempotency: None };
    if message.at.is_some() && message.expires_at.is_some() && message.expires_at <= message.at {
        return Err(expires_too_soon(&message));
    }
    echo.check_new(|field| new_output(&message, field))?;
    message.idempotency = key.map(|key| IdempotencyKey { key, fingerprint: idempotency::fingerprint(&message) });
    Ok(message)
}

/// What is particular about how it is sent.
fn sending(fields: &mut Fields<'_>) -> Result<Sending, ApiError> {
    let sending = Sending {
        connect_timeout_ms: connect_timeout(fields.take("connectTimeoutMs"))?,
        timeout_ms: timeout(fields.take("timeoutMs"))?,
        traceparent: trace::parent(fields.take("traceparent"))?,
        tracestate: trace::state(fields.take("tracestate"))?,
        ordering_key: ordering_key(fields.take("orderingKey"))?,
        priority: priority(fields.take("priority"))?,
    };
    trace::check(sending.traceparent.as_ref(), sending.tracestate.as_ref())?;
    Ok(sending)
}

/// The body that `body` and `bodyBase64` describe, at most one of them.
///
/// # Errors
/// Both are given, or one is no body.
pub fn body_of(text: Option<&RawValue>, binary: Option<&RawValue>) -> Result<Option<Body>, ApiError> {
    match (body(text)?, bytes("bodyBase64", binary)?) {
        (Some(_), Some(_)) => Err(invalid("bodyBase64", "cannot be given together with body")),
        (text, None) => Ok(text.map(storable)),
        (None, Some(bytes)) => Ok(Some(of_bytes(bytes))),
    }
}

/// What there is to say where a message would never be sent.
#[must_use]
pub fn expires_too_soon(message: &NewMessage) -> ApiError {
    match message.ttl {
        None => invalid("expiresAt", "must be later than the time at which the message is due, and than now"),
        Some(_) => invalid("ttl", "is over by now: it is counted from when"),
    }
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
///
/// # Errors
/// It is no time.
pub fn time_of(field: &'static str, value: Option<&RawValue>) -> Result<Option<Timestamp>, ApiError> {
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
