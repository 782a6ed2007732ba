//! The edge of the API: limits of requests, slow clients, other origins, and pages, over plain TCP where it must be.

mod cors;
mod limits;
mod memory;
mod pages;
mod slow;

use std::net::SocketAddr;
use std::time::Duration;

use posthaste_tests::client::{Answer, Api};
use posthaste_tests::database::Database;
use posthaste_tests::process::{Launch, Process};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything that is to come at once.
const SOON: Duration = Duration::from_secs(15);

/// A running API.
struct Setup {
    api: Api,
    process: Process,
    database: Database,
}

impl Setup {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let database = Database::new().await;
        let launch = settings.iter().fold(Launch::api(&database), |launch, (name, value)| launch.env(name, value));
        let process = launch.start().await;
        Self { api: process.api(), process, database }
    }

    async fn connect(&self) -> Connection {
        Connection::to(self.process.address()).await
    }
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// The status and the code of an error, whose JSON must be complete.
fn error(status: u16, json: &Value) -> (u16, &str) {
    assert_eq!(json["statusCode"], status, "{json}");
    assert!(json["error"].is_string() && json["message"].is_string(), "{json}");
    (status, json["code"].as_str().unwrap_or_default())
}

/// A client that sends what it likes.
struct Connection(TcpStream);

impl Connection {
    async fn to(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("a connection"))
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the connection takes it");
    }

    /// One answer: its status and its JSON, which its length must fit.
    async fn answer(&mut self) -> (u16, Value) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(&head));
            }));
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap().parse().unwrap();
        let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        assert_eq!(value("content-type"), Some("application/json; charset=utf-8"), "{head}");
        let mut body = vec![0; value("content-length").unwrap().parse().unwrap()];
        self.0.read_exact(&mut body).await.expect("the body");
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// Waits until the server has closed the connection; returns what came before.
    async fn end(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = self.0.read_to_end(&mut rest).await;
        rest
    }
}
