//! Bodies that are no JSON object, not whole, too large, or of another kind.

use super::{EMPTY, INVALID_JSON, Kind, MEDIA_TYPE, Setup, TOO_LARGE, VALIDATION, assert_refused, right};

const JSON: &str = "application/json";
const RESOURCES: [&str; 3] = ["/queues/", "/messages/", "/crons/"];

impl Setup {
    async fn refuses_body(&self, path: &str, body: &[u8], kind: Kind, says: &str) {
        let what = format!("{path} {}", String::from_utf8_lossy(body));
        assert_refused(&self.api.post_raw(path, JSON, body).await, &what, kind, says);
    }
}

#[actix_rt::test]
async fn what_is_no_json_object() {
    let setup = Setup::new().await;
    for path in RESOURCES {
        for body in ["null", "[]", "[{}]", "1", "true", "\"{}\""] {
            setup.refuses_body(path, body.as_bytes(), VALIDATION, "body must be object").await;
        }
        let no_json: [&[u8]; 10] = [
            b"{",
            b"{a: 1}",
            b"{\"a\": 1,}",
            b"{} {}",
            b"{'a': 1}",
            b"\xef\xbb\xbf{}",
            b" ",
            b"{\"a\": \"\xff\"}",
            b"<a/>",
            b"{\"name\": \"\x01\"}",
        ];
        for body in no_json {
            setup.refuses_body(path, body, INVALID_JSON, "Body is not valid JSON but content-type is").await;
        }
        setup.refuses_body(path, b"", EMPTY, "Body cannot be empty when content-type is").await;
    }
    // Half of a surrogate pair: no text.
    let half = br#"{"name": "\ud800", "callbackUrl": "http://x/", "method": "POST"}"#;
    setup.refuses_body("/queues/", half, INVALID_JSON, "Body is not valid JSON").await;
    setup
        .refuses_body("/messages/", br#"{"queueId": 1, "body": "\udfff"}"#, INVALID_JSON, "Body is not valid JSON")
        .await;
    setup.assert_nothing_stored().await;
}

#[actix_rt::test]
async fn what_lacks_a_field() {
    let setup = Setup::new().await;
    for (path, body, field) in [
        ("/queues/", "{}", "callbackUrl"),
        ("/queues/", r#"{"callbackUrl":"http://x/"}"#, "method"),
        ("/queues/", r#"{"callbackUrl":"http://x/","method":"POST"}"#, "name"),
        ("/messages/", "{}", "queueId"),
        ("/crons/", "{}", "queueId"),
        ("/crons/", r#"{"queueId":1}"#, "schedule"),
    ] {
        let says = format!("body must have required property '{field}'");
        setup.refuses_body(path, body.as_bytes(), VALIDATION, &says).await;
    }
    setup.assert_nothing_stored().await;
}

#[actix_rt::test]
async fn what_is_of_another_kind() {
    let setup = Setup::new().await;
    for path in RESOURCES {
        let body = right(path).to_string();
        for kind in
            ["application/x-www-form-urlencoded", "application/xml", "application/vnd.api+json", "text/html", "x"]
        {
            let answer = setup.api.post_raw(path, kind, body.clone()).await;
            assert_refused(&answer, kind, MEDIA_TYPE, "Unsupported Media Type");
        }
        let answer = setup.api.post_raw(path, "text/plain", body).await;
        assert_refused(&answer, "text/plain", VALIDATION, "body must be object");
    }
    setup.assert_nothing_stored().await;
}

#[actix_rt::test]
async fn what_is_too_large() {
    const LIMIT: usize = 1 << 20;
    let setup = Setup::new().await;
    for path in RESOURCES {
        let body = right(path).to_string();
        let blanks = " ".repeat(LIMIT - body.len());
        let answer = setup.api.post_raw(path, JSON, format!("{blanks} {body}")).await;
        assert_refused(&answer, path, TOO_LARGE, "Request body is too large");
        setup.assert_nothing_stored().await;
    }
    let body = right("/messages/").to_string();
    let answer = setup.api.post_raw("/messages/", JSON, format!("{}{body}", " ".repeat(LIMIT - body.len()))).await;
    assert_eq!(answer.status, 200, "just not: {}", answer.text);
}
