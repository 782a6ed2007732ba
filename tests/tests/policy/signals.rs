//! What a receiver says about what is to come.

use std::time::{Duration, SystemTime};

use posthaste_tests::receiver::Answer;

use super::{SOON, Scene};

/// The wait after the first attempt, in milliseconds, as it was planned.
async fn planned(scene: &Scene, queue: i64) -> i64 {
    let message = scene.outbox.enqueue(queue, "x").await;
    scene.outbox.attempted(SOON, message, 1).await;
    let sql = format!(
        "SELECT (extract(epoch FROM p.due_at - a.finished_at) * 1000)::bigint
           FROM posthaste.pending p JOIN posthaste.attempts a USING (message_id) WHERE p.message_id = {message}"
    );
    scene.outbox.number(&sql).await
}

#[actix_rt::test]
async fn retry_after_is_kept_in_seconds_and_as_a_date() {
    let scene = Scene::new().await;
    let in_an_hour = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
    let cases = [
        // (path, status, Retry-After, at least, less than, in seconds)
        ("/seconds", 429, "30", 30, 40),
        ("/busy", 503, "30", 30, 40),
        // A date has whole seconds.
        ("/date", 429, in_an_hour.as_str(), 3590, 3610),
        ("/past", 429, "Sun, 06 Nov 1994 08:49:37 GMT", 0, 10),
        ("/long", 429, "99999999999999999999999", 86_400, 86_410),
        ("/odd", 429, "soon", 0, 10),
        ("/other", 500, "30", 0, 10),
    ];
    for (path, status, retry_after, least, most) in cases {
        scene.receiver.answer(path, Answer::status(status).header("retry-after", retry_after));
        let queue = scene.queue(path, &[("retry_kind", "'fixed'"), ("retry_initial_ms", "5000")]).await;
        let wait = planned(&scene, queue).await;
        assert!((least.max(5) * 1000..most * 1000).contains(&wait), "{path}: {wait} ms");
    }
}

#[actix_rt::test]
async fn a_receiver_ends_a_message_at_once() {
    let scene = Scene::new().await;
    let no_retry = |status| Answer::status(status).header("Posthaste-No-Retry", "true");
    scene.receiver.answer("/489", Answer::status(489));
    scene.receiver.answer("/header", no_retry(500));
    scene.receiver.answer("/busy", no_retry(503).header("retry-after", "1"));
    scene.receiver.answer("/final", Answer::status(404));
    scene.receiver.answer("/class", Answer::status(422));
    for path in ["/489", "/header", "/busy", "/final", "/class"] {
        let queue = scene.queue(path, &[("final_statuses", "'{404,4xx}'")]).await;
        let message = scene.outbox.enqueue(queue, "x").await;
        let attempts = scene.outbox.ended(SOON, message).await;
        assert_eq!(attempts.len(), 1, "{path}: {attempts:?}");
        assert_eq!(attempts[0].verdict(), "failed status", "{path}");
    }
    // Neither is final: what says `false`, and what is not among the queue's statuses.
    scene.receiver.answer("/false", Answer::status(500).header("Posthaste-No-Retry", "false"));
    scene.receiver.answer("/busy-class", Answer::status(429));
    for path in ["/false", "/busy-class"] {
        let queue = scene.queue(path, &[("final_statuses", "'{4xx}'"), ("max_retries", "1")]).await;
        let message = scene.outbox.enqueue(queue, "x").await;
        assert_eq!(scene.outbox.ended(SOON, message).await.len(), 2, "{path}");
    }
}
