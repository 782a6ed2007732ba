//! Rows: saved, inserted, read, deleted, and acted upon.

use posthaste_tests::receiver::Receiver;
use posthaste_tests::wait;
use serde_json::{Value, json};

use super::{SOON, Setup, ask, data, id, ids, message, queue, refusal};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

const ALL_OF_QUEUE: &str = "id name callbackUrl method headers maxRetries createdAt updatedAt pausedAt pausedReason retryPolicy maxAgeSeconds \
                            finalStatuses connectTimeoutMs timeoutMs deadLetterExpired \
                            deadLetterQueue { id } queues { id } messages { id } crons { id }";

#[actix_rt::test]
async fn a_queue_is_saved_changed_and_deleted() {
    let Setup { api, .. } = &Setup::api().await;
    let save = format!("mutation($input: QueueInput!) {{ saveQueue(input: $input) {{ {ALL_OF_QUEUE} }} }}");
    let input = json!({"name": "q", "callbackUrl": "http://127.0.0.1:9/", "method": "POST", "headers": {"X-A": "1"},
                       "retryPolicy": {"type": "fixed", "waitMs": 5}, "finalStatuses": ["4xx"], "timeoutMs": 7});
    let mut saved = data(api, &save, json!({"input": input})).await["saveQueue"].take();
    let created_at = saved["createdAt"].take();
    assert_eq!(saved["updatedAt"].take(), created_at);
    let expected = json!({
        "id": "1", "name": "q", "callbackUrl": "http://127.0.0.1:9/", "method": "POST", "headers": {"X-A": "1"},
        "maxRetries": 5, "createdAt": null, "updatedAt": null, "pausedAt": null, "pausedReason": null,
        "retryPolicy": {"type": "fixed", "waitMs": 5, "jitter": 0}, "maxAgeSeconds": 604_800, "finalStatuses": ["4xx"],
        "connectTimeoutMs": null, "timeoutMs": 7, "deadLetterExpired": true,
        "deadLetterQueue": null, "queues": [], "messages": [], "crons": [],
    });
    assert_eq!(saved, expected);
    assert_eq!(created_at.as_str().map(|text| (text.len(), &text[23..])), Some((24, "Z")));

    // As pg-hooks' own clients write headers: a string that holds an object, as a literal.
    let literal = r#"mutation { saveQueue(input: {name: "dlq", callbackUrl: "http://127.0.0.1:9/", method: "PUT",
                                                  headers: "{ \"content-type\": \"text/plain\" }", maxRetries: null})
                                { id headers maxRetries } }"#;
    let dlq = data(api, literal, json!({})).await;
    assert_eq!(dlq["saveQueue"], json!({"id": "2", "headers": {"content-type": "text/plain"}, "maxRetries": null}));

    // With an id only what is given changes.
    let change = json!({"input": {"id": "1", "deadLetterQueueId": "2", "maxRetries": 0}});
    let changed = data(api, &save, change).await["saveQueue"].take();
    assert_eq!((&changed["name"], &changed["maxRetries"]), (&json!("q"), &json!(0)));
    assert_eq!(changed["deadLetterQueue"], json!({"id": "2"}));
    let found = data(api, &format!("{{ getQueueById(id: 2) {{ {ALL_OF_QUEUE} }} }}"), json!({})).await;
    assert_eq!(found["getQueueById"]["queues"], json!([{"id": "1"}]));

    // A row that is not there is null to read, and an error to change.
    assert_eq!(data(api, "{ getQueueById(id: 99) { id } }", json!({})).await, json!({"getQueueById": null}));
    let refused = refusal(api, &save, json!({"input": {"id": 99, "name": "x"}})).await;
    assert_eq!(refused, (200, "there is no queue with id 99".to_owned(), "PH_NOT_FOUND".to_owned()));

    let delete = "mutation { deleteQueues(where: {name: {eq: \"q\"}}) { id name } }";
    assert_eq!(data(api, delete, json!({})).await, json!({"deleteQueues": [{"id": "1", "name": "q"}]}));
    assert_eq!(data(api, delete, json!({})).await, json!({"deleteQueues": []}));
}

