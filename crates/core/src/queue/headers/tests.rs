use http::header::{HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

fn check(value: Value) -> Result<(), HeaderError> {
    check_headers(&map(value))
}

fn merge(queue: Value, message: Value) -> Vec<(String, String)> {
    merge_headers(queue.as_object(), message.as_object())
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn what_can_be_sent_is_accepted() {
    for headers in [
        json!({}),
        json!({"X-A": "1", "x-b": "", "content-type": "text/plain; charset=utf-8"}),
        json!({"host": "internal.example", "user-agent": "me/1.0", "Authorization": "Bearer a.b.c"}),
        json!({"n": 1, "f": 1.5, "t": true}),
        json!({"!#$%&'*+-.^_`|~09azAZ": "every token character"}),
        json!({"x": "a\tb", "y": "größer ☃"}),
    ] {
        assert_eq!(check(headers.clone()), Ok(()), "{headers}");
    }
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let name = |name: &str| HeaderError::Name { name: name.to_owned() };
    let kind = |kind| HeaderError::Kind { name: "x".to_owned(), kind };
    let control = || HeaderError::ControlCharacter { name: "x".to_owned() };
    for (headers, error) in [
        (json!({"": "1"}), name("")),
        (json!({"a b": "1"}), name("a b")),
        (json!({"a:": "1"}), name("a:")),
        (json!({"a\r\nb": "1"}), name("a\\r\\nb")),
        (json!({"ä": "1"}), name("ä")),
        (json!({"a\0": "1"}), name("a\\0")),
        (json!({"x": null}), kind("null")),
        (json!({"x": ["1", "2"]}), kind("an array")),
        (json!({"x": {"y": 1}}), kind("an object")),
        (json!({"x": "a\r\nInjected: 1"}), control()),
        (json!({"x": "a\n"}), control()),
        (json!({"x": "a\0"}), control()),
        (json!({"x": "\u{7f}"}), control()),
        (json!({"x": "\u{1b}[31m"}), control()),
        (json!({"X-A": "1", "x-a": "1"}), HeaderError::Duplicate { name: "x-a".to_owned() }),
    ] {
        assert_eq!(check(headers.clone()), Err(error), "{headers}");
    }
}

#[test]
fn connection_headers_are_refused_in_any_case() {
    for name in NOT_SETTABLE {
        for spelling in [name.to_owned(), name.to_uppercase()] {
            let error = check(json!({ spelling.as_str(): "1" }));
            assert_eq!(error, Err(HeaderError::NotSettable { name: spelling }));
        }
    }
}

#[test]
fn size_is_bounded() {
    let fits = "x".repeat(LARGEST - "x".len() - 4);
    assert_eq!(check(json!({ "x": fits })), Ok(()));
    assert_eq!(check(json!({ "x": format!("{fits}x") })), Err(HeaderError::TooLarge { size: LARGEST + 1 }));
    let many =
        |count: usize| -> Map<String, Value> { (0..count).map(|n| (format!("x-{n}"), json!("value"))).collect() };
    assert_eq!(check_headers(&many(MOST)), Ok(()));
    assert_eq!(check_headers(&many(MOST + 1)), Err(HeaderError::TooMany { count: MOST + 1 }));
}

#[test]
fn errors_are_for_people_and_keep_secrets() {
    let say = |headers| check(headers).unwrap_err().to_string();
    assert_eq!(say(json!({"x": null})), "the header \"x\" must be a string, a number or a boolean, not null");
    assert_eq!(
        say(json!({"Connection": "close"})),
        "the header \"Connection\" cannot be set: it belongs to the connection, not to the message"
    );
    let error = say(json!({"authorization": "hunter2\n"}));
    assert!(error.contains("authorization") && !error.contains("hunter2"), "{error}");
    assert!(say(json!({"ä".repeat(10_000): "1"})).len() < 200);
}

#[test]
fn message_wins_over_queue_wins_over_default() {
    for (queue, message, expected) in [
        (json!(null), json!(null), pairs(&[("content-type", "application/json")])),
        (json!({"X-A": "q"}), json!(null), pairs(&[("content-type", "application/json"), ("x-a", "q")])),
        (json!(null), json!({"X-A": "m"}), pairs(&[("content-type", "application/json"), ("x-a", "m")])),
        (
            json!({"X-A": "q", "X-B": "q", "Content-Type": "text/plain"}),
            json!({"x-a": "m", "x-c": "m"}),
            pairs(&[("content-type", "text/plain"), ("x-a", "m"), ("x-b", "q"), ("x-c", "m")]),
        ),
        (
            json!({"content-type": "text/plain"}),
            json!({"CONTENT-TYPE": "text/html"}),
            pairs(&[("content-type", "text/html")]),
        ),
    ] {
        assert_eq!(merge(queue.clone(), message.clone()), expected, "{queue} {message}");
    }
}

#[test]
fn numbers_and_booleans_become_text() {
    assert_eq!(
        merge(json!({"a": 1, "b": -1.5, "c": true, "d": 9_007_199_254_740_993_i64}), json!(null)),
        pairs(&[
            ("a", "1"),
            ("b", "-1.5"),
            ("c", "true"),
            ("content-type", "application/json"),
            ("d", "9007199254740993")
        ])
    );
}

#[test]
fn what_was_stored_past_the_checks_cannot_break_the_framing() {
    assert_eq!(
        merge(json!({"Content-Length": 5, "Transfer-Encoding": "chunked"}), json!({"connection": "close", "x": null})),
        pairs(&[("content-type", "application/json"), ("x", "null")])
    );
}

proptest! {
    /// The promise of this module: what is accepted, the HTTP client can send.
    #[test]
    fn accepted_headers_can_be_sent(headers in prop::collection::hash_map("[ -~]{0,8}|\\PC{0,3}", ".{0,8}", 0..4)) {
        let headers: Map<String, Value> = headers.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        if check_headers(&headers).is_ok() {
            let merged = merge_headers(Some(&headers), None);
            for (name, value) in &merged {
                prop_assert!(HeaderName::from_bytes(name.as_bytes()).is_ok(), "{:?}", name);
                prop_assert!(HeaderValue::from_bytes(value.as_bytes()).is_ok(), "{:?}", value);
            }
            prop_assert!(merged.len() >= headers.len());
        }
    }

    #[test]
    fn values_are_accepted_exactly_where_the_http_client_takes_them(value in "(?s).{0,6}") {
        let headers = Map::from_iter([("x".to_owned(), Value::String(value.clone()))]);
        prop_assert_eq!(check_headers(&headers).is_ok(), HeaderValue::from_bytes(value.as_bytes()).is_ok());
    }
}

#[test]
fn what_receivers_trust_is_not_set_by_users() {
    for name in
        ["webhook-id", "Webhook-Timestamp", "WEBHOOK-SIGNATURE", "posthaste-attempt", "Posthaste-", "posthaste-x-y"]
    {
        let Value::Object(headers) = json!({ name: "1", "x": "2" }) else { panic!("an object") };
        assert_eq!(check_headers(&headers), Err(HeaderError::Ours { name: name.to_owned() }));
        assert_eq!(sendable(&headers).collect::<Vec<_>>(), [("x".to_owned(), "2".to_owned())], "{name}");
    }
    for name in ["HTTP2-Settings", "Proxy-Authenticate", "Proxy-Authorization"] {
        let Value::Object(headers) = json!({ name: "1" }) else { panic!("an object") };
        assert_eq!(check_headers(&headers), Err(HeaderError::NotSettable { name: name.to_owned() }));
        assert_eq!(sendable(&headers).count(), 0, "{name}");
    }
    let Value::Object(headers) = json!({"webhook-ids": "1", "x-posthaste-a": "1", "posthaste": "1"}) else {
        panic!("an object")
    };
    assert_eq!(check_headers(&headers), Ok(()));
}
