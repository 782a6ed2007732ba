//! Crons beyond a schedule: what they send, when they fire, what becomes of ticks that are missed or overlap, and how they are
//! steered.

mod asking;
mod burst;
mod firing;
mod missing;
mod steering;

use std::collections::BTreeMap;
use std::time::Duration;

use posthaste_tests::client::Api;
use posthaste_tests::database::Database;
use posthaste_tests::outbox::Outbox;
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::receiver::{Received, Receiver};
use posthaste_tests::wait;
use serde_json::{Value, json};

/// For everything that must happen and has no time of its own.
const LONG: Duration = Duration::from_secs(60);
const EVERY_SECOND: &str = "* * * * * *";

/// A database, an API, a deliverer, a scheduler unless it comes later, a receiver, and a queue that posts to its `/hook`.
struct Scene {
    database: Database,
    outbox: Outbox,
    receiver: Receiver,
    queue: String,
    api: Process,
    /// Dropped first.
    services: Vec<Process>,
}

impl Scene {
    async fn new() -> Scene {
        let mut scene = Scene::without_scheduler().await;
        scene.start_scheduler().await;
        scene
    }

    async fn without_scheduler() -> Scene {
        let database = Database::new().await;
        let outbox = Outbox::on(&database).await;
        let receiver = Receiver::start();
        let api = Launch::api(&database).start().await;
        let services = vec![Launch::deliverer(&database).start().await];
        let queue = json!({"name": "q", "callbackUrl": receiver.url("/hook"), "method": "POST", "maxRetries": 0});
        let queue = api.api().create_queue(&queue).await;
        Scene { database, outbox, receiver, queue, api, services }
    }

    async fn start_scheduler(&mut self) {
        self.services.push(Launch::scheduler(&self.database).start().await);
    }

    fn api(&self) -> Api {
        self.api.api()
    }

    /// A cron of the queue, with these fields.
    async fn cron(&self, fields: Value) -> String {
        let mut cron = fields;
        cron["queueId"] = json!(self.queue);
        self.api().create_cron(&cron).await
    }

    async fn get(&self, cron: &str) -> Value {
        self.api().get(&format!("/crons/{cron}")).await.json
    }

    /// What became of a cron's ticks, earliest first.
    async fn ticks(&self, cron: &str) -> Vec<Value> {
        let answer = self.api().get(&format!("/crons/{cron}/ticks?limit=1000")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let mut ticks = answer.json.as_array().unwrap().clone();
        ticks.reverse();
        ticks
    }

    /// The same, once there is one with this outcome.
    async fn ticks_with(&self, cron: &str, outcome: &str) -> Vec<Value> {
        wait::until(LONG, &format!("a tick is {outcome}"), async || {
            let ticks = self.ticks(cron).await;
            ticks.iter().any(|tick| tick["outcome"] == outcome).then_some(ticks)
        })
        .await
    }

    /// As if the cron stood where it stands since so many seconds before.
    async fn set_back(&self, cron: &str, seconds: i64) {
        let sql = format!(
            "UPDATE posthaste.crons SET next_fire_at = next_fire_at - interval '{seconds} s' WHERE id = {cron};
             UPDATE posthaste.cron_ticks SET tick = tick - interval '{seconds} s' WHERE cron_id = {cron}"
        );
        self.outbox.execute(&sql).await;
    }
}

/// Requests by the message that they carry.
fn by_message(requests: &[Received]) -> BTreeMap<String, &Received> {
    requests.iter().map(|request| (posthaste_tests::outbox::message_of(request).to_string(), request)).collect()
}

/// A time of an answer, in milliseconds since 1970.
fn ms(time: &Value) -> i64 {
    chrono::DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap().timestamp_millis()
}
