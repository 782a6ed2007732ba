//! A receiver that fails: how often it is tried, when, with what, and what is recorded.

use posthaste_tests::outbox::{message_of, micros};
use posthaste_tests::receiver::Answer;
use serde_json::json;

use super::{LATE, SOON, Scene, lasting_headers, verdicts};

const BODY: &str = "{\"order\": 7, \"note\": \"Zoë said \\\"ok\\\" 👍\"}\r\n\tend ";
const HEADERS: &str = r#"'{"X-Order": "7", "x-true": true, "X-Number": 1.5, "X-Text": "grüße"}'"#;

#[actix_rt::test]
async fn each_attempt_waits_carries_the_same_request_and_is_recorded() {
    let scene = Scene::new().await;
    let reason: Vec<u8> = (0..5000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let answer = Answer::status(503).header("x-reason", "overload").header("x-odd", "a\u{ff}b");
    scene.receiver.answer("/fails", answer.body(reason.clone()));
    let queue = scene.queue("/fails?a=b%20c", &[("max_retries", "4")]).await;
    let message = scene.outbox.enqueue_with(queue, &format!("body => $body${BODY}$body$, headers => {HEADERS}")).await;

    let attempts = scene.outbox.ended(SOON, message).await;
    let requests = scene.receiver.requests_to("/fails");

    let retried = "retried status";
    assert_eq!(verdicts(&attempts), [retried, retried, retried, retried, "failed status"]);
    for (number, attempt) in (1..).zip(&attempts) {
        assert_eq!((attempt.number, attempt.status), (number, Some(503)), "{attempt:?}");
        assert_eq!(attempt.error, None, "{attempt:?}");
        let headers = attempt.response_headers.as_ref().unwrap();
        assert_eq!((&headers["x-reason"], &headers["content-length"]), (&json!("overload"), &json!("5000")));
        assert!(attempt.response_body.as_deref() == Some(&reason[..4096]), "attempt {number}");
        assert!(attempt.deliverer.contains(&scene.deliverer.as_ref().unwrap().pid().to_string()), "{attempt:?}");
        assert!(attempt.started <= attempt.finished, "{attempt:?}");
    }

    assert_eq!(requests.len(), 5);
    for (earlier, later, wait) in [(0, 1, 100_000), (1, 2, 200_000), (2, 3, 400_000), (3, 4, 800_000)] {
        let ended = attempts[earlier].finished;
        for at in [attempts[later].started, micros(requests[later].time)] {
            let waited = at - ended;
            assert!((wait..wait + LATE).contains(&waited), "waited {waited} µs instead of {wait} before {later}");
        }
    }

    for request in &requests {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/fails?a=b%20c"));
        assert_eq!(request.text(), BODY);
        assert_eq!(message_of(request), message);
        for (name, value) in [("x-order", "7"), ("x-true", "true"), ("x-number", "1.5"), ("x-text", "grüße")] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        assert_eq!(lasting_headers(request), lasting_headers(&requests[0]));
    }
}

#[actix_rt::test]
async fn max_retries_counts_what_follows_the_first_attempt() {
    let scene = Scene::new().await;
    for retries in [0, 1, 3] {
        let path = format!("/fails-{retries}");
        scene.receiver.answer(&path, Answer::status(404));
        let queue = scene.queue(&path, &[("max_retries", &retries.to_string()), ("retry_initial_ms", "10")]).await;
        let message = scene.outbox.enqueue(queue, "x").await;

        let attempts = scene.outbox.ended(SOON, message).await;

        assert_eq!(attempts.len(), retries + 1, "{attempts:?}");
        assert_eq!(attempts.last().unwrap().verdict(), "failed status");
        assert_eq!(scene.receiver.requests_to(&path).len(), retries + 1);
    }
}

#[actix_rt::test]
async fn the_waits_follow_the_queues_settings() {
    let scene = Scene::new().await;
    scene.receiver.answer("/fails", Answer::status(500));
    let settings =
        [("max_retries", "4"), ("retry_initial_ms", "50"), ("retry_multiplier", "3"), ("retry_max_ms", "300")];
    let queue = scene.queue("/fails", &settings).await;
    let message = scene.outbox.enqueue(queue, "x").await;

    let attempts = scene.outbox.ended(SOON, message).await;

    let waits: Vec<_> = attempts.windows(2).map(|pair| pair[1].started - pair[0].finished).collect();
    assert_eq!(waits.len(), 4);
    for (waited, wait) in waits.into_iter().zip([50_000, 150_000, 300_000, 300_000]) {
        assert!((wait..wait + LATE).contains(&waited), "waited {waited} µs instead of {wait}");
    }
}

#[actix_rt::test]
async fn a_receiver_that_recovers_gets_the_message_once_more_and_no_more() {
    let scene = Scene::new().await;
    scene.receiver.plan("/recovers", |earlier, _| Answer::status(if earlier < 2 { 500 } else { 202 }));
    let dead = scene.queue("/dead", &[]).await;
    let queue = scene.queue("/recovers", &[("dead_letter_queue_id", &dead.to_string())]).await;
    let message = scene.outbox.enqueue(queue, "x").await;

    let attempts = scene.outbox.ended(SOON, message).await;

    assert_eq!(verdicts(&attempts), ["retried status", "retried status", "delivered"]);
    assert_eq!((attempts[2].status, attempts[2].error.as_ref()), (Some(202), None));
    scene.all_is_read().await;
    assert_eq!(scene.receiver.requests_to("/recovers").len(), 3);
    assert_eq!(scene.receiver.requests_to("/dead").len(), 0);
}

#[actix_rt::test]
async fn what_counts_as_delivered_is_every_2xx_and_nothing_else() {
    let scene = Scene::new().await;
    scene.receiver.plan("/status", |_, request| Answer::status(request.text().parse().unwrap()));
    let queue = scene.queue("/status", &[("max_retries", "0")]).await;
    let mut messages = Vec::new();
    for status in [200, 201, 202, 204, 206, 226, 299, 300, 304, 400, 401, 410, 429, 500, 501, 599] {
        messages.push((status, scene.outbox.enqueue(queue, &status.to_string()).await));
    }
    for (status, message) in messages {
        let attempts = scene.outbox.ended(SOON, message).await;
        let wanted = if status < 300 { "delivered" } else { "failed status" };
        assert_eq!(verdicts(&attempts), [wanted], "{status}");
        assert_eq!(attempts[0].status, Some(status), "{attempts:?}");
    }
}

#[actix_rt::test]
async fn without_a_number_of_retries_the_age_ends_them() {
    let scene = Scene::new().await;
    scene.receiver.answer("/fails", Answer::status(500));
    let dead = scene.queue("/dead", &[]).await;
    let settings = [
        ("max_retries", "NULL"),
        ("max_age_seconds", "2"),
        ("retry_initial_ms", "200"),
        ("retry_multiplier", "1"),
        ("dead_letter_queue_id", &dead.to_string()),
    ];
    let queue = scene.queue("/fails", &settings).await;
    let message = scene.outbox.enqueue(queue, "x").await;

    let attempts = scene.outbox.ended(SOON, message).await;
    scene.receiver.wait_for_count(SOON, "/dead", 1).await;

    let (last, earlier) = attempts.split_last().unwrap();
    assert!(earlier.iter().all(|attempt| attempt.verdict() == "retried status"), "{attempts:?}");
    // The other if the last retry was planned just in time and then came too late.
    assert!(["failed status", "expired expired"].contains(&last.verdict().as_str()), "{attempts:?}");
    let scheduled = scene
        .outbox
        .number(&format!(
            "SELECT (extract(epoch FROM scheduled_at) * 1000000)::bigint FROM posthaste.messages WHERE id = {message}"
        ))
        .await;
    for attempt in attempts.iter().filter(|attempt| attempt.status.is_some()) {
        assert!(attempt.started - scheduled < 2_000_000, "an attempt at {} µs", attempt.started - scheduled);
    }
    // One more wait would have made it too old. The clock that an attempt is stamped with runs a little behind.
    assert!(last.finished - scheduled > 1_750_000, "gave up at the age of {} µs", last.finished - scheduled);
    assert!(attempts.len() >= 4, "{attempts:?}");
}

#[actix_rt::test]
async fn a_message_that_waited_longer_than_its_age_is_still_tried_once() {
    let mut scene = Scene::without_deliverer().await;
    let dead = scene.queue("/dead", &[]).await;
    let settings = [("max_age_seconds", "1"), ("dead_letter_queue_id", &dead.to_string())];
    let queue = scene.queue("/late", &settings).await;
    let message = scene.outbox.enqueue(queue, "x").await;
    // As if nothing had run for an hour.
    scene
        .outbox
        .execute(
            "UPDATE posthaste.messages SET scheduled_at = scheduled_at - interval '1 hour',
                                           created_at = created_at - interval '1 hour'",
        )
        .await;
    scene.start_deliverer().await;

    let attempts = scene.outbox.ended(SOON, message).await;

    assert_eq!(verdicts(&attempts), ["delivered"]);
    assert_eq!(scene.receiver.requests_to("/late").len(), 1);
    assert_eq!(scene.receiver.requests_to("/dead").len(), 0);
}

#[actix_rt::test]
async fn a_time_in_the_past_means_now_and_leaves_all_retries() {
    let scene = Scene::new().await;
    scene.receiver.plan("/recovers", |earlier, _| Answer::status(if earlier < 2 { 500 } else { 200 }));
    let queue = scene.queue("/recovers", &[]).await;
    let message = scene.outbox.enqueue_with(queue, "body => 'x', at => '2001-01-01Z'").await;

    let attempts = scene.outbox.ended(SOON, message).await;

    assert_eq!(verdicts(&attempts), ["retried status", "retried status", "delivered"]);
}
