//! Connections: used again while they are good, closed when they are not.

use std::time::Duration;

use posthaste_tests::receiver::Receiver;
use posthaste_tests::wait;

use super::raw::RawReceiver;
use super::{SOON, Scene};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

impl Scene {
    /// Delivers one message after the other, each in one attempt.
    async fn deliver_in_turn(&self, url: &str, count: usize) {
        let queue = self.outbox.queue(url, &[]).await;
        for _ in 0..count {
            let message = self.outbox.enqueue(queue, "{}").await;
            let attempts = self.outbox.ended(SOON, message).await;
            assert_eq!((attempts.len(), attempts[0].verdict().as_str()), (1, "delivered"), "{attempts:?}");
        }
    }
}

#[actix_rt::test]
async fn a_connection_is_used_again() {
    let scene = Scene::new().await;
    let receiver = RawReceiver::answering(OK);
    scene.deliver_in_turn(&receiver.url(), 20).await;
    // One may have been replaced for its age on a busy machine.
    assert!(receiver.accepted() <= 3, "{} connections for 20 messages", receiver.accepted());
}

#[actix_rt::test]
async fn a_receiver_that_closes_its_connections_without_a_word_costs_no_attempt() {
    let scene = Scene::new().await;
    let receiver = RawReceiver::answering_once(OK);
    scene.deliver_in_turn(&receiver.url(), 20).await;
    assert_eq!(receiver.accepted(), 20);
}

#[actix_rt::test]
async fn connections_that_nobody_needs_are_closed() {
    let scene = Scene::new().await;
    let other = Receiver::start();
    let quiet = scene.outbox.queue(&other.url("/"), &[]).await;
    // It keeps its connections open for as long as it is let.
    let receiver = RawReceiver::answering(OK);
    let queue = scene.outbox.queue(&receiver.url(), &[]).await;
    scene.outbox.enqueue_many(queue, 100).await;
    scene.outbox.nothing_pending(SOON).await;
    assert!(receiver.accepted() > 0);

    // Nothing goes to it any more; others are served.
    wait::eventually(Duration::from_secs(18), "its connections are closed", async || {
        let message = scene.outbox.enqueue(quiet, "{}").await;
        scene.outbox.ended(SOON, message).await;
        receiver.open() == 0
    })
    .await;
}

#[actix_rt::test]
async fn large_answers_do_not_keep_their_connections() {
    let scene = Scene::new().await;
    let body = "x".repeat(300_000);
    let receiver = RawReceiver::answering(format!("HTTP/1.1 500 No\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
    let queue = scene.outbox.queue(&receiver.url(), &[super::ONCE]).await;
    scene.outbox.enqueue_many(queue, 50).await;
    scene.outbox.nothing_pending(SOON).await;
    assert_eq!(receiver.accepted(), 50);
    wait::eventually(SOON, "the connections are closed", async || receiver.open() == 0).await;
}
