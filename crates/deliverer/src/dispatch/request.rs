//! What a receiver is sent: the queue's headers, the message's over them, and ours over both.
//!
//! | header | says |
//! | --- | --- |
//! | `webhook-id` | the message, the same over all attempts (Standard Webhooks 1.0.0): by it a receiver tells a repetition |
//! | `webhook-timestamp` | this attempt's time, in seconds since 1970 by the database's clock |
//! | `webhook-signature` | where the queue has secrets: a signature with each that is good (see core's `signature`) |
//! | `posthaste-attempt` | this attempt's number, from 1 |
//! | `posthaste-scheduled-at` | when the message was to be delivered first (RFC 3339) |
//! | `posthaste-test` | `true` where somebody only wants to see what the receiver answers |
//! | `posthaste-queue` | the queue's name, what is not ASCII percent-encoded |
//! | `traceparent`, `tracestate` | the trace of the request that stored the message (W3C Trace Context) |
//! | `user-agent` | us, unless the queue or the message says otherwise |

use awc::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use posthaste_core::queue::sendable;
use posthaste_core::signature;
use posthaste_core::time::Timestamp;
use posthaste_store::payload::{Payload, Trace};

use super::classify::Failure;
use super::oauth::Token;
use super::target::{Authorization, Route, header};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const ATTEMPT: HeaderName = HeaderName::from_static("posthaste-attempt");
const SCHEDULED_AT: HeaderName = HeaderName::from_static("posthaste-scheduled-at");
const TEST: HeaderName = HeaderName::from_static("posthaste-test");
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
