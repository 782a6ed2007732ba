//! PUT: one row, or all that a filter lets through.

use posthaste_tests::receiver::Receiver;
use posthaste_tests::wait;
use serde_json::{Value, json};

use super::{SOON, Setup, assert_error, assert_not_found, calling, header, queue};

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

#[actix_rt::test]
async fn a_put_changes_what_it_mentions_and_nothing_else() {
    let Setup { api, .. } = &Setup::api().await;
    let all = json!({"name": "q", "callbackUrl": "http://127.0.0.1:9/", "method": "POST", "headers": {"x": "y"}, "maxRetries": 3});
    let created = api.post("/queues", &all).await;
    let changed = api.put("/queues/1", &with(queue(), "name", json!("p"))).await;
    assert_eq!((changed.status, header(&changed, "location")), (200, "/queues/1"));
    assert_eq!(
        (&changed.json["name"], &changed.json["headers"], &changed.json["maxRetries"]),
        (&json!("p"), &json!({"x": "y"}), &json!(3))
    );
    assert_eq!(changed.json["createdAt"], created.json["createdAt"]);
    assert!(changed.json["updatedAt"].as_str() >= created.json["updatedAt"].as_str());
    assert_eq!(api.get("/queues/1").await.text, changed.text);
    let cleared = api.put("/queues/1/", &with(queue(), "headers", json!(null))).await;
    assert_eq!(cleared.json["headers"], json!(null));
    assert_eq!(api.put("/queues/1", &cleared.json).await.status, 200, "an answer can be sent back");
}

#[actix_rt::test]
async fn what_is_not_there_is_not_created() {
    let Setup { api, .. } = &Setup::api().await;
    api.create_queue(&queue()).await;
    for (path, body) in [
        ("/queues/9", queue()),
        ("/messages/9", json!({"queueId": 1})),
        ("/crons/9", json!({"queueId": 1, "schedule": "@yearly"})),
    ] {
        assert_not_found(&api.put(path, &body).await, "PUT", path);
    }
}

#[actix_rt::test]
async fn a_bad_put_changes_nothing() {
    let Setup { api, .. } = &Setup::api().await;
    api.create_queue(&queue()).await;
    let message = json!({"queueId": 1, "when": "2199-01-01", "body": "a"});
    api.create_message(&message).await;
    let cron = json!({"queueId": 1, "schedule": "@yearly"});
    api.create_cron(&cron).await;
    let before = [api.get("/queues").await.text, api.get("/messages").await.text, api.get("/crons").await.text];
    for (path, body, status, code) in [
        ("/queues/1", json!({"name": "x"}), 400, "FST_ERR_VALIDATION"),
        ("/queues/1", with(queue(), "callbackUrl", json!("ftp://x/")), 400, "PH_INVALID_VALUE"),
        ("/queues/1", with(queue(), "maxRetries", json!(-1)), 400, "PH_INVALID_VALUE"),
        ("/queues/1", with(queue(), "deadLetterQueueId", json!(1)), 400, "PH_INVALID_VALUE"),
        ("/queues/1", with(queue(), "deadLetterQueueId", json!(77)), 404, "PH_UNKNOWN_QUEUE"),
        ("/queues/1", with(queue(), "id", json!(2)), 400, "PH_READ_ONLY_FIELD"),
        ("/queues/1", with(queue(), "pausedAt", json!("2026-01-01")), 400, "PH_READ_ONLY_FIELD"),
        ("/queues/1", with(queue(), "nmae", json!("x")), 400, "PH_UNKNOWN_FIELD"),
        ("/messages/1", json!({"body": "b"}), 400, "FST_ERR_VALIDATION"),
        ("/messages/1", json!({"queueId": 2}), 400, "PH_READ_ONLY_FIELD"),
        ("/messages/1", json!({"queueId": 1, "sentAt": "2026-01-01"}), 400, "PH_READ_ONLY_FIELD"),
        ("/messages/1", json!({"queueId": 1, "failed": true}), 400, "PH_READ_ONLY_FIELD"),
        ("/messages/1", json!({"queueId": 1, "retries": 1}), 400, "PH_READ_ONLY_FIELD"),
        ("/messages/1", json!({"queueId": 1, "when": "soon"}), 400, "PH_INVALID_VALUE"),
        ("/crons/1", with(cron.clone(), "schedule", json!("x")), 400, "PH_INVALID_VALUE"),
        ("/crons/1", with(cron.clone(), "queueId", json!(77)), 404, "PH_UNKNOWN_QUEUE"),
    ] {
        let answer = api.put(path, &body).await;
        assert_eq!((answer.status, &answer.json["code"]), (status, &json!(code)), "{path} {body}: {}", answer.text);
    }
    let refused = api.put("/messages/1", &json!({"queueId": 1, "failed": true})).await;
    assert!(
        refused.json["message"].as_str().unwrap().contains("POST /messages/{id}/cancel"),
        "it names the right call"
    );
    let after = [api.get("/queues").await.text, api.get("/messages").await.text, api.get("/crons").await.text];
    assert_eq!(before, after);
}

