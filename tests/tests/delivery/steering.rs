//! Changes of queues and messages that are waiting: each counts from its commit on.

use std::time::Duration;

use posthaste_tests::outbox::{message_of, micros};
use posthaste_tests::receiver::Answer;

use super::{LATE, SOON, Scene, verdicts};

const RESCHEDULE: &str = "UPDATE posthaste.pending SET xid = pg_current_xact_id(), due_at = ";

impl Scene {
    async fn cancel(&self, message: i64) {
        self.outbox
            .execute(&format!(
                "UPDATE posthaste.pending SET cancelled = true, xid = pg_current_xact_id() WHERE message_id = {message}"
            ))
            .await;
    }

    /// Moves a message to `due`, an SQL expression, and returns that time.
    async fn reschedule(&self, message: i64, due: &str) -> i64 {
        self.outbox
            .number(&format!(
                "{RESCHEDULE} {due} WHERE message_id = {message} RETURNING (extract(epoch FROM due_at) * 1000000)::bigint"
            ))
            .await
    }

    /// Waits for the message's only request, and asserts that it came when it was due.
    async fn arrives_at(&self, message: i64, due: i64) {
        let attempts = self.outbox.ended(SOON, message).await;
        assert_eq!(verdicts(&attempts), ["delivered"]);
        let mut requests = self.receiver.requests();
        requests.retain(|request| message_of(request) == message);
        assert_eq!(requests.len(), 1);
        let late = micros(requests[0].time) - due;
        assert!((0..LATE).contains(&late), "came {late} µs after its time");
    }
}

#[actix_rt::test]
async fn the_settings_of_the_queue_are_read_at_each_attempt() {
    let scene = Scene::new().await;
    scene.receiver.answer("/old", Answer::status(500));
    let queue = scene.queue("/old", &[("retry_initial_ms", "2000"), ("max_retries", "1")]).await;
    let message = scene.outbox.enqueue(queue, "x").await;
    scene.outbox.attempted(SOON, message, 1).await;

    let new = scene.receiver.url("/new");
    scene
        .outbox
        .execute(&format!(
            r#"UPDATE posthaste.queues SET callback_url = '{new}', method = 'PUT', headers = '{{"x-new": "1"}}'"#
        ))
        .await;

    let attempts = scene.outbox.ended(SOON, message).await;
    assert_eq!(verdicts(&attempts), ["retried status", "delivered"]);
    let requests = scene.receiver.requests_to("/new");
    assert_eq!((requests.len(), requests[0].method.as_str(), requests[0].header("x-new")), (1, "PUT", Some("1")));
    assert_eq!(scene.receiver.requests_to("/old").len(), 1);
}

#[actix_rt::test]
async fn messages_of_a_deleted_queue_are_recorded_as_cancelled() {
    let scene = Scene::new().await;
    scene.receiver.answer("/fails", Answer::status(500));
    let queue = scene.queue("/fails", &[("retry_initial_ms", "1000")]).await;
    let retrying = scene.outbox.enqueue(queue, "x").await;
    scene.outbox.attempted(SOON, retrying, 1).await;
    let waiting = scene.outbox.enqueue_with(queue, "at => now() + interval '500 ms'").await;

    scene.outbox.execute(&format!("DELETE FROM posthaste.queues WHERE id = {queue}")).await;

    let attempts = scene.outbox.ended(SOON, retrying).await;
    assert_eq!(verdicts(&attempts), ["retried status", "cancelled queue_deleted"]);
    let attempts = scene.outbox.ended(SOON, waiting).await;
    assert_eq!(verdicts(&attempts), ["cancelled queue_deleted"]);
    assert_eq!(attempts[0].status, None);
    assert_eq!(scene.receiver.requests_to("/fails").len(), 1);
}

#[actix_rt::test]
async fn a_cancelled_message_is_dropped_at_once_and_recorded() {
    let scene = Scene::new().await;
    scene.receiver.answer("/fails", Answer::status(500));
    let queue = scene.queue("/hook", &[]).await;
    let failing = scene.queue("/fails", &[("retry_initial_ms", "3600000")]).await;
    // Due soon, so that the owner holds it; due late; waiting for a retry.
    let soon = scene.outbox.enqueue_with(queue, "at => now() + interval '3 s'").await;
    let late = scene.outbox.enqueue_with(queue, "at => now() + interval '1 day'").await;
    let retrying = scene.outbox.enqueue(failing, "x").await;
    scene.outbox.attempted(SOON, retrying, 1).await;
    scene.all_is_read().await;

    for message in [soon, late, retrying] {
        scene.cancel(message).await;
    }

    let dropped = Duration::from_secs(2);
    assert_eq!(verdicts(&scene.outbox.ended(dropped, soon).await), ["cancelled cancelled"]);
    assert_eq!(verdicts(&scene.outbox.ended(dropped, late).await), ["cancelled cancelled"]);
    assert_eq!(verdicts(&scene.outbox.ended(dropped, retrying).await), ["retried status", "cancelled cancelled"]);
    // Nothing is left of them, neither in the database nor in the owner's memory.
    let later = scene.outbox.enqueue_with(queue, "at => now() + interval '3200 ms'").await;
    scene.outbox.ended(SOON, later).await;
    let arrived: Vec<_> = scene.receiver.requests_to("/hook").iter().map(message_of).collect();
    assert_eq!(arrived, [later]);
}

