//! HTTPS: HTTP/2 where it is offered, certificates of both sides, and forward proxies. A real deliverer whose system trusts the
//! authority of the test.

mod certificates;
mod http2;
mod proxy;

use std::io::Write;
use std::time::Duration;

use posthaste_tests::database::Database;
use posthaste_tests::outbox::{Attempt, Outbox};
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::secure::Authority;

/// Within this, or the test fails. Far more than anything takes, for busy machines.
const SOON: Duration = Duration::from_secs(15);
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A deliverer that trusts an authority of its own.
struct Scene {
    outbox: Outbox,
    authority: Authority,
    database: Database,
    deliverer: Process,
    _roots: tempfile::NamedTempFile,
}

impl Scene {
    async fn new() -> Scene {
        Scene::with(&[]).await
    }

    /// With variables of the deliverer's.
    async fn with(variables: &[(&str, &str)]) -> Scene {
        let (database, authority) = (Database::new().await, Authority::default());
        let outbox = Outbox::on(&database).await;
        let mut roots = tempfile::NamedTempFile::new().unwrap();
        roots.write_all(authority.pem().as_bytes()).unwrap();
        let launch = Launch::deliverer(&database).env("SECRETS_KEY", KEY);
        let launch = launch.env("SSL_CERT_FILE", roots.path().to_str().unwrap());
        let launch = variables.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        Scene { outbox, authority, deliverer: launch.start().await, database, _roots: roots }
    }

    /// Delivers one message to `url`, with one attempt.
    async fn try_once(&self, url: &str) -> Attempt {
        let queue = self.outbox.queue(url, &[("max_retries", "0")]).await;
        self.try_again(queue).await
    }

    /// One message more.
    async fn try_again(&self, queue: i64) -> Attempt {
        let message = self.outbox.enqueue(queue, "{}").await;
        self.outbox.ended(SOON, message).await.pop().unwrap()
    }
}