#[actix_rt::test]
async fn messages_have_what_rest_gives_them() {
    let Setup { api, .. } = &Setup::api().await;
    let queue = queue(api, "q").await;
    let save = "mutation($queueId: ID, $when: DateTime!) { saveMessage(input: {queueId: $queueId, when: $when, body: \"x\"})
                { id when body failed headers sentAt retries status expiresAt bodyBase64 createdAt queue { id } cron { id } } }";
    let saved =
        data(api, save, json!({"queueId": queue, "when": "2199-01-01T02:00:00+02:00"})).await["saveMessage"].take();
    let expected = json!({
        "id": "1", "when": "2199-01-01T00:00:00.000Z", "body": "x", "failed": false, "headers": null, "sentAt": null,
        "retries": 0, "status": "pending", "expiresAt": null, "bodyBase64": null, "createdAt": saved["createdAt"],
        "queue": {"id": "1"}, "cron": null,
    });
    assert_eq!(saved, expected);
    // A zone is required.
    let zoneless = ask(api, save, json!({"queueId": queue, "when": "2199-01-01T02:00:00"})).await;
    assert_eq!((zoneless.status, &zoneless.json["data"]), (400, &Value::Null), "{}", zoneless.text);

    let insert = "mutation($messages: [MessageInput]!) { insertMessages(inputs: $messages) { id body when bodyBase64 expiresAt timeoutMs traceparent } }";
    let messages = json!([
        {"queueId": queue, "body": "a", "when": "2199-01-01T00:00:00Z", "ttl": "PT1H", "timeoutMs": 9, "traceparent": TRACE},
        {"queueId": queue, "bodyBase64": "/w==", "delay": "PT1H", "expiresAt": "2199-01-01T00:00:00.000Z"},
        {"queueId": queue, "body": "once", "delay": 3600, "idempotencyKey": "k"},
    ]);
    let inserted = data(api, insert, json!({"messages": messages})).await["insertMessages"].take();
    assert_eq!(ids(&inserted), ["2", "3", "4"]);
    assert_eq!(inserted[0]["when"], "2199-01-01T00:00:00.000Z");
    assert_eq!(inserted[0]["expiresAt"], "2199-01-01T01:00:00.000Z");
    assert_eq!((&inserted[0]["timeoutMs"], &inserted[0]["traceparent"]), (&json!(9), &json!(TRACE)));
    assert_eq!((&inserted[1]["body"], &inserted[1]["bodyBase64"]), (&Value::Null, &json!("/w==")));
    assert_eq!(inserted[1]["expiresAt"], "2199-01-01T00:00:00.000Z");
    assert_eq!(data(api, insert, json!({"messages": []})).await, json!({"insertMessages": []}));

    // All or none.
    let mixed = json!({"messages": [{"queueId": queue}, {"queueId": "77"}]});
    let (status, _, code) = refusal(api, insert, mixed).await;
    assert_eq!((status, code.as_str()), (200, "PH_UNKNOWN_QUEUE"));
    assert_eq!(data(api, "{ countMessages { total } }", json!({})).await, json!({"countMessages": {"total": 4}}));
}

