//! Messages of one ordering key go one at a time and in order, also when they fail and whoever owns them; of what is due the
//! highest priority goes first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use posthaste_tests::outbox::message_of;
use posthaste_tests::receiver::{Answer, LANE};

use super::{LONG, Scene};

/// The ids that each key's messages were answered 200 with, in the order of the requests.
type Delivered = Arc<Mutex<BTreeMap<String, Vec<i64>>>>;

/// Each message fails once, if its number says so, and is answered after a while.
fn watch(scene: &Scene) -> Delivered {
    let delivered = Delivered::default();
    let (seen, failed) = (Arc::clone(&delivered), Mutex::new(std::collections::HashSet::new()));
    scene.receiver.plan("/hook", move |_, request| {
        let id = message_of(request);
        if id % 5 == 0 && failed.lock().unwrap().insert(id) {
            return Answer::status(500);
        }
        let lane = request.header(LANE).unwrap_or_default().to_owned();
        seen.lock().unwrap().entry(lane).or_default().push(id);
        Answer::after(Duration::from_millis(3))
    });
    delivered
}

#[actix_rt::test]
async fn one_at_a_time_and_in_order_while_deliverers_come_go_and_are_killed() {
    const KEYS: i64 = 20;
    let mut scene = Scene::new(3).await;
    let delivered = watch(&scene);
    let queue = scene.queue(&[("spread", "8"), ("retry_initial_ms", "20"), ("retry_multiplier", "1")]).await;
    let messages = scene
        .outbox
        .numbers(&format!(
            "SELECT posthaste.enqueue({queue}::bigint, ordering_key => (i % {KEYS})::text,
                    headers => jsonb_build_object('{LANE}', (i % {KEYS})::text))
               FROM generate_series(1, 1500) AS i"
        ))
        .await;
    scene.shuffle(150).await;
    scene.outbox.nothing_pending(LONG).await;

    let delivered = std::mem::take(&mut *delivered.lock().unwrap());
    assert_eq!(
        delivered.values().map(|ids| ids.iter().collect::<std::collections::BTreeSet<_>>().len()).sum::<usize>(),
        messages.len()
    );
    for (key, ids) in &delivered {
        assert!(ids.is_sorted(), "key {key}: {ids:?}");
        assert_eq!(scene.receiver.most_open(&format!("/hook#{key}")), 1, "key {key}");
    }
    assert!(scene.receiver.most_open("/hook") > 5, "keys do not wait for each other");
}

#[actix_rt::test]
async fn a_key_that_waits_for_a_retry_holds_up_nobody_else() {
    let scene = Scene::new(1).await;
    scene.receiver.plan("/hook", |_, request| Answer::status(if request.text() == "bad" { 500 } else { 200 }));
    let queue = scene.queue(&[("retry_initial_ms", "600000")]).await;
    let keyed = |key: &str, body: &str| format!("body => '{body}', ordering_key => '{key}'");
    let bad = scene.outbox.enqueue_with(queue, &keyed("a", "bad")).await;
    let behind = scene.outbox.enqueue_with(queue, &keyed("a", "good")).await;
    for (key, body) in [("b", "good"), ("c", "good")] {
        let other = scene.outbox.enqueue_with(queue, &keyed(key, body)).await;
        assert_eq!(scene.outbox.ended(LONG, other).await.len(), 1);
    }
    let none = scene.outbox.enqueue(queue, "good").await;
    assert_eq!(scene.outbox.ended(LONG, none).await.len(), 1);
    scene.outbox.attempted(LONG, bad, 1).await;
    assert_eq!(scene.outbox.attempts(behind).await, []);
    assert!(scene.outbox.is_pending(behind).await);

    // Whatever ends the first lets the next go.
    scene
        .outbox
        .execute(&format!(
            "UPDATE posthaste.pending SET cancelled = true, xid = pg_current_xact_id() WHERE message_id = {bad}"
        ))
        .await;
    assert_eq!(
        scene.outbox.ended(LONG, behind).await.last().map(|attempt| attempt.outcome.clone()),
        Some("delivered".to_owned())
    );
}

#[actix_rt::test]
async fn what_is_due_later_and_in_no_memory_still_comes_first_in_its_key() {
    let mut scene = Scene::new(0).await;
    let queue = scene.queue(&[]).await;
    let first = scene.outbox.enqueue_with(queue, "ordering_key => 'k', at => now() + interval '6 s'").await;
    // More than is read at first stand between.
    scene
        .outbox
        .numbers(&format!(
            "SELECT posthaste.enqueue({queue}::bigint, at => now() + interval '5 s') FROM generate_series(1, 500)"
        ))
        .await;
    let second = scene.outbox.enqueue_with(queue, "ordering_key => 'k'").await;
    scene.start_deliverer().await;
    scene.outbox.nothing_pending(LONG).await;
    let came: Vec<i64> = scene.receiver.requests_to("/hook").iter().map(message_of).collect();
    let of_key: Vec<i64> = came.into_iter().filter(|id| [first, second].contains(id)).collect();
    assert_eq!(of_key, [first, second]);
}

#[actix_rt::test]
async fn the_highest_priority_goes_first() {
    let scene = Scene::new(1).await;
    let queue = scene.queue(&[("max_concurrency", "1"), ("paused_at", "now()")]).await;
    let mut expected = Vec::new();
    for priority in [0, -9, 9, 0, 5, 9] {
        let id = scene.outbox.enqueue_with(queue, &format!("priority => {priority}")).await;
        expected.push((-priority, id));
    }
    expected.sort_unstable();
    scene.outbox.execute(&format!("UPDATE posthaste.queues SET paused_at = NULL WHERE id = {queue}")).await;
    scene.outbox.nothing_pending(LONG).await;
    let came: Vec<i64> = scene.receiver.requests_to("/hook").iter().map(message_of).collect();
    assert_eq!(came, expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
}
