//! The SQL outbox: `posthaste.enqueue` in a transaction of the application.

use std::time::{Duration, Instant, SystemTime};

use posthaste_tests::database::Database;
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::receiver::{Received, Receiver};
use posthaste_tests::wait;
use serde_json::json;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

const README: &str = include_str!("../../README.md");
const SOON: Duration = Duration::from_secs(15);

/// A running Posthaste with a queue named `orders` (id 1) that calls `/orders` of the receiver.
struct Setup {
    receiver: Receiver,
    sql: Client,
    _process: Process,
    database: Database,
}

impl Setup {
    async fn new() -> Self {
        let database = Database::new().await;
        let process = Launch::all_in_one(&database).start().await;
        let receiver = Receiver::start();
        let queue = json!({"name": "orders", "callbackUrl": receiver.url("/orders"), "method": "POST"});
        assert_eq!(process.api().create_queue(&queue).await, "1");
        let sql = database.connect().await;
        sql.batch_execute("CREATE TABLE orders (id bigint PRIMARY KEY)").await.unwrap();
        Self { receiver, sql, _process: process, database }
    }

    /// The request with this body.
    async fn arrival(&self, body: &str) -> Received {
        let is_it = |request: &Received| request.body == body.as_bytes();
        let all = self.receiver.wait_for(SOON, body, |all| all.iter().any(is_it));
        all.await.into_iter().find(is_it).unwrap()
    }
}

/// Messages and what is still to be done for them.
async fn stored(database: &Database) -> (i64, i64) {
    let messages = database.number("SELECT count(*) FROM posthaste.messages").await;
    (messages, database.number("SELECT count(*) FROM posthaste.pending").await)
}

#[actix_rt::test]
async fn what_commits_is_delivered_within_250_ms() {
    let setup = Setup::new().await;
    let mut waits = Vec::new();
    for n in 0..15_i64 {
        let body = format!("order {n}");
        setup.sql.batch_execute("BEGIN").await.unwrap();
        setup.sql.execute("INSERT INTO orders VALUES ($1)", &[&n]).await.unwrap();
        setup.sql.query_one("SELECT posthaste.enqueue('orders', $1)", &[&body]).await.unwrap();
        let committed = Instant::now();
        setup.sql.batch_execute("COMMIT").await.unwrap();
        waits.push(setup.arrival(&body).await.at.saturating_duration_since(committed));
    }
    waits.sort_unstable();
    assert!(waits[waits.len() / 2] < Duration::from_millis(250), "{waits:?}");
    assert!(waits[waits.len() - 1] < Duration::from_secs(1), "{waits:?}");
    assert_eq!(setup.receiver.count(), 15, "each once");
}

#[actix_rt::test]
async fn what_is_rolled_back_is_neither_stored_nor_delivered() {
    let setup = Setup::new().await;
    let message = "SELECT posthaste.enqueue('orders', 'rolled back')";
    setup.sql.batch_execute("BEGIN; INSERT INTO orders VALUES (1)").await.unwrap();
    setup.sql.batch_execute(message).await.unwrap();
    setup.sql.batch_execute("ROLLBACK").await.unwrap();
    // To a savepoint only.
    setup.sql.batch_execute("BEGIN; SAVEPOINT before").await.unwrap();
    setup.sql.batch_execute(message).await.unwrap();
    setup.sql.batch_execute("ROLLBACK TO before").await.unwrap();
    setup.sql.batch_execute("SELECT posthaste.enqueue(1, 'committed')").await.unwrap();
    setup.sql.batch_execute("COMMIT").await.unwrap();

    setup.arrival("committed").await;
    wait::eventually(SOON, "nothing is left to do", async || stored(&setup.database).await == (1, 0)).await;
    assert_eq!(setup.receiver.count(), 1);
}

#[actix_rt::test]
async fn a_transaction_that_commits_after_thousands_of_later_messages_is_not_overlooked() {
    const OPEN_FOR: Duration = Duration::from_secs(10);
    const LATER: usize = 2000;
    let setup = Setup::new().await;
    let late = setup.database.connect().await;
    late.batch_execute("BEGIN; SELECT posthaste.enqueue('orders', 'late')").await.unwrap();
    let opened = Instant::now();

    let mut later = 0;
    while opened.elapsed() < OPEN_FOR || later < LATER {
        let insert = "SELECT posthaste.enqueue('orders', 'later ' || n) FROM generate_series(1, 100) AS n";
        setup.sql.batch_execute(insert).await.unwrap();
        later += 100;
        wait::eventually(SOON, "the later messages are delivered", async || setup.receiver.count() >= later).await;
    }
    assert_eq!(setup.receiver.count(), later, "each once, and the late one not yet");

    let committed = Instant::now();
    late.batch_execute("COMMIT").await.unwrap();
    let wait = setup.arrival("late").await.at.saturating_duration_since(committed);
    assert!(wait < Duration::from_secs(1), "{wait:?} after {later} later messages");
    assert_eq!(setup.receiver.count(), later + 1);
}