#[actix_rt::test]
async fn crons_are_checked_and_fire() {
    let Setup { api, .. } = &Setup::api().await;
    let queue = queue(api, "q").await;
    let insert = "mutation($inputs: [CronInput]!) { insertCrons(inputs: $inputs) { id schedule body queue { id } messages { id body cron { id } } } }";
    let good = json!({"queueId": queue, "schedule": "@yearly", "body": "tick"});
    let inserted = data(api, insert, json!({"inputs": [good]})).await["insertCrons"].take();
    let message = json!([{"id": "1", "body": "tick", "cron": {"id": "1"}}]);
    assert_eq!(
        inserted,
        json!([{"id": "1", "schedule": "@yearly", "body": "tick", "queue": {"id": "1"}, "messages": message}])
    );
    let (status, _, code) =
        refusal(api, insert, json!({"inputs": [good, {"queueId": queue, "schedule": "* * *"}]})).await;
    assert_eq!((status, code.as_str()), (200, "PH_INVALID_VALUE"));
    let deleted = data(api, "mutation { deleteCrons(where: {queueId: {eq: 1}}) { id } }", json!({})).await;
    assert_eq!(ids(&deleted["deleteCrons"]), ["1"]);
}

#[actix_rt::test]
async fn what_is_wrong_is_an_error_of_its_field() {
    let Setup { api, .. } = &Setup::api().await;
    let queue = queue(api, "q").await;
    let save = "mutation($input: MessageInput!) { saveMessage(input: $input) { id } }";
    for (input, code) in [
        (json!({}), "FST_ERR_VALIDATION"),
        (json!({"queueId": "77"}), "PH_UNKNOWN_QUEUE"),
        (json!({"queueId": queue, "failed": true}), "PH_READ_ONLY_FIELD"),
        (json!({"queueId": queue, "sentAt": "2026-01-01T00:00:00Z"}), "PH_READ_ONLY_FIELD"),
        (json!({"queueId": queue, "headers": {"a b": "c"}}), "PH_INVALID_VALUE"),
    ] {
        let refused = refusal(api, save, json!({"input": input})).await;
        assert_eq!((refused.0, refused.2.as_str()), (200, code), "{input} {}", refused.1);
    }
    let answer = ask(api, "mutation { saveQueue(input: {name: \"q\"}) { id } }", json!({})).await;
    let error = json!({
        "message": "body must have required property 'callbackUrl'",
        "locations": [{"line": 1, "column": 12}],
        "path": ["saveQueue"],
        "extensions": {"code": "FST_ERR_VALIDATION", "statusCode": 400},
    });
    assert_eq!((answer.status, &answer.json), (200, &json!({"data": {"saveQueue": null}, "errors": [error]})));
    // The others are answered.
    let answer = ask(api, "{ a: queues(limit: 101) { id } b: queues { id } }", json!({})).await;
    assert_eq!(answer.json["data"], json!({"a": null, "b": [{"id": "1"}]}));
    assert_eq!(answer.json["errors"][0]["extensions"]["code"], "PLT_SQL_MAPPER_PARAM_LIMIT_NOT_ALLOWED");
    assert_eq!(answer.json["errors"][0]["path"], json!(["a"]));
}

#[actix_rt::test]
async fn nothing_is_deleted_without_conditions() {
    let Setup { api, .. } = &Setup::api().await;
    let queue = queue(api, "q").await;
    message(api, &queue, "x").await;
    for arguments in ["", "(where: {})", "(where: null)", "(where: {id: {}})", "(where: {or: [{}]})"] {
        for list in ["Queues", "Messages", "Crons"] {
            let refused = refusal(api, &format!("mutation {{ delete{list}{arguments} {{ id }} }}"), json!({})).await;
            assert_eq!(refused.1, "Missing where clause", "{list} {arguments}");
            assert_eq!(refused.2, "PLT_SQL_MAPPER_MISSING_WHERE_CLAUSE");
        }
    }
    // A variable that was forgotten finds nothing.
    let forgotten = "mutation($id: ID) { deleteMessages(where: {id: {eq: $id}}) { id } }";
    assert_eq!(data(api, forgotten, json!({})).await, json!({"deleteMessages": []}));
    let (_, _, code) = refusal(api, "mutation { deleteQueues(where: {id: {eq: 1}}) { id } }", json!({})).await;
    assert_eq!(code, "PH_IN_USE");
    let forced = data(api, "mutation { deleteQueues(where: {id: {eq: 1}}, force: true) { id } }", json!({})).await;
    assert_eq!(ids(&forced["deleteQueues"]), ["1"]);
}

