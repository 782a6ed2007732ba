//! Cancelling by the store's functions, as the API does.

use std::time::Duration;

use posthaste_core::ids::{MessageId, QueueId};
use posthaste_store::cancel::{CancelRequest, MessageState, request, state};
use posthaste_store::message::Ending;
use posthaste_store::wakeup::notify_pending;
use posthaste_tests::receiver::Answer;
use posthaste_tests::wait;

use super::{SOON, Scene, verdicts};

/// How long a caller waits for the owner.
const SECOND: Duration = Duration::from_secs(1);

impl Scene {
    /// Asks, and tells the owner.
    async fn cancel(&mut self, message: i64) {
        match request(&mut self.api, MessageId(message)).await.unwrap() {
            CancelRequest::Requested { shard } => notify_pending(&mut self.api, &[shard]).await.unwrap(),
            other => panic!("message {message}: {other:?}"),
        }
    }

    async fn state(&mut self, message: i64) -> MessageState {
        state(&mut self.api, MessageId(message)).await.unwrap()
    }

    async fn is_dropped_within(&mut self, deadline: Duration, message: i64) {
        let cancelled = MessageState::Ended(Ending::Cancelled);
        wait::eventually(deadline, "the message is dropped", async || self.state(message).await == cancelled).await;
    }
}

#[actix_rt::test]
async fn the_owner_drops_within_a_second_what_waits_wherever_it_is() {
    let mut scene = Scene::new().await;
    scene.receiver.answer("/hangs", Answer::hang());
    scene.receiver.answer("/fails", Answer::status(500));
    let queue = scene.queue("/hook", &[]).await;
    let hanging = scene.queue("/hangs", &[]).await;
    let failing = scene.queue("/fails", &[("retry_initial_ms", "3600000")]).await;
    let far = scene.outbox.enqueue_with(queue, "at => now() + interval '10 years'").await;
    let soon = scene.outbox.enqueue_with(queue, "at => now() + interval '20 s'").await;
    let retrying = scene.outbox.enqueue(failing, "x").await;
    scene.outbox.attempted(SOON, retrying, 1).await;
    // More than windows hold, behind a receiver that hangs: the last is in no memory.
    let beyond = *scene.outbox.enqueue_many(hanging, 30_000).await.last().unwrap();
    scene.receiver.wait_for_count(SOON, "/hangs", 30).await;

    for message in [far, soon, retrying, beyond] {
        assert_eq!(scene.state(message).await, MessageState::Pending);
        scene.cancel(message).await;
        scene.is_dropped_within(SECOND, message).await;
        // Asked again, it is told that it has ended, and how.
        assert_eq!(request(&mut scene.api, MessageId(message)).await.unwrap(), CancelRequest::Ended);
        assert_eq!(scene.state(message).await, MessageState::Ended(Ending::Cancelled));
    }
    let of_queue = "SELECT count(*) FROM posthaste.attempts a JOIN posthaste.messages m ON m.id = a.message_id
                     WHERE a.queue_id IS DISTINCT FROM m.queue_id";
    assert_eq!(scene.outbox.number(of_queue).await, 0, "every attempt names its queue");
}

#[actix_rt::test]
async fn a_message_cancelled_in_flight_is_dropped_instead_of_tried_again() {
    let mut scene = Scene::new().await;
    let slow = |status| Answer { delay: Duration::from_millis(700), ..Answer::status(status) };
    scene.receiver.answer("/fails", slow(500));
    scene.receiver.answer("/works", slow(200));
    let (failing, working) = (scene.queue("/fails", &[]).await, scene.queue("/works", &[]).await);
    let (fails, works) = (scene.outbox.enqueue(failing, "x").await, scene.outbox.enqueue(working, "x").await);
    for path in ["/fails", "/works"] {
        scene.receiver.wait_for_count(SOON, path, 1).await;
    }
    for message in [fails, works] {
        scene.cancel(message).await;
        assert_eq!(scene.state(message).await, MessageState::Pending, "too slow to be in time");
        // Twice is as once.
        scene.cancel(message).await;
    }
    assert_eq!(verdicts(&scene.outbox.ended(SOON, fails).await), ["retried status", "cancelled cancelled"]);
    assert_eq!(verdicts(&scene.outbox.ended(SOON, works).await), ["delivered"]);
    assert_eq!(scene.state(works).await, MessageState::Ended(Ending::Delivered));
    assert_eq!(request(&mut scene.api, MessageId(works)).await.unwrap(), CancelRequest::Ended);
    assert_eq!(scene.receiver.count(), 2);
}

#[actix_rt::test]
async fn what_never_was_is_missing() {
    let mut scene = Scene::without_deliverer().await;
    let none = MessageId(123_456_789);
    assert_eq!(request(&mut scene.api, none).await.unwrap(), CancelRequest::Missing);
    assert_eq!(state(&mut scene.api, none).await.unwrap(), MessageState::Missing);
    assert_eq!(posthaste_store::count::backlog(&mut scene.api, Some(QueueId(1))).await.unwrap().pending, 0);
}
