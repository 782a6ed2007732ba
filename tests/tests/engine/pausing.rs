//! Nothing of a paused queue starts, nothing of it is lost, and it costs nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use posthaste_core::ids::QueueId;
use posthaste_store::queue_state::{paused, resume, set_paused};
use posthaste_tests::outbox::message_of;
use posthaste_tests::receiver::Answer;
use posthaste_tests::wait;

use super::{SOON, Scene, verdicts};

/// Within this after the commit, the last delivery arrives, and after the end of the pause the first.
const SECOND: Duration = Duration::from_secs(1);

impl Scene {
    /// How often each message has arrived at a path.
    fn arrivals(&self, path: &str) -> BTreeMap<i64, usize> {
        let mut arrivals = BTreeMap::new();
        for request in self.receiver.requests_to(path) {
            *arrivals.entry(message_of(&request)).or_default() += 1;
        }
        arrivals
    }

    fn each_arrived_once(&self, path: &str, messages: &[i64]) {
        let once: BTreeMap<i64, usize> = messages.iter().map(|id| (*id, 1)).collect();
        assert_eq!(self.arrivals(path), once);
    }

    fn last_arrival(&self, path: &str) -> Option<Instant> {
        self.receiver.requests_to(path).iter().map(|request| request.at).max()
    }

    /// Rows of messages that were read so far, as far as the sessions have told.
    async fn messages_read(&self) -> i64 {
        self.outbox
            .number(
                "SELECT coalesce(sum(idx_tup_fetch), 0)::bigint FROM pg_stat_user_tables
                  WHERE schemaname = 'posthaste' AND relname LIKE 'messages_%'",
            )
            .await
    }
}

async fn pauses_while_messages_flow(notifies: bool) {
    let mut scene = Scene::new().await;
    scene.receiver.answer("/hook", Answer::after(Duration::from_millis(30)));
    let queue = scene.queue("/hook", &[]).await;
    let mut messages = scene.outbox.enqueue_many(queue, 4000).await;
    scene.receiver.wait_for_count(SOON, "/hook", 300).await;
    let paused_at = Instant::now();
    if notifies {
        scene.pause(queue).await;
    } else {
        scene.outbox.execute(&format!("UPDATE posthaste.queues SET paused_at = now() WHERE id = {queue}")).await;
    }
    scene.passes(1100).await;
    // What comes in the meantime is accepted and waits too.
    messages.extend(scene.outbox.enqueue_many(queue, 50).await);
    let read = scene.messages_read().await;
    scene.passes(2500).await;
    let reread = scene.messages_read().await - read;

    let arrived = scene.arrivals("/hook").len();
    assert!(arrived < messages.len(), "all had been delivered before: this tests nothing");
    let late = scene.last_arrival("/hook").unwrap().saturating_duration_since(paused_at);
    println!("{arrived} arrived, the last {late:?} after the pause; {reread} messages read in 2.5 s of it");
    assert!(late < SECOND, "one arrived {late:?} after the pause");
    assert!(read > 0, "the sessions tell what they read");
    assert!(reread < 200, "{reread} messages were read of a paused queue");

    let resumed_at = Instant::now();
    if notifies {
        scene.resume(queue).await;
    } else {
        scene.outbox.execute(&format!("UPDATE posthaste.queues SET paused_at = NULL WHERE id = {queue}")).await;
    }
    scene.receiver.wait_for_count(SOON, "/hook", arrived + 1).await;
    assert!(resumed_at.elapsed() < SECOND, "resumed after {:?}", resumed_at.elapsed());
    scene.outbox.nothing_pending(SOON).await;
    scene.each_arrived_once("/hook", &messages);
}

#[actix_rt::test]
async fn paused_while_messages_flow_and_resumed() {
    pauses_while_messages_flow(true).await;
}

#[actix_rt::test]
async fn paused_and_resumed_without_any_notification() {
    pauses_while_messages_flow(false).await;
}

#[actix_rt::test]
async fn retries_wait_for_their_queue_to_be_resumed() {
    let mut scene = Scene::new().await;
    scene.receiver.plan("/fails", |earlier, _| {
        let status = if earlier < 20 { 500 } else { 200 };
        Answer { delay: Duration::from_millis(400), ..Answer::status(status) }
    });
    let queue = scene.queue("/fails", &[("retry_initial_ms", "1")]).await;
    let messages = scene.outbox.enqueue_many(queue, 20).await;
    scene.receiver.wait_for_count(SOON, "/fails", 20).await;
    // All are being delivered at this moment; what they come to is recorded.
    scene.pause(queue).await;
    scene.outbox.attempted(SOON, messages[19], 1).await;
    scene.passes(1500).await;
    assert_eq!(scene.receiver.requests_to("/fails").len(), 20);
    scene.resume(queue).await;
    for message in &messages {
        let attempts = scene.outbox.ended(SOON, *message).await;
        assert_eq!(verdicts(&attempts), ["retried status", "delivered"]);
    }
}

