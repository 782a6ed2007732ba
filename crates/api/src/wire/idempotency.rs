//! Idempotency keys: how a message is known that was asked for before.

use actix_web::http::header::HeaderMap;
use posthaste_store::message::{Body, IdempotencyKey, NewMessage, Sending};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::value::{given, invalid, string};
use crate::error::ApiError;

/// The field of a message.
const FIELD: &str = "idempotencyKey";

/// The header of a request for a single message; means the same as the field.
pub const HEADER: &str = "idempotency-key";

/// What an answer carries that is an earlier request's.
pub const REPLAYED: &str = "idempotency-replayed";

const EXPECTED: &str = "takes 1 to 255 characters, none of them a control character";

/// The field of a message.
///
/// # Errors
/// It is no string, or no key.
pub fn field(value: Option<&RawValue>) -> Result<Option<String>, ApiError> {
    given(value).map(|value| key(string(FIELD, value)?)).transpose()
}

/// The header of a request.
///
/// # Errors
/// It comes with more than one value, or with one that is no key.
pub fn header(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(HEADER);
    let Some(first) = values.next() else { return Ok(None) };
    if values.any(|other| other != first) {
        return Err(invalid(FIELD, "the header Idempotency-Key takes one value"));
    }
    let text = std::str::from_utf8(first.as_bytes()).map_err(|_| invalid(FIELD, EXPECTED))?;
    key(text.to_owned()).map(Some)
}

fn key(text: String) -> Result<String, ApiError> {
    if (1..=255).contains(&text.chars().count()) && !text.contains(char::is_control) {
        Ok(text)
    } else {
        Err(invalid(FIELD, EXPECTED))
    }
}

/// Gives a message its request's key, which must be the one that it has already, if any.
///
/// # Errors
/// It is another.
pub fn apply(message: &mut NewMessage, key: Option<String>) -> Result<(), ApiError> {
    let Some(key) = key else { return Ok(()) };
    match &message.idempotency {
        Some(known) if known.key == key => Ok(()),
        Some(_) => Err(invalid(FIELD, "is not the key of the header Idempotency-Key")),
        None => {
            message.idempotency = Some(IdempotencyKey { key, fingerprint: fingerprint(message) });
            Ok(())
        }
    }
}

/// A hash of everything that a message asks for, its key left out. The same for the same meaning: how its JSON was
/// written, and in which order its fields and headers came, does not matter.
#[must_use]
pub fn fingerprint(message: &NewMessage) -> [u8; 32] {
    let NewMessage { queue_id, body, headers, at, delay, expires_at, ttl, sending, idempotency: _ } = message;
    let mut hash = Hash(Sha256::new());
    hash.some(Some(&queue_id.0.to_be_bytes()));
    hash.some(body.as_ref().map(|body| match body {
        Body::Text(text) => text.as_bytes(),
        Body::Binary(bytes) => bytes,
    }));
    match headers {
        Some(Value::Object(headers)) => {
            let mut sorted: Vec<(&String, &Value)> = headers.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            hash.some(Some(&sorted.len().to_be_bytes()));
            for (name, value) in sorted {
                hash.some(Some(name.as_bytes()));
                hash.some(Some(value.to_string().as_bytes()));
            }
        }
        Some(_) | None => hash.some(None),
    }
    hash.some(at.map(|at| at.0.to_be_bytes()).as_ref().map(<[u8; 8]>::as_slice));
    hash.some(delay.map(|delay| delay.as_micros().to_be_bytes()).as_ref().map(<[u8; 16]>::as_slice));
    hash.some(expires_at.map(|at| at.0.to_be_bytes()).as_ref().map(<[u8; 8]>::as_slice));
    // Only where they are given, so that fingerprints from before there were any still hold. A trace changes with each request
    // and nothing in what is asked for.
    let Sending { connect_timeout_ms, timeout_ms, traceparent: _, tracestate: _, ordering_key, priority } = sending;
    if ttl.is_some() || connect_timeout_ms.is_some() || timeout_ms.is_some() {
        hash.some(ttl.map(|ttl| ttl.as_micros().to_be_bytes()).as_ref().map(<[u8; 16]>::as_slice));
        hash.some(connect_timeout_ms.map(i32::to_be_bytes).as_ref().map(<[u8; 4]>::as_slice));
        hash.some(timeout_ms.map(i32::to_be_bytes).as_ref().map(<[u8; 4]>::as_slice));
    }
    if ordering_key.is_some() || *priority != 0 {
        hash.some(ordering_key.as_ref().map(String::as_bytes));
        hash.some(Some(&priority.to_be_bytes()));
    }
    hash.0.finalize().into()
}

