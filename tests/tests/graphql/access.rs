//! Who may ask for what: as over REST.

use posthaste_tests::client::Api;
use posthaste_tests::database::Database;
use posthaste_tests::process::Launch;
use posthaste_tests::socket::{NEW, OLD, Socket, wait_for_hub};
use serde_json::{Value, json};

use super::{Setup, ask, data, ids, message, queue};

const SECRET: &str = "open sesame";

/// An API with an admin secret and rules, and two queues with a message and a cron each.
async fn with_rules(rules: Value) -> (Setup, Api) {
    let database = Database::new().await;
    let launch = Launch::api(&database).env("ADMIN_SECRET", SECRET).env("AUTH_RULES", &rules.to_string());
    let setup = Setup::start(launch, database).await;
    let admin = Api::with_secret(setup.process.address(), SECRET);
    for name in ["mine", "theirs"] {
        let queue = queue(&admin, name).await;
        message(&admin, &queue, name).await;
        data(
            &admin,
            "mutation($q: ID) { saveCron(input: {queueId: $q, schedule: \"@yearly\"}) { id } }",
            json!({"q": queue}),
        )
        .await;
    }
    (setup, admin)
}

/// Somebody with a role; to do so takes the admin secret.
fn somebody(setup: &Setup) -> impl AsyncFn(&str, Value) -> posthaste_tests::client::Answer {
    let address = setup.process.address();
    async move |query, variables| {
        let client = awc::Client::builder()
            .add_default_header(("X-PLATFORMATIC-ADMIN-SECRET", SECRET))
            .add_default_header(("X-PLATFORMATIC-ROLE", "user"))
            .add_default_header(("X-PLATFORMATIC-USER-ID", "mine"))
            .add_default_header(("X-PLATFORMATIC-QUEUE", "1"))
            .finish();
        let body = json!({"query": query, "variables": variables});
        let mut response = client.post(format!("http://{address}/graphql")).send_json(&body).await.unwrap();
        let json: Value = response.json().await.unwrap();
        posthaste_tests::client::Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: json.to_string(),
            json,
        }
    }
}

#[actix_rt::test]
async fn strangers_are_told_nothing() {
    let (setup, _) = with_rules(json!([])).await;
    let input = json!({"input": {"nope": 1}});
    for (query, variables) in [
        ("{ queues { id } }", json!({})),
        ("{ messages(limit: 101) { id } }", json!({})),
        ("{ crons { id } }", json!({})),
        ("{ getQueueById(id: 1) { id } }", json!({})),
        ("{ countMessages { total } }", json!({})),
        ("mutation { saveQueue(input: {}) { id } }", json!({})),
        ("mutation { saveQueue(input: {id: 99}) { id } }", json!({})),
        ("mutation { insertMessages(inputs: []) { id } }", json!({})),
        ("mutation { deleteQueues { id } }", json!({})),
        ("mutation { cancelMessage(id: 1) { id } }", json!({})),
        ("mutation { pauseQueue(id: 1) { id } }", json!({})),
    ] {
        let answer = ask(&setup.api, query, variables).await;
        let error = &answer.json["errors"][0];
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        assert_eq!(error["message"], "operation not allowed", "{query}");
        assert_eq!(error["extensions"], json!({"code": "PLT_DB_AUTH_UNAUTHORIZED", "statusCode": 401}), "{query}");
    }
    assert_eq!(
        ask(&setup.api, "mutation($input: QueueInput!) { saveQueue(input: $input) { id } }", input).await.status,
        400
    );
    // What the schema is like is no secret.
    assert_eq!(
        data(&setup.api, "{ __schema { queryType { name } } }", json!({})).await["__schema"]["queryType"]["name"],
        "Query"
    );
}

