//! How long an attempt may take, by the deployment, the queue and the message; and how long a message lives.

use std::time::{Duration, Instant};

use posthaste_tests::receiver::Answer;

use super::{SOON, Scene};

#[actix_rt::test]
async fn the_message_limits_an_attempt_before_its_queue_and_the_queue_before_the_deployment() {
    let scene = Scene::with(&[("TIMEOUT_MS", "700")]).await;
    scene.receiver.answer("/hangs", Answer::hang());
    let once = ("max_retries", "0");
    let by_default = scene.queue("/hangs", &[once]).await;
    let by_queue = scene.queue("/hangs", &[once, ("timeout_ms", "300")]).await;
    let of_message = |ms: i32| format!("UPDATE posthaste.messages SET timeout_ms = {ms}");
    for (queue, own, limit) in [(by_default, None, 700), (by_queue, None, 300), (by_queue, Some(1_100), 1_100)] {
        let message = scene.outbox.enqueue_with(queue, "at => now() + interval '300 ms'").await;
        if let Some(ms) = own {
            scene.outbox.execute(&format!("{} WHERE id = {message}", of_message(ms))).await;
        }
        let attempts = scene.outbox.ended(SOON, message).await;
        assert_eq!(attempts[0].verdict(), "failed total_timeout");
        let took = (attempts[0].finished - attempts[0].started) / 1000;
        assert!((limit..limit + 1_000).contains(&took), "{took} ms instead of {limit}");
        assert_eq!(attempts[0].error, Some(format!("no answer within {limit} ms")));
    }
}

#[actix_rt::test]
async fn connecting_has_a_limit_of_its_own() {
    // A listener whose queue of connections is full answers no more; on loopback that is the nearest to a silent network.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&silent, 0).unwrap();
    let address = silent.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(stream);
    }
    let scene = Scene::with(&[("CONNECT_TIMEOUT_MS", "600")]).await;
    let url = format!("http://{address}/");
    for (settings, limit) in
        [(&[("max_retries", "0")][..], 600), (&[("max_retries", "0"), ("connect_timeout_ms", "200")], 200)]
    {
        let queue = scene.outbox.queue(&url, settings).await;
        let message = scene.outbox.enqueue(queue, "x").await;
        let attempts = scene.outbox.ended(SOON, message).await;
        assert_eq!(attempts[0].verdict(), "failed connect_timeout", "{attempts:?}");
        assert_eq!(attempts[0].error, Some(format!("no connection within {limit} ms")));
        let took = (attempts[0].finished - attempts[0].started) / 1000;
        assert!((limit..limit + 1_000).contains(&took), "{took} ms instead of {limit}");
    }
    // A receiver that takes its time with the answer is not a receiver that cannot be reached.
    scene.receiver.answer("/slow", Answer::after(Duration::from_millis(900)));
    let queue = scene.queue("/slow", &[]).await;
    let began = Instant::now();
    let message = scene.outbox.enqueue(queue, "x").await;
    assert_eq!(scene.outbox.ended(SOON, message).await[0].verdict(), "delivered");
    assert!(began.elapsed() >= Duration::from_millis(900));
}

#[actix_rt::test]
async fn how_the_time_was_spent_is_recorded() {
    let scene = Scene::new().await;
    scene.receiver.answer("/slow", Answer::after(Duration::from_millis(300)));
    let named = scene.receiver.url("/slow").replace("127.0.0.1", "localhost");
    let by_name = scene.outbox.queue(&named, &[]).await;
    let by_address = scene.queue("/slow", &[]).await;
    let times = async |message: i64| {
        let sql = |column: &str| {
            format!("SELECT coalesce({column}, -1)::bigint FROM posthaste.attempts WHERE message_id = {message}")
        };
        let mut times = Vec::new();
        for column in ["dns_us", "connect_us", "tls_us", "first_byte_us"] {
            times.push(scene.outbox.number(&sql(column)).await);
        }
        times
    };
    let first = scene.outbox.enqueue(by_name, "x").await;
    scene.outbox.ended(SOON, first).await;
    let new = times(first).await;
    assert!(new[0] >= 0 && new[1] >= 0, "{new:?}");
    assert_eq!(new[2], -1, "no TLS: {new:?}");
    assert!((300_000..3_000_000).contains(&new[3]), "{new:?}");

    let message = scene.outbox.enqueue(by_address, "x").await;
    scene.outbox.ended(SOON, message).await;
    let literal = times(message).await;
    assert!(literal[0] == -1 && literal[1] >= 0, "an address needs no look-up: {literal:?}");
    // Soon after, the connection is still there.
    let again = scene.outbox.enqueue(by_address, "x").await;
    scene.outbox.ended(SOON, again).await;
    let reused = times(again).await;
    assert_eq!(reused[..3], [-1, -1, -1], "{reused:?}");
    assert!(reused[3] >= 300_000, "{reused:?}");
}

#[actix_rt::test]
async fn what_is_kept_of_a_body_can_be_set() {
    for (setting, kept) in [("0", None), ("10", Some(10)), ("65536", Some(20_000))] {
        let scene = Scene::with(&[("ATTEMPT_BODY_BYTES", setting)]).await;
        scene.receiver.answer("/talks", Answer::status(200).body(vec![b'x'; 20_000]));
        let queue = scene.queue("/talks", &[]).await;
        let message = scene.outbox.enqueue(queue, "x").await;
        let attempts = scene.outbox.ended(SOON, message).await;
        assert_eq!(attempts[0].response_body.as_ref().map(Vec::len), kept);
    }
}

#[actix_rt::test]
async fn what_expires_goes_to_the_dead_letter_queue_if_the_queue_says_so() {
    let scene = Scene::new().await;
    let letters = scene.queue("/letters", &[]).await.to_string();
    for (says, path) in [("true", "/kept"), ("false", "/dropped")] {
        let settings =
            [("dead_letter_queue_id", letters.as_str()), ("dead_letter_expired", says), ("paused_at", "now()")];
        let queue = scene.queue(path, &settings).await;
        let message = scene.outbox.enqueue(queue, says).await;
        let expire = format!("UPDATE posthaste.messages SET expires_at = now() WHERE id = {message}");
        scene.outbox.execute(&expire).await;
        scene.outbox.execute(&format!("UPDATE posthaste.queues SET paused_at = NULL WHERE id = {queue}")).await;
        let attempts = scene.outbox.ended(SOON, message).await;
        assert_eq!(attempts[0].verdict(), "expired expired");
    }
    let arrived = scene.receiver.wait_for_count(SOON, "/letters", 1).await;
    assert_eq!(arrived[0].text(), "true");
    scene.outbox.nothing_pending(SOON).await;
    let all = scene.receiver.requests();
    assert_eq!(all.len(), 1, "neither was sent to its own receiver, and one has no dead letter: {all:?}");
}
