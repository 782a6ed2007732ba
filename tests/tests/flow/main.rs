//! Who goes next: limits, ordering keys and priorities, measured at the receiver while deliverers come, go and are killed.

mod health;
mod limits;
mod order;

use std::time::Duration;

use posthaste_tests::cluster::Cluster;
use posthaste_tests::database::Database;
use posthaste_tests::outbox::Outbox;
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::receiver::Receiver;
use tokio::sync::{Mutex, MutexGuard};

/// For everything that must happen and has no time of its own.
const LONG: Duration = Duration::from_secs(60);

/// Each test loads both cores: one after the other.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A database, a receiver, and deliverers.
struct Scene {
    database: Database,
    cluster: Cluster,
    outbox: Outbox,
    receiver: Receiver,
    /// Dropped first.
    deliverers: Vec<Process>,
    _alone: MutexGuard<'static, ()>,
}

impl Scene {
    async fn new(deliverers: usize) -> Scene {
        let alone = ALONE.lock().await;
        let database = Database::new().await;
        let cluster = Cluster::on(&database).await;
        let outbox = Outbox::on(&database).await;
        let mut scene =
            Scene { database, cluster, outbox, receiver: Receiver::start(), deliverers: Vec::new(), _alone: alone };
        for _ in 0..deliverers {
            scene.start_deliverer().await;
        }
        scene
    }

    async fn start_deliverer(&mut self) {
        let (process, _) = self.cluster.start_deliverer(Launch::deliverer(&self.database)).await;
        self.deliverers.push(process);
    }

    /// A queue that posts to `/hook`. What is being sent by a process that is killed is waited for no longer than 6 s.
    async fn queue(&self, settings: &[(&str, &str)]) -> i64 {
        let settings = [&[("timeout_ms", "1000"), ("spread", "1")], settings].concat();
        self.outbox.queue(&self.receiver.url("/hook"), &settings).await
    }

    /// The deliverer that made the latest attempt: of a queue in one shard, its owner.
    async fn busiest(&mut self) -> Process {
        let latest = "SELECT deliverer FROM posthaste.attempts ORDER BY finished_at DESC LIMIT 1";
        let made_by = self.outbox.text(latest).await;
        let of = |process: &Process| made_by.ends_with(&format!(":{}", process.pid()));
        let at = self.deliverers.iter().position(of).expect("it is one of those that run");
        self.deliverers.remove(at)
    }

    /// While messages flow: the deliverer that makes them is stopped, the one that follows is killed, and two come; each after so
    /// many further requests.
    async fn shuffle(&mut self, each: usize) {
        let mut wanted = self.receiver.requests_to("/hook").len() + each;
        self.receiver.wait_for_count(LONG, "/hook", wanted).await;
        let mut leaving = self.busiest().await;
        leaving.sigterm();
        assert!(leaving.wait(LONG).await.success());
        wanted += each;
        self.receiver.wait_for_count(LONG, "/hook", wanted).await;
        self.start_deliverer().await;
        wanted += each;
        self.receiver.wait_for_count(LONG, "/hook", wanted).await;
        self.busiest().await.sigkill().await;
        wanted += each;
        self.receiver.wait_for_count(LONG, "/hook", wanted).await;
        self.start_deliverer().await;
    }

    /// How often each message came to `/hook`.
    fn arrivals(&self) -> std::collections::HashMap<i64, usize> {
        self.receiver.tally(|request| (request.path == "/hook").then(|| posthaste_tests::outbox::message_of(request)))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.deliverers.clear();
    }
}
