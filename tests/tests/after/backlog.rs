//! Beyond a limit of its backlog a queue takes no more, until some have ended; what was taken is delivered.

use posthaste_tests::wait;
use serde_json::json;

use super::{LONG, Scene};

#[actix_rt::test]
async fn a_full_queue_takes_no_more_until_some_have_ended() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook", json!({"maxBacklog": 10})).await;
    let other = scene.queue("/other", json!({})).await;
    scene.api().post(&format!("/queues/{queue}/pause"), &json!({})).await;
    let mut taken = 0;
    let full = wait::until(LONG, "the queue is full", async || {
        let answer = scene.api().post("/messages", &json!({"queueId": queue, "body": "x"})).await;
        if answer.status == 200 {
            taken += 1;
            return None;
        }
        Some(answer)
    })
    .await;
    assert_eq!((full.status, &full.json["code"]), (429, &json!("PH_BACKLOG_FULL")), "{}", full.text);
    assert_eq!(full.headers.get("retry-after").map(|after| after.to_str().unwrap()), Some("1"));
    assert!(taken >= 10, "{taken}");
    let batch = scene.api().post("/messages/batch", &json!([{"queueId": other}, {"queueId": queue}])).await;
    assert_eq!((batch.status, &batch.json["code"]), (429, &json!("PH_BACKLOG_FULL")));
    // The others go on.
    scene.message(&other, "x").await;

    scene.api().post(&format!("/queues/{queue}/resume"), &json!({})).await;
    wait::eventually(LONG, "there is room again", async || {
        scene.api().post("/messages", &json!({"queueId": queue, "body": "x"})).await.status == 200
    })
    .await;
    scene.outbox.nothing_pending(LONG).await;
    assert_eq!(scene.receiver.requests_to("/hook").len(), taken + 1);
}

#[actix_rt::test]
async fn a_limit_of_all_and_a_limit_that_is_lifted() {
    let scene = Scene::with(&[("MAX_BACKLOG", "5000")]).await;
    let queue = scene.queue("/hook", json!({"maxBacklog": 1})).await;
    scene.api().post(&format!("/queues/{queue}/pause"), &json!({})).await;
    let post = async || scene.api().post("/messages", &json!({"queueId": queue, "body": "x"})).await;
    wait::eventually(LONG, "the queue is full", async || post().await.status == 429).await;
    let whole = json!({"name": "q", "callbackUrl": scene.receiver.url("/hook"), "method": "POST", "maxBacklog": null});
    assert_eq!(scene.api().put(&format!("/queues/{queue}"), &whole).await.status, 200);
    assert_eq!(post().await.status, 200, "a change counts at once where it is made");
    scene.outbox.enqueue_many(queue.parse().unwrap(), 5_000).await;
    let full =
        wait::until(LONG, "all is full", async || Some(post().await).filter(|answer| answer.status == 429)).await;
    assert!(full.json["message"].as_str().unwrap().starts_with("there are as many pending messages"), "{}", full.text);
}
