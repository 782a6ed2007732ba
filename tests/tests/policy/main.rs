//! What decides about an attempt beside the receiver: the queue's policy, the message's own limits, and the deployment's defaults.
//! A real deliverer on a real PostgreSQL, with settings that were made by SQL.

mod gone;
mod limits;
mod seen;
mod signals;
mod waits;

use std::time::Duration;

use posthaste_tests::database::Database;
use posthaste_tests::outbox::Outbox;
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::receiver::Receiver;

/// Within this, or the test fails. Far more than anything takes, for busy machines.
const SOON: Duration = Duration::from_secs(15);

/// One deliverer on a database of its own, and a receiver.
struct Scene {
    outbox: Outbox,
    receiver: Receiver,
    database: Database,
    deliverer: Option<Process>,
}

impl Scene {
    async fn new() -> Scene {
        Scene::with(&[]).await
    }

    /// With variables of the deliverer's.
    async fn with(variables: &[(&str, &str)]) -> Scene {
        let database = Database::new().await;
        let outbox = Outbox::on(&database).await;
        let launch =
            variables.iter().fold(Launch::deliverer(&database), |launch, (name, value)| launch.env(name, value));
        let deliverer = Some(launch.start().await);
        Scene { outbox, receiver: Receiver::start(), database, deliverer }
    }

    /// A queue that posts to a path of the receiver.
    async fn queue(&self, path: &str, settings: &[(&str, &str)]) -> i64 {
        self.outbox.queue(&self.receiver.url(path), settings).await
    }

    /// The waits between the attempts of a message that fails until its retries are over, in milliseconds.
    async fn waits(&self, path: &str, settings: &[(&str, &str)]) -> Vec<i64> {
        self.receiver.answer(path, posthaste_tests::receiver::Answer::status(500));
        let queue = self.queue(path, settings).await;
        let message = self.outbox.enqueue(queue, "x").await;
        let attempts = self.outbox.ended(SOON, message).await;
        attempts.windows(2).map(|pair| (pair[1].started - pair[0].finished) / 1000).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.deliverer = None;
    }
}
