//! Attempts in JSON.

use posthaste_store::attempt::Attempt;
use serde::Serialize;
use serde_json::Value;

use super::Date;
use super::value::to_base64;

/// An attempt as it is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptView<'a> {
    /// From 1.
    number: i32,
    outcome: &'a str,
    started_at: Date,
    finished_at: Date,
    /// In milliseconds.
    duration_ms: i64,
    status: Option<i16>,
    error_class: Option<&'a str>,
    error: Option<&'a str>,
    response_headers: Option<&'a Value>,
    /// Its beginning, where that is text.
    response_body: Option<&'a str>,
    /// Its beginning, where that is not text.
    response_body_base64: Option<String>,
    deliverer: &'a str,
    /// How the time was spent, in microseconds; null for what did not happen.
    dns_us: Option<i32>,
    connect_us: Option<i32>,
    tls_us: Option<i32>,
    first_byte_us: Option<i32>,
}

impl<'a> From<&'a Attempt> for AttemptView<'a> {
    fn from(attempt: &'a Attempt) -> AttemptView<'a> {
        let bytes = attempt.response_body.as_deref();
        let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
        AttemptView {
            number: attempt.number,
            outcome: &attempt.outcome,
            started_at: Date(attempt.started_at),
            finished_at: Date(attempt.finished_at),
            duration_ms: (attempt.finished_at.0 - attempt.started_at.0) / 1000,
            status: attempt.status,
            error_class: attempt.error_class.as_deref(),
            error: attempt.error.as_deref(),
            response_headers: attempt.response_headers.as_ref(),
            response_body: text,
            response_body_base64: bytes.filter(|_| text.is_none()).map(to_base64),
            deliverer: &attempt.deliverer,
            dns_us: attempt.dns_us,
            connect_us: attempt.connect_us,
            tls_us: attempt.tls_us,
            first_byte_us: attempt.first_byte_us,
        }
    }
}