#[actix_rt::test]
async fn what_cannot_be_sent_is_refused_with_a_clear_error() {
    let setup = Setup::new().await;
    let twice = "INSERT INTO posthaste.queues (name, callback_url, method) \
                 SELECT 'twice', 'http://127.0.0.1/', 'POST' FROM generate_series(1, 2)";
    setup.database.execute(twice).await;
    let invalid = SqlState::INVALID_PARAMETER_VALUE;
    for (arguments, code, says) in [
        ("'ordres', 'x'", SqlState::UNDEFINED_OBJECT, "there is no queue named 'ordres'"),
        ("99, 'x'", SqlState::UNDEFINED_OBJECT, "there is no queue with id 99"),
        ("NULL::bigint", SqlState::UNDEFINED_OBJECT, "there is no queue"),
        ("NULL::text", SqlState::UNDEFINED_OBJECT, "there is no queue"),
        ("'twice', 'x'", SqlState::AMBIGUOUS_ALIAS, "2 queues are named 'twice'; use the id"),
        ("1, headers => '[]'", invalid.clone(), "headers must be a JSON object"),
        ("1, headers => '\"x-a: 1\"'", invalid.clone(), "headers must be a JSON object"),
        ("1, headers => '{\"x\": null}'", invalid.clone(), "headers must map header names to strings"),
        ("1, headers => '{\"x\": {}}'", invalid.clone(), "headers must map header names to strings"),
        ("1, headers => '{\"x y\": \"1\"}'", invalid.clone(), "headers must map header names to strings"),
        ("1, headers => '{\"x\": \"1\\r\\ny: 2\"}'", invalid.clone(), "headers must map header names to strings"),
        ("1, body => 'x', body_binary => 'x'", invalid.clone(), "give body or body_binary, not both"),
        ("1, at => 'infinity'", invalid.clone(), "at must be a finite time"),
        ("1, headers => '{\"Webhook-Id\": \"1\"}'", invalid.clone(), "headers must not have names that only Posthaste"),
        (
            "1, headers => '{\"posthaste-attempt\": 1}'",
            invalid.clone(),
            "headers must not have names that only Posthaste",
        ),
        ("1, headers => '{\"Content-Length\": 1}'", invalid.clone(), "headers must not have names"),
        (
            "1, expires_at => 'infinity'",
            invalid.clone(),
            "expires_at must be a finite time, later than at and than now",
        ),
        ("1, expires_at => now() - interval '1 s'", invalid.clone(), "later than at and than now"),
        ("1, expires_at => now() + interval '1 h', at => now() + interval '2 h'", invalid.clone(), "later than at"),
        ("1, timeout_ms => 0", invalid.clone(), "timeout_ms must be from 1 to 900000"),
        ("'orders', timeout_ms => 900001", invalid.clone(), "timeout_ms must be from 1 to 900000"),
        ("1, traceparent => 'x'", invalid.clone(), "traceparent must be one of W3C Trace Context"),
        (
            "'orders', traceparent => '00-00000000000000000000000000000000-b7ad6b7169203331-01'",
            invalid.clone(),
            "traceparent",
        ),
    ] {
        let error = setup.sql.batch_execute(&format!("SELECT posthaste.enqueue({arguments})")).await.unwrap_err();
        let error = error.as_db_error().unwrap_or_else(|| panic!("{arguments}: {error}"));
        assert_eq!(error.code(), &code, "{arguments}: {error}");
        let message = error.message();
        assert!(message.starts_with("posthaste: ") && message.contains(says), "{arguments}: {message}");
    }
    assert_eq!(stored(&setup.database).await, (0, 0));
}

#[actix_rt::test]
async fn lifetimes_timeouts_and_traces_are_stored() {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let setup = Setup::new().await;
    for queue in ["1", "'orders'"] {
        let sql = format!(
            "WITH new AS (SELECT posthaste.enqueue({queue}, at => now() + interval '1 h', expires_at => now() + interval '2 h',
                                                   timeout_ms => 7, traceparent => '{TRACE}') AS id)
             SELECT id FROM new"
        );
        let id: i64 = setup.sql.query_one(&sql, &[]).await.unwrap().get(0);
        let sql = "SELECT expires_at - scheduled_at = interval '1 h', timeout_ms, traceparent, tracestate IS NULL
                     FROM posthaste.messages WHERE id = $1";
        let row = setup.sql.query_one(sql, &[&id]).await.unwrap();
        assert_eq!((row.get(0), row.get(1), row.get(2), row.get(3)), (true, 7, TRACE, true));
    }
}

