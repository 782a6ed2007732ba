//! On time: never early, and not late.

use posthaste_tests::outbox::{message_of, micros};

use super::{LATE, SOON, Scene};

#[actix_rt::test]
async fn future_messages_are_never_early_and_hardly_late() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook", &[]).await;
    let messages = scene
        .outbox
        .numbers(&format!(
            "SELECT posthaste.enqueue({queue}::bigint, at => now() + interval '300 ms' + random() * interval '3 s')
               FROM generate_series(1, 200)"
        ))
        .await;
    let dues = scene
        .outbox
        .numbers("SELECT (extract(epoch FROM scheduled_at) * 1000000)::bigint FROM posthaste.messages ORDER BY id")
        .await;
    scene.outbox.nothing_pending(SOON).await;

    let requests = scene.receiver.requests();
    assert_eq!(requests.len(), 200);
    let mut lateness = Vec::new();
    for (message, due) in messages.iter().zip(dues) {
        let request = requests.iter().find(|request| message_of(request) == *message).unwrap();
        lateness.push(micros(request.time) - due);
    }
    lateness.sort_unstable();
    println!("late by {} µs (median), {} (p99), {} (worst)", lateness[100], lateness[197], lateness[199]);
    assert!(lateness[0] >= 0, "early by {} µs", -lateness[0]);
    assert!(lateness[199] < LATE, "late by {} µs", lateness[199]);
}

#[actix_rt::test]
async fn what_sql_commits_without_any_notification_starts_within_a_moment() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook", &[]).await;
    let mut delays = Vec::new();
    for _ in 0..20 {
        let message = scene.outbox.enqueue(queue, "x").await;
        let committed = micros(std::time::SystemTime::now());
        let started = scene.outbox.ended(SOON, message).await[0].started;
        delays.push(started - committed);
    }
    delays.sort_unstable();
    println!("started {} µs (median), {} µs (worst) after the commit", delays[10], delays[19]);
    // Promised are 250 ms; half of them must keep it also on a machine that is busy with other tests.
    assert!(delays[10] < 250_000 && delays[19] < LATE, "{delays:?}");
}
