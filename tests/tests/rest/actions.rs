//! Cancel, pause, resume, statistics and the attempts of a message.

use std::time::Duration;

use posthaste_tests::receiver::{Answer, Receiver};
use posthaste_tests::wait;
use serde_json::json;

use super::{SOON, Setup, assert_error, assert_not_found, calling, queue};

#[actix_rt::test]
async fn a_cancelled_message_is_never_delivered() {
    let setup = Setup::all().await;
    let (api, receiver) = (&setup.api, Receiver::start());
    api.create_queue(&calling(&receiver, "/q")).await;
    // One that is far away, one that the deliverer holds in memory already.
    let soon = chrono::Utc::now() + chrono::TimeDelta::milliseconds(1500);
    for when in [json!("2199-01-01"), json!(soon)] {
        let id = api.create_message(&json!({"queueId": 1, "when": when, "body": "cancelled"})).await;
        for _ in 0..2 {
            let cancelled = api.post(&format!("/messages/{id}/cancel"), &json!({})).await;
            assert_eq!((cancelled.status, &cancelled.json["status"]), (200, &json!("cancelled")), "{}", cancelled.text);
        }
    }
    let after = soon + chrono::TimeDelta::milliseconds(500);
    api.create_message(&json!({"queueId": 1, "when": after, "body": "kept"})).await;
    receiver.wait_for_count(SOON, "/q", 1).await;
    assert_eq!(receiver.requests()[0].text(), "kept");
    assert_not_found(&api.post("/messages/99/cancel", &json!({})).await, "POST", "/messages/99/cancel");
}

#[actix_rt::test]
async fn what_is_in_flight_or_has_ended_is_not_said_to_be_cancelled() {
    let setup = Setup::all().await;
    let (api, receiver) = (&setup.api, Receiver::start());
    receiver.answer("/slow", Answer { delay: Duration::from_secs(3), ..Answer::status(500) });
    let mut slow = calling(&receiver, "/slow");
    slow["maxRetries"] = json!(5);
    api.create_queue(&slow).await;
    let id = api.create_message(&json!({"queueId": 1})).await;
    receiver.wait_for_count(SOON, "/slow", 1).await;
    let answer = api.post(&format!("/messages/{id}/cancel"), &json!({})).await;
    assert_eq!((answer.status, &answer.json["code"]), (409, &json!("PH_IN_FLIGHT")), "{}", answer.text);
    let path = format!("/messages/{id}");
    wait::eventually(SOON, "it is not tried again", async || api.get(&path).await.json["status"] == "cancelled").await;
    assert_eq!(receiver.count(), 1, "no retry");

    api.create_queue(&calling(&receiver, "/q")).await;
    let id = api.create_message(&json!({"queueId": 2})).await;
    let path = format!("/messages/{id}");
    wait::eventually(SOON, "it is sent", async || api.get(&path).await.json["status"] == "delivered").await;
    let late = api.post(&format!("{path}/cancel"), &json!({})).await;
    assert_error(&late, 409, "PH_NOT_PENDING", "Conflict", "the message is not pending any more");
}

#[actix_rt::test]
async fn a_paused_queue_delivers_nothing_until_it_is_resumed() {
    let setup = Setup::all().await;
    let (api, receiver) = (&setup.api, Receiver::start());
    api.create_queue(&calling(&receiver, "/paused")).await;
    api.create_queue(&calling(&receiver, "/other")).await;
    let paused = api.post("/queues/1/pause", &json!({"reason": "maintenance"})).await;
    assert_eq!((paused.status, &paused.json["pausedReason"]), (200, &json!("maintenance")), "{}", paused.text);
    let since = paused.json["pausedAt"].clone();
    assert!(since.is_string());
    let again = api.post("/queues/1/pause", &json!({})).await;
    assert_eq!((again.status, &again.json["pausedAt"]), (200, &since), "twice is once");
    for queue in [1, 2] {
        api.create_message(&json!({"queueId": queue})).await;
    }
    receiver.wait_for_count(SOON, "/other", 1).await;
    assert_eq!(api.get("/queues/1/stats").await.json["pending"], 1);
    assert_eq!(receiver.count(), 1);

    let resumed = api.post("/queues/1/resume", &json!({})).await;
    assert_eq!((&resumed.json["pausedAt"], &resumed.json["pausedReason"]), (&json!(null), &json!(null)));
    receiver.wait_for_count(SOON, "/paused", 1).await;
    assert_not_found(&api.post("/queues/9/pause", &json!({})).await, "POST", "/queues/9/pause");
    assert_not_found(&api.post("/queues/9/resume", &json!({})).await, "POST", "/queues/9/resume");
    let wrong = api.post("/queues/1/pause", &json!({"why": "x"})).await;
    assert_eq!((wrong.status, &wrong.json["code"]), (400, &json!("PH_UNKNOWN_FIELD")));
}

#[actix_rt::test]
async fn attempts_tell_what_happened() {
    let setup = Setup::all().await;
    let (api, receiver) = (&setup.api, Receiver::start());
    receiver.answer("/q", Answer::status(503).body("not now"));
    let mut queue = calling(&receiver, "/q");
    queue["maxRetries"] = json!(1);
    api.create_queue(&queue).await;
    let id = api.create_message(&json!({"queueId": 1})).await;
    let path = format!("/messages/{id}");
    assert_eq!(api.get(&format!("{path}/attempts")).await.status, 200);
    wait::eventually(SOON, "it has failed", async || api.get(&path).await.json["failed"] == true).await;
    let attempts = api.get(&format!("{path}/attempts/")).await.json;
    let shown: Vec<_> = attempts
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| {
            (
                attempt["number"].as_i64(),
                attempt["outcome"].as_str(),
                attempt["status"].as_i64(),
                attempt["responseBody"].as_str(),
            )
        })
        .collect();
    let expected =
        [(Some(1), Some("retried"), Some(503), Some("not now")), (Some(2), Some("failed"), Some(503), Some("not now"))];
    assert_eq!(shown, expected, "{attempts}");
    assert_eq!(attempts[0]["errorClass"], "status");
    wait::eventually(SOON, "they are counted", async || {
        let stats = api.get("/queues/1/stats").await.json;
        (&stats["failed"], &stats["retried"], &stats["pending"]) == (&json!(1), &json!(1), &json!(0))
    })
    .await;
    assert_eq!(api.get("/stats").await.json["failed"], 1);
}

#[actix_rt::test]
async fn statistics_of_nothing_are_zero() {
    let Setup { api, .. } = &Setup::api().await;
    api.create_queue(&queue()).await;
    let zero = r#"{"allowedConcurrency":null,"breaker":null,"cancelled":0,"deadLettered":0,"delivered":0,"expired":0,"failed":0,"inFlight":0,"oldestDueAt":null,"pending":0,"pendingIsCapped":false,"retried":0,"window":null}"#;
    assert_eq!(api.get("/queues/1/stats").await.text, zero);
    assert_eq!(api.get("/stats/").await.text, zero);
    api.create_message(&json!({"queueId": 1, "when": "2199-01-01"})).await;
    let stats = api.get("/queues/1/stats").await.json;
    assert_eq!((&stats["pending"], &stats["oldestDueAt"]), (&json!(1), &json!("2199-01-01T00:00:00.000Z")));
}
