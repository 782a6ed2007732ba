//! How messages come in: their fields, idempotency keys, and many in one request.

mod batches;
mod delivered;
mod fields;
mod keys;
mod lost_answers;
mod sending;
mod storage;

use std::time::Duration;

use posthaste_tests::client::{Answer, Api};
use posthaste_tests::database::Database;
use posthaste_tests::process::{Launch, Process};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(15);

/// One or more APIs on one database, and a queue with id 1; nothing is delivered.
struct Setup {
    api: Api,
    others: Vec<Api>,
    database: Database,
    _processes: Vec<Process>,
}

impl Setup {
    async fn new() -> Self {
        Self::with(1, &[]).await
    }

    /// So many APIs, with these settings.
    async fn with(count: usize, settings: &[(&str, &str)]) -> Self {
        let database = Database::new().await;
        let mut processes = Vec::new();
        for _ in 0..count {
            let launch = settings.iter().fold(Launch::api(&database), |launch, (name, value)| launch.env(name, value));
            processes.push(launch.start().await);
        }
        let mut others: Vec<Api> = processes.iter().map(Process::api).collect();
        let api = others.remove(0);
        api.create_queue(&queue()).await;
        Self { api, others, database, _processes: processes }
    }

    async fn rows(&self, table: &str) -> i64 {
        self.database.number(&format!("SELECT count(*) FROM posthaste.{table}")).await
    }
}

/// A queue whose messages are never sent.
fn queue() -> Value {
    json!({"name": "q", "callbackUrl": "http://127.0.0.1:9/", "method": "POST"})
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().unwrap())
}

/// An error with this status and code, and a message that has this in it.
fn assert_error(answer: &Answer, status: u16, code: &str, says: &str) {
    assert_eq!((answer.status, answer.json["code"].as_str()), (status, Some(code)), "{}", answer.text);
    let message = answer.json["message"].as_str().unwrap();
    assert!(message.contains(says), "{says:?} in {message:?}");
    assert_eq!(answer.json["statusCode"], status);
}
