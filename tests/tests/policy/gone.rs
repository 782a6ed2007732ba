//! A receiver that is gone for good: its queue is paused, and nothing is lost.

use posthaste_tests::process::Launch;
use posthaste_tests::receiver::Answer;
use posthaste_tests::wait::eventually;

use super::{SOON, Scene};

#[actix_rt::test]
async fn an_answer_of_410_pauses_the_queue_and_says_why() {
    let scene = Scene::new().await;
    let api = Launch::api(&scene.database).start().await;
    scene.receiver.answer("/gone", Answer::status(410));
    let queue = scene.queue("/gone", &[]).await;
    let other = scene.queue("/other", &[]).await;
    let message = scene.outbox.enqueue(queue, "x").await;

    let attempts = scene.outbox.attempted(SOON, message, 1).await;
    assert_eq!(attempts[0].verdict(), "retried status");
    let shown = api.api().get(&format!("/queues/{queue}")).await.json;
    assert!(shown["pausedAt"].is_string(), "{shown}");
    assert_eq!(shown["pausedReason"], format!("the receiver answered 410 Gone to message {message}"));

    // It is paused for every deliverer, others are not, and what waits is sent when it is resumed.
    let waiting = scene.outbox.enqueue_many(queue, 10).await;
    let unharmed = scene.outbox.enqueue(other, "x").await;
    scene.outbox.ended(SOON, unharmed).await;
    let _second = Launch::deliverer(&scene.database).start().await;
    let after = scene.outbox.enqueue(other, "x").await;
    scene.outbox.ended(SOON, after).await;
    assert_eq!(scene.receiver.requests_to("/gone").len(), 1);

    scene.receiver.answer("/gone", Answer::status(204));
    assert_eq!(api.api().post(&format!("/queues/{queue}/resume"), &serde_json::json!({})).await.status, 200);
    for message in waiting.into_iter().chain([message]) {
        let attempts = scene.outbox.ended(SOON, message).await;
        assert_eq!(attempts.last().unwrap().verdict(), "delivered");
    }
}

#[actix_rt::test]
async fn a_queue_that_a_person_has_paused_keeps_its_reason() {
    let scene = Scene::new().await;
    scene.receiver.answer("/gone", Answer::hang());
    let queue = scene.queue("/gone", &[("timeout_ms", "60000")]).await;
    scene.outbox.enqueue(queue, "x").await;
    scene.receiver.wait_for_count(SOON, "/gone", 1).await;
    scene.receiver.answer("/last", Answer::status(410));
    let last = scene.queue("/last", &[("max_retries", "0")]).await;
    let pause = format!("UPDATE posthaste.queues SET paused_at = now(), paused_reason = 'mine' WHERE id = {queue}");
    scene.outbox.execute(&pause).await;

    // With no retry left the message has failed, and the queue is paused all the same.
    let message = scene.outbox.enqueue(last, "x").await;
    assert_eq!(scene.outbox.ended(SOON, message).await[0].verdict(), "failed status");
    let paused = format!("SELECT count(*) FROM posthaste.queues WHERE id = {last} AND paused_reason LIKE '%410 Gone%'");
    eventually(SOON, "the queue is paused", async || scene.outbox.number(&paused).await == 1).await;
    let kept = format!("SELECT count(*) FROM posthaste.queues WHERE id = {queue} AND paused_reason = 'mine'");
    assert_eq!(scene.outbox.number(&kept).await, 1);
}
