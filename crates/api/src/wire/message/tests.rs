use std::time::Duration;

use posthaste_core::ids::QueueId;
use posthaste_core::time::Timestamp;

use super::*;

fn read(json: &str) -> Result<NewMessage, ApiError> {
    read_new(Fields::parse(json)?, 1000)
}

fn problem(json: &str) -> String {
    read(json).unwrap_err().to_string()
}

#[test]
fn the_least_that_is_needed() {
    let expected = NewMessage::to(QueueId(7));
    for json in [
        r#"{"queueId":7}"#,
        r#"{"queueId":"7","when":null,"body":null,"headers":null}"#,
        r#"{"queueId":7,"delay":null,"expiresAt":null,"bodyBase64":null,"idempotencyKey":null,"status":"pending"}"#,
        r#"{"queueId":7,"when":"","id":null,"sentAt":null,"failed":false,"retries":0,"cronId":null,"createdAt":1,"updatedAt":2}"#,
    ] {
        assert_eq!(read(json).as_ref(), Ok(&expected), "{json}");
    }
}

#[test]
fn a_body_is_stored_as_text_unless_text_cannot_hold_it() {
    let body = |json: &str| read(&format!(r#"{{"queueId":7,"body":{json}}}"#)).unwrap().body;
    assert_eq!(body(r#""a""#), Some(Body::Text("a".to_owned())));
    assert_eq!(body(r#"{"a": "\u0000"}"#), Some(Body::Text(r#"{"a":"\u0000"}"#.to_owned())));
    assert_eq!(body(r#""a\u0000b""#), Some(Body::Binary(b"a\0b".to_vec())));
}

#[test]
fn times_are_read_with_their_offset() {
    let at = |json: &str| read(&format!(r#"{{"queueId":7,"when":{json}}}"#)).unwrap().at;
    assert_eq!(at(r#""1970-01-01T02:00:01+02:00""#), Some(Timestamp(1_000_000)));
    assert_eq!(at(r#""1970-01-01 00:00:01""#), Some(Timestamp(1_000_000)));
    for json in ["1795439754470", "true", r#""soon""#] {
        let problem = problem(&format!(r#"{{"queueId":7,"when":{json}}}"#));
        assert!(problem.starts_with("body/when: takes a time such as"), "{problem}");
    }
}

#[test]
fn how_it_is_sent() {
    let message = read(
        r#"{"queueId":7,"ttl":"PT1M","connectTimeoutMs":1,"timeoutMs":"900000",
            "traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tracestate":"a=b",
            "orderingKey":"order-7","priority":"-9"}"#,
    );
    let message = message.unwrap();
    assert_eq!((message.ttl, message.expires_at), (Some(Duration::from_secs(60)), None));
    let expected = Sending {
        connect_timeout_ms: Some(1),
        timeout_ms: Some(900_000),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        tracestate: Some("a=b".to_owned()),
        ordering_key: Some("order-7".to_owned()),
        priority: -9,
    };
    assert_eq!(message.sending, expected);
    for (fields, says) in [
        (r#""ttl":1,"expiresAt":"2099-01-01T00:00:00Z""#, "body/ttl: cannot be given together with expiresAt"),
        (r#""ttl":0"#, "body/ttl: must be more than 0"),
        (r#""ttl":-1"#, "body/ttl: must not be negative"),
        (r#""connectTimeoutMs":60001"#, "body/connectTimeoutMs: takes 1 to 60000"),
        (r#""timeoutMs":0"#, "body/timeoutMs: takes 1 to 900000"),
        (r#""timeoutMs":"soon""#, "body/timeoutMs must be integer"),
        (r#""traceparent":"x""#, "body/traceparent: takes a traceparent of W3C Trace Context"),
        (r#""tracestate":"a=b""#, "body/tracestate: takes a traceparent beside it"),
        (r#""orderingKey":"""#, "body/orderingKey: must not be empty"),
        (r#""orderingKey":7"#, "body/orderingKey must be string"),
        (r#""orderingKey":"a\u0000b""#, "body/orderingKey: must not contain U+0000"),
        (r#""priority":10"#, "body/priority: takes -9 to 9"),
        (r#""priority":0.5"#, "body/priority must be integer"),
    ] {
        let problem = problem(&format!(r#"{{"queueId":7,{fields}}}"#));
        assert!(problem.starts_with(says), "{problem}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(problem("{}"), "body must have required property 'queueId'");
    assert_eq!(problem(r#"{"queueId":null}"#), "body/queueId must be integer");
    assert_eq!(problem(r#"{"queueId":7,"boody":"x"}"#), "body has no property 'boody'");
    for (field, value) in [
        ("id", "1"),
        ("sentAt", "\"2026-01-01\""),
        ("failed", "true"),
        ("retries", "1"),
        ("cronId", "1"),
        ("status", "\"failed\""),
    ] {
        let refused = read(&format!(r#"{{"queueId":7,"{field}":{value}}}"#)).unwrap_err();
        assert!(matches!(refused, ApiError::ReadOnlyField { field: named, .. } if named == field), "{refused}");
    }
}

#[test]
fn a_binary_body_is_stored_as_text_where_it_is_text() {
    let body = |base64: &str| read(&format!(r#"{{"queueId":7,"bodyBase64":"{base64}"}}"#)).unwrap().body;
    assert_eq!(body("AP+A"), Some(Body::Binary(vec![0, 0xff, 0x80])));
    assert_eq!(body("aGk="), Some(Body::Text("hi".to_owned())));
    assert_eq!(body("aAA="), Some(Body::Binary(b"h\0".to_vec())));
    assert_eq!(body(""), Some(Body::Text(String::new())));
}

#[test]
fn fields_that_contradict_each_other() {
    for (fields, problem) in [
        (r#""body":"a","bodyBase64":"YQ==""#, "body/bodyBase64: cannot be given together with body"),
        (r#""body":{},"bodyBase64":"""#, "body/bodyBase64: cannot be given together with body"),
        (r#""when":"2099-01-01","delay":0"#, "body/delay: cannot be given together with when"),
        (r#""when":"2099-01-01","expiresAt":"2099-01-01""#, EXPIRES),
        (r#""when":"2099-01-01","expiresAt":"2098-12-31""#, EXPIRES),
    ] {
        assert_eq!(read(&format!(r#"{{"queueId":7,{fields}}}"#)).unwrap_err().to_string(), problem, "{fields}");
    }
    assert!(read(r#"{"queueId":7,"when":"2099-01-01","expiresAt":"2099-01-01T00:00:01Z"}"#).is_ok());
    assert!(read(r#"{"queueId":7,"delay":5,"expiresAt":"2001-01-01"}"#).is_ok(), "the database decides");
}

const EXPIRES: &str = "body/expiresAt: must be later than the time at which the message is due, and than now";

#[test]
fn a_key_comes_with_the_fingerprint_of_the_rest() {
    let key = |json: &str| read(json).unwrap().idempotency.unwrap();
    let first = key(r#"{"queueId":7,"body":{"a":1},"idempotencyKey":"k"}"#);
    assert_eq!(first.key, "k");
    assert_eq!(first, key(r#"{ "idempotencyKey": "k", "body": "{\"a\":1}", "queueId": "7", "when": "" }"#));
    assert_ne!(first, key(r#"{"queueId":7,"body":{"a":2},"idempotencyKey":"k"}"#));
    for json in ["1", "\"\"", r#""\n""#, "{}"] {
        assert!(read(&format!(r#"{{"queueId":7,"idempotencyKey":{json}}}"#)).is_err(), "{json}");
    }
}

#[test]
fn a_body_has_its_largest_size() {
    let with = |length: usize| read(&format!(r#"{{"queueId":7,"body":"{}"}}"#, "x".repeat(length)));
    assert!(with(1000).is_ok());
    assert_eq!(with(1001), Err(ApiError::BodyTooLarge));
}
