//! Queues and messages by SQL, as an application's own transactions put them there, and what became of them.
//!
//! For the tests of what comes after the insert: nothing here needs the API. Times are microseconds since 1970, by the
//! database's clock; receivers run on the same machine, so that [`micros`] of their clock compares.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio_postgres::{Client, Row};

use crate::database::Database;
use crate::receiver::Received;
use crate::wait;

/// A session of the test in a migrated database.
pub struct Outbox {
    client: Client,
}

/// One row of the attempt log.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// From 1.
    pub number: i32,
    /// `retried`, `delivered`, `failed`, `cancelled` or `expired`.
    pub outcome: String,
    /// The answer's status, where there was an answer.
    pub status: Option<i16>,
    /// Why it did not deliver.
    pub error_class: Option<String>,
    /// The same for people.
    pub error: Option<String>,
    /// The answer's headers.
    pub response_headers: Option<Value>,
    /// The beginning of the answer's body.
    pub response_body: Option<Vec<u8>>,
    /// When it began.
    pub started: i64,
    /// When it ended.
    pub finished: i64,
    /// Which process made it.
    pub deliverer: String,
}

impl Attempt {
    fn read(row: &Row) -> Self {
        let headers: Option<String> = row.get("response_headers");
        Self {
            number: row.get("number"),
            outcome: row.get("outcome"),
            status: row.get("status"),
            error_class: row.get("error_class"),
            error: row.get("error"),
            response_headers: headers.map(|text| serde_json::from_str(&text).expect("JSON from jsonb")),
            response_body: row.get("response_body"),
            started: row.get("started"),
            finished: row.get("finished"),
            deliverer: row.get("deliverer"),
        }
    }

    /// The outcome and the error class, as `failed status`; only the outcome where there was no error.
    pub fn verdict(&self) -> String {
        match &self.error_class {
            Some(class) => format!("{} {class}", self.outcome),
            None => self.outcome.clone(),
        }
    }
}

impl Outbox {
    /// A session in `database`.
    pub async fn on(database: &Database) -> Self {
        Self { client: database.connect().await }
    }

    /// Creates a queue that calls `url`, by POST unless `settings` say otherwise: further columns with their values as
    /// SQL. Returns its id.
    ///
    /// # Panics
    /// The database refuses it.
    pub async fn queue(&self, url: &str, settings: &[(&str, &str)]) -> i64 {
        let mut columns = vec![("name", "'test'"), ("callback_url", "$1"), ("method", "'POST'")];
        for &(name, value) in settings {
            columns.retain(|(known, _)| *known != name);
            columns.push((name, value));
        }
        if columns.iter().any(|(name, _)| name.starts_with("retry_"))
            && columns.iter().all(|(name, _)| *name != "retry_kind")
        {
            columns.push(("retry_kind", "'exponential'"));
        }
        let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let (names, values) = (names.join(", "), values.join(", "));
        let sql = format!("INSERT INTO posthaste.queues ({names}) VALUES ({values}) RETURNING id");
        let row = self.client.query_one(&sql, &[&url]).await;
        row.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
    }

    /// Stores a message with a body, in a transaction of its own. Returns its id.
    ///
    /// # Panics
    /// The database refuses it.
    pub async fn enqueue(&self, queue: i64, body: &str) -> i64 {
        let row = self.client.query_one("SELECT posthaste.enqueue($1::bigint, body => $2)", &[&queue, &body]).await;
        row.unwrap_or_else(|error| panic!("enqueue: {error:?}")).get(0)
    }

    /// The one text that a query answers.
    ///
    /// # Panics
    /// The database refuses it, or there is none.
    pub async fn text(&self, sql: &str) -> String {
        let row = self.client.query_one(sql, &[]).await;
        row.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
    }

    /// The same with other arguments of `posthaste.enqueue`, as SQL: `body => 'x', at => now() + interval '1 h'`.
    ///
    /// # Panics
    /// The database refuses it.
    pub async fn enqueue_with(&self, queue: i64, arguments: &str) -> i64 {
        let comma = if arguments.is_empty() { "" } else { ", " };
        self.number(&format!("SELECT posthaste.enqueue({queue}::bigint{comma}{arguments})")).await
    }