#[actix_rt::test]
async fn a_message_cancelled_before_any_deliverer_ran_is_never_sent() {
    let mut scene = Scene::without_deliverer().await;
    let queue = scene.queue("/hook", &[]).await;
    let messages = scene.outbox.enqueue_many(queue, 50).await;
    let (kept, cancelled) = messages.split_at(25);
    for message in cancelled {
        scene.cancel(*message).await;
    }

    scene.start_deliverer().await;
    scene.outbox.nothing_pending(SOON).await;

    let mut arrived: Vec<_> = scene.receiver.requests().iter().map(message_of).collect();
    arrived.sort_unstable();
    assert_eq!(arrived, kept);
    for message in cancelled {
        assert_eq!(verdicts(&scene.outbox.attempts(*message).await), ["cancelled cancelled"]);
    }
}

#[actix_rt::test]
async fn cancelled_while_it_is_being_sent_it_is_not_tried_again() {
    let scene = Scene::new().await;
    let slow = |status| Answer { delay: Duration::from_millis(700), ..Answer::status(status) };
    scene.receiver.answer("/fails", slow(500));
    scene.receiver.answer("/works", slow(200));
    let mut messages = Vec::new();
    for path in ["/fails", "/works"] {
        let queue = scene.queue(path, &[]).await;
        messages.push(scene.outbox.enqueue(queue, "x").await);
        scene.receiver.wait_for_count(SOON, path, 1).await;
    }
    for message in &messages {
        scene.cancel(*message).await;
    }
    assert_eq!((scene.receiver.open("/fails"), scene.receiver.open("/works")), (1, 1), "too slow to be in time");

    // What has happened is told as it was.
    assert_eq!(verdicts(&scene.outbox.ended(SOON, messages[0]).await), ["retried status", "cancelled cancelled"]);
    assert_eq!(verdicts(&scene.outbox.ended(SOON, messages[1]).await), ["delivered"]);
    assert_eq!(scene.receiver.count(), 2);
}

#[actix_rt::test]
async fn moved_forward_a_message_is_sent_at_its_new_time() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook", &[]).await;
    let message = scene.outbox.enqueue_with(queue, "at => now() + interval '1 hour'").await;
    scene.all_is_read().await;
    let due = scene.reschedule(message, "clock_timestamp() + interval '700 ms'").await;
    scene.arrives_at(message, due).await;

    let message = scene.outbox.enqueue_with(queue, "at => now() + interval '1 hour'").await;
    scene.all_is_read().await;
    let due = scene.reschedule(message, "clock_timestamp()").await;
    scene.arrives_at(message, due).await;
}

#[actix_rt::test]
async fn put_off_a_message_is_not_sent_at_its_old_time() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook", &[]).await;
    let message = scene.outbox.enqueue_with(queue, "at => now() + interval '1 s'").await;
    // The owner holds it and waits for its time.
    scene.all_is_read().await;
    let due = scene.reschedule(message, "clock_timestamp() + interval '2500 ms'").await;
    scene.arrives_at(message, due).await;
}

#[actix_rt::test]
async fn moved_to_and_fro_many_messages_are_each_sent_once_and_never_early() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook", &[]).await;
    let messages = scene
        .outbox
        .numbers(&format!(
            "SELECT posthaste.enqueue({queue}::bigint, at => now() + interval '2 s' + random() * interval '1 s')
               FROM generate_series(1, 300)"
        ))
        .await;
    // Each time all of them, in one transaction, to some time soon.
    for _ in 0..10 {
        scene
            .outbox
            .execute(&format!("{RESCHEDULE} clock_timestamp() + interval '2 s' + random() * interval '1 s'"))
            .await;
        scene.all_is_read().await;
    }
    let dues = scene
        .outbox
        .numbers("SELECT (extract(epoch FROM due_at) * 1000000)::bigint FROM posthaste.pending ORDER BY message_id")
        .await;
    assert_eq!(dues.len(), 300, "they were not to be sent yet");
    scene.outbox.nothing_pending(SOON).await;

    let requests = scene.receiver.requests_to("/hook");
    assert_eq!(requests.len(), 300);
    for (message, due) in messages.into_iter().zip(dues) {
        let request = requests.iter().find(|request| message_of(request) == message).unwrap();
        let late = micros(request.time) - due;
        assert!((0..LATE).contains(&late), "came {late} µs after its time");
    }
}
