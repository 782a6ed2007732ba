//! Signatures and credentials, from the request that makes them to the receiver that checks them: real services, a real PostgreSQL.

mod credentials;
mod oauth;
mod rotation;
mod secrets;
mod testing;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use posthaste_tests::client::Api;
use posthaste_tests::database::Database;
use posthaste_tests::outbox::Outbox;
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::receiver::{Received, Receiver};
use ring::{hmac, signature};
use serde_json::json;

/// Within this, or the test fails. Far more than anything takes, for busy machines.
const SOON: Duration = Duration::from_secs(15);
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// An API and a deliverer that share a key, and a receiver.
struct Scene {
    outbox: Outbox,
    receiver: Receiver,
    database: Database,
    api: Process,
    deliverer: Process,
}

impl Scene {
    async fn new() -> Scene {
        let database = Database::new().await;
        let outbox = Outbox::on(&database).await;
        let api = Launch::api(&database).env("SECRETS_KEY", KEY).start().await;
        let deliverer = Launch::deliverer(&database).env("SECRETS_KEY", KEY).start().await;
        Scene { outbox, receiver: Receiver::start(), database, api, deliverer }
    }

    fn api(&self) -> Api {
        self.api.api()
    }

    /// A queue that posts to a path of the receiver.
    async fn queue(&self, path: &str) -> i64 {
        self.outbox.queue(&self.receiver.url(path), &[("max_retries", "1")]).await
    }

    /// A secret for a queue, as it is shown once.
    async fn secret(&self, queue: i64, asked: serde_json::Value) -> serde_json::Value {
        let answer = self.api().post(&format!("/queues/{queue}/secrets"), &asked).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json
    }

    /// The request of one message more.
    async fn deliver(&self, queue: i64, body: &str) -> Received {
        let message = self.outbox.enqueue(queue, body).await;
        self.outbox.ended(SOON, message).await;
        let id = format!("msg_{message}");
        let requests = self.receiver.requests();
        requests.into_iter().rev().find(|request| request.header("webhook-id") == Some(&id)).unwrap()
    }
}

/// What a receiver does that has this secret: whether any of the request's signatures is right.
fn verifies(request: &Received, secret: &str) -> bool {
    let header = |name: &str| request.header(name).unwrap_or_default();
    let signed =
        [format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes(), &request.body].concat();
    header("webhook-signature").split(' ').filter_map(|one| one.split_once(',')).any(|(scheme, signature)| {
        let Ok(given) = STANDARD.decode(signature) else { return false };
        match (scheme, secret.split_once('_').unwrap()) {
            ("v1", ("whsec", key)) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(key).unwrap());
                hmac::verify(&key, &signed, &given).is_ok()
            }
            ("v1a", ("whpk", key)) => {
                let key = signature::UnparsedPublicKey::new(&signature::ED25519, STANDARD.decode(key).unwrap());
                key.verify(&signed, &given).is_ok()
            }
            _ => false,
        }
    })
}

/// How many signatures it has.
fn signatures(request: &Received) -> usize {
    request.header("webhook-signature").map_or(0, |header| header.split(' ').count())
}

/// Writes requests down for the verification by other implementations, if that is wanted: see `deploy/verify-signatures`.
fn record(secret: &str, request: &Received) {
    let Some(folder) = std::env::var_os("POSTHASTE_RECORDINGS") else { return };
    let headers: serde_json::Map<String, serde_json::Value> =
        request.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let line = json!({"secret": secret, "headers": headers, "body": STANDARD.encode(&request.body)});
    let path = std::path::Path::new(&folder).join("requests.jsonl");
    let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).unwrap();
}
