//! What happens after failure, and with many messages at once: dead letters, events, replays, purges, topics, backpressure.

mod backlog;
mod events;
mod jobs;
mod topics;

use std::time::Duration;

use posthaste_tests::client::Api;
use posthaste_tests::database::Database;
use posthaste_tests::outbox::Outbox;
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::receiver::Receiver;
use posthaste_tests::wait;
use serde_json::{Value, json};

/// For everything that must happen and has no time of its own.
const LONG: Duration = Duration::from_secs(40);

/// A database, an API, a deliverer, a scheduler, and a receiver.
struct Scene {
    database: Database,
    outbox: Outbox,
    receiver: Receiver,
    api: Process,
    /// Dropped first.
    services: Vec<Process>,
}

impl Scene {
    async fn new() -> Scene {
        Scene::with(&[]).await
    }

    async fn with(settings: &[(&str, &str)]) -> Scene {
        let database = Database::new().await;
        let outbox = Outbox::on(&database).await;
        let launch = settings.iter().fold(Launch::api(&database), |launch, (name, value)| launch.env(name, value));
        let api = launch.start().await;
        let services = vec![Launch::deliverer(&database).start().await, Launch::scheduler(&database).start().await];
        Scene { database, outbox, receiver: Receiver::start(), api, services }
    }

    fn api(&self) -> Api {
        self.api.api()
    }

    /// A queue that posts to a path of the receiver; answers its id.
    async fn queue(&self, path: &str, further: Value) -> String {
        let mut queue = json!({"name": path, "callbackUrl": self.receiver.url(path), "method": "POST"});
        for (name, value) in further.as_object().cloned().unwrap_or_default() {
            queue[name] = value;
        }
        self.api().create_queue(&queue).await
    }

    async fn message(&self, queue: &str, body: &str) -> String {
        self.api().create_message(&json!({"queueId": queue, "body": body})).await
    }

    /// Waits until a message has this status, and answers it.
    async fn becomes(&self, message: &str, status: &str) -> Value {
        wait::until(LONG, &format!("message {message} is {status}"), async || {
            Some(self.api().get(&format!("/messages/{message}")).await.json).filter(|json| json["status"] == status)
        })
        .await
    }

    /// Waits until a job has this state, and answers it.
    async fn job(&self, id: &Value, state: &str) -> Value {
        let path = format!("/jobs/{}", id.as_str().unwrap());
        wait::until(LONG, &format!("job {id} is {state}"), async || {
            Some(self.api().get(&path).await.json).filter(|json| json["state"] == state)
        })
        .await
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.services.clear();
    }
}
