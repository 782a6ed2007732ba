//! Messages that were given up.

use posthaste_tests::outbox::message_of;
use posthaste_tests::receiver::Answer;

use super::{SOON, Scene, lasting_headers, verdicts};

/// Every byte there is, NUL among them.
const BINARY: &str =
    "decode((SELECT string_agg(lpad(to_hex(i % 256), 2, '0'), '') FROM generate_series(0, 511) AS i), 'hex')";

#[actix_rt::test]
async fn a_dead_letter_has_the_body_and_the_headers_of_its_message() {
    let scene = Scene::new().await;
    scene.receiver.answer("/fails", Answer::status(500));
    let dead = scene.queue("/dead", &[("headers", r#"'{"X-Queue": "dead"}'"#)]).await;
    let settings = [
        ("max_retries", "1"),
        ("dead_letter_queue_id", &dead.to_string()),
        ("headers", r#"'{"X-Queue": "failing", "X-Secret-Of-Queue": "1"}'"#),
    ];
    let queue = scene.queue("/fails", &settings).await;
    let headers = r#"headers => '{"X-Order": "7", "content-type": "application/x-any"}'"#;
    let bodies = ["body => 'text'", "body => ''", &format!("body_binary => {BINARY}"), "body => NULL"];
    for body in bodies {
        let message = scene.outbox.enqueue_with(queue, &format!("{body}, {headers}")).await;
        let attempts = scene.outbox.ended(SOON, message).await;
        assert_eq!(verdicts(&attempts), ["retried status", "failed status"], "{body}");
        let letter = scene
            .outbox
            .number(&format!("SELECT id FROM posthaste.messages WHERE origin_message_id = {message}"))
            .await;
        let delivered = scene.outbox.ended(SOON, letter).await;
        assert_eq!(verdicts(&delivered), ["delivered"], "{body}");
        assert_eq!(
            scene
                .outbox
                .number(&format!("SELECT dead_letter_hops::bigint FROM posthaste.messages WHERE id = {letter}"))
                .await,
            1
        );

        let requests = scene.receiver.requests();
        let failed: Vec<_> = requests.iter().filter(|request| message_of(request) == message).collect();
        let dead: Vec<_> = requests.iter().filter(|request| message_of(request) == letter).collect();
        assert_eq!((failed.len(), dead.len()), (2, 1), "{body}");
        assert_eq!((failed[0].path.as_str(), dead[0].path.as_str()), ("/fails", "/dead"));
        assert_eq!(failed[1].body, failed[0].body, "{body}");
        assert_eq!(dead[0].body, failed[0].body, "{body}");
        let expected: Vec<_> = lasting_headers(failed[0])
            .into_iter()
            .filter(|(name, _)| name != "x-secret-of-queue")
            .map(|(name, value)| if name == "x-queue" { (name, "dead".to_owned()) } else { (name, value) })
            .collect();
        assert_eq!(lasting_headers(dead[0]), expected, "{body}");
        if body.starts_with("body_binary") {
            let bytes: Vec<u8> = (0..512_u32).map(|i| u8::try_from(i % 256).unwrap()).collect();
            assert_eq!(failed[0].body, bytes);
        }
    }
}

#[actix_rt::test]
async fn without_a_dead_letter_queue_a_message_just_fails() {
    let scene = Scene::new().await;
    scene.receiver.answer("/fails", Answer::status(500));
    let queue = scene.queue("/fails", &[("max_retries", "0")]).await;
    let message = scene.outbox.enqueue(queue, "x").await;
    assert_eq!(verdicts(&scene.outbox.ended(SOON, message).await), ["failed status"]);
    assert_eq!(scene.outbox.number("SELECT count(*) FROM posthaste.messages").await, 1);
}

#[actix_rt::test]
async fn dead_letter_queues_in_a_circle_come_to_an_end() {
    let scene = Scene::new().await;
    scene.receiver.answer("/one", Answer::status(500));
    scene.receiver.answer("/two", Answer::status(500));
    let one = scene.queue("/one", &[("max_retries", "0")]).await;
    let two = scene.queue("/two", &[("max_retries", "0"), ("dead_letter_queue_id", &one.to_string())]).await;
    scene.outbox.execute(&format!("UPDATE posthaste.queues SET dead_letter_queue_id = {two} WHERE id = {one}")).await;
    scene.outbox.enqueue(one, "x").await;

    scene.outbox.nothing_pending(SOON).await;

    // Nothing is left that could go round once more.
    let hops = scene.outbox.numbers("SELECT dead_letter_hops::bigint FROM posthaste.messages ORDER BY id").await;
    assert_eq!(hops, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    let failed = "SELECT count(*) FROM posthaste.attempts WHERE outcome = 'failed' AND number = 1";
    assert_eq!(scene.outbox.number(failed).await, 9);
    let paths: Vec<_> = scene.receiver.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/one", "/two", "/one", "/two", "/one", "/two", "/one", "/two", "/one"]);
}

#[actix_rt::test]
async fn a_hundred_failing_messages_make_a_hundred_dead_letters() {
    let scene = Scene::new().await;
    scene.receiver.answer("/fails", Answer::status(500));
    let dead = scene.queue("/dead", &[]).await;
    let settings = [("max_retries", "2"), ("retry_initial_ms", "20"), ("dead_letter_queue_id", &dead.to_string())];
    let queue = scene.queue("/fails", &settings).await;
    let messages = scene.outbox.enqueue_many(queue, 100).await;

    scene.outbox.nothing_pending(SOON).await;

    let tried = scene.receiver.tally(|request| (request.path == "/fails").then(|| message_of(request)));
    assert_eq!(tried.len(), 100);
    assert!(messages.iter().all(|message| tried.get(message) == Some(&3)), "{tried:?}");
    let dead = scene.receiver.tally(|request| (request.path == "/dead").then(|| request.text()));
    assert_eq!(dead.len(), 100);
    assert!(dead.values().all(|times| *times == 1), "{dead:?}");
    let origins = "SELECT count(DISTINCT origin_message_id) FROM posthaste.messages WHERE dead_letter_hops = 1";
    assert_eq!(scene.outbox.number(origins).await, 100);
}
