//! The README's tutorial over the real program, with the very requests that the README shows.
//!
//! Runs anywhere: nothing of the source tree is read at run time, and `POSTHASTE_BIN_DIR` says where the program is.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use posthaste_tests::client::Api;
use posthaste_tests::database::Database;
use posthaste_tests::postgres::temporary_folder;
use posthaste_tests::process::Launch;
use posthaste_tests::receiver::{Received, Receiver};
use posthaste_tests::wait;
use serde_json::{Value, json};

const README: &str = include_str!("../../README.md");
const SOON: Duration = Duration::from_secs(15);

/// What of the tutorial's requests is different here: where the receiver is, and how long a test may take.
const RECEIVER: &str = "http://127.0.0.1:8000/orders";
const IN_TEN_SECONDS: &str = "$(date -u -d '+10 seconds' +%Y-%m-%dT%H:%M:%SZ)";
const EVERY_FIVE_SECONDS: &str = "*/5 * * * * *";

/// How many ticks of the cron are looked at.
const TICKS: usize = 4;

#[actix_rt::test]
async fn on_a_given_database() {
    let database = Database::empty().await;
    let process = Launch::all_in_one(&database).start().await;
    follow(&process.api()).await;
}

#[actix_rt::test]
async fn on_the_embedded_server() {
    let home = Home(temporary_folder());
    // As `cargo run` starts it.
    let launch = Launch::new("posthaste").with_port();
    let mut process = launch.env("DATA_DIR", home.0.to_str().unwrap()).start().await;

    follow(&process.api()).await;

    process.sigterm();
    assert_eq!(process.wait(SOON).await.code(), Some(0), "{}", process.stderr());
}

/// A data folder, deleted after the test.
struct Home(PathBuf);

