//! Test deliveries: one signed sample, and what its receiver answered, without a trace in the queue.

use std::time::Duration;

use posthaste_tests::process::Launch;
use posthaste_tests::receiver::Answer;
use serde_json::{Value, json};

use super::{SOON, Scene, signatures, verifies};

async fn counts(scene: &Scene) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in ["messages", "pending", "attempts", "outcome_counts"] {
        counts.push(scene.outbox.number(&format!("SELECT count(*) FROM posthaste.{table}")).await);
    }
    counts
}

#[actix_rt::test]
async fn a_sample_is_sent_now_and_its_answer_is_shown() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    let secret = scene.secret(queue, json!({})).await["secret"].as_str().unwrap().to_owned();
    scene.receiver.answer("/hook", Answer::status(202).header("x-id", "7").body("thanks"));
    let before = counts(&scene).await;
    let path = format!("/queues/{queue}/test");

    let answer = scene.api().post_raw(&path, "application/json", "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let attempt = &answer.json;
    assert_eq!(
        (&attempt["delivered"], &attempt["status"], &attempt["responseBody"]),
        (&json!(true), &json!(202), &json!("thanks"))
    );
    assert_eq!(attempt["responseHeaders"]["x-id"], "7");
    assert!(attempt["errorClass"].is_null() && attempt["firstByteUs"].is_number(), "{attempt}");
    assert!(attempt["deliverer"].as_str().unwrap().ends_with(&format!(":{}", scene.deliverer.pid())), "{attempt}");
    let request = &scene.receiver.requests()[0];
    assert_eq!(request.json()["type"], "posthaste.test");
    assert_eq!(request.header("posthaste-test"), Some("true"));
    assert!(request.header("webhook-id").unwrap().starts_with("test_"), "{request:?}");
    assert!(signatures(request) == 1 && verifies(request, &secret));

    let own = json!({"body": {"my": "sample"}, "headers": {"X-Mine": "yes"}});
    assert_eq!(scene.api().post(&path, &own).await.json["delivered"], true);
    let request = &scene.receiver.requests()[1];
    assert_eq!((request.json(), request.header("x-mine")), (json!({"my": "sample"}), Some("yes")));
    assert_eq!(counts(&scene).await, before, "nothing of it is in the queue");
    let query = format!("mutation {{ testQueue(id: {queue}, body: \"x\") {{ delivered status responseBody }} }}");
    let answer = scene.api().post("/graphql", &json!({"query": query})).await;
    assert_eq!(answer.json["data"]["testQueue"], json!({"delivered": true, "status": 202, "responseBody": "thanks"}));
}

#[actix_rt::test]
async fn what_goes_wrong_is_shown_and_changes_nothing() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    let path = format!("/queues/{queue}/test");
    let test = async || {
        let answer = scene.api().post(&path, &json!({})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.json["delivered"].clone(), answer.json["status"].clone(), answer.json["errorClass"].clone())
    };
    scene.receiver.answer("/hook", Answer::status(410));
    assert_eq!(test().await, (json!(false), json!(410), json!("status")));
    let shown = scene.api().get(&format!("/queues/{queue}")).await.json;
    assert!(shown["pausedAt"].is_null(), "a test pauses nothing: {shown}");
    scene.receiver.answer("/hook", Answer::close());
    assert_eq!(test().await, (json!(false), Value::Null, json!("reset")));
    scene.receiver.answer("/hook", Answer::hang());
    scene.outbox.execute(&format!("UPDATE posthaste.queues SET timeout_ms = 300 WHERE id = {queue}")).await;
    assert_eq!(test().await, (json!(false), Value::Null, json!("total_timeout")));
    assert_eq!(scene.receiver.count(), 3, "no test is tried again");

    // A paused queue can be tested.
    scene.receiver.answer("/hook", Answer::status(204));
    assert_eq!(scene.api().post(&format!("/queues/{queue}/pause"), &json!({})).await.status, 200);
    assert_eq!(test().await, (json!(true), json!(204), Value::Null));

    assert_eq!(scene.api().post("/queues/99999/test", &json!({})).await.status, 404);
    for (body, says) in [
        (json!({"bodi": "x"}), "body has no property 'bodi'"),
        (
            json!({"headers": {"content-length": "1"}}),
            "body/headers: the header \"content-length\" cannot be set: it belongs to the connection, not to the message",
        ),
        (json!({"body": "x", "bodyBase64": "eA=="}), "body/bodyBase64: cannot be given together with body"),
    ] {
        let answer = scene.api().post(&path, &body).await;
        assert_eq!((answer.status, answer.json["message"].as_str()), (400, Some(says)), "{answer:?}");
    }
}

#[actix_rt::test]
async fn without_a_deliverer_nothing_is_sent_now_or_later() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    let Scene { outbox, receiver, database, api, mut deliverer } = scene;
    deliverer.sigterm();
    deliverer.wait(SOON).await;
    let answer = api.api().post(&format!("/queues/{queue}/test"), &json!({})).await;
    assert_eq!((answer.status, &answer.json["code"]), (503, &json!("PH_NO_DELIVERER")), "{answer:?}");
    assert_eq!(outbox.number("SELECT count(*) FROM posthaste.test_deliveries").await, 0);
    let _deliverer = Launch::deliverer(&database).start().await;
    let message = outbox.enqueue(queue, "after").await;
    outbox.ended(Duration::from_secs(15), message).await;
    assert_eq!(receiver.count(), 1, "only the message");
}
