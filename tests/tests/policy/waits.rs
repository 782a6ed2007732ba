//! How long is waited between attempts.

use posthaste_tests::receiver::Answer;

use super::{SOON, Scene};

/// How much later than planned an attempt may start on a busy machine, in milliseconds.
const LATE: i64 = 1000;

fn check(waits: &[i64], planned: &[i64]) {
    assert_eq!(waits.len(), planned.len(), "{waits:?}");
    for (wait, planned) in waits.iter().zip(planned) {
        assert!((*planned..*planned + LATE).contains(wait), "{waits:?} instead of {planned}");
    }
}

#[actix_rt::test]
async fn each_kind_of_policy_waits_in_its_own_way() {
    let scene = Scene::new().await;
    let three = ("max_retries", "3");
    let first = |ms: &'static str| ("retry_initial_ms", ms);
    let linear = [three, ("retry_kind", "'linear'"), first("300"), ("retry_max_ms", "500")];
    check(&scene.waits("/linear", &linear).await, &[300, 500, 500]);
    check(&scene.waits("/fixed", &[three, ("retry_kind", "'fixed'"), first("250")]).await, &[250, 250, 250]);
    let schedule = [three, ("retry_kind", "'schedule'"), ("retry_schedule_ms", "'{700, 100}'")];
    check(&scene.waits("/schedule", &schedule).await, &[700, 100, 100]);
    let exponential = [three, ("retry_kind", "'exponential'"), first("50"), ("retry_multiplier", "3")];
    check(&scene.waits("/exponential", &exponential).await, &[50, 150, 450]);
    check(&scene.waits("/default", &[three]).await, &[100, 200, 400]);
}

#[actix_rt::test]
async fn jitter_scatters_the_waits() {
    let scene = Scene::new().await;
    scene.receiver.answer("/jitter", Answer::status(500));
    let settings =
        [("max_retries", "1"), ("retry_kind", "'fixed'"), ("retry_initial_ms", "1000"), ("retry_jitter", "0.9")];
    let queue = scene.queue("/jitter", &settings).await;
    scene.outbox.enqueue_many(queue, 40).await;
    scene.outbox.nothing_pending(SOON).await;
    let waits = scene
        .outbox
        .numbers(
            "SELECT (extract(epoch FROM b.started_at - a.finished_at) * 1000)::bigint FROM posthaste.attempts a
             JOIN posthaste.attempts b ON b.message_id = a.message_id AND b.number = 2 WHERE a.number = 1",
        )
        .await;
    assert_eq!(waits.len(), 40);
    assert!(waits.iter().all(|wait| (100..1900 + LATE).contains(wait)), "{waits:?}");
    // Of 40 waits that are spread evenly over 0.1 to 1.9 s, some are short: none below 0.8 s has a chance of 1 in 10^8.
    assert!(waits.iter().any(|wait| *wait < 800), "{waits:?}");
    assert!(waits.iter().max() > waits.iter().min().map(|least| least + 300).as_ref(), "{waits:?}");
}

#[actix_rt::test]
async fn the_deployment_says_what_queues_do_not() {
    let scene = Scene::with(&[("RETRY_POLICY", "standard")]).await;
    scene.receiver.answer("/fails", Answer::status(500));
    let queue = scene.queue("/fails", &[]).await;
    let message = scene.outbox.enqueue(queue, "x").await;
    let attempts = scene.outbox.attempted(SOON, message, 1).await;
    let sql = format!(
        "SELECT (extract(epoch FROM p.due_at - a.finished_at) * 1000)::bigint
           FROM posthaste.pending p JOIN posthaste.attempts a USING (message_id) WHERE p.message_id = {message}"
    );
    let wait = scene.outbox.number(&sql).await;
    // 5 s, and a tenth more or less.
    assert!((4_500..5_500 + LATE).contains(&wait), "{wait} ms: {attempts:?}");
    // A queue's own policy counts more.
    check(
        &scene.waits("/own", &[("max_retries", "1"), ("retry_kind", "'fixed'"), ("retry_initial_ms", "70")]).await,
        &[70],
    );
}

#[actix_rt::test]
async fn a_changed_policy_counts_from_the_next_attempt() {
    let scene = Scene::new().await;
    scene.receiver.answer("/fails", Answer::status(500));
    scene.receiver.answer("/other", Answer::status(204));
    let queue = scene.queue("/fails", &[("retry_kind", "'fixed'"), ("retry_initial_ms", "3600000")]).await;
    let first = scene.outbox.enqueue(queue, "x").await;
    scene.outbox.attempted(SOON, first, 1).await;
    let url = scene.receiver.url("/other");
    scene
        .outbox
        .execute(&format!("UPDATE posthaste.queues SET callback_url = '{url}', method = 'PUT' WHERE id = {queue}"))
        .await;
    let second = scene.outbox.enqueue(queue, "x").await;
    scene.outbox.ended(SOON, second).await;
    let seen = scene.receiver.requests_to("/other");
    assert_eq!(seen.iter().map(|request| request.method.as_str()).collect::<Vec<_>>(), ["PUT"]);
}
