//! Bad input: each with its status, its code and a message that says what is wrong, and nothing stored.

mod bodies;
mod fields;
mod urls;

use posthaste_tests::client::{Answer, Api};
use posthaste_tests::database::Database;
use posthaste_tests::process::{Launch, Process};
use serde_json::{Value, json};

/// A status and a code.
type Kind = (u16, &'static str);

const VALIDATION: Kind = (400, "FST_ERR_VALIDATION");
const INVALID_JSON: Kind = (400, "FST_ERR_CTP_INVALID_JSON_BODY");
const EMPTY: Kind = (400, "FST_ERR_CTP_EMPTY_JSON_BODY");
const MEDIA_TYPE: Kind = (415, "FST_ERR_CTP_INVALID_MEDIA_TYPE");
const TOO_LARGE: Kind = (413, "FST_ERR_CTP_BODY_TOO_LARGE");
const UNKNOWN_FIELD: Kind = (400, "PH_UNKNOWN_FIELD");
const UNKNOWN_PARAMETER: Kind = (400, "PH_UNKNOWN_PARAMETER");
const UNKNOWN_QUEUE: Kind = (404, "PH_UNKNOWN_QUEUE");
const READ_ONLY: Kind = (400, "PH_READ_ONLY_FIELD");
const VALUE: Kind = (400, "PH_INVALID_VALUE");
const EXCESS: Kind = (422, "PH_LIMIT_EXCEEDED");
const BLOCKED: Kind = (422, "PH_BLOCKED_ADDRESS");
const LIMIT: Kind = (400, "PLT_SQL_MAPPER_PARAM_LIMIT_NOT_ALLOWED");
const NEGATIVE_LIMIT: Kind = (400, "PLT_SQL_MAPPER_PARAM_LIMIT_MUST_BE_NOT_NEGATIVE");
const NEGATIVE_OFFSET: Kind = (400, "PLT_SQL_MAPPER_PARAM_NOT_ALLOWED");

/// Words that only a database or a library would use.
const FOREIGN: &str = "sql postgres diesel serde constraint relation violates select insert pg_ column syntax expected";

/// An API with one queue (id 1), one pending message and one cron with its message.
struct Setup {
    api: Api,
    _process: Process,
    database: Database,
    before: Vec<i64>,
}

impl Setup {
    async fn new() -> Self {
        let database = Database::new().await;
        let process = Launch::api(&database).start().await;
        let api = process.api();
        for path in ["/queues/", "/messages/", "/crons/"] {
            assert_eq!(api.post(path, &right(path)).await.created(), "1");
        }
        let before = rows(&database).await;
        Self { api, _process: process, database, before }
    }

    async fn assert_nothing_stored(&self) {
        assert_eq!(rows(&self.database).await, self.before);
    }
}

/// The body of a request to this path that is right.
fn right(path: &str) -> Value {
    match path {
        "/queues/" => json!({"name": "q", "callbackUrl": "http://127.0.0.1:9/", "method": "POST"}),
        "/messages/" => json!({"queueId": 1, "when": "2199-01-01T00:00:00Z"}),
        _ => json!({"queueId": 1, "schedule": "@yearly"}),
    }
}

async fn rows(database: &Database) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in ["queues", "crons", "cron_ticks", "messages", "pending", "attempts"] {
        counts.push(database.number(&format!("SELECT count(*) FROM posthaste.{table}")).await);
    }
    counts
}

fn assert_refused(answer: &Answer, what: &str, (status, code): Kind, says: &str) {
    let what: String = what.chars().take(200).collect();
    let (json, text) = (&answer.json, &answer.text);
    assert_eq!((answer.status, json["code"].as_str()), (status, Some(code)), "{what}: {text}");
    assert_eq!(json["statusCode"], status, "{what}: {text}");
    let keys: Vec<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["code", "error", "message", "statusCode"], "{what}: {text}");
    let message = json["message"].as_str().unwrap();
    assert!(message.contains(says), "{what}: {says:?} in {message:?}");
    let words = message.to_lowercase();
    let foreign = FOREIGN.split(' ').find(|word| words.contains(word));
    assert_eq!(foreign, None, "{what}: {message}");
}
