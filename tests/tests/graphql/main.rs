//! GraphQL: the schema as clients of pg-hooks know it, over HTTP and WebSocket.

mod access;
mod lists;
mod loading;
mod objects;
mod socket;
mod subscriptions;
mod transport;

use std::time::Duration;

use posthaste_tests::client::{Answer, Api};
use posthaste_tests::database::Database;
use posthaste_tests::process::{Launch, Process};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(15);

/// A running program and a client for it.
struct Setup {
    api: Api,
    process: Process,
    database: Database,
}

impl Setup {
    /// The API alone: what is stored stays pending.
    async fn api() -> Self {
        let database = Database::new().await;
        Self::start(Launch::api(&database), database).await
    }

    /// All services.
    async fn all() -> Self {
        let database = Database::new().await;
        Self::start(Launch::all_in_one(&database), database).await
    }

    async fn start(launch: Launch, database: Database) -> Self {
        let process = launch.start().await;
        let api = process.api();
        Self { api, process, database }
    }
}

/// One operation.
async fn ask(api: &Api, query: &str, variables: Value) -> Answer {
    api.post("/graphql", &json!({"query": query, "variables": variables})).await
}

/// The data of an operation that succeeds.
async fn data(api: &Api, query: &str, variables: Value) -> Value {
    let answer = ask(api, query, variables).await;
    assert_eq!((answer.status, &answer.json["errors"]), (200, &Value::Null), "{query}: {}", answer.text);
    answer.json["data"].clone()
}

/// The first error of an operation: the answer's status, the message, the code.
async fn refusal(api: &Api, query: &str, variables: Value) -> (u16, String, String) {
    let answer = ask(api, query, variables).await;
    let error = &answer.json["errors"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert!(error.is_object(), "{query}: {}", answer.text);
    (answer.status, text(&error["message"]), text(&error["extensions"]["code"]))
}

/// Creates a queue whose messages are never sent where no deliverer runs, and returns its id.
async fn queue(api: &Api, name: &str) -> String {
    let input = json!({"name": name, "callbackUrl": "http://127.0.0.1:9/", "method": "POST"});
    id(
        &data(api, "mutation($input: QueueInput!) { saveQueue(input: $input) { id } }", json!({"input": input})).await
            ["saveQueue"],
    )
}

/// Creates a message that is due in a year, and returns its id.
async fn message(api: &Api, queue: &str, body: &str) -> String {
    let input = json!({"queueId": queue, "body": body, "delay": 31_536_000});
    id(&data(api, "mutation($input: MessageInput!) { saveMessage(input: $input) { id } }", json!({"input": input}))
        .await["saveMessage"])
}

fn id(row: &Value) -> String {
    row["id"].as_str().unwrap_or_else(|| panic!("no id in {row}")).to_owned()
}

/// The ids of a list.
fn ids(list: &Value) -> Vec<&str> {
    let rows = list.as_array().unwrap_or_else(|| panic!("a list: {list}"));
    rows.iter().map(|row| row["id"].as_str().unwrap()).collect()
}
