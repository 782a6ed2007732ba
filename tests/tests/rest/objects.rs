//! Queues, messages and crons: what goes in, and what comes out in which order.

use posthaste_tests::receiver::Receiver;
use serde_json::json;

use super::{SOON, Setup, assert_json, calling, header, queue};

#[actix_rt::test]
async fn a_queue_is_answered_with_all_its_fields_in_order() {
    let Setup { api, .. } = &Setup::api().await;
    let least = r#"{"id":"1","name":"q","callbackUrl":"http://127.0.0.1:9/","method":"POST","headers":null,"deadLetterQueueId":null,"maxRetries":5,"createdAt":"TIME","updatedAt":"TIME","pausedAt":null,"pausedReason":null}"#;
    let created = api.post("/queues/", &queue()).await;
    assert_json(&created, least);
    assert_eq!(header(&created, "location"), "/queues/1");
    assert_eq!(created.json["createdAt"], created.json["updatedAt"]);

    let all = json!({
        "id": null, "name": "Grün", "callbackUrl": "https://example.com/a?b=c", "method": "PUT", "headers": {"X-B": "1", "a": 2},
        "deadLetterQueueId": "1", "maxRetries": "7", "createdAt": "2001-01-01T00:00:00.000Z", "updatedAt": null
    });
    let text = r#"{"id":"2","name":"Grün","callbackUrl":"https://example.com/a?b=c","method":"PUT","headers":{"X-B":"1","a":2},"deadLetterQueueId":"1","maxRetries":7,"createdAt":"TIME","updatedAt":"TIME","pausedAt":null,"pausedReason":null}"#;
    let created = api.post("/queues", &all).await;
    assert_json(&created, text);
    assert_eq!(header(&created, "location"), "/queues/2");
    assert_ne!(created.json["createdAt"], "2001-01-01T00:00:00.000Z", "it is the database's");

    for (given, shown) in [(json!(0), json!(0)), (json!(null), json!(null)), (json!(3.0), json!(3))] {
        let mut queue = queue();
        queue["maxRetries"] = given.clone();
        assert_eq!(api.post("/queues/", &queue).await.json["maxRetries"], shown, "{given}");
    }
    for path in ["/queues/2", "/queues/2/"] {
        assert_eq!(api.get(path).await.text, created.text, "{path}");
    }
}

#[actix_rt::test]
async fn a_message_is_answered_with_all_its_fields_in_order() {
    let Setup { api, .. } = &Setup::api().await;
    api.create_queue(&queue()).await;
    let least = r#"{"id":"1","queueId":"1","when":"TIME","body":null,"failed":false,"headers":null,"sentAt":null,"retries":0,"cronId":null,"createdAt":"TIME","updatedAt":"TIME","status":"pending","expiresAt":null,"bodyBase64":null}"#;
    let created = api.post("/messages/", &json!({"queueId": 1})).await;
    assert_json(&created, least);
    assert_eq!(header(&created, "location"), "/messages/1");
    assert_eq!(created.json["when"], created.json["createdAt"], "now");

    let all = json!({
        "id": null, "queueId": "1", "when": "2199-01-01T00:00:00+02:00", "body": "hi", "headers": {"x": "y"}, "failed": false,
        "sentAt": null, "retries": 0, "cronId": null, "createdAt": "x", "updatedAt": "x"
    });
    let text = r#"{"id":"2","queueId":"1","when":"TIME","body":"hi","failed":false,"headers":{"x":"y"},"sentAt":null,"retries":0,"cronId":null,"createdAt":"TIME","updatedAt":"TIME","status":"pending","expiresAt":null,"bodyBase64":null}"#;
    let created = api.post("/messages", &all).await;
    assert_json(&created, text);
    assert_eq!(header(&created, "location"), "/messages/2");
    for path in ["/messages/2", "/messages/2/"] {
        assert_eq!(api.get(path).await.text, created.text, "{path}");
    }
}

