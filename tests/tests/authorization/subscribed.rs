//! The role table's part for subscriptions: who hears what of changes in the queues of two tenants.

use awc::http::Method;
use posthaste_tests::client::Api;
use posthaste_tests::socket::{NEW, Socket, wait_for_hub};
use serde_json::{Value, json};

use super::SECRET;
use super::roles::{CALLERS, Scene};

/// What a subscriber hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hears {
    Everything,
    /// Of queue 1 only.
    Own,
    /// The subscription is refused.
    Nothing,
}

use Hears::{Everything, Nothing, Own};

/// By caller, in the order of `CALLERS`: what is heard of queues, of messages, and of crons.
const TABLE: [[Hears; 3]; 8] = [
    [Everything, Everything, Everything],
    [Nothing, Nothing, Everything],
    [Nothing, Nothing, Everything],
    [Everything, Everything, Everything],
    [Everything, Nothing, Nothing],
    [Own, Own, Own],
    [Everything, Nothing, Nothing],
    [Own, Own, Own],
];

const ENTITIES: [&str; 3] = ["queue", "message", "cron"];

/// Makes a change of this kind in a queue, and tells the id of the row.
async fn change(admin: &Api, entity: &str, queue: i64) -> String {
    let answer = match entity {
        "queue" => {
            let body = json!({"name": "n", "callbackUrl": "http://127.0.0.1:9/", "method": "POST"});
            admin.put(&format!("/queues/{queue}"), &body).await
        }
        "message" => admin.post("/messages", &json!({"queueId": queue, "delay": 99999})).await,
        _ => admin.post("/crons", &json!({"queueId": queue, "schedule": "@yearly"})).await,
    };
    answer.created()
}

/// Deletes a row.
async fn delete(admin: &Api, entity: &str, id: &str) {
    let answer = admin.send(Method::DELETE, &format!("/{entity}s/{id}"), None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// Reads events until one is of this row; tells the ids of all.
async fn heard_until(socket: &mut Socket, subscription: &str, field: &str, id: &str) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let event = socket.event(subscription).await;
        let of = event["data"][field]["id"].as_str().unwrap_or_else(|| panic!("{event}")).to_owned();
        heard.push(of);
        if heard.last().is_some_and(|last| last == id) {
            return heard;
        }
    }
}

async fn check(column: usize) {
    let scene = Scene::of(CALLERS[column]).await;
    let admin = Api::with_secret(scene.process.address(), SECRET);
    let mut socket = Socket::open(scene.process.address(), NEW, &[]).await;
    let credentials: Value = scene.headers.iter().cloned().map(|(name, value)| (name, Value::from(value))).collect();
    socket.init(credentials).await;

    for (entity, hears) in ENTITIES.into_iter().zip(TABLE[column]) {
        for kind in ["Saved", "Deleted"] {
            let (name, query) = (format!("{entity}{kind}"), format!("subscription {{ {entity}{kind} {{ id }} }}"));
            if hears == Nothing {
                let refused = socket.first(&name, &query).await;
                let code = refused["errors"][0]["extensions"]["code"].as_str().unwrap_or_default();
                assert!(code.starts_with("PLT_DB_AUTH_"), "{} {name}: {refused}", CALLERS[column]);
            } else {
                socket.subscribe(&name, &query).await;
            }
        }
    }
    if TABLE[column] == [Nothing; 3] {
        return;
    }
    wait_for_hub(&scene.database).await;
    for (entity, hears) in ENTITIES.into_iter().zip(TABLE[column]) {
        let field = format!("{entity}Saved");
        let theirs = change(&admin, entity, 2).await;
        let own = change(&admin, entity, 1).await;
        if hears == Nothing {
            continue;
        }
        let mut heard = heard_until(&mut socket, &field, &field, &own).await;
        if hears == Everything && !heard.contains(&theirs) {
            heard.extend(heard_until(&mut socket, &field, &field, &theirs).await);
        }
        if hears == Own {
            assert!(!heard.contains(&theirs), "{} {field}: {heard:?}", CALLERS[column]);
        }
        if entity == "queue" {
            continue;
        }
        let field = format!("{entity}Deleted");
        delete(&admin, entity, &theirs).await;
        delete(&admin, entity, &own).await;
        let mut heard = heard_until(&mut socket, &field, &field, &own).await;
        if hears == Everything && !heard.contains(&theirs) {
            heard.extend(heard_until(&mut socket, &field, &field, &theirs).await);
        }
        if hears == Own {
            assert!(!heard.contains(&theirs), "{} {field}: {heard:?}", CALLERS[column]);
        }
    }
}

#[actix_rt::test]
async fn everybody_hears_what_they_may_see() {
    for column in 0..CALLERS.len() {
        check(column).await;
    }
}
