//! HTTP/2, where a TLS server offers it.

use std::time::Duration;

use posthaste_tests::secure::{Flaw, Manner, SecureReceiver};
use posthaste_tests::wait::eventually;

use super::{SOON, Scene};

#[actix_rt::test]
async fn deliveries_share_a_connection() {
    let scene = Scene::with(&[("WORKERS", "1")]).await;
    let manner = Manner { http2: true, body: b"thanks".to_vec(), ..Manner::default() };
    let receiver = SecureReceiver::start(&scene.authority.issue(Flaw::None), manner);
    let first = scene.try_once(&receiver.url()).await;
    assert_eq!((first.verdict().as_str(), first.status), ("delivered", Some(200)), "{first:?}");
    assert_eq!(first.response_body.as_deref(), Some(&b"thanks"[..]));
    let queue = scene.outbox.queue(&receiver.url(), &[]).await;
    scene.outbox.enqueue_many(queue, 100).await;
    scene.outbox.nothing_pending(SOON).await;
    assert_eq!(receiver.requests(), (0, 101));
    // A client lives for 10 s; on a slow machine there may be a second one, and both may begin with several at once.
    assert!(receiver.connections() < 20, "{} connections", receiver.connections());
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        let queue =
            scene.outbox.queue(&receiver.url(), &[("method", &format!("'{method}'")), ("max_retries", "0")]).await;
        for body in ["body => 'text'", "body => NULL"] {
            let message = scene.outbox.enqueue_with(queue, body).await;
            let attempts = scene.outbox.ended(SOON, message).await;
            assert_eq!(attempts[0].verdict(), "delivered", "{method}, {body}: {attempts:?}");
        }
    }
}

#[actix_rt::test]
async fn one_that_only_speaks_http_1_gets_that() {
    let scene = Scene::new().await;
    let receiver = SecureReceiver::start(&scene.authority.issue(Flaw::None), Manner::default());
    assert_eq!(scene.try_once(&receiver.url()).await.verdict(), "delivered");
    assert_eq!(receiver.requests(), (1, 0));
}

#[actix_rt::test]
async fn resets_and_farewells_cost_an_attempt_and_no_message() {
    let scene = Scene::new().await;
    let resets = Manner { http2: true, resets: true, ..Manner::default() };
    let receiver = SecureReceiver::start(&scene.authority.issue(Flaw::None), resets);
    let attempt = scene.try_once(&receiver.url()).await;
    assert_eq!(attempt.verdict(), "failed reset", "{attempt:?}");

    let leaves = Manner { http2: true, goes_away_after: Some(5), ..Manner::default() };
    let receiver = SecureReceiver::start(&scene.authority.issue(Flaw::None), leaves);
    let queue = scene
        .outbox
        .queue(&receiver.url(), &[("max_retries", "100"), ("retry_kind", "'fixed'"), ("retry_initial_ms", "20")])
        .await;
    let messages = scene.outbox.enqueue_many(queue, 40).await;
    for message in messages {
        let attempts = scene.outbox.ended(SOON, message).await;
        assert_eq!(attempts.last().unwrap().verdict(), "delivered", "{attempts:?}");
        for failed in &attempts[..attempts.len() - 1] {
            assert!(["reset", "protocol"].contains(&failed.error_class.as_deref().unwrap()), "{failed:?}");
        }
    }
}

#[actix_rt::test]
async fn a_long_answer_or_none_is_bounded_and_leaves_nothing_behind() {
    let scene = Scene::new().await;
    let talks = Manner { http2: true, body: vec![b'x'; 10 << 20], ..Manner::default() };
    let hangs = Manner { http2: true, delay: Duration::from_secs(600), ..Manner::default() };
    for (manner, verdict) in [(talks, "delivered"), (hangs, "failed total_timeout")] {
        let receiver = SecureReceiver::start(&scene.authority.issue(Flaw::None), manner);
        let queue = scene.outbox.queue(&receiver.url(), &[("max_retries", "0"), ("timeout_ms", "1000")]).await;
        for message in scene.outbox.enqueue_many(queue, 10).await {
            let attempts = scene.outbox.ended(SOON, message).await;
            assert_eq!(attempts[0].verdict(), verdict, "{attempts:?}");
        }
        // With the client, after ten seconds, when the next delivery is made.
        let gone = async || {
            scene.try_once("http://127.0.0.1:1/").await;
            receiver.open() == 0
        };
        eventually(Duration::from_secs(30), "the connections are closed", gone).await;
    }
    assert!(scene.deliverer.pid() > 0);
}
