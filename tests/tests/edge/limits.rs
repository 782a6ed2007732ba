//! What a request may be at most, and what is said about one that is more, or none at all.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Setup, error};

const EXCEEDED: &str = "PH_LIMIT_EXCEEDED";

#[actix_rt::test]
async fn targets_and_heads() {
    let setup = Setup::new(&[]).await;
    let long = "x".repeat(17_000);
    for (path, says) in [
        (format!("/queues?limit={long}"), "at most 16384 bytes, not 17014"),
        (format!("/{long}"), "at most 16384 bytes, not 17001"),
        (format!("/queues?{}", ["limit=1"; 101].join("&")), "at most 100 parameters, not 101"),
    ] {
        let answer = setup.api.get(&path).await;
        assert_eq!(error(answer.status, &answer.json), (414, EXCEEDED));
        assert!(answer.json["message"].as_str().unwrap().contains(says), "{}", answer.text);
    }
    let answer = setup.api.get(&format!("/queues?{}", ["limit=1"; 100].join("&"))).await;
    assert_eq!(answer.status, 200);

    // 33 KiB in a few headers; a hundred headers; 200 KiB before the body, of which the server does not read all.
    let few = format!("x: {}\r\n", "y".repeat(11 * 1024)).repeat(3);
    let many = (0..100).fold(String::new(), |mut text, n| {
        write!(text, "x-{n}: y\r\n").unwrap();
        text
    });
    let huge = format!("x: {}\r\n", "y".repeat(200 * 1024));
    for headers in [few, many, huge] {
        let mut connection = setup.connect().await;
        connection.send(format!("GET /queues HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes()).await;
        let (status, json) = connection.answer().await;
        assert_eq!(error(status, &json), (431, EXCEEDED));
    }
}

#[actix_rt::test]
async fn what_is_no_request_gets_an_answer_all_the_same() {
    let setup = Setup::new(&[]).await;
    let no_requests: [&[u8]; 8] = [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /queues HTTP/1.1\r\nhost: x\r\nbad name: x\r\n\r\n",
        b"GET /queues HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",
        b"POST /queues HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /queues HTTP/1.1\r\nhost: x\r\nx: \x00\r\n\r\n",
    ];
    for bytes in no_requests {
        let mut connection = setup.connect().await;
        connection.send(bytes).await;
        let (status, json) = connection.answer().await;
        assert_eq!(error(status, &json), (400, "PH_MALFORMED_REQUEST"), "{}", String::from_utf8_lossy(bytes));
        assert!(connection.end().await.is_empty());
    }
    // The answer to what came before it stays whole.
    let mut connection = setup.connect().await;
    connection.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nhello\r\n\r\n").await;
    assert_eq!(connection.answer().await, (200, json!({"status": "ok"})));
    let (status, json) = connection.answer().await;
    assert_eq!(error(status, &json), (400, "PH_MALFORMED_REQUEST"));
    assert!(connection.end().await.is_empty());
}

#[actix_rt::test]
async fn odd_paths_and_queries() {
    let setup = Setup::new(&[]).await;
    for (target, status) in [
        ("/queues/%zz", 400),
        ("/queues/%ff", 400),
        ("/queues/%", 400),
        ("/queues?%zz", 400),
        ("/queues?limit=%ff", 400),
        ("/queues?=", 400),
        ("/queues?&&", 200),
        ("/%00", 404),
        ("/..%2f..%2fetc/passwd", 404),
        ("/assets/..%2fgraphiql.js", 404),
        ("/documentation/..%2f..%2fCargo.toml", 404),
        ("http://elsewhere.example/queues", 200),
        ("*", 404),
    ] {
        let mut connection = setup.connect().await;
        connection.send(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await;
        let (given, json) = connection.answer().await;
        assert_eq!(given, status, "{target}: {json}");
        if status != 200 {
            error(given, &json);
        }
    }
}

#[actix_rt::test]
async fn broken_bodies() {
    let setup = Setup::new(&[]).await;
    let head = "POST /queues HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    for body in
        ["transfer-encoding: chunked\r\n\r\nzz\r\n", "transfer-encoding: chunked\r\n\r\n5\r\n{}\r\n\r\n\r\n\r\n\r\n"]
    {
        let mut connection = setup.connect().await;
        connection.send(format!("{head}{body}").as_bytes()).await;
        let (status, json) = connection.answer().await;
        assert_eq!(error(status, &json).0, 400, "{body}");
    }
}

#[actix_rt::test]
async fn nesting() {
    let setup = Setup::new(&[]).await;
    let queue = json!({"name": "q", "callbackUrl": "http://127.0.0.1:9/", "method": "POST"});
    let queue = setup.api.create_queue(&queue).await;
    // One level is the message itself.
    let message = |depth: usize| format!(r#"{{"queueId":{queue},"body":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let answer = setup.api.post_raw("/messages", "application/json", message(63)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    for body in [message(64), message(400_000), "[".repeat(1_000_000)] {
        let answer = setup.api.post_raw("/messages", "application/json", body).await;
        assert_eq!(error(answer.status, &answer.json), (422, EXCEEDED));
        assert!(answer.json["message"].as_str().unwrap().contains("at most 64"), "{}", answer.text);
    }
    let text = format!(r#"{{"queueId":{queue},"body":"{}"}}"#, "[".repeat(1000));
    assert_eq!(setup.api.post_raw("/messages", "application/json", text).await.status, 200);
    assert_eq!(setup.database.number("SELECT count(*) FROM posthaste.messages").await, 2);
}

#[actix_rt::test]
async fn bodies_larger_than_the_limit_end_the_connection_with_an_answer() {
    let setup = Setup::new(&[("MAX_BODY_BYTES", "1000")]).await;
    let head = "POST /queues HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let announced = format!("{head}content-length: 100000\r\n\r\n");
    let chunk = "x".repeat(2000);
    for request in [announced, format!("{head}transfer-encoding: chunked\r\n\r\n7d0\r\n{chunk}\r\n")] {
        let mut connection = setup.connect().await;
        connection.send(request.as_bytes()).await;
        let (status, json) = connection.answer().await;
        assert_eq!(error(status, &json), (413, "FST_ERR_CTP_BODY_TOO_LARGE"));
    }
    let answer: Value = setup.api.get("/queues").await.json;
    assert_eq!(answer, json!([]));
}