#[actix_rt::test]
async fn what_is_paused_stays_so_for_the_next_owner() {
    let mut scene = Scene::without_deliverer().await;
    let queue = scene.queue("/hook", &[]).await;
    let messages = scene.outbox.enqueue_many(queue, 3000).await;
    scene.pause(queue).await;
    scene.start_deliverer().await;
    scene.passes(800).await;
    scene.deliverer.as_mut().unwrap().sigkill().await;
    scene.start_deliverer().await;
    scene.passes(800).await;
    // In good order, this time.
    let leaving = scene.deliverer.as_mut().unwrap();
    leaving.sigterm();
    assert!(leaving.wait(SOON).await.success());
    scene.start_deliverer().await;
    scene.passes(800).await;
    assert_eq!(scene.receiver.requests_to("/hook").len(), 0);

    scene.resume(queue).await;
    scene.outbox.nothing_pending(SOON).await;
    scene.each_arrived_once("/hook", &messages);
}

#[actix_rt::test]
async fn killed_while_it_delivers_a_queue_that_is_then_paused_everything_is_made_up_for_later() {
    let mut scene = Scene::new().await;
    scene.receiver.answer("/hook", Answer::after(Duration::from_millis(200)));
    let queue = scene.queue("/hook", &[]).await;
    let messages = scene.outbox.enqueue_many(queue, 1000).await;
    scene.receiver.wait_for_count(SOON, "/hook", 100).await;
    scene.deliverer.as_mut().unwrap().sigkill().await;
    scene.pause(queue).await;
    scene.start_deliverer().await;
    scene.passes(800).await;
    let before = scene.arrivals("/hook");
    scene.passes(800).await;
    assert_eq!(scene.arrivals("/hook"), before, "something started");
    assert!(before.len() < messages.len());

    scene.resume(queue).await;
    scene.outbox.nothing_pending(SOON).await;
    let arrivals = scene.arrivals("/hook");
    assert!(arrivals.keys().copied().eq(messages), "each arrived");
    // Only what was in flight when it was killed may come again.
    for (message, count) in arrivals {
        let allowed = if before.contains_key(&message) { 2 } else { 1 };
        assert!(count <= allowed, "message {message} came {count} times");
    }
}

#[actix_rt::test]
async fn cancelled_messages_of_a_paused_queue_are_dropped() {
    let mut scene = Scene::new().await;
    let queue = scene.queue("/hook", &[]).await;
    scene.pause(queue).await;
    let messages = scene.outbox.enqueue_many(queue, 30_000).await;
    let later = scene.outbox.enqueue_with(queue, "at => now() + interval '1 month'").await;
    scene.passes(500).await;
    // The first are in memory, the last are not.
    let (first, last) = (messages[0], messages[29_999]);
    for message in [first, last, later] {
        scene
            .outbox
            .execute(&format!(
                "UPDATE posthaste.pending SET cancelled = true, xid = pg_current_xact_id() WHERE message_id = {message}"
            ))
            .await;
    }
    for message in [first, last, later] {
        let attempts = scene.outbox.ended(Duration::from_secs(2), message).await;
        assert_eq!(verdicts(&attempts), ["cancelled cancelled"]);
    }
    assert_eq!(scene.outbox.number("SELECT count(*) FROM posthaste.pending").await, 29_998);
    assert_eq!(scene.receiver.requests_to("/hook").len(), 0);
}

#[actix_rt::test]
async fn a_pause_keeps_its_first_time_and_ends_without_a_trace() {
    let mut scene = Scene::without_deliverer().await;
    let queue = scene.queue("/hook", &[]).await;
    let since = "SELECT (extract(epoch FROM paused_at) * 1000000)::bigint FROM posthaste.queues";
    let api = &mut scene.api;
    assert!(set_paused(api, QueueId(queue), Some("receiver is down")).await.unwrap());
    let first = scene.outbox.number(since).await;
    assert!(set_paused(api, QueueId(queue), None).await.unwrap());
    assert_eq!(scene.outbox.number(since).await, first);
    let reasons = "SELECT count(*) FROM posthaste.queues WHERE paused_reason = 'receiver is down'";
    assert_eq!(scene.outbox.number(reasons).await, 1);
    assert_eq!(paused(api).await.unwrap(), [QueueId(queue)]);
    for _ in 0..2 {
        assert!(resume(api, QueueId(queue)).await.unwrap());
    }
    assert_eq!(paused(api).await.unwrap(), []);
    assert_eq!(scene.outbox.number(reasons).await, 0);
    assert!(!set_paused(api, QueueId(queue + 1), None).await.unwrap());
    assert!(!resume(api, QueueId(queue + 1)).await.unwrap());
}

#[actix_rt::test]
async fn a_paused_queue_does_not_stand_in_the_way_of_another() {
    let mut scene = Scene::new().await;
    let (still, busy) = (scene.queue("/still", &[]).await, scene.queue("/busy", &[]).await);
    scene.pause(still).await;
    scene.outbox.enqueue_many(still, 20_000).await;
    let messages = scene.outbox.enqueue_many(busy, 2000).await;
    wait::eventually(SOON, "the other queue is empty", async || {
        scene.outbox.number(&format!("SELECT count(*) FROM posthaste.pending WHERE queue_id = {busy}")).await == 0
    })
    .await;
    scene.each_arrived_once("/busy", &messages);
    assert_eq!(scene.receiver.requests_to("/still").len(), 0);
}