#[actix_rt::test]
async fn a_pending_message_is_changed_and_moved_in_time() {
    let setup = Setup::all().await;
    let (api, receiver) = (&setup.api, Receiver::start());
    api.create_queue(&calling(&receiver, "/q")).await;
    let id = api.create_message(&json!({"queueId": 1, "when": "2199-01-01", "body": "old"})).await;
    let path = format!("/messages/{id}");
    let kept = api.put(&path, &api.get(&path).await.json).await;
    assert_eq!((kept.status, &kept.json["when"]), (200, &json!("2199-01-01T00:00:00.000Z")));
    let changed = api.put(&path, &json!({"queueId": 1, "body": {"new": true}, "headers": {"x-a": "b"}})).await;
    assert_eq!(
        (&changed.json["body"], &changed.json["when"]),
        (&json!(r#"{"new":true}"#), &json!("2199-01-01T00:00:00.000Z"))
    );
    assert_eq!(receiver.count(), 0);

    let now = chrono::Utc::now();
    assert_eq!(api.put(&path, &json!({"queueId": 1, "when": now})).await.status, 200);
    let came = receiver.wait_for_count(SOON, "/q", 1).await;
    assert_eq!((came[0].text(), came[0].header("x-a")), (r#"{"new":true}"#.to_owned(), Some("b")));
    wait::eventually(SOON, "it is sent", async || api.get(&path).await.json["sentAt"].is_string()).await;
    let sent = api.get(&path).await.json;
    assert_eq!(api.put(&path, &sent).await.status, 200, "nothing is asked of it");
    let late = api.put(&path, &with(sent, "body", json!("late"))).await;
    assert_error(&late, 409, "PH_NOT_PENDING", "Conflict", "the message is not pending any more");
}

#[actix_rt::test]
async fn a_changed_cron_fires_what_it_says_now_and_only_that() {
    let setup = Setup::all().await;
    let (api, receiver) = (&setup.api, Receiver::start());
    api.create_queue(&calling(&receiver, "/q")).await;
    let cron = api.create_cron(&json!({"queueId": 1, "schedule": "@yearly", "body": "old"})).await;
    let path = format!("/crons/{cron}");
    let same = api.put(&path, &api.get(&path).await.json).await;
    assert_eq!(same.status, 200);
    assert_eq!(setup.rows("messages").await, 1, "nothing new");

    let changed = api.put(&path, &json!({"queueId": 1, "schedule": "* * * * * *", "body": "new"})).await;
    assert_eq!((&changed.json["schedule"], &changed.json["body"]), (&json!("* * * * * *"), &json!("new")));
    receiver.wait_for_count(SOON, "/q", 3).await;
    api.put(&path, &json!({"queueId": 1, "schedule": "@yearly", "body": "last"})).await;
    let repeated =
        "SELECT count(*) FROM (SELECT FROM posthaste.messages m JOIN posthaste.attempts a ON a.message_id = m.id
                    WHERE a.outcome = 'delivered' GROUP BY m.scheduled_at HAVING count(*) > 1) AS r";
    assert_eq!(setup.database.number(repeated).await, 0, "each tick once");
    assert!(receiver.requests().iter().all(|request| request.text() == "new"));
    let pending = "SELECT count(*) FROM posthaste.pending WHERE due_at > now() + interval '1 hour' AND NOT cancelled";
    wait::eventually(SOON, "one tick is left", async || setup.database.number(pending).await == 1).await;
}

#[actix_rt::test]
async fn a_put_with_a_filter_changes_all_that_it_lets_through() {
    let Setup { api, .. } = &Setup::api().await;
    for name in ["a", "b", "c"] {
        api.create_queue(&with(queue(), "name", json!(name))).await;
    }
    let patch = with(queue(), "name", json!("x"));
    let changed = api.put("/queues?where.name.in=a,b", &patch).await;
    assert_eq!((changed.status, header(&changed, "location")), (200, "/queues"));
    let names = |json: &Value| json.as_array().unwrap().iter().map(|row| row["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&changed.json), ["x", "x"]);
    assert_eq!(names(&api.get("/queues").await.json), ["x", "x", "c"]);
    assert_eq!(api.put("/queues/?where.name.eq=nobody", &patch).await.text, "[]");
    assert_eq!(api.put("/queues?where.or=(name.eq=c|name.eq=d)&fields=id", &patch).await.text, r#"[{"id":"3"}]"#);
    let refused = api.put("/queues", &patch).await;
    assert_error(&refused, 400, "PLT_SQL_MAPPER_MISSING_WHERE_CLAUSE", "Bad Request", "Missing where clause");
    for (query, body, code) in [
        ("where.nmae.eq=a", &patch, "PH_UNKNOWN_PARAMETER"),
        ("where.id.gt=0&limit=1", &patch, "PH_UNKNOWN_PARAMETER"),
        ("where.id.gt=0", &json!({"name": "y"}), "FST_ERR_VALIDATION"),
        ("where.id.gt=0", &with(queue(), "deadLetterQueueId", json!(2)), "PH_INVALID_VALUE"),
    ] {
        let answer = api.put(&format!("/queues?{query}"), body).await;
        assert_eq!((answer.status, &answer.json["code"]), (400, &json!(code)), "{query}: {}", answer.text);
    }
    assert_eq!(names(&api.get("/queues").await.json), ["x", "x", "x"], "all or none");
}

#[actix_rt::test]
async fn crons_and_messages_are_changed_by_filter_too() {
    let Setup { api, .. } = &Setup::api().await;
    api.create_queue(&queue()).await;
    for schedule in ["@yearly", "@yearly", "@daily"] {
        api.create_cron(&json!({"queueId": 1, "schedule": schedule})).await;
    }
    let changed = api.put("/crons?where.schedule.eq=@yearly", &json!({"queueId": 1, "schedule": "@monthly"})).await;
    assert_eq!(changed.json.as_array().map(Vec::len), Some(2), "{}", changed.text);
    let bad = api.put("/crons?where.id.gt=0", &json!({"queueId": 1, "schedule": "never"})).await;
    assert_eq!((bad.status, &bad.json["code"]), (400, &json!("PH_INVALID_VALUE")));
    let changed = api
        .put("/messages?where.cronId.isNull=false&where.status.eq=pending", &json!({"queueId": 1, "body": "x"}))
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert!(changed.json.as_array().unwrap().iter().all(|row| row["body"] == "x"));
}
