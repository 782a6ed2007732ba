//! Deletion, and what it cancels.

use posthaste_tests::receiver::Receiver;
use posthaste_tests::wait;
use serde_json::json;

use super::{SOON, Setup, assert_error, assert_not_found, calling, queue, without_times};

const IN_USE: &str = "the queue has crons or pending messages; ?force=true deletes it with them";

impl Setup {
    /// Waits until no row is left that a deliverer could deliver.
    async fn wait_until_nothing_is_pending(&self) {
        wait::eventually(SOON, "nothing is pending", async || self.rows("pending").await == 0).await;
    }
}

#[actix_rt::test]
async fn a_deleted_message_is_never_delivered() {
    let setup = Setup::all().await;
    let (api, receiver) = (&setup.api, Receiver::start());
    api.create_queue(&calling(&receiver, "/q")).await;
    let soon = chrono::Utc::now() + chrono::TimeDelta::milliseconds(1500);
    let after = soon + chrono::TimeDelta::milliseconds(500);
    let cancelled = api.create_message(&json!({"queueId": 1, "when": soon, "body": "cancelled"})).await;
    let before = api.get(&format!("/messages/{cancelled}")).await;

    let deleted = api.delete(&format!("/messages/{cancelled}/")).await;
    assert_eq!((deleted.status, &deleted.text), (200, &before.text), "the row as it was");
    let path = format!("/messages/{cancelled}");
    assert_not_found(&api.get(&path).await, "GET", &path);
    assert_not_found(&api.delete(&path).await, "DELETE", &path);
    api.create_message(&json!({"queueId": 1, "when": after, "body": "kept"})).await;

    receiver.wait_for_count(SOON, "/q", 1).await;
    setup.wait_until_nothing_is_pending().await;
    let bodies: Vec<_> = receiver.requests().iter().map(|request| request.text()).collect();
    assert_eq!(bodies, ["kept"]);
}

#[actix_rt::test]
async fn a_delivered_message_is_deleted_with_its_history() {
    let setup = Setup::all().await;
    let (api, receiver) = (&setup.api, Receiver::start());
    api.create_queue(&calling(&receiver, "/q")).await;
    let id = api.create_message(&json!({"queueId": 1, "body": "x"})).await;
    let path = format!("/messages/{id}");
    wait::eventually(SOON, "it is sent", async || api.get(&path).await.json["sentAt"].is_string()).await;
    let before = api.get(&path).await;
    assert_eq!(api.delete(&path).await.text, before.text);
    assert_eq!((setup.rows("messages").await, setup.rows("attempts").await), (0, 0));
    assert_not_found(&api.get(&path).await, "GET", &path);
}

#[actix_rt::test]
async fn a_deleted_cron_fires_no_more() {
    let setup = Setup::all().await;
    let (api, receiver) = (&setup.api, Receiver::start());
    api.create_queue(&calling(&receiver, "/q")).await;
    let body = json!({"queueId": 1, "schedule": "* * * * * *", "body": "tick"});
    let cron = api.create_cron(&body).await;
    receiver.wait_for_count(SOON, "/q", 2).await;
    let yearly = api.create_cron(&json!({"queueId": 1, "schedule": "@yearly"})).await;

    let before = api.get(&format!("/crons/{cron}")).await;
    assert_eq!(api.delete(&format!("/cron/{cron}")).await.text, before.text, "the row as it was");
    assert_eq!(api.delete(&format!("/crons/{yearly}/")).await.status, 200);
    let path = format!("/crons/{cron}");
    assert_not_found(&api.get(&path).await, "GET", &path);
    setup.wait_until_nothing_is_pending().await;
    let (ticks, fired) = (receiver.count(), setup.rows("messages").await);

    // A message beyond two more ticks that would have been.
    let later = chrono::Utc::now() + chrono::TimeDelta::milliseconds(2100);
    api.create_message(&json!({"queueId": 1, "when": later, "body": "later"})).await;
    receiver.wait_for(SOON, "later", |all| all.iter().any(|request| request.text() == "later")).await;
    assert_eq!((receiver.count(), setup.rows("messages").await), (ticks + 1, fired + 1));
    let messages = api.get("/messages?limit=100").await;
    let of_yearly = messages.json.as_array().unwrap().iter().find(|message| message["cronId"] == yearly.as_str());
    let cancelled = of_yearly.expect("its history stays");
    assert_eq!((&cancelled["sentAt"], &cancelled["failed"]), (&json!(null), &json!(false)), "{cancelled}");
}

