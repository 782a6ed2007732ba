//! Receivers that misbehave, or that must not be called: what is recorded, what it costs, and whom it delays.

mod addresses;
mod answers;
mod connections;
mod hostile;
mod raw;
mod sharing;
mod tls;

use std::time::Duration;

use posthaste_tests::database::Database;
use posthaste_tests::outbox::{Attempt, Outbox};
use posthaste_tests::process::{Launch, Process};

/// Within this, or the test fails. More than anything takes, for busy machines.
const SOON: Duration = Duration::from_secs(15);

/// One attempt and no more.
const ONCE: (&str, &str) = ("max_retries", "0");

/// One deliverer on a database of its own.
struct Scene {
    outbox: Outbox,
    // Dropped before the database.
    _deliverer: Process,
    _database: Database,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|launch| launch).await
    }

    async fn with(settings: impl FnOnce(Launch) -> Launch) -> Self {
        let database = Database::new().await;
        Self {
            outbox: Outbox::on(&database).await,
            _deliverer: settings(Launch::deliverer(&database)).start().await,
            _database: database,
        }
    }

    /// Tries to deliver one message to `url`, once, and returns that attempt.
    async fn try_once(&self, url: &str) -> Attempt {
        let queue = self.outbox.queue(url, &[ONCE]).await;
        let message = self.outbox.enqueue(queue, "{}").await;
        let mut attempts = self.outbox.ended(SOON, message).await;
        assert_eq!(attempts.len(), 1, "{url}: {attempts:?}");
        attempts.remove(0)
    }
}
