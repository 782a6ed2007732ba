//! Who may use the API: keys, tokens, the webhook, and what is recorded and logged of it.

mod audit;
mod keys;
mod roles;
mod secrets;
mod subscribed;
mod tokens;

use std::time::Duration;

use posthaste_tests::client::{Answer, Api};
use posthaste_tests::database::Database;
use posthaste_tests::process::{Launch, Process};
use serde_json::{Value, json};

const SECRET: &str = "open sesame";
const SOON: Duration = Duration::from_secs(15);

/// An API that asks for credentials, and a client of its administrator.
struct Setup {
    process: Process,
    admin: Api,
    database: Database,
}

impl Setup {
    async fn new() -> Self {
        let database = Database::new().await;
        let process = start(&database).await;
        let admin = Api::with_secret(process.address(), SECRET);
        Self { process, admin, database }
    }

    /// A client with an API key, for the process of this setup.
    fn with_key(&self, key: &str) -> Api {
        with_key(&self.process, key)
    }
}

async fn start(database: &Database) -> Process {
    Launch::api(database).env("ADMIN_SECRET", SECRET).start().await
}

fn with_key(process: &Process, key: &str) -> Api {
    Api::with_headers(process.address(), &[("authorization", &format!("Bearer {key}"))])
}

/// A key that may read queues, with something more asked for.
fn reader(more: &Value) -> Value {
    let mut asked = json!({"name": "reader", "scopes": ["queues:read"]});
    for (name, value) in more.as_object().expect("an object") {
        asked[name] = value.clone();
    }
    asked
}

/// The id and the key itself of one that is created.
async fn created(admin: &Api, asked: &Value) -> (String, String) {
    let answer = admin.post("/api-keys", asked).await;
    (answer.created(), answer.json["key"].as_str().expect("the key").to_owned())
}

fn code(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.json["code"].as_str().unwrap_or_default())
}

const UNAUTHORIZED: (u16, &str) = (401, "PLT_DB_AUTH_UNAUTHORIZED");
const FORBIDDEN: (u16, &str) = (403, "PLT_DB_AUTH_UNAUTHORIZED");
