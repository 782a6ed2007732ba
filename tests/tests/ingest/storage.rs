//! Storing many by one commit, where the database itself refuses one.

use std::time::Duration;

use posthaste_core::ids::QueueId;
use posthaste_store::connect::{Connection, Purpose, connect};
use posthaste_store::message::{
    Batch, Body, IdempotencyKey, NewMessage, OnError, Verdict, insert_keyed, insert_together,
};
use posthaste_tests::database::Database;
use serde_json::json;

const DAY: Duration = Duration::from_secs(86_400);

async fn session(database: &Database) -> Connection {
    connect(&database.url().parse().unwrap(), Purpose::Pool).await.unwrap()
}

async fn setup() -> (Database, Connection) {
    let database = Database::new().await;
    let queue = "INSERT INTO posthaste.queues (name, callback_url, method) VALUES ('q', 'http://x', 'POST')";
    database.execute(queue).await;
    let session = session(&database).await;
    (database, session)
}

fn message(n: usize, keyed: bool) -> NewMessage {
    NewMessage {
        body: Some(Body::Text(n.to_string())),
        idempotency: keyed.then(|| IdempotencyKey { key: n.to_string(), fingerprint: [7; 32] }),
        ..NewMessage::to(QueueId(1))
    }
}

/// `count` messages; those at `bad` have something that no column takes.
fn batch(count: usize, bad: &[usize], keyed: bool) -> Batch {
    let mut batch = Batch::default();
    for n in 0..count {
        let headers = bad.contains(&n).then(|| json!({"x": "\0"}));
        batch.push(NewMessage { headers, ..message(n, keyed) });
    }
    batch
}

async fn rows(database: &Database, table: &str) -> i64 {
    database.number(&format!("SELECT count(*) FROM posthaste.{table}")).await
}

#[actix_rt::test]
async fn a_row_that_the_database_refuses_fails_alone() {
    let (database, mut conn) = setup().await;
    let bad = [0, 17, 18, 99];
    let batches = [batch(100, &bad, false), batch(100, &[], false), batch(100, &bad, true)];
    let together = insert_together(&mut conn, &batches, DAY, OnError::FailItem).await.unwrap();
    assert!(together.committed);
    assert_eq!(together.verdicts.len(), 300);
    for (n, verdict) in together.verdicts.iter().enumerate() {
        let is_bad = bad.contains(&(n % 100)) && n / 100 != 1;
        assert_eq!(matches!(verdict, Verdict::Stored(_)), !is_bad, "{n}: {verdict:?}");
        assert_eq!(*verdict == Verdict::Refused, is_bad, "{n}: {verdict:?}");
    }
    assert_eq!((rows(&database, "messages").await, rows(&database, "pending").await), (292, 292));
    assert_eq!(rows(&database, "idempotency_keys").await, 96, "what is refused takes no key");
    assert_eq!(database.number("SELECT count(DISTINCT xid) FROM posthaste.pending").await, 1);
}

#[actix_rt::test]
async fn or_nothing_is_stored_and_each_culprit_named() {
    let (database, mut conn) = setup().await;
    let batches = [batch(50, &[3, 40], false), batch(50, &[7], true)];
    let together = insert_together(&mut conn, &batches, DAY, OnError::FailAll).await.unwrap();
    assert!(!together.committed);
    let refused = |(n, verdict): (usize, &Verdict)| (*verdict == Verdict::Refused).then_some(n);
    let refused: Vec<_> = together.verdicts.iter().enumerate().filter_map(refused).collect();
    assert_eq!(refused, [3, 40, 57]);
    for table in ["messages", "pending", "idempotency_keys"] {
        assert_eq!(rows(&database, table).await, 0, "{table}");
    }
}

#[actix_rt::test]
async fn an_aborted_taker_leaves_the_key_to_the_next() {
    let (database, mut conn) = setup().await;
    let mut rival = database.connect().await;
    let taking = rival.transaction().await.unwrap();
    let take = "INSERT INTO posthaste.idempotency_keys
                VALUES (1, '0', sha256('other'), 99, now(), now(), now() + interval '1 day')";
    taking.execute(take, &[]).await.unwrap();
    let keyed = batch(1, &[], true);
    let waiting = async {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let waits = async || database.number(sql).await == 1;
        posthaste_tests::wait::eventually(super::SOON, "the second waits", waits).await;
        taking.rollback().await.unwrap();
    };
    let (verdicts, ()) = tokio::join!(insert_keyed(&mut conn, &keyed, DAY), waiting);
    assert!(matches!(verdicts.unwrap()[..], [Verdict::Stored(_)]));
    let again = insert_keyed(&mut conn, &keyed, DAY).await.unwrap();
    assert!(matches!(again[..], [Verdict::Replayed(_)]));
}
