//! From its own end on, a message is not sent.

use posthaste_tests::outbox::message_of;
use posthaste_tests::receiver::Answer;

use super::{SOON, Scene, verdicts};

impl Scene {
    /// Stores a message that expires at a time, an SQL expression.
    async fn enqueue_until(&self, queue: i64, at: &str, expires_at: &str) -> i64 {
        let message = self.outbox.enqueue_with(queue, &format!("at => {at}")).await;
        // The function cannot set it; nobody has read the message meanwhile, as it is due later or its queue is paused.
        self.outbox
            .number(&format!(
                "UPDATE posthaste.messages SET expires_at = {expires_at} WHERE id = {message} RETURNING id"
            ))
            .await
    }
}

#[actix_rt::test]
async fn a_message_that_expired_before_it_was_tried_is_a_dead_letter_and_not_sent() {
    let scene = Scene::new().await;
    let dead = scene.queue("/dead", &[]).await;
    let queue = scene.queue("/hook", &[("dead_letter_queue_id", &dead.to_string())]).await;
    let at = "now() + interval '700 ms'";
    let expired = scene.enqueue_until(queue, at, "now() + interval '100 ms'").await;
    let kept = scene.enqueue_until(queue, at, "now() + interval '1 hour'").await;

    assert_eq!(verdicts(&scene.outbox.ended(SOON, expired).await), ["expired expired"]);
    assert_eq!(verdicts(&scene.outbox.ended(SOON, kept).await), ["delivered"]);
    let letters = scene.receiver.wait_for_count(SOON, "/dead", 1).await;
    let arrived: Vec<_> = scene.receiver.requests_to("/hook").iter().map(message_of).collect();
    assert_eq!(arrived, [kept]);
    // The letter is a message of its own, with all its time.
    let letter = message_of(&letters[0]);
    let sql = format!(
        "SELECT count(*) FROM posthaste.messages WHERE id = {letter} AND origin_message_id = {expired} AND expires_at IS NULL"
    );
    assert_eq!(scene.outbox.number(&sql).await, 1);
}

#[actix_rt::test]
async fn a_retry_that_would_come_too_late_is_not_waited_for() {
    let scene = Scene::new().await;
    scene.receiver.answer("/fails", Answer::status(500));
    let queue = scene.queue("/fails", &[("retry_initial_ms", "3600000")]).await;
    let at = "now() + interval '300 ms'";
    let ends = scene.enqueue_until(queue, at, "now() + interval '30 minutes'").await;
    let waits = scene.enqueue_until(queue, at, "now() + interval '2 hours'").await;

    assert_eq!(verdicts(&scene.outbox.ended(SOON, ends).await), ["failed status"]);
    assert_eq!(verdicts(&scene.outbox.attempted(SOON, waits, 1).await), ["retried status"]);
    assert!(scene.outbox.is_pending(waits).await);
}

#[actix_rt::test]
async fn what_expires_while_its_queue_is_paused_is_recorded_when_it_is_resumed() {
    let mut scene = Scene::new().await;
    let queue = scene.queue("/hook", &[]).await;
    scene.pause(queue).await;
    let expired = scene.enqueue_until(queue, "now()", "now() + interval '200 ms'").await;
    let kept = scene.enqueue_until(queue, "now()", "NULL").await;
    scene.passes(500).await;
    assert!(scene.outbox.is_pending(expired).await);
    scene.resume(queue).await;
    assert_eq!(verdicts(&scene.outbox.ended(SOON, expired).await), ["expired expired"]);
    assert_eq!(verdicts(&scene.outbox.ended(SOON, kept).await), ["delivered"]);
    assert_eq!(scene.receiver.requests_to("/hook").len(), 1);
}
