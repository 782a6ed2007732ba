//! What a receiver is sent: the queue's headers, the message's over them, and ours over both.
//!
//! | header | says |
//! | --- | --- |
//! | `webhook-id` | the message, the same over all attempts and replays (Standard Webhooks 1.0.0): by it a receiver tells a repetition |
//! | `webhook-timestamp` | this attempt's time, in seconds since 1970 by the database's clock |
//! | `webhook-signature` | where the queue has secrets: a signature with each that is good (see core's `signature`) |
//! | `posthaste-attempt` | this attempt's number, from 1 |
//! | `posthaste-scheduled-at` | when the message was to be delivered first (RFC 3339) |
//! | `posthaste-replay` | of a replay: the message's own id |
//! | `posthaste-event` | of an event: which |
//! | `posthaste-origin-message-id`, `-queue-id`, `-attempts`, `-error` | of a dead letter: what failed, and why |
//! | `posthaste-test` | `true` where somebody only wants to see what the receiver answers |
//! | `posthaste-queue` | the queue's name, what is not ASCII percent-encoded |
//! | `traceparent`, `tracestate` | the trace of the request that stored the message (W3C Trace Context) |
//! | `user-agent` | us, unless the queue or the message says otherwise |

use awc::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::utf8_percent_encode;
use posthaste_core::queue::sendable;
use posthaste_core::signature;
use posthaste_core::time::Timestamp;
use posthaste_store::message::Provenance;
use posthaste_store::payload::{Payload, Trace};

use super::classify::Failure;
use super::oauth::Token;
use super::target::{Authorization, NOT_IN_HEADERS, Route, header};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const ATTEMPT: HeaderName = HeaderName::from_static("posthaste-attempt");
const SCHEDULED_AT: HeaderName = HeaderName::from_static("posthaste-scheduled-at");
const TEST: HeaderName = HeaderName::from_static("posthaste-test");
const REPLAY: HeaderName = HeaderName::from_static("posthaste-replay");
const EVENT: HeaderName = HeaderName::from_static("posthaste-event");
const ORIGIN_MESSAGE: HeaderName = HeaderName::from_static("posthaste-origin-message-id");
const ORIGIN_QUEUE: HeaderName = HeaderName::from_static("posthaste-origin-queue-id");
const ORIGIN_ATTEMPTS: HeaderName = HeaderName::from_static("posthaste-origin-attempts");
const ORIGIN_ERROR: HeaderName = HeaderName::from_static("posthaste-origin-error");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What is particular to one request.
#[derive(Debug)]
pub(super) struct Identity<'a> {
    /// `webhook-id`.
    pub(super) id: &'a str,
    /// When it is sent.
    pub(super) at: Timestamp,
    /// Nobody stored it as a message.
    pub(super) is_test: bool,
}

/// The headers of a request. `token` is what an OAuth2 server gave.
///
/// # Errors
/// A header of the message's that cannot be sent: it was stored past the API's checks.
pub(super) fn headers(
    route: &Route,
    payload: &Payload,
    identity: &Identity<'_>,
    token: Option<&Token>,
) -> Result<HeaderMap, Failure> {
    let mut headers = route.headers.clone();
    if let Some(trace) = &payload.trace {
        insert_trace(&mut headers, trace);
    }
    for (name, value) in payload.headers.iter().flat_map(sendable) {
        let (name, value) = header(&name, &value)?;
        headers.insert(name, value);
    }
    if let Ok(id) = HeaderValue::from_str(identity.id) {
        headers.insert(ID, id);
    }
    headers.insert(TIMESTAMP, HeaderValue::from(seconds(identity.at)));
    headers.insert(ATTEMPT, HeaderValue::from(i64::from(payload.attempt) + 1));
    if let Ok(at) = HeaderValue::from_str(&payload.scheduled_at.to_string()) {
        headers.insert(SCHEDULED_AT, at);
    }
    insert_provenance(&mut headers, payload);
    if identity.is_test {
        headers.insert(TEST, HeaderValue::from_static("true"));
    }
    match (&route.authorization, token) {
        (Authorization::Header(name, value), _) => drop(headers.insert(name.clone(), value.clone())),
        (Authorization::Oauth(_), Some(token)) => drop(headers.insert(AUTHORIZATION, token.header.clone())),
        (Authorization::None | Authorization::Oauth(_), _) => {}
    }
    let body = payload.body.as_deref().unwrap_or_default();
    let good = route.signers.iter().filter(|(_, until)| until.is_none_or(|until| identity.at < until));
    let signed = signature::header(good.map(|(signer, _)| signer), identity.id, seconds(identity.at), body);
    if let Some(Ok(signature)) = signed.as_deref().map(HeaderValue::from_str) {
        headers.insert(SIGNATURE, signature);
    }
    Ok(headers)
}

/// What says that nobody asked for the message itself.
fn insert_provenance(headers: &mut HeaderMap, payload: &Payload) {
    let Provenance { origin, replay_of, event_type } = &payload.provenance;
    let mut insert = |name: HeaderName, value: &str| {
        // What an error says may be in any language.
        let value = utf8_percent_encode(value, NOT_IN_HEADERS).to_string();
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    if replay_of.is_some() {
        insert(REPLAY, &payload.id.to_string());
    }
    if let Some(event) = event_type {
        insert(EVENT, event);
    }
    let Some(origin) = origin else { return };
    for (header, part) in [(ORIGIN_MESSAGE, "messageId"), (ORIGIN_QUEUE, "queueId")] {
        if let Some(text) = origin[part].as_str() {
            insert(header, text);
        }
    }
    if let Some(attempts) = origin["attempts"].as_i64() {
        insert(ORIGIN_ATTEMPTS, &attempts.to_string());
    }
    let class = origin["errorClass"].as_str().unwrap_or_default();
    match (origin["error"].as_str(), origin["status"].as_i64()) {
        (Some(error), _) => insert(ORIGIN_ERROR, &format!("{class}: {error}")),
        (None, Some(status)) => insert(ORIGIN_ERROR, &format!("{class} {status}")),
        (None, None) => insert(ORIGIN_ERROR, class),
    }
}

/// Whole seconds since 1970.
pub(super) fn seconds(at: Timestamp) -> i64 {
    at.0.div_euclid(1_000_000)
}

/// What the message or its queue says itself counts more.
fn insert_trace(headers: &mut HeaderMap, trace: &Trace) {
    if headers.contains_key(TRACEPARENT) {
        return;
    }
    if let Ok(parent) = HeaderValue::from_str(&trace.parent) {
        headers.insert(TRACEPARENT, parent);
        if let Some(Ok(state)) = trace.state.as_deref().map(HeaderValue::from_str) {
            headers.insert(TRACESTATE, state);
        }
    }
}