#[actix_rt::test]
async fn what_is_hidden_is_not_found_on_any_way() {
    let rules = json!([
        {"role": "user", "entity": "queue", "find": {"checks": {"name": "X-PLATFORMATIC-USER-ID"}}},
        {"role": "user", "entity": "message", "find": {"checks": {"queueId": "X-PLATFORMATIC-QUEUE"}, "fields": ["id", "queueId", "body"]},
         "save": {"checks": {"queueId": "X-PLATFORMATIC-QUEUE"}}, "delete": {"checks": {"queueId": "X-PLATFORMATIC-QUEUE"}}},
    ]);
    let (setup, admin) = with_rules(rules).await;
    let user = somebody(&setup);
    let found = user("{ queues { id messages { id body } } countQueues { total } countMessages { total }
                        theirs: getQueueById(id: 2) { id } theirMessage: getMessageById(id: 3) { id } messages { id } }", json!({})).await;
    assert_eq!(found.json["errors"], Value::Null, "{}", found.text);
    let found = &found.json["data"];
    assert_eq!(ids(&found["queues"]), ["1"]);
    // Its cron's message, and the one that was posted.
    assert_eq!(ids(&found["queues"][0]["messages"]), ["1", "2"]);
    assert_eq!(ids(&found["messages"]), ["1", "2"]);
    assert_eq!((&found["countQueues"]["total"], &found["countMessages"]["total"]), (&json!(1), &json!(2)));
    assert_eq!((&found["theirs"], &found["theirMessage"]), (&Value::Null, &Value::Null));

    for (query, message) in [
        ("{ crons { id } }", "operation not allowed"),
        ("{ queues { crons { id } } }", "operation not allowed"),
        ("{ messages { cron { id } } }", "field not allowed: cron_id"),
        ("{ messages { headers } }", "field not allowed: headers"),
        ("{ queues { messages { when } } }", "field not allowed: when"),
        ("{ messages(where: {failed: {eq: false}}) { id } }", "field not allowed: failed"),
        ("{ messages(where: {or: [{failed: {eq: false}}]}) { id } }", "field not allowed: failed"),
        ("{ messages(orderBy: [{field: createdAt, direction: ASC}]) { id } }", "field not allowed: created_at"),
        ("{ queues { messages(orderBy: [{field: sentAt, direction: ASC}]) { id } } }", "field not allowed: sent_at"),
        ("{ countMessages(where: {retries: {gt: 0}}) { total } }", "field not allowed: retries"),
        ("{ getMessageById(id: 1) { attempts { number } } }", "field not allowed: "),
        ("mutation { saveMessage(input: {queueId: 2}) { id } }", "operation not allowed"),
        ("mutation { insertMessages(inputs: [{queueId: 1}, {queueId: 2}]) { id } }", "operation not allowed"),
        ("mutation { saveQueue(input: {name: \"x\"}) { id } }", "operation not allowed"),
        ("mutation { deleteQueues(where: {id: {eq: 1}}) { id } }", "operation not allowed"),
        ("mutation { deleteMessages(where: {failed: {eq: false}}) { id } }", "field not allowed: failed"),
        ("mutation { saveMessage(input: {id: 3, body: \"x\"}) { id } }", "there is no message with id 3"),
        ("mutation { cancelMessage(id: 3) { id } }", "there is no message with id 3"),
    ] {
        let answer = user(query, json!({})).await;
        let told = answer.json["errors"][0]["message"].as_str().unwrap_or_default();
        assert!(answer.status == 200 && told.starts_with(message), "{query}: {}", answer.text);
    }
    // A change shows no field that cannot be read otherwise.
    let saved = user(
        "mutation { saveMessage(input: {queueId: 1, delay: 3600}) { id body when status queue { id } cron { id } } }",
        json!({}),
    )
    .await;
    assert_eq!(
        saved.json["data"]["saveMessage"],
        json!({"id": "5", "body": null, "when": null, "status": null, "queue": {"id": "1"}, "cron": null})
    );
    // Deleting deletes only what is theirs.
    let deleted = user("mutation { deleteMessages(where: {id: {gt: 0}}) { id } }", json!({})).await;
    assert_eq!(ids(&deleted.json["data"]["deleteMessages"]), ["1", "2", "5"], "{}", deleted.text);
    assert_eq!(data(&admin, "{ countMessages { total } }", json!({})).await["countMessages"]["total"], 2);
}

#[actix_rt::test]
async fn subscribers_hear_what_they_may_see() {
    let rules = json!([
        {"role": "user", "entity": "message", "find": {"checks": {"queueId": "X-PLATFORMATIC-QUEUE"}, "fields": ["id", "queueId", "body"]}},
        {"role": "user", "entity": "queue", "find": {"checks": {"name": "X-PLATFORMATIC-USER-ID"}}},
    ]);
    let (setup, admin) = with_rules(rules).await;
    let address = setup.process.address();

    let mut stranger = Socket::open(address, OLD, &[]).await;
    stranger.init(json!({})).await;
    let refused = stranger.first("1", "subscription { messageSaved { id } }").await;
    assert_eq!(refused["errors"][0]["message"], "operation not allowed", "{refused}");

    let credentials = json!({
        "x-platformatic-admin-secret": SECRET, "X-Platformatic-Role": "user", "X-PLATFORMATIC-USER-ID": "mine",
        "headers": {"x-platformatic-queue": 1},
    });
    let mut user = Socket::open(address, OLD, &[]).await;
    user.init(credentials).await;
    for (query, message) in [
        ("subscription { cronSaved { id } }", "operation not allowed"),
        ("subscription { messageSaved { id when } }", "field not allowed: when"),
        ("subscription { cronDeleted { id } }", "operation not allowed"),
    ] {
        let refused = user.first("x", query).await;
        assert_eq!(refused["errors"][0]["message"], message, "{refused}");
    }
    user.subscribe("saved", "subscription { messageSaved { id body queue { name } } }").await;
    user.subscribe("gone", "subscription { messageDeleted { id } }").await;
    // It sees queues by their names, of which nothing is known of one that is gone.
    user.subscribe("queues", "subscription { queueDeleted { id } }").await;
    wait_for_hub(&setup.database).await;
    message(&admin, "2", "not for them").await;
    message(&admin, "1", "for them").await;
    let heard = user.event("saved").await;
    assert_eq!(
        heard["data"]["messageSaved"],
        json!({"id": "6", "body": "for them", "queue": {"name": "mine"}}),
        "{heard}"
    );
    data(&admin, "mutation { deleteQueues(where: {name: {eq: \"mine\"}}, force: true) { id } }", json!({})).await;
    data(&admin, "mutation { deleteMessages(where: {id: {in: [5, 6]}}) { id } }", json!({})).await;
    let gone = user.event("gone").await;
    assert_eq!(gone["data"]["messageDeleted"], json!({"id": "6"}), "{gone}");
}

#[actix_rt::test]
async fn credentials_may_come_with_the_upgrade() {
    let (setup, _) = with_rules(json!([])).await;
    let mut socket = Socket::open(setup.process.address(), NEW, &[("X-PLATFORMATIC-ADMIN-SECRET", SECRET)]).await;
    socket.init(json!(null)).await;
    let queues = socket.first("q", "{ queues { name } }").await;
    assert_eq!(queues["data"]["queues"], json!([{"name": "mine"}, {"name": "theirs"}]));
    // What comes later counts.
    let mut socket = Socket::open(setup.process.address(), NEW, &[("X-PLATFORMATIC-ADMIN-SECRET", SECRET)]).await;
    socket.init(json!({"x-platformatic-admin-secret": "wrong"})).await;
    let refused = socket.first("q", "{ queues { name } }").await;
    assert_eq!(refused["errors"][0]["message"], "operation not allowed");
}
