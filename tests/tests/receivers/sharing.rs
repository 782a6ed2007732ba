//! One receiver does not delay another.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use posthaste_tests::outbox::{message_of, micros};
use posthaste_tests::receiver::{Answer, Receiver};

use super::{ONCE, SOON, Scene};

#[actix_rt::test]
async fn ten_hanging_receivers_delay_nobody() {
    let scene = Scene::new().await;
    let receiver = Receiver::start();
    let healthy = scene.outbox.queue(&receiver.url("/healthy"), &[]).await;
    // One after the other, each with more than there are places, as receivers do that fail for good.
    let mut delays = Vec::new();
    for number in 0..10 {
        let path = format!("/hangs-{number}");
        receiver.answer(&path, Answer::hang());
        let queue = scene.outbox.queue(&receiver.url(&path), &[ONCE]).await;
        scene.outbox.enqueue_many(queue, 600).await;
        receiver.wait_for_count(SOON, &path, 1).await;
        for _ in 0..5 {
            let message = scene.outbox.enqueue(healthy, "{}").await;
            let committed = micros(std::time::SystemTime::now());
            let attempts = scene.outbox.ended(SOON, message).await;
            assert_eq!(attempts[0].verdict(), "delivered");
            delays.push(attempts[0].started - committed);
        }
    }
    let hanging: Vec<_> = (0..10).map(|number| receiver.open(&format!("/hangs-{number}"))).collect();
    println!("held by those that hang: {hanging:?}");
    delays.sort_unstable();
    println!("a healthy one beside them waits {} µs (median), {} µs (worst)", delays[25], delays[49]);
    assert!(delays[25] < 250_000 && delays[49] < 1_000_000, "{delays:?}");
    let began = Instant::now();
    scene.outbox.enqueue_many(healthy, 500).await;
    receiver.wait_for_count(SOON, "/healthy", 550).await;
    println!("500 more take {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5), "500 more took {:?}", began.elapsed());
}

/// Takes half a minute, in which it only waits: that is the time limit.
#[actix_rt::test]
async fn a_hanging_receiver_is_given_up_after_half_a_minute() {
    let scene = Scene::new().await;
    let receiver = Receiver::start();
    receiver.answer("/hangs", Answer::hang());
    let queue = scene.outbox.queue(&receiver.url("/hangs"), &[ONCE]).await;
    let message = scene.outbox.enqueue(queue, "{}").await;
    let attempts = scene.outbox.ended(Duration::from_secs(45), message).await;
    assert_eq!(attempts[0].verdict(), "failed total_timeout", "{attempts:?}");
    let took = attempts[0].finished - attempts[0].started;
    assert!((29_900_000..33_000_000).contains(&took), "gave up after {took} µs");
    posthaste_tests::wait::eventually(SOON, "its connection is closed", async || receiver.open("/hangs") == 0).await;
}

#[actix_rt::test]
async fn a_slow_receiver_gets_each_message_once() {
    let scene = Scene::new().await;
    let receiver = Receiver::start();
    receiver.answer("/slow", Answer::after(Duration::from_millis(300)));
    let queue = scene.outbox.queue(&receiver.url("/slow"), &[]).await;
    let mut messages = HashSet::new();
    // Some at once, some while those are under way.
    messages.extend(scene.outbox.enqueue_many(queue, 100).await);
    for _ in 0..100 {
        messages.insert(scene.outbox.enqueue(queue, "{}").await);
    }
    scene.outbox.nothing_pending(SOON).await;

    let tally = receiver.tally(|request| Some(message_of(request)));
    assert_eq!(tally.keys().copied().collect::<HashSet<_>>(), messages);
    assert!(tally.values().all(|times| *times == 1), "{tally:?}");
    assert_eq!(scene.outbox.number("SELECT count(*) FROM posthaste.attempts").await, 200);
}

#[actix_rt::test]
async fn a_flooded_queue_does_not_delay_another() {
    let scene = Scene::new().await;
    let receiver = Receiver::start();
    receiver.answer("/flooded", Answer::after(Duration::from_millis(50)));
    let flooded = scene.outbox.queue(&receiver.url("/flooded"), &[]).await;
    let other = scene.outbox.queue(&receiver.url("/other"), &[]).await;
    scene.outbox.enqueue_many(flooded, 10_000).await;
    receiver.wait_for_count(SOON, "/flooded", 200).await;

    let mut delays = Vec::new();
    for _ in 0..10 {
        let message = scene.outbox.enqueue(other, "{}").await;
        let committed = micros(std::time::SystemTime::now());
        delays.push(scene.outbox.ended(SOON, message).await[0].started - committed);
    }
    let waiting = scene.outbox.number("SELECT count(*) FROM posthaste.pending").await;
    delays.sort_unstable();
    println!("waits {} µs (median), {} µs (worst) beside {waiting} others", delays[5], delays[9]);
    assert!(waiting > 0, "the flood was over before it could delay anyone");
    assert!(delays[5] < 500_000 && delays[9] < 2_000_000, "{delays:?}");
}
