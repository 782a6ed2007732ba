//! Queues, messages and crons: what goes in, and what comes out in which order.

use posthaste_tests::receiver::Receiver;
use serde_json::json;

use super::{SOON, Setup, assert_json, calling, header, queue};

#[actix_rt::test]
async fn a_queue_is_answered_with_all_its_fields_in_order() {
    let Setup { api, .. } = &Setup::api().await;
    let least = r#"{"id":"1","name":"q","callbackUrl":"http://127.0.0.1:9/","method":"POST","headers":null,"deadLetterQueueId":null,"maxRetries":5,"createdAt":"TIME","updatedAt":"TIME","pausedAt":null,"pausedReason":null,"retryPolicy":null,"maxAgeSeconds":604800,"finalStatuses":null,"connectTimeoutMs":null,"timeoutMs":null,"deadLetterExpired":true,"maxConcurrency":null,"rateLimit":null,"eventQueueId":null,"maxBacklog":null}"#;
    let created = api.post("/queues/", &queue()).await;
    assert_json(&created, least);
    assert_eq!(header(&created, "location"), "/queues/1");
    assert_eq!(created.json["createdAt"], created.json["updatedAt"]);

    let all = json!({
        "id": null, "name": "Grün", "callbackUrl": "https://example.com/a?b=c", "method": "PUT", "headers": {"X-B": "1", "a": 2},
        "deadLetterQueueId": "1", "maxRetries": "7", "createdAt": "2001-01-01T00:00:00.000Z", "updatedAt": null
    });
    let text = r#"{"id":"2","name":"Grün","callbackUrl":"https://example.com/a?b=c","method":"PUT","headers":{"X-B":"1","a":2},"deadLetterQueueId":"1","maxRetries":7,"createdAt":"TIME","updatedAt":"TIME","pausedAt":null,"pausedReason":null,"retryPolicy":null,"maxAgeSeconds":604800,"finalStatuses":null,"connectTimeoutMs":null,"timeoutMs":null,"deadLetterExpired":true,"maxConcurrency":null,"rateLimit":null,"eventQueueId":null,"maxBacklog":null}"#;
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
async fn how_a_queue_delivers_is_set_read_and_changed() {
    let Setup { api, .. } = &Setup::api().await;
    let mut queue = queue();
    queue["retryPolicy"] = json!("standard");
    queue["finalStatuses"] = json!([404, "410", "5xx"]);
    queue["maxAgeSeconds"] = json!(86_400);
    queue["connectTimeoutMs"] = json!(1000);
    queue["timeoutMs"] = json!("2000");
    queue["deadLetterExpired"] = json!(false);
    let created = api.post("/queues/", &queue).await;
    let waits = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400].map(|seconds| seconds * 1000);
    for (field, shown) in [
        ("retryPolicy", json!({"type": "schedule", "waitsMs": waits, "jitter": 0.1})),
        ("maxRetries", json!(9)),
        ("finalStatuses", json!(["404", "410", "5xx"])),
        ("maxAgeSeconds", json!(86_400)),
        ("connectTimeoutMs", json!(1000)),
        ("timeoutMs", json!(2000)),
        ("deadLetterExpired", json!(false)),
    ] {
        assert_eq!(created.json[field], shown, "{}", created.text);
    }
    assert_eq!(api.get("/queues/1").await.text, created.text);
    // What was answered may be sent back.
    let mut same = api.put("/queues/1", &created.json).await.json;
    same["updatedAt"] = created.json["updatedAt"].clone();
    assert_eq!(same, created.json);

    for policy in [
        json!({"type": "exponential", "initialMs": 100, "multiplier": 2, "maxMs": 86_400_000, "jitter": 0}),
        json!({"type": "linear", "stepMs": 1000, "maxMs": 60_000, "jitter": 0.5}),
        json!({"type": "fixed", "waitMs": 1, "jitter": 1}),
        json!({"type": "schedule", "waitsMs": [1, 604_800_000], "jitter": 0}),
        json!(null),
    ] {
        queue["retryPolicy"] = policy.clone();
        let changed = api.put("/queues/1", &queue).await;
        assert_eq!(
            (&changed.json["retryPolicy"], &changed.json["maxRetries"]),
            (&policy, &json!(9)),
            "{}",
            changed.text
        );
        assert_eq!(api.get("/queues/1").await.json["retryPolicy"], policy);
    }
    for field in ["finalStatuses", "connectTimeoutMs", "timeoutMs"] {
        queue[field] = json!(null);
        assert_eq!(api.put("/queues/1", &queue).await.json[field], json!(null), "{field}");
    }
    let many = api.put("/queues?where.deadLetterExpired.eq=false&where.maxAgeSeconds.lte=86400", &queue).await;
    assert_eq!(many.json.as_array().map(Vec::len), Some(1), "{}", many.text);
    let some = api.get("/queues?fields=retryPolicy,timeoutMs&where.timeoutMs.isNull=true").await;
    assert_eq!(some.text, r#"[{"retryPolicy":null,"timeoutMs":null}]"#);
    let opaque = api.get("/queues?where.retryPolicy.eq=x").await;
    assert_eq!(opaque.status, 400, "{}", opaque.text);
}

#[actix_rt::test]
async fn what_no_deliverer_may_call_is_refused() {
    let setup = Setup::api().await;
    let api = &setup.api;
    for url in ["http://10.0.0.1/", "http://[::1]/", "http://[64:ff9b::a00:1]/", "https://169.254.169.254/latest/"] {
        let mut blocked = queue();
        blocked["callbackUrl"] = json!(url);
        let refused = api.post("/queues/", &blocked).await;
        assert_eq!((refused.status, &refused.json["code"]), (422, &json!("PH_BLOCKED_ADDRESS")), "{}", refused.text);
        let message = refused.json["message"].as_str().unwrap();
        assert!(message.starts_with("body/callbackUrl: cannot be called: the address is not public: "), "{message}");
        assert!(message.ends_with("EGRESS_ALLOW would have to name it"), "{message}");
    }
    api.create_queue(&queue()).await;
    let mut changed = queue();
    changed["callbackUrl"] = json!("http://192.168.0.1/");
    for path in ["/queues/1", "/queues?where.id.eq=1"] {
        let refused = api.put(path, &changed).await;
        assert_eq!((refused.status, &refused.json["code"]), (422, &json!("PH_BLOCKED_ADDRESS")), "{}", refused.text);
    }
    // One that was stored before is served, and can be changed otherwise.
    setup.database.execute("UPDATE posthaste.queues SET callback_url = 'http://192.168.0.1/' WHERE id = 1").await;
    assert_eq!(api.get("/queues/1").await.json["callbackUrl"], "http://192.168.0.1/");
    changed["name"] = json!("renamed");
    let renamed = api.put("/queues/1", &changed).await;
    assert_eq!((renamed.status, &renamed.json["name"]), (200, &json!("renamed")), "{}", renamed.text);
}

#[actix_rt::test]
async fn a_message_is_answered_with_all_its_fields_in_order() {
    let Setup { api, .. } = &Setup::api().await;
    api.create_queue(&queue()).await;
    let least = r#"{"id":"1","queueId":"1","when":"TIME","body":null,"failed":false,"headers":null,"sentAt":null,"retries":0,"cronId":null,"createdAt":"TIME","updatedAt":"TIME","status":"pending","expiresAt":null,"bodyBase64":null,"connectTimeoutMs":null,"timeoutMs":null,"traceparent":null,"tracestate":null,"orderingKey":null,"priority":0,"origin":null,"replayOf":null,"eventType":null}"#;
    let created = api.post("/messages/", &json!({"queueId": 1})).await;
    assert_json(&created, least);
    assert_eq!(header(&created, "location"), "/messages/1");
    assert_eq!(created.json["when"], created.json["createdAt"], "now");

    let all = json!({
        "id": null, "queueId": "1", "when": "2199-01-01T00:00:00+02:00", "body": "hi", "headers": {"x": "y"}, "failed": false,
        "sentAt": null, "retries": 0, "cronId": null, "createdAt": "x", "updatedAt": "x"
    });
    let text = r#"{"id":"2","queueId":"1","when":"TIME","body":"hi","failed":false,"headers":{"x":"y"},"sentAt":null,"retries":0,"cronId":null,"createdAt":"TIME","updatedAt":"TIME","status":"pending","expiresAt":null,"bodyBase64":null,"connectTimeoutMs":null,"timeoutMs":null,"traceparent":null,"tracestate":null,"orderingKey":null,"priority":0,"origin":null,"replayOf":null,"eventType":null}"#;
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
    let least = r#"{"id":"1","queueId":"1","schedule":"@yearly","createdAt":"TIME","updatedAt":"TIME","body":null,"headers":null,"timezone":"UTC","every":null,"at":null,"startAt":null,"endAt":null,"jitter":null,"missed":"one","missedTolerance":"P1D","overlap":"allow","method":null,"paused":false,"pausedAt":null,"nextFireAt":"TIME"}"#;
    let created = api.post("/crons/", &json!({"queueId": 1, "schedule": "@yearly"})).await;
    assert_json(&created, least);
    assert_eq!(header(&created, "location"), "/crons/1");

    let all = json!({"queueId": "1", "schedule": "0 0 1 1 *", "body": {"a": 1}, "headers": {"x": "y"}});
    let text = r#"{"id":"2","queueId":"1","schedule":"0 0 1 1 *","createdAt":"TIME","updatedAt":"TIME","body":"{\"a\":1}","headers":{"x":"y"},"timezone":"UTC","every":null,"at":null,"startAt":null,"endAt":null,"jitter":null,"missed":"one","missedTolerance":"P1D","overlap":"allow","method":null,"paused":false,"pausedAt":null,"nextFireAt":"TIME"}"#;
    // The original's README calls it so.
    let created = api.post("/cron/", &all).await;
    assert_json(&created, text);
    assert_eq!(header(&created, "location"), "/crons/2");
    for path in ["/crons/2", "/crons/2/", "/cron/2", "/cron/2/"] {
        assert_eq!(api.get(path).await.text, created.text, "{path}");
    }

    let message = api.get("/messages/2").await;
    let text = r#"{"id":"2","queueId":"1","when":"TIME","body":"{\"a\":1}","failed":false,"headers":{"x":"y"},"sentAt":null,"retries":0,"cronId":"2","createdAt":"TIME","updatedAt":"TIME","status":"pending","expiresAt":null,"bodyBase64":null,"connectTimeoutMs":null,"timeoutMs":null,"traceparent":null,"tracestate":null,"orderingKey":null,"priority":0,"origin":null,"replayOf":null,"eventType":null}"#;
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