#[actix_rt::test]
async fn times_are_read_in_utc_unless_they_say_otherwise() {
    let Setup { api, .. } = &Setup::api().await;
    api.create_queue(&queue()).await;
    for (given, shown) in [
        ("2199-01-01T00:00:00Z", "2199-01-01T00:00:00.000Z"),
        ("2199-01-01T00:00:00.123456Z", "2199-01-01T00:00:00.123Z"),
        ("2199-01-01T00:00:00+02:00", "2198-12-31T22:00:00.000Z"),
        ("2199-01-01 00:00:00-0730", "2199-01-01T07:30:00.000Z"),
        ("2199-01-01T00:00:00", "2199-01-01T00:00:00.000Z"),
        ("2199-01-01", "2199-01-01T00:00:00.000Z"),
        ("2001-01-01T00:00:00Z", "2001-01-01T00:00:00.000Z"),
    ] {
        let created = api.post("/messages/", &json!({"queueId": 1, "when": given})).await;
        assert_eq!(created.json["when"], shown, "{given}");
    }
    for now in [json!(null), json!("")] {
        let created = api.post("/messages/", &json!({"queueId": 1, "when": now})).await;
        assert_eq!(created.json["when"], created.json["createdAt"], "{now}");
    }
}

#[actix_rt::test]
async fn a_cron_is_answered_with_all_its_fields_in_order_and_has_a_message() {
    let Setup { api, .. } = &Setup::api().await;
    api.create_queue(&queue()).await;
    let least = r#"{"id":"1","queueId":"1","schedule":"@yearly","createdAt":"TIME","updatedAt":"TIME","body":null,"headers":null}"#;
    let created = api.post("/crons/", &json!({"queueId": 1, "schedule": "@yearly"})).await;
    assert_json(&created, least);
    assert_eq!(header(&created, "location"), "/crons/1");

    let all = json!({"queueId": "1", "schedule": "0 0 1 1 *", "body": {"a": 1}, "headers": {"x": "y"}});
    let text = r#"{"id":"2","queueId":"1","schedule":"0 0 1 1 *","createdAt":"TIME","updatedAt":"TIME","body":"{\"a\":1}","headers":{"x":"y"}}"#;
    // The original's README calls it so.
    let created = api.post("/cron/", &all).await;
    assert_json(&created, text);
    assert_eq!(header(&created, "location"), "/crons/2");
    for path in ["/crons/2", "/crons/2/", "/cron/2", "/cron/2/"] {
        assert_eq!(api.get(path).await.text, created.text, "{path}");
    }

    let message = api.get("/messages/2").await;
    let text = r#"{"id":"2","queueId":"1","when":"TIME","body":"{\"a\":1}","failed":false,"headers":{"x":"y"},"sentAt":null,"retries":0,"cronId":"2","createdAt":"TIME","updatedAt":"TIME","status":"pending","expiresAt":null,"bodyBase64":null}"#;
    assert_json(&message, text);
    let when = message.json["when"].as_str().unwrap();
    assert!(when.ends_with("-01-01T00:00:00.000Z"), "{when}");
}

#[actix_rt::test]
async fn a_body_may_be_any_json_and_arrives_byte_for_byte() {
    let Setup { api, .. } = &Setup::all().await;
    let receiver = Receiver::start();
    api.create_queue(&calling(&receiver, "/bodies")).await;
    for (body, stored) in [
        (r#""as is: { } \u00fc\n""#, "as is: { } ü\n"),
        (r#""""#, ""),
        ("null", ""),
        (r#"{ "b" : 1.0, "a" : [ 1 , "x  y" ] }"#, r#"{"b":1.0,"a":[1,"x  y"]}"#),
        ("12345678901234567890.10", "12345678901234567890.10"),
        ("true", "true"),
        ("[]", "[]"),
        (r#""nul \u0000 and \u0001""#, "nul \0 and \u{1}"),
    ] {
        let request = format!(r#"{{"queueId":1,"body":{body}}}"#);
        let created = api.post_raw("/messages/", "application/json", request).await;
        let id = created.created();
        let shown = if body == "null" { json!(null) } else { json!(stored) };
        assert_eq!(created.json["body"], shown, "{body}");
        assert_eq!(api.get(&format!("/messages/{id}")).await.json["body"], shown, "{body}");

        let webhook_id = format!("msg_{id}");
        let is_it = |request: &posthaste_tests::receiver::Received| request.header("webhook-id") == Some(&webhook_id);
        let came = receiver.wait_for(SOON, body, |all| all.iter().any(is_it)).await;
        assert_eq!(came.iter().find(|request| is_it(request)).unwrap().body, stored.as_bytes(), "{body}");
    }
}