#[actix_rt::test]
async fn a_queue_in_use_is_deleted_by_force_only() {
    let setup = Setup::all().await;
    let (api, receiver) = (&setup.api, Receiver::start());
    for uses in [
        ("/messages/", json!({"queueId": 0, "when": "2199-01-01"})),
        ("/crons/", json!({"queueId": 0, "schedule": "@yearly"})),
    ] {
        let (path, mut body) = uses;
        let created = api.post("/queues/", &calling(&receiver, "/q")).await;
        let queue = format!("/queues/{}", created.created());
        body["queueId"] = created.json["id"].clone();
        let user = api.post(path, &body).await.created();
        assert_error(&api.delete(&queue).await, 409, "PH_IN_USE", "Conflict", IN_USE);
        assert_error(&api.delete(&format!("{queue}?force=false")).await, 409, "PH_IN_USE", "Conflict", IN_USE);
        assert_eq!(api.get(&queue).await.text, created.text);
        assert_eq!(setup.rows("pending").await, 1);

        let deleted = api.delete(&format!("{queue}/?force=true")).await;
        assert_eq!((deleted.status, &deleted.text), (200, &created.text), "the row as it was");
        assert_not_found(&api.get(&queue).await, "GET", &queue);
        setup.wait_until_nothing_is_pending().await;
        let left = api.get(&format!("{path}{user}")).await.status;
        assert_eq!(left, if path == "/messages/" { 200 } else { 404 }, "history stays readable, crons go");
    }
    assert_eq!((setup.rows("messages").await, receiver.count()), (2, 0));
    let message = api.get("/messages/1").await;
    let text = r#"{"id":"1","queueId":"1","when":"TIME","body":null,"failed":false,"headers":null,"sentAt":null,"retries":0,"cronId":null,"createdAt":"TIME","updatedAt":"TIME","status":"cancelled","expiresAt":null,"bodyBase64":null,"connectTimeoutMs":null,"timeoutMs":null,"traceparent":null,"tracestate":null,"orderingKey":null,"priority":0,"origin":null,"replayOf":null,"eventType":null}"#;
    assert_eq!(without_times(&message.text), text);
}

#[actix_rt::test]
async fn a_queue_whose_messages_are_done_is_deleted_and_its_history_stays() {
    let setup = Setup::all().await;
    let (api, receiver) = (&setup.api, Receiver::start());
    api.create_queue(&calling(&receiver, "/q")).await;
    api.create_message(&json!({"queueId": 1, "body": "x"})).await;
    receiver.wait_for_count(SOON, "/q", 1).await;
    setup.wait_until_nothing_is_pending().await;
    assert_eq!(api.delete("/queues/1").await.status, 200);
    assert_not_found(&api.get("/queues/1").await, "GET", "/queues/1");
    assert_eq!(api.get("/messages/1").await.json["sentAt"].as_str().map(str::len), Some(24));
    let refused = api.post("/messages/", &json!({"queueId": 1})).await;
    assert_error(&refused, 404, "PH_UNKNOWN_QUEUE", "Not Found", "body/queueId: there is no queue with id 1");
}

#[actix_rt::test]
async fn without_its_dead_letter_queue_a_queue_stays() {
    let Setup { api, .. } = &Setup::api().await;
    api.create_queue(&queue()).await;
    let mut body = queue();
    body["deadLetterQueueId"] = json!(1);
    let created = api.post("/queues/", &body).await;
    assert_eq!(created.json["deadLetterQueueId"], "1");
    assert_eq!(api.delete("/queues/1").await.status, 200);
    assert_eq!(api.get("/queues/2").await.json["deadLetterQueueId"], json!(null));
    assert_eq!(api.delete("/queues/2").await.status, 200);
}
