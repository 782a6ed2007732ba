//! What steers a deliverer beside the messages themselves: pauses, lifetimes, cancellation; and what is counted and
//! tidied up behind it.

mod cancelling;
mod counting;
mod duties;
mod expiring;
mod pausing;

use std::time::Duration;

use posthaste_core::ids::QueueId;
use posthaste_store::connect::{Connection, Purpose, connect};
use posthaste_store::queue_state::{resume, set_paused};
use posthaste_store::wakeup::notify_queues;
use posthaste_tests::database::Database;
use posthaste_tests::outbox::{Attempt, Outbox};
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::receiver::Receiver;

/// Within this, or the test fails. Far more than anything takes, for busy machines.
const SOON: Duration = Duration::from_secs(20);

/// A database with a session as the API's, and a receiver.
struct Scene {
    database: Database,
    outbox: Outbox,
    receiver: Receiver,
    api: Connection,
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
        let api = connect(&database.url().parse().unwrap(), Purpose::Pool).await.unwrap();
        Self { database, outbox, receiver: Receiver::start(), api, deliverer: None }
    }

    async fn start_deliverer(&mut self) {
        self.deliverer = Some(Launch::deliverer(&self.database).start().await);
    }

    /// A queue that posts to a path of the receiver.
    async fn queue(&self, path: &str, settings: &[(&str, &str)]) -> i64 {
        self.outbox.queue(&self.receiver.url(path), settings).await
    }

    async fn pause(&mut self, queue: i64) {
        assert!(set_paused(&mut self.api, QueueId(queue), None).await.unwrap());
        notify_queues(&mut self.api).await.unwrap();
    }

    async fn resume(&mut self, queue: i64) {
        assert!(resume(&mut self.api, QueueId(queue)).await.unwrap());
        notify_queues(&mut self.api).await.unwrap();
    }

    /// Waits until a message of another queue that is due in so many milliseconds has been delivered.
    async fn passes(&self, ms: u32) {
        let queue = self.queue("/sentinel", &[]).await;
        let at = format!("at => clock_timestamp() + interval '{ms} ms'");
        let sentinel = self.outbox.enqueue_with(queue, &at).await;
        assert_eq!(verdicts(&self.outbox.ended(SOON, sentinel).await), ["delivered"]);
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