#[actix_rt::test]
async fn a_time_to_come_is_honoured() {
    let setup = Setup::new().await;
    let sql = "SELECT at, posthaste.enqueue('orders', 'in a while', at => at) \
               FROM (SELECT clock_timestamp() + interval '1500 milliseconds' AS at) AS time";
    let row = setup.sql.query_one(sql, &[]).await.unwrap();
    setup.sql.batch_execute("SELECT posthaste.enqueue('orders', 'at once')").await.unwrap();

    setup.arrival("at once").await;
    let came = setup.arrival("in a while").await;

    let early = row.get::<_, SystemTime>("at").duration_since(came.time);
    assert!(early.is_err(), "{early:?} early");
    assert_eq!(setup.receiver.count(), 2);
}

#[actix_rt::test]
async fn bodies_and_headers_arrive_as_they_are() {
    let setup = Setup::new().await;
    let bytes: Vec<u8> = (0..=255).collect();
    let headers = json!({"X-Text": "grün", "x-number": 7, "x-flag": true, "content-type": "application/octet-stream"});
    let sql = "SELECT posthaste.enqueue('orders', headers => $1::text::jsonb, body_binary => $2)";
    setup.sql.query_one(sql, &[&headers.to_string(), &bytes]).await.unwrap();
    let all = setup.receiver.wait_for_count(SOON, "/orders", 1).await;
    assert_eq!(all[0].body, bytes);
    for (name, value) in
        [("x-text", "grün"), ("x-number", "7"), ("x-flag", "true"), ("content-type", "application/octet-stream")]
    {
        assert_eq!(all[0].header(name), Some(value), "{name}");
    }

    setup.sql.batch_execute("SELECT posthaste.enqueue('orders', 'ü €')").await.unwrap();
    assert_eq!(setup.arrival("ü €").await.header("content-type"), Some("application/json"));
    setup.sql.batch_execute("SELECT posthaste.enqueue(1)").await.unwrap();
    assert_eq!(setup.arrival("").await.header("content-length"), Some("0"));
}

/// What the README says that a caller needs, as GRANT takes it.
const NEEDED: [(&str, &str); 4] = [
    ("USAGE", "SCHEMA posthaste"),
    ("USAGE", "SEQUENCE posthaste.message_ids"),
    ("SELECT", "TABLE posthaste.queues, posthaste.partitions"),
    ("INSERT", "TABLE posthaste.messages, posthaste.pending"),
];

#[actix_rt::test]
async fn a_caller_needs_just_the_rights_that_the_readme_names() {
    let sentence = "`USAGE` on the schema `posthaste` and its sequence `message_ids`, `SELECT` on `queues` and \
                    `partitions`, and `INSERT` on `messages` and `pending`";
    let readme = README.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(readme.contains(sentence), "the README says: {sentence}");

    let setup = Setup::new().await;
    let role = Role::create(&setup).await;
    for (right, on) in NEEDED {
        role.as_owner(&format!("GRANT {right} ON {on} TO {}", role.name)).await;
    }
    role.call("by id", "1").await.unwrap();
    role.call("by name", "'orders'").await.unwrap();
    setup.arrival("by id").await;
    setup.arrival("by name").await;

    for (right, on) in NEEDED {
        role.as_owner(&format!("REVOKE {right} ON {on} FROM {}", role.name)).await;
        let error = role.call("refused", "'orders'").await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "without {right} on {on}");
        role.as_owner(&format!("GRANT {right} ON {on} TO {}", role.name)).await;
    }
    for theirs in ["DELETE FROM posthaste.messages", "UPDATE posthaste.pending SET due_at = now()"] {
        let error = role.run(theirs).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{theirs}");
    }
    role.drop().await;
}

/// A role without any right, on a server that other tests use as well.
struct Role<'a> {
    name: String,
    sql: &'a Client,
}

impl<'a> Role<'a> {
    async fn create(setup: &'a Setup) -> Self {
        let name = format!("caller_of_{}", setup.database.name());
        let role = Self { name, sql: &setup.sql };
        role.as_owner(&format!("CREATE ROLE {}", role.name)).await;
        role
    }

    async fn as_owner(&self, sql: &str) {
        self.sql.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    async fn run(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.as_owner(&format!("SET ROLE {}", self.name)).await;
        let result = self.sql.batch_execute(sql).await;
        self.as_owner("RESET ROLE").await;
        result
    }

    async fn call(&self, body: &str, queue: &str) -> Result<(), tokio_postgres::Error> {
        self.run(&format!("SELECT posthaste.enqueue({queue}, '{body}')")).await
    }

    async fn drop(self) {
        self.as_owner(&format!("DROP OWNED BY {0}; DROP ROLE {0}", self.name)).await;
    }
}
