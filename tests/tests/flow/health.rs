//! A receiver that does not answer is asked now and then, and its messages keep their attempts; how it stands is shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use posthaste_tests::process::Launch;
use posthaste_tests::receiver::Answer;
use posthaste_tests::wait;
use serde_json::{Value, json};

use super::{LONG, Scene};

#[actix_rt::test]
async fn the_breaker_opens_and_closes_and_is_shown() {
    let scene = Scene::new(2).await;
    let api = Launch::api(&scene.database).start().await;
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    scene
        .receiver
        .plan("/hook", move |_, _| if up.load(Ordering::SeqCst) { Answer::status(200) } else { Answer::close() });
    let queue = scene.queue(&[("max_concurrency", "50"), ("retry_initial_ms", "100")]).await;
    let path = format!("/queues/{queue}/stats");
    let stats = async || api.api().get(&path).await.json;
    let idle = stats().await;
    assert_eq!((&idle["inFlight"], &idle["window"], &idle["breaker"]), (&json!(0), &Value::Null, &Value::Null));

    let messages = scene.outbox.enqueue_many(queue, 500).await;
    let open = wait::until(LONG, "the breaker is open", async || {
        Some(stats().await).filter(|stats| stats["breaker"] == "open")
    })
    .await;
    assert!(open["allowedConcurrency"].as_i64().unwrap() <= 50, "{open}");
    assert!(open["pending"].as_i64().unwrap() == 500, "{open}");
    // It was asked a few times, not once for each message and retry.
    let asked = scene.receiver.requests_to("/hook").len();
    assert!((20..120).contains(&asked), "{asked} requests");

    is_up.store(true, Ordering::SeqCst);
    scene.outbox.nothing_pending(LONG).await;
    let delivered = "SELECT count(*) FROM posthaste.attempts WHERE outcome = 'delivered'";
    assert_eq!(scene.outbox.number(delivered).await, i64::try_from(messages.len()).unwrap());
}
