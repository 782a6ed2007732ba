//! What a receiver is sent.

use std::time::{Duration, Instant};

use posthaste_tests::outbox::message_of;
use posthaste_tests::receiver::{Answer, Received};

use super::{SOON, Scene, verdicts};

impl Scene {
    /// Delivers one message and returns the one request that came of it.
    async fn deliver(&self, queue: i64, arguments: &str) -> Received {
        let message = self.outbox.enqueue_with(queue, arguments).await;
        let attempts = self.outbox.ended(SOON, message).await;
        assert_eq!(verdicts(&attempts), ["delivered"], "{attempts:?}");
        let mut requests = self.receiver.requests();
        requests.retain(|request| message_of(request) == message);
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }
}

fn all<'r>(request: &'r Received, name: &str) -> Vec<&'r str> {
    let named = request.headers.iter().filter(|(known, _)| known == name);
    named.map(|(_, value)| value.as_str()).collect()
}

#[actix_rt::test]
async fn headers_of_the_message_go_before_those_of_the_queue_whatever_their_case() {
    let scene = Scene::new().await;
    let queue_headers = r#"'{"X-Queue": "q", "x-both": "q", "Content-Type": "text/plain", "User-Agent": "queue/1"}'"#;
    let queue = scene.queue("/hook", &[("headers", queue_headers)]).await;

    let headers = r#"'{"X-Both": "m", "CONTENT-TYPE": "text/csv", "X-Message": "m", "X-False": false, "X-Zero": 0}'"#;
    let request = scene.deliver(queue, &format!("body => 'a,b', headers => {headers}")).await;

    let expected = [
        ("x-queue", "q"),
        ("x-both", "m"),
        ("content-type", "text/csv"),
        ("user-agent", "queue/1"),
        ("x-message", "m"),
        ("x-false", "false"),
        ("x-zero", "0"),
    ];
    for (name, value) in expected {
        assert_eq!(all(&request, name), [value], "{name} of {request:?}");
    }
}

#[actix_rt::test]
async fn without_headers_it_is_json_from_posthaste() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook", &[]).await;

    let request = scene.deliver(queue, "body => '{}'").await;

    assert_eq!(all(&request, "content-type"), ["application/json"]);
    assert_eq!(all(&request, "content-length"), ["2"]);
    assert_eq!(all(&request, "host"), [scene.receiver.address().to_string()]);
    let agents = all(&request, "user-agent");
    assert!(matches!(agents[..], [agent] if agent.starts_with("Posthaste/")), "{agents:?}");
    let names: Vec<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    let mut sent: Vec<_> = names.into_iter().filter(|name| !["connection", "date"].contains(name)).collect();
    sent.sort_unstable();
    let ours = ["posthaste-attempt", "posthaste-queue", "posthaste-scheduled-at"];
    let known =
        [&["content-length", "content-type", "host"][..], &ours, &["user-agent", "webhook-id", "webhook-timestamp"]];
    assert_eq!(sent, known.concat());
}

#[actix_rt::test]
async fn the_host_header_can_be_set() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook", &[("headers", r#"'{"Host": "orders.example"}'"#)]).await;
    let request = scene.deliver(queue, "body => '{}'").await;
    assert_eq!(all(&request, "host"), ["orders.example"]);
}

#[actix_rt::test]
async fn every_method_is_sent_with_and_without_a_body() {
    let scene = Scene::new().await;
    // A body where there may be one; after HEAD it must not be waited for.
    scene.receiver.answer("/hook", Answer::status(200).body("answer"));
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let queue = scene.queue("/hook", &[("method", &format!("'{method}'"))]).await;
        let began = Instant::now();

        let with = scene.deliver(queue, "body => 'body'").await;
        assert_eq!((with.method.as_str(), with.text().as_str()), (method, "body"));
        assert_eq!(all(&with, "content-length"), ["4"], "{method}");
        assert!(all(&with, "transfer-encoding").is_empty(), "{method}");

        let without = scene.deliver(queue, "").await;
        assert_eq!((without.method.as_str(), without.text().as_str()), (method, ""));
        let length = all(&without, "content-length");
        if matches!(method, "GET" | "HEAD") {
            assert!(length.is_empty(), "{method}: {length:?}");
        } else {
            assert_eq!(length, ["0"], "{method}");
        }
        assert!(all(&without, "transfer-encoding").is_empty(), "{method}");
        assert!(began.elapsed() < Duration::from_millis(1500), "{method} took {:?}", began.elapsed());
    }
}

#[actix_rt::test]
async fn large_bodies_arrive_whole() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook", &[]).await;
    // Three in a batch are more than one read of payloads takes.
    let messages = scene
        .outbox
        .numbers(&format!(
            "SELECT posthaste.enqueue({queue}::bigint, body => repeat('0123456789abcdef', 250000) || i)
               FROM generate_series(1, 6) AS i"
        ))
        .await;
    scene.outbox.nothing_pending(SOON).await;
    let requests = scene.receiver.requests();
    assert_eq!(requests.len(), 6);
    let expected = "0123456789abcdef".repeat(250_000);
    for (number, message) in (1..).zip(messages) {
        let request = requests.iter().find(|request| message_of(request) == message).unwrap();
        assert!(request.text() == format!("{expected}{number}"), "message {number} has {} bytes", request.body.len());
    }
}
