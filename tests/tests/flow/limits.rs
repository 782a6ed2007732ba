//! `maxConcurrency` and `rateLimit` are never exceeded, whoever owns the queue's shard, and whatever happens to who did.

use std::time::{Duration, Instant};

use posthaste_tests::process::Launch;
use posthaste_tests::receiver::{Answer, LANE};
use posthaste_tests::wait;
use serde_json::json;

use super::{LONG, Scene};

#[actix_rt::test]
async fn no_more_requests_at_once_than_allowed_while_deliverers_come_go_and_are_killed() {
    const MOST: usize = 4;
    let mut scene = Scene::new(3).await;
    scene.receiver.answer("/hook", Answer::after(Duration::from_millis(15)));
    let queue = scene.queue(&[("max_concurrency", "4")]).await;
    let messages = scene.outbox.enqueue_many(queue, 1_200).await;
    scene.shuffle(200).await;
    scene.outbox.nothing_pending(LONG).await;

    assert_eq!(scene.receiver.most_open("/hook"), MOST, "at once");
    let arrivals = scene.arrivals();
    assert!(messages.iter().all(|id| arrivals.contains_key(id)), "something was lost");
    let again: usize = arrivals.values().map(|times| times - 1).sum();
    assert!(again <= MOST, "{again} came again; only what was in flight at the kill may");
}

#[actix_rt::test]
async fn no_more_requests_in_any_time_than_the_rate_allows() {
    const PER_SECOND: f64 = 50.0;
    const BURST: f64 = 60.0;
    /// By how much one request may be longer on its way than another; far less than whoever had a burst of its own would need.
    const JITTER: f64 = 0.1;
    let mut scene = Scene::new(3).await;
    let queue = scene.queue(&[("rate_per_second", "50"), ("rate_burst", "60")]).await;
    let messages = scene.outbox.enqueue_many(queue, 600).await;
    let began = Instant::now();
    scene.shuffle(100).await;
    scene.outbox.nothing_pending(LONG).await;

    let arrivals = scene.arrivals();
    assert!(messages.iter().all(|id| arrivals.contains_key(id)), "something was lost");
    let mut times: Vec<f64> = scene
        .receiver
        .requests_to("/hook")
        .iter()
        .map(|request| request.at.duration_since(began).as_secs_f64())
        .collect();
    times.sort_by(f64::total_cmp);
    for (first, from) in times.iter().enumerate() {
        for (count, to) in (1_u32..).zip(&times[first..]) {
            let allowed = BURST + PER_SECOND * (to - from + JITTER);
            assert!(f64::from(count) <= allowed, "{count} requests within {} s", to - from);
        }
    }
}

#[actix_rt::test]
async fn a_queue_becomes_limited_and_unlimited_again_without_loss_or_violation() {
    const MOST: usize = 3;
    let mut scene = Scene::new(3).await;
    let api = Launch::api(&scene.database).start().await;
    scene.receiver.answer("/hook", Answer::after(Duration::from_millis(10)));
    let queue = api
        .api()
        .create_queue(&json!({"name": "q", "callbackUrl": scene.receiver.url("/hook"), "method": "POST"}))
        .await;
    let id: i64 = queue.parse().unwrap();
    let path = format!("/queues/{queue}");
    // More than any window holds: most of them are moved without ever having been in memory.
    let mut messages = scene.outbox.enqueue_many(id, 20_000).await;
    scene.receiver.wait_for_count(LONG, "/hook", 500).await;
    assert!(scene.receiver.most_open("/hook") > MOST);

    let whole = |limit| json!({"name": "q", "callbackUrl": scene.receiver.url("/hook"), "method": "POST", "maxConcurrency": limit});
    let changed = api.api().put(&path, &whole(json!(MOST))).await;
    assert_eq!((changed.status, &changed.json["maxConcurrency"]), (200, &json!(MOST)));
    // A change of limits starts nothing for a second. So what had been started before has been answered once nothing has come for a
    // good part of that; to have few open for a moment can be chance.
    let (mut seen, mut since) = (0, Instant::now());
    wait::eventually(LONG, "it is quiet", async || {
        let so_far = scene.receiver.requests_to("/hook").len();
        if so_far > seen {
            (seen, since) = (so_far, Instant::now());
        }
        since.elapsed() > Duration::from_millis(400) && scene.receiver.open("/hook") <= MOST
    })
    .await;
    scene.receiver.forget_most_open("/hook");
    messages.extend(scene.outbox.enqueue_many(id, 100).await);
    let so_far = scene.receiver.requests_to("/hook").len();
    scene.receiver.wait_for_count(LONG, "/hook", so_far + 600).await;
    assert_eq!(scene.receiver.most_open("/hook"), MOST, "at once");
    let shards = "SELECT count(DISTINCT shard) FROM posthaste.pending";
    wait::eventually(LONG, "all are in one shard", async || scene.outbox.number(shards).await == 1).await;
    assert_eq!(scene.receiver.most_open("/hook"), MOST, "at once");

    assert_eq!(api.api().put(&path, &whole(json!(null))).await.status, 200);
    wait::eventually(LONG, "more at once", async || scene.receiver.most_open("/hook") > 2 * MOST).await;
    scene.outbox.nothing_pending(LONG).await;
    let arrivals = scene.arrivals();
    assert!(messages.iter().all(|id| arrivals.get(id) == Some(&1)), "lost or repeated");
    scene.deliverers.clear();
}

#[actix_rt::test]
async fn what_a_killed_deliverer_was_sending_is_waited_for() {
    const MOST: usize = 3;
    let mut scene = Scene::new(1).await;
    // Longer than it takes until there is another owner.
    scene.receiver.answer("/hook", Answer::after(Duration::from_millis(2_500)).working_on());
    let limited = scene.queue(&[("max_concurrency", "3"), ("timeout_ms", "4000")]).await;
    let ordered = scene.queue(&[("timeout_ms", "4000")]).await;
    let mut messages = scene.outbox.enqueue_many(limited, 7).await;
    for _ in 0..3 {
        let headers = format!("ordering_key => 'k', headers => '{{\"{LANE}\": \"k\"}}'");
        messages.push(scene.outbox.enqueue_with(ordered, &headers).await);
    }
    scene.receiver.wait_for_count(LONG, "/hook", MOST + 1).await;
    scene.deliverers.remove(0).sigkill().await;
    assert_eq!(scene.receiver.open("/hook"), MOST + 1, "they go on though nobody listens");
    scene.start_deliverer().await;
    scene.outbox.nothing_pending(LONG).await;

    assert_eq!(scene.receiver.most_open("/hook#k"), 1, "of one ordering key");
    assert_eq!(scene.receiver.most_open("/hook"), MOST + 1, "at once, with the one of the ordering key");
    let arrivals = scene.arrivals();
    assert_eq!(arrivals.len(), messages.len());
    assert_eq!(arrivals.values().sum::<usize>(), messages.len() + MOST + 1, "what was cut off came again");
}