/// Takes parts with their lengths, so that no two lists of parts are the same bytes.
struct Hash(Sha256);

impl Hash {
    fn some(&mut self, part: Option<&[u8]>) {
        match part {
            None => self.0.update([0]),
            Some(bytes) => {
                self.0.update([1]);
                self.0.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
                self.0.update(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::test::TestRequest;
    use posthaste_core::ids::QueueId;
    use posthaste_core::time::Timestamp;
    use serde_json::json;

    use super::*;

    fn plain() -> NewMessage {
        NewMessage { body: Some(Body::Text("a".to_owned())), ..NewMessage::to(QueueId(1)) }
    }

    #[test]
    fn the_same_request_has_the_same_fingerprint() {
        assert_eq!(fingerprint(&plain()), fingerprint(&plain()));
        let keyed = IdempotencyKey { key: "k".to_owned(), fingerprint: [7; 32] };
        assert_eq!(fingerprint(&NewMessage { idempotency: Some(keyed), ..plain() }), fingerprint(&plain()));
        let traced = Sending { traceparent: Some("x".to_owned()), ..Sending::default() };
        assert_eq!(fingerprint(&NewMessage { sending: traced, ..plain() }), fingerprint(&plain()));
        let with = |headers: &str| NewMessage { headers: serde_json::from_str(headers).ok(), ..plain() };
        assert_eq!(fingerprint(&with(r#"{"a":"1","b":2}"#)), fingerprint(&with(r#"{"b": 2, "a": "1"}"#)));
    }

    #[test]
    fn another_request_has_another_fingerprint() {
        let others = [
            plain(),
            NewMessage { body: None, ..plain() },
            NewMessage { body: Some(Body::Text(String::new())), ..plain() },
            NewMessage { body: Some(Body::Text("b".to_owned())), ..plain() },
            NewMessage { body: Some(Body::Binary(vec![0xff])), ..plain() },
            NewMessage { queue_id: QueueId(2), ..plain() },
            NewMessage { headers: Some(json!({})), ..plain() },
            NewMessage { headers: Some(json!({"a": 1})), ..plain() },
            NewMessage { headers: Some(json!({"a": "1"})), ..plain() },
            NewMessage { headers: Some(json!({"a": "1", "b": "1"})), ..plain() },
            NewMessage { at: Some(Timestamp(5)), ..plain() },
            NewMessage { delay: Some(Duration::from_micros(5)), ..plain() },
            NewMessage { delay: Some(Duration::ZERO), ..plain() },
            NewMessage { expires_at: Some(Timestamp(5)), ..plain() },
            NewMessage { ttl: Some(Duration::from_micros(5)), ..plain() },
            NewMessage { sending: Sending { timeout_ms: Some(5), ..Sending::default() }, ..plain() },
            NewMessage { sending: Sending { connect_timeout_ms: Some(5), ..Sending::default() }, ..plain() },
        ];
        for (n, one) in others.iter().enumerate() {
            for another in &others[..n] {
                assert_ne!(fingerprint(one), fingerprint(another), "{one:?} and {another:?}");
            }
        }
    }

    #[test]
    fn keys_are_bounded() {
        let is_key = |text: &str| key(text.to_owned()).is_ok();
        assert!(is_key("k") && is_key(" ") && is_key(&"ü".repeat(255)));
        assert!(!is_key("") && !is_key(&"k".repeat(256)) && !is_key("a\nb") && !is_key("a\0") && !is_key("\u{85}"));
    }

    #[test]
    fn the_header_says_one_thing() {
        let read = |values: &[&str]| {
            let append = |request: TestRequest, value: &&str| request.append_header((HEADER, *value));
            header(values.iter().fold(TestRequest::default(), append).to_http_request().headers())
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["a"]), Ok(Some("a".to_owned())));
        assert_eq!(read(&["a", "a"]), Ok(Some("a".to_owned())));
        for values in [&["a", "b"][..], &[""], &[&"k".repeat(256)]] {
            assert!(matches!(read(values), Err(ApiError::InvalidValue { field: FIELD, .. })), "{values:?}");
        }
    }

    #[test]
    fn field_and_header_agree() {
        let mut message = plain();
        assert_eq!(apply(&mut message, None), Ok(()));
        assert_eq!(message.idempotency, None);
        assert_eq!(apply(&mut message, Some("a".to_owned())), Ok(()));
        let expected = IdempotencyKey { key: "a".to_owned(), fingerprint: fingerprint(&plain()) };
        assert_eq!(message.idempotency, Some(expected));
        assert_eq!(apply(&mut message, Some("a".to_owned())), Ok(()));
        assert!(apply(&mut message, Some("b".to_owned())).is_err());
    }
}
