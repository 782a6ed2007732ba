//! The HTTP interface as applications of pg-hooks know it: paths, answers, lists, rights, deletion, and many at once.

mod access;
mod actions;
mod deleting;
mod filters;
mod lists;
mod nested;
mod objects;
mod routes;
mod storm;
mod updating;

use std::time::Duration;

use posthaste_tests::client::{Answer, Api};
use posthaste_tests::database::Database;
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::receiver::Receiver;
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

    async fn rows(&self, table: &str) -> i64 {
        self.database.number(&format!("SELECT count(*) FROM posthaste.{table}")).await
    }
}

/// A queue that calls `path` of a receiver.
fn calling(receiver: &Receiver, path: &str) -> Value {
    json!({"name": "q", "callbackUrl": receiver.url(path), "method": "POST"})
}

/// A queue whose messages are never sent where no deliverer runs.
fn queue() -> Value {
    json!({"name": "q", "callbackUrl": "http://127.0.0.1:9/", "method": "POST"})
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// A JSON text with every time in it, which must be in UTC and have milliseconds, written as `TIME`.
fn without_times(text: &str) -> String {
    const MODEL: &[u8] = b"\"0000-00-00T00:00:00.000Z\"";
    let is_time = |rest: &str| {
        let same = |(&given, &model): (&u8, &u8)| {
            if model == b'0' { given.is_ascii_digit() } else { given == model }
        };
        rest.len() >= MODEL.len() && rest.bytes().take(MODEL.len()).collect::<Vec<_>>().iter().zip(MODEL).all(same)
    };
    let mut result = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if is_time(rest) {
            result.push_str("\"TIME\"");
            rest = &rest[MODEL.len()..];
        } else {
            result.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    result
}

/// 200 with exactly this JSON, its times replaced by `TIME`.
fn assert_json(answer: &Answer, expected: &str) {
    assert_eq!((answer.status, without_times(&answer.text).as_str()), (200, expected));
    assert_eq!(header(answer, "content-type"), "application/json; charset=utf-8");
}

/// An error with exactly this JSON.
fn assert_error(answer: &Answer, status: u16, code: &str, error: &str, message: &str) {
    let expected = format!(r#"{{"statusCode":{status},"code":"{code}","error":"{error}","message":"{message}"}}"#);
    assert_eq!((answer.status, answer.text.as_str()), (status, expected.as_str()));
    assert_eq!(header(answer, "content-type"), "application/json; charset=utf-8");
}

/// What pg-hooks' framework answers where there is no such route or no such row.
fn assert_not_found(answer: &Answer, method: &str, target: &str) {
    let message = format!("Route {method}:{target} not found");
    let expected = format!(r#"{{"message":"{message}","error":"Not Found","statusCode":404}}"#);
    assert_eq!((answer.status, answer.text.as_str()), (404, expected.as_str()));
    assert_eq!(header(answer, "content-type"), "application/json; charset=utf-8");
}