    /// Stores `count` messages in one statement, with the number of each as its body. Returns their ids in order.
    ///
    /// # Panics
    /// The database refuses them.
    pub async fn enqueue_many(&self, queue: i64, count: i32) -> Vec<i64> {
        self.numbers(&format!(
            "SELECT posthaste.enqueue({queue}::bigint, body => i::text) FROM generate_series(1, {count}) AS i"
        ))
        .await
    }

    /// Runs statements.
    ///
    /// # Panics
    /// One fails.
    pub async fn execute(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The single number that a query gives.
    ///
    /// # Panics
    /// It fails, or gives something else than one row with a `bigint`.
    pub async fn number(&self, sql: &str) -> i64 {
        let row = self.client.query_one(sql, &[]).await;
        row.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
    }

    /// The numbers that a query gives, one a row.
    ///
    /// # Panics
    /// It fails, or gives rows of something else than a `bigint`.
    pub async fn numbers(&self, sql: &str) -> Vec<i64> {
        let rows = self.client.query(sql, &[]).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The attempts of a message that have been recorded so far, in order.
    ///
    /// # Panics
    /// The database does not answer.
    pub async fn attempts(&self, message: i64) -> Vec<Attempt> {
        let sql =
            "SELECT number, outcome, status, error_class, error, response_headers::text, response_body, deliverer,
                          (extract(epoch FROM started_at) * 1000000)::bigint AS started,
                          (extract(epoch FROM finished_at) * 1000000)::bigint AS finished
                     FROM posthaste.attempts WHERE message_id = $1 ORDER BY number";
        let rows = self.client.query(sql, &[&message]).await.expect("the attempts");
        rows.iter().map(Attempt::read).collect()
    }

    /// Whether a message is still to be delivered.
    ///
    /// # Panics
    /// The database does not answer.
    pub async fn is_pending(&self, message: i64) -> bool {
        let sql = format!("SELECT count(*) FROM posthaste.pending WHERE message_id = {message}");
        self.number(&sql).await > 0
    }

    /// Waits until a message has ended, and returns its attempts. It is no longer pending by then.
    ///
    /// # Panics
    /// It does not end within `deadline`.
    pub async fn ended(&self, deadline: Duration, message: i64) -> Vec<Attempt> {
        wait::until(deadline, &format!("message {message} ends"), async || {
            // In this order: whatever a message that is not pending any more has as attempts, it has for good.
            if self.is_pending(message).await {
                return None;
            }
            Some(self.attempts(message).await)
        })
        .await
    }

    /// Waits until nothing is to be delivered any more.
    ///
    /// # Panics
    /// Something is after `deadline`.
    pub async fn nothing_pending(&self, deadline: Duration) {
        wait::eventually(deadline, "nothing is pending", async || {
            self.number("SELECT count(*) FROM posthaste.pending").await == 0
        })
        .await;
    }

    /// Waits until a message has this many attempts, and returns them.
    ///
    /// # Panics
    /// It does not within `deadline`.
    pub async fn attempted(&self, deadline: Duration, message: i64, times: usize) -> Vec<Attempt> {
        wait::until(deadline, &format!("message {message} was tried {times} times"), async || {
            Some(self.attempts(message).await).filter(|attempts| attempts.len() >= times)
        })
        .await
    }
}

/// A receiver's clock as the database counts.
///
/// # Panics
/// It is not set to any time after 1970.
pub fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).expect("a clock that is set");
    i64::try_from(since.as_micros()).expect("a time in this age")
}

/// The id of the message that a request delivers.
///
/// # Panics
/// It carries none.
pub fn message_of(request: &Received) -> i64 {
    let id = request.header("webhook-id").and_then(|id| id.strip_prefix("msg_")).map(str::parse);
    match id {
        Some(Ok(id)) => id,
        _ => panic!("no message's id in {request:?}"),
    }
}