#[actix_rt::test]
async fn the_actions_of_rest_are_mutations() {
    let Setup { api, .. } = &Setup::all().await;
    let receiver = Receiver::start();
    let input = json!({"name": "q", "callbackUrl": receiver.url("/"), "method": "POST"});
    let queue = id(
        &data(api, "mutation($q: QueueInput!) { saveQueue(input: $q) { id } }", json!({"q": input})).await["saveQueue"]
    );
    let paused = data(
        api,
        "mutation($id: ID!) { pauseQueue(id: $id, reason: \"later\") { id pausedAt pausedReason } }",
        json!({"id": queue}),
    )
    .await;
    assert_eq!(paused["pauseQueue"]["pausedReason"], "later");
    assert!(paused["pauseQueue"]["pausedAt"].is_string());
    let resumed =
        data(api, "mutation($id: ID!) { resumeQueue(id: $id) { pausedAt pausedReason } }", json!({"id": queue})).await;
    assert_eq!(resumed["resumeQueue"], json!({"pausedAt": null, "pausedReason": null}));

    for mutation in ["cancelMessage", "pauseQueue", "resumeQueue"] {
        let refused = refusal(api, &format!("mutation {{ {mutation}(id: 999) {{ id }} }}"), json!({})).await;
        assert_eq!(refused.2, "PH_NOT_FOUND", "{mutation}: {}", refused.1);
    }

    let save = "mutation($id: ID) { saveMessage(input: {queueId: $id, body: \"now\"}) { id } }";
    let sent = id(&data(api, save, json!({"id": queue})).await["saveMessage"]);
    let query = "query($id: ID!) { getMessageById(id: $id) { status sentAt queue { stats { pending delivered } }
                 attempts { number outcome status durationMs responseHeaders } } }";
    let found = wait::until(SOON, "the message is delivered", async || {
        let found = data(api, query, json!({"id": sent})).await["getMessageById"].take();
        (found["status"] == "delivered").then_some(found)
    })
    .await;
    assert!(found["sentAt"].is_string());
    assert_eq!(found["attempts"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!((&found["attempts"][0]["outcome"], &found["attempts"][0]["status"]), (&json!("delivered"), &json!(200)));
    assert!(found["attempts"][0]["responseHeaders"].is_object());
    assert_eq!(found["queue"]["stats"]["pending"], 0);

    // Its owner lets go of it within a second, or on a busy machine later; cancelling twice is cancelling once.
    let later = message(api, &queue, "never").await;
    let cancel = "mutation($id: ID!) { cancelMessage(id: $id) { id status } }";
    let cancelled = wait::until(SOON, "the message is cancelled", async || {
        let answer = ask(api, cancel, json!({"id": later})).await;
        let row = answer.json["data"]["cancelMessage"].clone();
        assert!(row.is_object() || answer.json["errors"][0]["extensions"]["code"] == "PH_IN_FLIGHT", "{}", answer.text);
        row.is_object().then_some(row)
    })
    .await;
    assert_eq!(cancelled, json!({"id": later, "status": "cancelled"}));
}

#[actix_rt::test]
async fn what_happens_after_failure_is_there_too() {
    let setup = Setup::all().await;
    let api = &setup.api;
    let queue = queue(api, "q").await;
    let made = data(
        api,
        "mutation($id: ID!) { saveQueue(input: {id: $id, maxConcurrency: 2, rateLimit: {perSecond: 5}, maxBacklog: 9, maxRetries: 0}) \
         { maxConcurrency rateLimit maxBacklog eventQueueId } }",
        json!({"id": queue}),
    )
    .await;
    let expected =
        json!({"maxConcurrency": 2, "rateLimit": {"perSecond": 5, "burst": 1}, "maxBacklog": 9, "eventQueueId": null});
    assert_eq!(made["saveQueue"], expected);

    // Nobody listens there, so it fails.
    let message = data(
        api,
        "mutation($id: ID!) { saveMessage(input: {queueId: $id, orderingKey: \"k\", priority: 3}) { id orderingKey priority origin replayOf eventType } }",
        json!({"id": queue}),
    )
    .await["saveMessage"]
        .clone();
    assert_eq!((&message["orderingKey"], &message["priority"]), (&json!("k"), &json!(3)));
    let id = message["id"].clone();
    wait::eventually(SOON, "it has failed", async || {
        data(api, "query($id: ID!) { getMessageById(id: $id) { failed } }", json!({"id": id})).await["getMessageById"]["failed"] == true
    })
    .await;
    let replayed = data(api, "mutation($id: ID!) { replayMessage(id: $id) { replayOf } }", json!({"id": id})).await;
    assert_eq!(replayed["replayMessage"]["replayOf"], id);

    let arguments = json!({"id": queue, "message": id});
    let preview =
        "query($id: ID!) { previewJob(id: $id, kind: \"replay\", errorClass: \"refused\") { total targets } }";
    assert!(data(api, preview, json!({"id": queue})).await["previewJob"]["total"].as_i64() >= Some(1));
    let begin = "mutation($id: ID!, $message: Int!) { replayQueue(id: $id, where: {id: {eq: $message}}, ratePerSecond: 10) { id kind state total } }";
    let number: i64 = id.as_str().unwrap().parse().unwrap();
    let begun = data(api, begin, json!({"id": queue, "message": number})).await["replayQueue"].clone();
    assert_eq!((&begun["kind"], &begun["total"]), (&json!("replay"), &json!(1)), "{arguments}");
    let job = json!({"id": begun["id"]});
    wait::eventually(SOON, "the job has ended", async || {
        data(api, "query($id: ID!) { getJobById(id: $id) { state done } }", job.clone()).await["getJobById"]
            == json!({"state": "finished", "done": 1})
    })
    .await;
    assert_eq!(data(api, "{ jobs { id } }", json!({})).await["jobs"], json!([job]));
    for order in ["pauseJob", "resumeJob", "cancelJob"] {
        let told = data(api, &format!("mutation($id: ID!) {{ {order}(id: $id) {{ state }} }}"), job.clone()).await;
        assert_eq!(told[order]["state"], "finished");
    }

    let subscribe = "mutation($id: ID!) { subscribeQueue(topic: \"t\", queueId: $id, filter: {x: \"1\"}) { topic queueId filter } }";
    let expected = json!({"topic": "t", "queueId": queue, "filter": {"x": "1"}});
    assert_eq!(data(api, subscribe, json!({"id": queue})).await["subscribeQueue"], expected);
    assert_eq!(
        data(api, "{ topicSubscriptions(topic: \"t\") { topic queueId filter } }", json!({})).await["topicSubscriptions"],
        json!([expected])
    );
    let publish =
        "mutation { publishToTopic(topic: \"t\", message: {body: \"x\", headers: {X: 1}}) { queue { id } body } }";
    assert_eq!(data(api, publish, json!({})).await["publishToTopic"], json!([{"queue": {"id": queue}, "body": "x"}]));
    let end = "mutation($id: ID!) { unsubscribeQueue(topic: \"t\", queueId: $id) { topic } }";
    assert_eq!(data(api, end, json!({"id": queue})).await["unsubscribeQueue"]["topic"], "t");
    let (_, message, code) = refusal(api, end, json!({"id": queue})).await;
    assert_eq!(code, "PH_NOT_FOUND", "{message}");
    let stats = data(
        api,
        "query($id: ID!) { getQueueById(id: $id) { stats { inFlight window allowedConcurrency breaker } } }",
        json!({"id": queue}),
    )
    .await;
    assert_eq!(stats["getQueueById"]["stats"]["inFlight"], 0);
}
