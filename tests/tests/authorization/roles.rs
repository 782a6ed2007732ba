//! The role table: every operation, by every kind of caller, over REST, GraphQL and batches. Subscriptions are `subscribed`'s.
//!
//! Each caller has a fresh database with two tenants: queue 1 with message 1 and cron 1 (whose message is 2), and queue 2
//! with message 3 and cron 2 (whose message is 4). Operations come in an order in which each finds what it is about.

use awc::http::Method;
use posthaste_tests::client::Api;
use posthaste_tests::database::Database;
use posthaste_tests::process::{Launch, Process};
use serde_json::{Value, json};

use super::SECRET;

/// What comes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It is done.
    Done,
    /// It is not allowed: 401 without valid credentials, 403 with some.
    Denied,
    /// It is allowed, but not for this row, which does not exist for the caller.
    Nothing,
}

use Outcome::{Denied, Done, Nothing};

/// An operation over REST, and the same over GraphQL where there is one.
struct Operation {
    name: &'static str,
    method: Method,
    path: &'static str,
    body: Value,
    graphql: Option<&'static str>,
}

fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    let mut add = |name, method, path, body, graphql| all.push(Operation { name, method, path, body, graphql });
    let queue = json!({"name": "n", "callbackUrl": "http://127.0.0.1:9/", "method": "POST"});
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    let none = Value::Null;
    add("list queues", get.clone(), "/queues?fields=id", none.clone(), Some("{ queues { id } }"));
    add(
        "count queues",
        get.clone(),
        "/queues?fields=id&totalCount=true",
        none.clone(),
        Some("{ countQueues { total } }"),
    );
    add("see own queue", get.clone(), "/queues/1?fields=id", none.clone(), Some("{ getQueueById(id: 1) { id } }"));
    add("see other queue", get.clone(), "/queues/2?fields=id", none.clone(), Some("{ getQueueById(id: 2) { id } }"));
    add(
        "see a queue's URL",
        get.clone(),
        "/queues/1?fields=callbackUrl",
        none.clone(),
        Some("{ getQueueById(id: 1) { callbackUrl } }"),
    );
    add(
        "guess a queue's URL",
        get.clone(),
        "/queues?fields=id&where.callbackUrl.like=http%25",
        none.clone(),
        Some(r#"{ queues(where: {callbackUrl: {like: "http%"}}) { id } }"#),
    );
    add("list messages", get.clone(), "/messages?fields=id", none.clone(), Some("{ messages { id } }"));
    add(
        "count messages",
        get.clone(),
        "/messages?fields=id&totalCount=true",
        none.clone(),
        Some("{ countMessages { total } }"),
    );
    add("see own message", get.clone(), "/messages/1", none.clone(), Some("{ getMessageById(id: 1) { id } }"));
    add("see other message", get.clone(), "/messages/3", none.clone(), Some("{ getMessageById(id: 3) { id } }"));
    add("list crons", get.clone(), "/crons", none.clone(), Some("{ crons { id } }"));
    add("see other cron", get.clone(), "/crons/2", none.clone(), Some("{ getCronById(id: 2) { id } }"));
    add(
        "messages of own queue",
        get.clone(),
        "/queues/1/messages?fields=id",
        none.clone(),
        Some("{ getQueueById(id: 1) { messages { id } } }"),
    );
    add(
        "messages of other queue",
        get.clone(),
        "/queues/2/messages?fields=id",
        none.clone(),
        Some("{ getQueueById(id: 2) { messages { id } } }"),
    );
    add("attempts of own message", get.clone(), "/messages/1/attempts", none.clone(), None);
    add("attempts of other message", get.clone(), "/messages/3/attempts", none.clone(), None);
    add("statistics of own queue", get.clone(), "/queues/1/stats", none.clone(), None);
    add("statistics of other queue", get.clone(), "/queues/2/stats", none.clone(), None);
    add("statistics of all", get.clone(), "/stats", none.clone(), None);
    add(
        "create a queue",
        post.clone(),
        "/queues?fields=id",
        queue.clone(),
        Some(
            r#"mutation { saveQueue(input: {name: "n", callbackUrl: "http://127.0.0.1:9/", method: "POST"}) { id } }"#,
        ),
    );
    add(
        "change own queue",
        put.clone(),
        "/queues/1?fields=id",
        queue.clone(),
        Some(r#"mutation { saveQueue(input: {id: 1, name: "n"}) { id } }"#),
    );
    add(
        "change other queue",
        put.clone(),
        "/queues/2?fields=id",
        queue.clone(),
        Some(r#"mutation { saveQueue(input: {id: 2, name: "n"}) { id } }"#),
    );
    add("change queues", put.clone(), "/queues?where.id.in=1,2&fields=id", queue.clone(), None);
    add("pause own queue", post.clone(), "/queues/1/pause", json!({}), Some("mutation { pauseQueue(id: 1) { id } }"));
    add(
        "resume own queue",
        post.clone(),
        "/queues/1/resume",
        json!({}),
        Some("mutation { resumeQueue(id: 1) { id } }"),
    );
    add("pause other queue", post.clone(), "/queues/2/pause", json!({}), Some("mutation { pauseQueue(id: 2) { id } }"));
    add(
        "post to own queue",
        post.clone(),
        "/messages",
        json!({"queueId": 1, "delay": 99999}),
        Some("mutation { saveMessage(input: {queueId: 1, delay: 99999}) { id } }"),
    );
    add(
        "post to other queue",
        post.clone(),
        "/messages",
        json!({"queueId": 2, "delay": 99999}),
        Some("mutation { saveMessage(input: {queueId: 2, delay: 99999}) { id } }"),
    );
    add(
        "batch to own queue",
        post.clone(),
        "/messages/batch?onError=fail-all",
        json!([{"queueId": 1, "delay": 99999}]),
        Some("mutation { insertMessages(inputs: [{queueId: 1, delay: 99999}]) { id } }"),
    );
    add(
        "batch to both queues",
        post.clone(),
        "/messages/batch?onError=fail-all",
        json!([{"queueId": 1, "delay": 99999}, {"queueId": 2, "delay": 99999}]),
        Some("mutation { insertMessages(inputs: [{queueId: 1, delay: 99999}, {queueId: 2, delay: 99999}]) { id } }"),
    );
    add(
        "change own message",
        put.clone(),
        "/messages/1",
        json!({"queueId": 1, "body": "x"}),
        Some(r#"mutation { saveMessage(input: {id: 1, body: "x"}) { id } }"#),
    );
    add(
        "change other message",
        put.clone(),
        "/messages/3",
        json!({"queueId": 2, "body": "x"}),
        Some(r#"mutation { saveMessage(input: {id: 3, body: "x"}) { id } }"#),
    );
    add(
        "schedule in own queue",
        post.clone(),
        "/crons",
        json!({"queueId": 1, "schedule": "@yearly"}),
        Some(r#"mutation { saveCron(input: {queueId: 1, schedule: "@yearly"}) { id } }"#),
    );
    add(
        "schedule in other queue",
        post.clone(),
        "/crons",
        json!({"queueId": 2, "schedule": "@yearly"}),
        Some(r#"mutation { saveCron(input: {queueId: 2, schedule: "@yearly"}) { id } }"#),
    );
    add(
        "move own cron to other queue",
        put.clone(),
        "/crons/1",
        json!({"queueId": 2, "schedule": "@yearly"}),
        Some(r#"mutation { saveCron(input: {id: 1, queueId: 2}) { id } }"#),
    );
    add("pause own cron", post.clone(), "/crons/1/pause", json!({}), Some("mutation { pauseCron(id: 1) { id } }"));
    add("resume own cron", post.clone(), "/crons/1/resume", json!({}), Some("mutation { resumeCron(id: 1) { id } }"));
    add(
        "trigger own cron",
        post.clone(),
        "/crons/1/trigger",
        json!({}),
        Some("mutation { triggerCron(id: 1) { id } }"),
    );
    add(
        "trigger other cron",
        post.clone(),
        "/crons/2/trigger",
        json!({}),
        Some("mutation { triggerCron(id: 2) { id } }"),
    );
    add(
        "ticks of own cron",
        get.clone(),
        "/crons/1/ticks",
        none.clone(),
        Some("{ getCronById(id: 1) { ticks { messageId } } }"),
    );
    add(
        "when a cron would fire",
        get.clone(),
        "/crons/preview?schedule=@daily",
        none.clone(),
        Some(r#"{ previewCron(schedule: "@daily") { ticks } }"#),
    );
    add("purge own queue", post.clone(), "/queues/1/purge", json!({}), Some("mutation { purgeQueue(id: 1) { id } }"));
    add("purge other queue", post.clone(), "/queues/2/purge", json!({}), Some("mutation { purgeQueue(id: 2) { id } }"));
    add(
        "what a replay of own queue would do",
        post.clone(),
        "/queues/1/replay",
        json!({"preview": true}),
        Some(r#"{ previewJob(id: 1, kind: "replay") { total } }"#),
    );
    add(
        "redrive own queue",
        post.clone(),
        "/queues/1/redrive",
        json!({}),
        Some("mutation { redriveQueue(id: 1) { id } }"),
    );
    add("jobs of own queue", get.clone(), "/jobs?queueId=1", none.clone(), Some("{ jobs(queueId: 1) { id } }"));
    add("jobs of all", get.clone(), "/jobs", none.clone(), Some("{ jobs { id } }"));
    add(
        "subscribe own queue",
        put.clone(),
        "/topics/t/subscriptions/1",
        json!({}),
        Some(r#"mutation { subscribeQueue(topic: "t", queueId: 1) { topic } }"#),
    );
    add(
        "subscribe other queue",
        put.clone(),
        "/topics/t/subscriptions/2",
        json!({}),
        Some(r#"mutation { subscribeQueue(topic: "t", queueId: 2) { topic } }"#),
    );
    add(
        "publish",
        post.clone(),
        "/topics/t/messages",
        json!({"delay": 99999}),
        Some(r#"mutation { publishToTopic(topic: "t", message: {delay: 99999}) { id } }"#),
    );
    add(
        "delete other message",
        delete.clone(),
        "/messages/3",
        none.clone(),
        Some("mutation { deleteMessages(where: {id: {eq: 3}}) { id } }"),
    );
    add(
        "delete own message",
        delete.clone(),
        "/messages/1",
        none.clone(),
        Some("mutation { deleteMessages(where: {id: {eq: 1}}) { id } }"),
    );
    add(
        "delete other cron",
        delete.clone(),
        "/crons/2",
        none.clone(),
        Some("mutation { deleteCrons(where: {id: {eq: 2}}) { id } }"),
    );
    add("delete other queue", delete.clone(), "/queues/2?force=true", none.clone(), None);
    add("list keys", get.clone(), "/api-keys", none.clone(), None);
    add("create a key", post, "/api-keys", json!({"name": "k", "scopes": ["queues:read"]}), None);
    add("read the audit log", get.clone(), "/audit-log", none.clone(), None);
    add("read the metrics", get, "/metrics", none, None);
    all
}

/// The callers, in the order of the table's columns.
pub const CALLERS: [&str; 8] = ["admin", "nobody", "wrong", "reader", "names", "tenant", "reading key", "tenant's key"];

/// `+` done, `-` denied, `0` nothing. The last letter of a pair counts for GraphQL where it differs.
const TABLE: [(&str, [&str; 8]); 58] = [
    //                               admin nobody wrong reader names tenant r-key t-key
    ("list queues", ["+", "-", "-", "+", "+", "+", "+", "+"]),
    ("count queues", ["+", "-", "-", "+", "+", "+", "+", "+"]),
    ("see own queue", ["+", "-", "-", "+", "+", "+", "+", "+"]),
    ("see other queue", ["+", "-", "-", "+", "+", "0", "+", "0"]),
    ("see a queue's URL", ["+", "-", "-", "+", "-", "+", "+", "+"]),
    ("guess a queue's URL", ["+", "-", "-", "+", "-", "+", "+", "+"]),
    ("list messages", ["+", "-", "-", "+", "-", "+", "-", "+"]),
    ("count messages", ["+", "-", "-", "+", "-", "+", "-", "+"]),
    ("see own message", ["+", "-", "-", "+", "-", "+", "-", "+"]),
    ("see other message", ["+", "-", "-", "+", "-", "0", "-", "0"]),
    ("list crons", ["+", "+", "+", "+", "-", "+", "-", "+"]),
    ("see other cron", ["+", "+", "+", "+", "-", "0", "-", "0"]),
    ("messages of own queue", ["+", "-", "-", "+", "-", "+", "-", "+"]),
    ("messages of other queue", ["+", "-", "-", "+", "-", "0", "-", "0"]),
    ("attempts of own message", ["+", "-", "-", "+", "-", "+", "-", "+"]),
    ("attempts of other message", ["+", "-", "-", "+", "-", "0", "-", "0"]),
    ("statistics of own queue", ["+", "-", "-", "+", "+", "+", "+", "+"]),
    ("statistics of other queue", ["+", "-", "-", "+", "+", "0", "+", "0"]),
    ("statistics of all", ["+", "-", "-", "+", "+", "-", "+", "-"]),
    ("create a queue", ["+", "-", "-", "-", "-", "-", "-", "-"]),
    ("change own queue", ["+", "-", "-", "-", "-", "+", "-", "+"]),
    ("change other queue", ["+", "-", "-", "-", "-", "0", "-", "0"]),
    ("change queues", ["+", "-", "-", "-", "-", "-", "-", "+"]),
    ("pause own queue", ["+", "-", "-", "-", "-", "+", "-", "+"]),
    ("resume own queue", ["+", "-", "-", "-", "-", "+", "-", "+"]),
    ("pause other queue", ["+", "-", "-", "-", "-", "0", "-", "0"]),
    ("post to own queue", ["+", "-", "-", "-", "-", "+", "-", "+"]),
    ("post to other queue", ["+", "-", "-", "-", "-", "-", "-", "-"]),
    ("batch to own queue", ["+", "-", "-", "-", "-", "+", "-", "+"]),
    ("batch to both queues", ["+", "-", "-", "-", "-", "-", "-", "-"]),
    ("change own message", ["+", "-", "-", "-", "-", "+", "-", "+"]),
    ("change other message", ["+", "-", "-", "-", "-", "0", "-", "0"]),
    ("schedule in own queue", ["+", "-", "-", "-", "-", "+", "-", "+"]),
    ("schedule in other queue", ["+", "-", "-", "-", "-", "-", "-", "-"]),
    ("move own cron to other queue", ["+", "-", "-", "-", "-", "-", "-", "-"]),
    ("pause own cron", ["+", "-", "-", "-", "-", "+", "-", "+"]),
    ("resume own cron", ["+", "-", "-", "-", "-", "+", "-", "+"]),
    ("trigger own cron", ["+", "-", "-", "-", "-", "+", "-", "+"]),
    ("trigger other cron", ["+", "-", "-", "-", "-", "0", "-", "0"]),
    ("ticks of own cron", ["+", "+", "+", "+", "-", "+", "-", "+"]),
    ("when a cron would fire", ["+", "+", "+", "+", "-", "+", "-", "+"]),
    ("purge own queue", ["+", "-", "-", "-", "-", "+", "-", "+"]),
    ("purge other queue", ["+", "-", "-", "-", "-", "0", "-", "0"]),
    ("what a replay of own queue would do", ["+", "-", "-", "-", "-", "+", "-", "+"]),
    ("redrive own queue", ["+", "-", "-", "-", "-", "-", "-", "-"]),
    ("jobs of own queue", ["+", "-", "-", "+", "+", "+", "+", "+"]),
    ("jobs of all", ["+", "-", "-", "+", "+", "-", "+", "-"]),
    ("subscribe own queue", ["+", "-", "-", "-", "-", "+", "-", "+"]),
    ("subscribe other queue", ["+", "-", "-", "-", "-", "0", "-", "0"]),
    ("publish", ["+", "-", "-", "-", "-", "+", "-", "+"]),
    ("delete other message", ["+", "-", "-", "-", "-", "0", "-", "0"]),
    ("delete own message", ["+", "-", "-", "-", "-", "+", "-", "+"]),
    ("delete other cron", ["+", "-", "-", "-", "-", "-", "-", "0"]),
    ("delete other queue", ["+", "-", "-", "-", "-", "-", "-", "0"]),
    ("list keys", ["+", "-", "-", "-", "-", "-", "-", "-"]),
    ("create a key", ["+", "-", "-", "-", "-", "-", "-", "-"]),
    ("read the audit log", ["+", "-", "-", "-", "-", "-", "-", "-"]),
    ("read the metrics", ["+", "-", "-", "-", "-", "-", "-", "-"]),
];

fn rules() -> Value {
    let own = |field: &str| json!({"checks": {field: "X-PLATFORMATIC-QUEUE"}});
    let all = json!(["queue", "message", "cron"]);
    json!([
        {"role": "anonymous", "entity": "cron", "find": true},
        {"role": "reader", "entities": all, "find": true},
        {"role": "names", "entity": "queue", "find": {"fields": ["id", "name"]}},
        {"role": "tenant", "entity": "queue", "find": own("id"), "save": own("id")},
        {"role": "tenant", "entity": "message", "find": own("queueId"), "save": own("queueId"), "delete": own("queueId")},
        {"role": "tenant", "entity": "cron", "find": own("queueId"), "save": own("queueId")},
    ])
}

/// A fresh API with the two tenants, and the caller's client.
pub struct Scene {
    pub process: Process,
    caller: Api,
    /// What the caller shows.
    pub headers: Vec<(String, String)>,
    pub database: Database,
}

impl Scene {
    pub async fn of(caller: &str) -> Self {
        let database = Database::new().await;
        let launch = Launch::api(&database).env("ADMIN_SECRET", SECRET).env("AUTH_RULES", &rules().to_string());
        let process = launch.start().await;
        let admin = Api::with_secret(process.address(), SECRET);
        for queue in [1, 2] {
            admin.create_queue(&json!({"name": "q", "callbackUrl": "http://127.0.0.1:9/", "method": "POST"})).await;
            admin.create_message(&json!({"queueId": queue, "delay": 99999})).await;
            admin.create_cron(&json!({"queueId": queue, "schedule": "@yearly"})).await;
        }
        let role = |role: &str| {
            vec![("X-PLATFORMATIC-ADMIN-SECRET", SECRET), ("X-PLATFORMATIC-ROLE", role), ("X-PLATFORMATIC-QUEUE", "1")]
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect::<Vec<_>>()
        };
        let key = async |more: Value| {
            let key = admin.post("/api-keys", &more).await;
            assert_eq!(key.status, 200, "{}", key.text);
            vec![("Authorization".to_owned(), format!("Bearer {}", key.json["key"].as_str().unwrap()))]
        };
        let everything =
            ["queues:read", "queues:write", "messages:read", "messages:write", "crons:read", "crons:write"];
        let headers = match caller {
            "admin" => vec![("X-PLATFORMATIC-ADMIN-SECRET".to_owned(), SECRET.to_owned())],
            "nobody" => vec![],
            "wrong" => vec![("X-PLATFORMATIC-ADMIN-SECRET".to_owned(), "open sesam".to_owned())],
            "reading key" => key(json!({"name": "r", "scopes": ["queues:read"]})).await,
            "tenant's key" => key(json!({"name": "t", "scopes": everything, "queueIds": [1]})).await,
            named => role(named),
        };
        let pairs: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let caller = Api::with_headers(process.address(), &pairs);
        Self { process, caller, headers, database }
    }
}

fn expected(letter: &str) -> Outcome {
    match letter {
        "+" => Done,
        "-" => Denied,
        "0" => Nothing,
        other => panic!("{other}"),
    }
}

async fn over_rest(api: &Api, operation: &Operation, denied: u16) -> Outcome {
    let body = (!operation.body.is_null()).then_some(&operation.body);
    let answer = api.send(operation.method.clone(), operation.path, body).await;
    let code = answer.json["code"].as_str().unwrap_or_default();
    // A batch is allowed as such, and each of its messages is not.
    let refused = answer.status == 422
        && answer.json["results"]
            .as_array()
            .is_some_and(|all| all.iter().all(|item| item["error"]["statusCode"] == 403));
    match answer.status {
        200 => Done,
        404 => Nothing,
        422 if refused => Denied,
        status if status == denied && code.starts_with("PLT_DB_AUTH_") => Denied,
        _ => panic!("{}: {} {}", operation.name, answer.status, answer.text),
    }
}

async fn over_graphql(api: &Api, query: &str, denied: u16) -> Outcome {
    let answer = api.post("/graphql", &json!({"query": query})).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    let error = &answer.json["errors"][0]["extensions"];
    if error["code"].as_str().is_some_and(|code| code.starts_with("PLT_DB_AUTH_")) {
        assert_eq!(error["statusCode"], denied, "{query}: {}", answer.text);
        return Denied;
    }
    let data = answer.json["data"].as_object().and_then(|data| data.values().next().cloned()).unwrap_or_default();
    let is_missing = data.is_null() || (query.starts_with("mutation") && data == json!([]));
    match (error["statusCode"].as_u64(), is_missing) {
        (None, false) => Done,
        (None | Some(404), true) => Nothing,
        _ => panic!("{query}: {}", answer.text),
    }
}

async fn check_column(column: usize) {
    let caller = CALLERS[column];
    let denied = if matches!(caller, "nobody" | "wrong") { 401 } else { 403 };
    let (rest, graphql) = (Scene::of(caller).await, Scene::of(caller).await);
    let operations = operations();
    let named: Vec<&str> = operations.iter().map(|operation| operation.name).collect();
    assert_eq!(named, TABLE.map(|(name, _)| name), "every operation has its row");
    let mut wrong = Vec::new();
    for (operation, (name, letters)) in operations.iter().zip(TABLE) {
        let wanted = expected(letters[column]);
        let over = over_rest(&rest.caller, operation, denied).await;
        if over != wanted {
            wrong.push(format!("{name} over REST: {over:?} instead of {wanted:?}"));
        }
        if let Some(query) = operation.graphql {
            let over = over_graphql(&graphql.caller, query, denied).await;
            if over != wanted {
                wrong.push(format!("{name} over GraphQL: {over:?} instead of {wanted:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{caller}:\n{}", wrong.join("\n"));
}

macro_rules! columns {
    ($($name:ident = $column:literal,)*) => {$(
        #[actix_rt::test]
        async fn $name() {
            check_column($column).await;
        }
    )*};
}

columns! {
    an_administrator = 0,
    nobody = 1,
    a_wrong_secret = 2,
    a_reader = 3,
    a_reader_of_some_fields = 4,
    a_tenant = 5,
    a_reading_key = 6,
    a_key_with_a_queue = 7,
}

#[actix_rt::test]
async fn nobody_sees_more_of_a_list_than_is_theirs() {
    for (caller, queues, messages) in [("tenant", 1, 2), ("tenant's key", 1, 2), ("reader", 2, 4), ("admin", 2, 4)] {
        let Scene { caller: api, .. } = &Scene::of(caller).await;
        for (path, count) in [("/queues", queues), ("/messages", messages)] {
            let answer = api.get(&format!("{path}?totalCount=true")).await;
            let total = answer.headers.get("x-total-count").unwrap().to_str().unwrap();
            assert_eq!(
                (answer.json.as_array().unwrap().len(), total),
                (count, count.to_string().as_str()),
                "{caller} {path}"
            );
        }
        let query = "{ queues { id messages { id } } messages { id queue { id } } countQueues { total } countMessages { total } }";
        let data = api.post("/graphql", &json!({"query": query})).await.json["data"].clone();
        let seen = (data["queues"].as_array().unwrap().len(), data["messages"].as_array().unwrap().len());
        assert_eq!(seen, (queues, messages), "{caller}: {data}");
        assert_eq!(
            (&data["countQueues"]["total"], &data["countMessages"]["total"]),
            (&json!(queues), &json!(messages))
        );
    }
}

#[actix_rt::test]
async fn a_bulk_change_reaches_only_what_is_theirs() {
    let Scene { caller, process, .. } = &Scene::of("tenant's key").await;
    let body = json!({"name": "changed", "callbackUrl": "http://127.0.0.1:9/", "method": "POST"});
    let changed = caller.put("/queues?where.id.gt=0&fields=id", &body).await;
    assert_eq!(changed.text, r#"[{"id":"1"}]"#);
    let admin = Api::with_secret(process.address(), SECRET);
    assert_eq!(admin.get("/queues/2").await.json["name"], "q");
    // Nor can it send what fails to somebody else.
    let mut letters = body;
    letters["deadLetterQueueId"] = json!(2);
    let refused = caller.put("/queues/1", &letters).await;
    assert!(matches!(refused.status, 403 | 404), "{}", refused.text);
}

#[actix_rt::test]
async fn jobs_and_topics_reach_only_what_is_theirs() {
    let Scene { caller, process, database, .. } = &Scene::of("tenant's key").await;
    let admin = Api::with_secret(process.address(), SECRET);
    for queue in [1, 2] {
        assert_eq!(admin.put(&format!("/topics/t/subscriptions/{queue}"), &json!({})).await.status, 200);
    }
    let seen = caller.get("/topics/t/subscriptions").await.json;
    assert_eq!((seen.as_array().map(Vec::len), &seen[0]["queueId"]), (Some(1), &json!("1")));
    let published = caller.post("/topics/t/messages", &json!({"delay": 99999})).await.json;
    assert_eq!((published.as_array().map(Vec::len), &published[0]["queueId"]), (Some(1), &json!("1")));

    let job = admin.post("/queues/2/purge", &json!({"ratePerSecond": 0.1})).await.json;
    let path = format!("/jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(caller.get(&path).await.status, 404);
    for order in ["pause", "resume", "cancel"] {
        assert_eq!(caller.post(&format!("{path}/{order}"), &json!({})).await.status, 404, "{order}");
    }
    assert_eq!(caller.get("/jobs?queueId=2").await.json, json!([]));
    assert_eq!(admin.get(&path).await.json["state"], "running");

    let client = database.connect().await;
    client
        .batch_execute(
            "DELETE FROM posthaste.pending;
             INSERT INTO posthaste.attempts (message_id, number, queue_id, outcome, started_at, finished_at, deliverer, status, error_class)
             SELECT id, 1, queue_id, 'failed', now(), now(), 'test', 500, 'status' FROM posthaste.messages",
        )
        .await
        .unwrap();
    assert_eq!(caller.post("/messages/3/replay", &json!({})).await.status, 404);
    assert_eq!(caller.post("/messages/1/replay", &json!({})).await.json["replayOf"], "1");
}
