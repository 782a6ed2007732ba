//! From the row to the receiver: real deliverers on a real PostgreSQL, with messages that were inserted by SQL.

mod dead_letters;
mod requests;
mod retrying;
mod steering;
mod timing;

use std::time::Duration;

use posthaste_tests::database::Database;
use posthaste_tests::outbox::{Attempt, Outbox};
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::receiver::{Received, Receiver};

/// Within this, or the test fails. Far more than anything takes, for busy machines.
const SOON: Duration = Duration::from_secs(15);

/// How much later than it should something may start, in microseconds.
const LATE: i64 = 1_000_000;

/// One deliverer on a database of its own, and a receiver.
struct Scene {
    database: Database,
    outbox: Outbox,
    receiver: Receiver,
    /// Started last and dropped first.
    deliverer: Option<Process>,
}

impl Scene {
    async fn new() -> Self {
        let mut scene = Self::without_deliverer().await;
        scene.start_deliverer().await;
        scene
    }

    async fn without_deliverer() -> Self {
        let database = Database::new().await;
        let outbox = Outbox::on(&database).await;
        Self { database, outbox, receiver: Receiver::start(), deliverer: None }
    }

    async fn start_deliverer(&mut self) {
        self.deliverer = Some(Launch::deliverer(&self.database).start().await);
    }

    /// A queue that posts to a path of the receiver.
    async fn queue(&self, path: &str, settings: &[(&str, &str)]) -> i64 {
        self.outbox.queue(&self.receiver.url(path), settings).await
    }

    /// Waits until everything that was committed so far has been read by the deliverer: it reads in the order of commits.
    async fn all_is_read(&self) {
        let queue = self.queue("/sentinel", &[]).await;
        let sentinel = self.outbox.enqueue(queue, "sentinel").await;
        self.outbox.ended(SOON, sentinel).await;
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.deliverer = None;
    }
}

fn verdicts(attempts: &[Attempt]) -> Vec<String> {
    attempts.iter().map(Attempt::verdict).collect()
}

/// What all requests for the same body have in common, in order of the names: neither the message's id nor the date.
fn lasting_headers(request: &Received) -> Vec<(String, String)> {
    let mut headers = request.headers.clone();
    const PARTICULAR: [&str; 5] =
        ["webhook-id", "webhook-timestamp", "posthaste-attempt", "posthaste-scheduled-at", "date"];
    headers.retain(|(name, _)| !PARTICULAR.contains(&name.as_str()) && !name.starts_with("posthaste-origin-"));
    headers.sort();
    headers
}
