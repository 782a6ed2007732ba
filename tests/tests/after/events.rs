//! Dead letters say where they come from, events say what happened, and neither goes in circles.

use posthaste_tests::receiver::Answer;
use posthaste_tests::wait;
use serde_json::{Value, json};

use super::{LONG, Scene};

#[actix_rt::test]
async fn a_dead_letter_carries_its_origin() {
    let scene = Scene::new().await;
    scene.receiver.answer("/fails", Answer::status(503));
    let dead = scene.queue("/dead", json!({})).await;
    let failing = scene.queue("/fails", json!({"deadLetterQueueId": dead, "maxRetries": 1})).await;
    let message = scene.message(&failing, "hi").await;

    let letter = scene.receiver.wait_for_count(LONG, "/dead", 1).await.remove(0);
    assert_eq!(letter.text(), "hi");
    let header = |name: &str| letter.header(name).map(str::to_owned);
    assert_eq!(header("posthaste-origin-message-id"), Some(message.clone()));
    assert_eq!(header("posthaste-origin-queue-id"), Some(failing.clone()));
    assert_eq!(header("posthaste-origin-attempts"), Some("2".to_owned()));
    assert_eq!(header("posthaste-origin-error"), Some("status 503".to_owned()));

    let listed = scene.api().get(&format!("/queues/{dead}/messages")).await.json;
    let origin = &listed[0]["origin"];
    assert_eq!(
        (&origin["messageId"], &origin["queueId"], &origin["queueName"]),
        (&json!(message), &json!(failing), &json!("/fails"))
    );
    assert_eq!(
        (&origin["attempts"], &origin["status"], &origin["errorClass"]),
        (&json!(2), &json!(503), &json!("status"))
    );
    // What failed is found where it was, with and without a dead letter queue.
    let failed = scene.api().get("/messages?where.status.eq=failed").await.json;
    assert_eq!((failed.as_array().map(Vec::len), &failed[0]["id"]), (Some(1), &json!(message)));
}

#[actix_rt::test]
async fn an_event_is_stored_for_a_failed_message_a_pause_and_an_open_breaker() {
    let scene = Scene::new().await;
    scene.receiver.answer("/fails", Answer::status(500));
    scene.receiver.answer("/gone", Answer::status(410));
    scene.receiver.answer("/closes", Answer::close());
    // The events' own receiver fails, too: of that there are no events.
    scene.receiver.answer("/events", Answer::status(500));
    let last = scene.queue("/last", json!({})).await;
    let events = scene.queue("/events", json!({"eventQueueId": last, "maxRetries": 0})).await;
    let observed =
        |path: &'static str, retries: i64| scene.queue(path, json!({"eventQueueId": events, "maxRetries": retries}));

    let failing = observed("/fails", 0).await;
    let message = scene.message(&failing, "x").await;
    let gone = observed("/gone", 3).await;
    scene.message(&gone, "x").await;
    let closing = observed("/closes", 10).await;
    for _ in 0..30 {
        scene.message(&closing, "x").await;
    }
    let requests = scene
        .receiver
        .wait_for(LONG, "three kinds of events", |requests| {
            let kinds = requests.iter().filter_map(|request| request.header("posthaste-event"));
            kinds.collect::<std::collections::BTreeSet<_>>().len() == 3
        })
        .await;
    let event = |kind: &str| -> Value {
        requests.iter().find(|request| request.header("posthaste-event") == Some(kind)).unwrap().json()
    };
    let failed = event("message.failed");
    assert_eq!(failed["type"], "message.failed");
    assert_eq!((&failed["data"]["messageId"], &failed["data"]["queueId"]), (&json!(message), &json!(failing)));
    assert_eq!((&failed["data"]["status"], &failed["data"]["attempts"]), (&json!(500), &json!(1)));
    let paused = event("queue.paused");
    assert_eq!(paused["data"]["queueId"], json!(gone));
    assert!(paused["data"]["reason"].as_str().unwrap().contains("410"), "{paused}");
    assert_eq!(event("breaker.opened")["data"]["queueId"], json!(closing));

    // All that waits for the events' receiver has failed by then.
    wait::eventually(LONG, "no event is pending", async || {
        scene.outbox.number(&format!("SELECT count(*) FROM posthaste.pending WHERE queue_id = {events}")).await == 0
    })
    .await;
    assert_eq!(scene.receiver.requests_to("/last").len(), 0, "events about events");
}

#[actix_rt::test]
async fn queues_do_not_come_back_to_themselves() {
    let scene = Scene::new().await;
    for field in ["deadLetterQueueId", "eventQueueId"] {
        let a = scene.queue("/a", json!({})).await;
        let b = scene.queue("/b", json!({field: a})).await;
        let c = scene.queue("/c", json!({field: b})).await;
        let whole =
            |to: &str| json!({"name": "a", "callbackUrl": scene.receiver.url("/a"), "method": "POST", field: to});
        let refused = scene.api().put(&format!("/queues/{a}"), &whole(&c)).await;
        assert_eq!((refused.status, &refused.json["code"]), (400, &json!("PH_INVALID_VALUE")));
        let way = format!("body/{field}: would lead the queue back to itself: {a} → {c} → {b} → {a}");
        assert_eq!(refused.json["message"], json!(way));
        let own = scene.api().put(&format!("/queues/{a}"), &whole(&a)).await;
        assert_eq!(own.json["message"], json!(format!("body/{field}: would lead the queue back to itself: {a} → {a}")));
        let unknown = scene.api().put(&format!("/queues/{a}"), &whole("99999")).await;
        assert_eq!((unknown.status, &unknown.json["code"]), (404, &json!("PH_UNKNOWN_QUEUE")));
        assert_eq!(unknown.json["message"], json!(format!("body/{field}: there is no queue with id 99999")));

        // Nor are chains longer than a message may go.
        let mut end = c;
        for _ in 0..5 {
            end = scene.queue("/d", json!({field: end})).await;
        }
        let queue = json!({"name": "e", "callbackUrl": scene.receiver.url("/e"), "method": "POST", field: end});
        let ninth = scene.api().post("/queues", &queue).await;
        assert_eq!(ninth.status, 200, "{}", ninth.text);
        let queue =
            json!({"name": "f", "callbackUrl": scene.receiver.url("/f"), "method": "POST", field: ninth.created()});
        let tenth = scene.api().post("/queues", &queue).await;
        assert_eq!((tenth.status, &tenth.json["code"]), (400, &json!("PH_INVALID_VALUE")), "{}", tenth.text);
    }
}