impl Drop for Home {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Does what the tutorial says, and sees what it promises.
async fn follow(api: &Api) {
    let receiver = Receiver::start();
    let mut requests = requests().into_iter();
    let mut post = async |path: &str, from: &str, to: &str| {
        let (shown, body) = requests.next().expect("a further request in the README's tutorial");
        assert_eq!(shown, path);
        assert!(body.contains(from), "{from} in {body}");
        let body: Value = serde_json::from_str(&body.replace(from, to)).expect("JSON in the README's tutorial");
        (api.post(path, &body).await, body)
    };

    let (queue, asked) = post("/queues/", RECEIVER, &receiver.url("/orders")).await;
    assert_eq!(queue.created(), "1", "the tutorial's messages go to queue 1");
    for field in ["name", "callbackUrl", "method", "headers", "maxRetries"] {
        assert_eq!(queue.json[field], asked[field], "{field}");
    }
    let (message, _) = post("/messages/", "4711", "4711").await;
    let when = Utc::now() + TimeDelta::seconds(2);
    let (reminder, _) = post("/messages/", IN_TEN_SECONDS, &shown(when)).await;
    let (cron, _) = post("/crons/", EVERY_FIVE_SECONDS, "*/1 * * * * *").await;
    let overriding = json!({
        "queueId": 1, "body": "plain", "headers": {"x-SHOP": "hamburg", "Content-Type": "text/plain"}
    });
    let overriding = api.create_message(&overriding).await;

    let came = arrival(&receiver, &message.created()).await;
    assert_request(&came, r#"{"order":4711}"#, "berlin", "application/json");
    let came = arrival(&receiver, &overriding).await;
    assert_request(&came, "plain", "hamburg", "text/plain");

    let came = arrival(&receiver, &reminder.created()).await;
    assert_request(&came, r#"{"order":4712,"reminder":true}"#, "berlin", "application/json");
    let millisecond = TimeDelta::milliseconds(1);
    let early = time(reminder.json["when"].as_str().unwrap()) - DateTime::<Utc>::from(came.time);
    assert!(early <= TimeDelta::zero(), "{early} early");
    assert!((time(reminder.json["when"].as_str().unwrap()) - when).abs() < millisecond);

    assert_every_second_once(api, &receiver, &cron.created()).await;
    for id in [message.created(), reminder.created(), overriding] {
        assert_delivered(api, &id).await;
    }
}

/// What the tutorial posts, path and body, as a shell would hand it to curl.
fn requests() -> Vec<(String, String)> {
    let tutorial = README.split("\n## ").find(|section| section.starts_with("Tutorial"));
    let commands = tutorial.expect("a tutorial").split("curl -s http://127.0.0.1:3042").skip(1);
    commands.filter_map(request).collect()
}

fn request(command: &str) -> Option<(String, String)> {
    let (path, rest) = command.split_once(" --json ")?;
    let mut chars = rest.chars();
    let quote = chars.next()?;
    let mut body = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quote == '"' => body.extend(chars.next()),
            _ if c == quote => return Some((path.to_owned(), body)),
            _ => body.push(c),
        }
    }
    None
}

fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The request that delivers a message.
async fn arrival(receiver: &Receiver, id: &str) -> Received {
    let is_it = |request: &Received| message_of(request) == id;
    let what = format!("message {id}");
    let all = receiver.wait_for(SOON, &what, |all| all.iter().any(is_it)).await;
    all.into_iter().find(is_it).unwrap()
}

fn message_of(request: &Received) -> &str {
    let id = request.header("webhook-id").expect("a webhook-id");
    id.strip_prefix("msg_").expect("an id that begins with msg_")
}

fn assert_request(request: &Received, body: &str, shop: &str, content_type: &str) {
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/orders"));
    assert_eq!(request.text(), body);
    for (name, value) in [("x-shop", shop), ("content-type", content_type)] {
        let values = request.headers.iter().filter(|(known, _)| known == name);
        assert_eq!(values.map(|(_, value)| value).collect::<Vec<_>>(), [value], "{name}");
    }
    let agent = request.header("user-agent").unwrap_or_default();
    assert!(agent.starts_with("Posthaste/"), "{agent}");
}

/// Each tick of the cron is one message, which came no earlier than its second.
async fn assert_every_second_once(api: &Api, receiver: &Receiver, cron: &str) {
    let is_tick = |request: &&Received| request.text() == "every five seconds";
    let what = format!("{TICKS} ticks of the cron");
    let came = receiver.wait_for(SOON, &what, |all| all.iter().filter(is_tick).count() >= TICKS);
    let mut ticks = Vec::new();
    for request in came.await.iter().filter(is_tick) {
        assert_request(request, "every five seconds", "berlin", "application/json");
        let message = api.get(&format!("/messages/{}", message_of(request))).await;
        assert_eq!(message.json["cronId"], cron, "{}", message.text);
        let tick = time(message.json["when"].as_str().unwrap());
        let early = tick - DateTime::<Utc>::from(request.time);
        assert!(early <= TimeDelta::zero(), "{early} early");
        ticks.push(tick.timestamp_millis());
    }
    ticks.sort_unstable();
    let created = time(api.get(&format!("/crons/{cron}")).await.json["createdAt"].as_str().unwrap());
    let first = (created.timestamp() + 1) * 1000;
    // The clock is read just before the row is written.
    assert!([first, first - 1000].contains(&ticks[0]), "created {created}, first tick {}", ticks[0]);
    let every_second: Vec<_> = (0..).map(|n| ticks[0] + n * 1000).take(ticks.len()).collect();
    assert_eq!(ticks, every_second);
}

async fn assert_delivered(api: &Api, id: &str) {
    let path = format!("/messages/{id}");
    let message = wait::until(SOON, "the outcome is known", async || {
        let message = api.get(&path).await.json;
        message["sentAt"].is_string().then_some(message)
    })
    .await;
    assert_eq!((&message["failed"], &message["retries"]), (&json!(false), &json!(0)), "{message}");
    assert!(time(message["sentAt"].as_str().unwrap()) >= time(message["when"].as_str().unwrap()), "{message}");
}
