//! Retention: partitions of old messages are dropped, while everything else goes on.

use std::time::Duration;

use posthaste_store::connect::{Connection, Purpose, connect};
use posthaste_store::partition::retiring::{self, Retired};
use posthaste_tests::database::Database;
use posthaste_tests::outbox::Outbox;
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::receiver::Receiver;
use posthaste_tests::wait::eventually;

/// Within this, or the test fails. Far more than anything takes, for busy machines.
const SOON: Duration = Duration::from_secs(20);
/// What the tests keep messages for; what they call old is older.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// A deliverer on a database whose first partition is full of what the test puts there, and a connection to retire with.
struct Scene {
    outbox: Outbox,
    receiver: Receiver,
    conn: Connection,
    database: Database,
    deliverer: Process,
}

impl Scene {
    async fn new() -> Scene {
        let database = Database::new().await;
        let outbox = Outbox::on(&database).await;
        let deliverer = Launch::deliverer(&database).start().await;
        let conn = connect(&database.url().parse().unwrap(), Purpose::Pool).await.unwrap();
        Scene { outbox, receiver: Receiver::start(), conn, database, deliverer }
    }

    async fn queue(&self, path: &str) -> i64 {
        self.outbox.queue(&self.receiver.url(path), &[]).await
    }

    /// Everything that is there becomes old, and the next id lies in the next partition.
    async fn years_pass(&self) {
        for sql in [
            "UPDATE posthaste.messages SET created_at = created_at - interval '40 days'",
            "UPDATE posthaste.attempts SET started_at = started_at - interval '40 days', finished_at = finished_at - interval '40 days'",
            "UPDATE posthaste.partitions SET created_at = created_at - interval '40 days'",
        ] {
            self.outbox.execute(sql).await;
        }
        self.outbox
            .number("SELECT setval('posthaste.message_ids', (SELECT min(end_id) FROM posthaste.partitions), false)")
            .await;
        self.outbox.number("SELECT posthaste.ensure_partitions()::bigint").await;
    }

    async fn retire(&mut self) -> Retired {
        retiring::retire(&mut self.conn, KEPT).await.unwrap()
    }

    async fn count(&self, table: &str) -> i64 {
        self.outbox.number(&format!("SELECT count(*) FROM posthaste.{table}")).await
    }

    async fn tables(&self) -> i64 {
        self.outbox
            .number("SELECT count(*) FROM pg_class WHERE relname ~ '^(messages|attempts)_[0-9]{12}' AND relkind = 'r'")
            .await
    }
}

#[actix_rt::test]
async fn what_is_old_and_ended_goes_and_nothing_else() {
    let mut scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    let old = scene.outbox.enqueue_many(queue, 20).await;
    scene.outbox.nothing_pending(SOON).await;
    assert_eq!(scene.retire().await, Retired::Nothing, "the present partition stays");
    scene.years_pass().await;
    let young = scene.outbox.enqueue(queue, "young").await;
    scene.outbox.ended(SOON, young).await;
    let before = scene.tables().await;

    assert_eq!(scene.retire().await, Retired::Dropped);
    assert_eq!((scene.count("messages").await, scene.count("attempts").await), (1, 1));
    assert_eq!(scene.tables().await, before - 2);
    assert!(old.iter().all(|id| *id < young));
    assert_eq!(scene.retire().await, Retired::Nothing);

    let api = Launch::api(&scene.database).start().await;
    assert_eq!(api.api().get(&format!("/messages/{}", old[0])).await.status, 404);
    assert_eq!(api.api().get(&format!("/messages/{young}")).await.json["status"], "delivered");
    assert_eq!(api.api().get(&format!("/queues/{queue}/stats")).await.status, 200);
    // Partitions ahead are still made.
    scene
        .outbox
        .number("SELECT setval('posthaste.message_ids', (SELECT max(end_id) FROM posthaste.partitions) - 2)")
        .await;
    scene.outbox.enqueue_many(queue, 5).await;
    scene.outbox.nothing_pending(SOON).await;
}

#[actix_rt::test]
async fn the_last_end_and_not_the_first_counts() {
    let mut scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    let messages = scene.outbox.enqueue_many(queue, 3).await;
    scene.outbox.nothing_pending(SOON).await;
    scene.years_pass().await;
    let touch = format!("UPDATE posthaste.attempts SET finished_at = now() WHERE message_id = {}", messages[1]);
    scene.outbox.execute(&touch).await;
    assert_eq!(scene.retire().await, Retired::Nothing, "one of them has just ended");
}

#[actix_rt::test]
async fn what_is_still_to_be_delivered_survives() {
    let mut scene = Scene::new().await;
    let (queue, paused) = (scene.queue("/hook").await, scene.queue("/paused").await);
    scene.outbox.enqueue_many(queue, 20).await;
    let far = scene
        .outbox
        .enqueue_with(queue, "body => 'far', headers => '{\"x-a\": 1}', at => now() + interval '1 day'")
        .await;
    scene.outbox.execute(&format!("UPDATE posthaste.queues SET paused_at = now() WHERE id = {paused}")).await;
    let waits = scene.outbox.enqueue(paused, "waits").await;
    let ended = format!("SELECT count(*) FROM posthaste.pending WHERE message_id NOT IN ({far}, {waits})");
    eventually(SOON, "the others have ended", async || scene.outbox.number(&ended).await == 0).await;
    scene.years_pass().await;

    assert_eq!(scene.retire().await, Retired::Shrunk);
    assert_eq!((scene.count("messages").await, scene.count("attempts").await), (2, 0));
    assert_eq!(scene.retire().await, Retired::Nothing, "it is left alone until one of them has ended");

    // They are what they were, and are delivered.
    scene.outbox.execute(&format!("UPDATE posthaste.queues SET paused_at = NULL WHERE id = {paused}")).await;
    scene
        .outbox
        .execute(&format!(
            "UPDATE posthaste.pending SET due_at = now(), xid = pg_current_xact_id() WHERE message_id = {far}"
        ))
        .await;
    scene.outbox.nothing_pending(SOON).await;
    let request = scene.receiver.requests().into_iter().find(|request| request.text() == "far").unwrap();
    assert_eq!(request.header("x-a"), Some("1"));
    assert_eq!(scene.receiver.requests_to("/paused").len(), 1);
    assert_eq!(scene.count("attempts").await, 2);
    assert_eq!(scene.retire().await, Retired::Nothing, "they have just ended");
    scene.outbox.execute("UPDATE posthaste.attempts SET started_at = started_at - interval '40 days', finished_at = finished_at - interval '40 days'").await;
    assert_eq!(scene.retire().await, Retired::Dropped);
    assert_eq!(scene.count("messages").await, 0);
}

#[actix_rt::test]
async fn nothing_is_done_while_one_of_them_may_be_delivered_soon() {
    let mut scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    scene.outbox.enqueue_with(queue, "at => now() + interval '2 minutes'").await;
    scene.years_pass().await;
    assert_eq!(scene.retire().await, Retired::Nothing);
    assert_eq!(scene.count("messages").await, 1);
}

#[actix_rt::test]
async fn a_partition_with_too_many_of_them_is_kept_and_the_next_one_goes() {
    let mut scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    let far = format!(
        "SELECT count(posthaste.enqueue({queue}::bigint, at => now() + interval '1 year')) FROM generate_series(1, {})",
        retiring::MOST_KEPT + 1
    );
    scene.outbox.number(&far).await;
    scene.years_pass().await;
    assert_eq!(scene.retire().await, Retired::Kept);
    scene.outbox.enqueue_many(queue, 3).await;
    eventually(SOON, "they are delivered", async || scene.receiver.count() == 3).await;
    eventually(SOON, "they have ended", async || scene.count("attempts").await == 3).await;
    let next = "SELECT setval('posthaste.message_ids', (SELECT end_id FROM posthaste.partitions ORDER BY end_id OFFSET 1 LIMIT 1), false)";
    scene.outbox.execute("UPDATE posthaste.messages SET created_at = now() - interval '40 days'").await;
    scene.outbox.execute("UPDATE posthaste.attempts SET started_at = now() - interval '40 days', finished_at = now() - interval '40 days'").await;
    scene.outbox.execute("UPDATE posthaste.partitions SET created_at = now() - interval '40 days'").await;
    scene.outbox.number(next).await;
    assert_eq!(scene.retire().await, Retired::Dropped);
    assert_eq!(scene.count("messages").await, retiring::MOST_KEPT + 1);
    assert_eq!(scene.retire().await, Retired::Kept);
}

#[actix_rt::test]
async fn each_step_can_be_interrupted_and_is_continued() {
    for interrupted_after in ["close", "detach", "half of detach"] {
        let mut scene = Scene::new().await;
        let queue = scene.queue("/hook").await;
        scene.outbox.enqueue_many(queue, 5).await;
        scene.outbox.nothing_pending(SOON).await;
        let far = scene.outbox.enqueue_with(queue, "body => 'far', at => now() + interval '1 day'").await;
        scene.years_pass().await;
        let retiring = retiring::next(&mut scene.conn, KEPT).await.unwrap().unwrap();
        retiring::close(&mut scene.conn, retiring).await.unwrap();
        match interrupted_after {
            "close" => {}
            "detach" => retiring::detach(&mut scene.conn, retiring).await.unwrap(),
            _ => {
                let detach =
                    "ALTER TABLE posthaste.messages DETACH PARTITION posthaste.messages_000000000001 CONCURRENTLY";
                scene.outbox.execute(detach).await;
            }
        }
        assert_eq!(scene.retire().await, Retired::Shrunk, "after {interrupted_after}");
        assert_eq!(scene.count("messages").await, 1);
        scene
            .outbox
            .execute(&format!(
                "UPDATE posthaste.pending SET due_at = now(), xid = pg_current_xact_id() WHERE message_id = {far}"
            ))
            .await;
        scene.outbox.nothing_pending(SOON).await;
        assert_eq!(scene.receiver.requests().last().unwrap().text(), "far");
        assert_eq!(scene.receiver.count(), 6);
    }
}

#[actix_rt::test]
async fn an_old_transaction_only_delays_it_and_stops_nobody() {
    let mut scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    scene.outbox.enqueue_many(queue, 5).await;
    scene.outbox.nothing_pending(SOON).await;
    scene.years_pass().await;
    let old = Outbox::on(&scene.database).await;
    old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    assert_eq!(old.number("SELECT count(*) FROM posthaste.messages").await, 5);

    let stuck = retiring::retire(&mut scene.conn, KEPT);
    let others = async {
        // While it waits for the old transaction, and after it has given up, everything goes on.
        for round in 1..=20 {
            let message = scene.outbox.enqueue(queue, "meanwhile").await;
            let attempts = scene.outbox.ended(Duration::from_secs(5), message).await;
            assert_eq!(attempts[0].verdict(), "delivered", "round {round}");
        }
    };
    let (stuck, ()) = futures_util::future::join(stuck, others).await;
    assert!(stuck.is_err(), "{stuck:?}");
    assert_eq!(old.number("SELECT count(*) FROM posthaste.messages").await, 5, "what it sees does not change");
    old.execute("COMMIT").await;

    scene.conn = connect(&scene.database.url().parse().unwrap(), Purpose::Pool).await.unwrap();
    assert_eq!(scene.retire().await, Retired::Dropped);
    assert_eq!(scene.count("messages").await, 20);
    let _ = &scene.deliverer;
}

#[actix_rt::test]
async fn deliveries_under_load_do_not_notice() {
    let mut scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    scene.outbox.enqueue_many(queue, 500).await;
    scene.outbox.nothing_pending(SOON).await;
    scene.years_pass().await;
    let load = async {
        let mut messages = Vec::new();
        for _ in 0..20 {
            messages.extend(scene.outbox.enqueue_many(queue, 100).await);
        }
        messages
    };
    let (retired, messages) = futures_util::future::join(retiring::retire(&mut scene.conn, KEPT), load).await;
    assert_eq!(retired.unwrap(), Retired::Dropped);
    scene.outbox.nothing_pending(SOON).await;
    assert_eq!(scene.count("messages").await, 2_000);
    let mut arrived: Vec<i64> = scene.receiver.requests().iter().map(posthaste_tests::outbox::message_of).collect();
    arrived.sort_unstable();
    let all: Vec<i64> = (1..=500).chain(messages).collect();
    assert_eq!(arrived, all, "each once");
}

#[actix_rt::test]
async fn the_scheduler_lets_ids_go_on_in_the_next_partition_and_drops_the_old_one() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    scene.outbox.enqueue_many(queue, 5).await;
    scene.outbox.nothing_pending(SOON).await;
    for sql in [
        "UPDATE posthaste.messages SET created_at = now() - interval '3 days'",
        "UPDATE posthaste.attempts SET started_at = now() - interval '3 days', finished_at = now() - interval '3 days'",
        "UPDATE posthaste.partitions SET created_at = now() - interval '3 days'",
    ] {
        scene.outbox.execute(sql).await;
    }
    let _scheduler = Launch::scheduler(&scene.database).env("RETENTION_DAYS", "2").start().await;
    eventually(SOON, "the old messages are gone", async || scene.count("messages").await == 0).await;
    let first = scene.outbox.enqueue(queue, "in the next partition").await;
    assert_eq!(first % 4_000_000, 1, "{first}");
    scene.outbox.ended(SOON, first).await;
}

#[actix_rt::test]
async fn without_retention_everything_is_kept() {
    let mut scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    scene.outbox.enqueue_many(queue, 5).await;
    scene.outbox.nothing_pending(SOON).await;
    scene.years_pass().await;
    let scheduler = Launch::scheduler(&scene.database).env("RETENTION_DAYS", "0").start().await;
    // It has looked at all of its duties once the ticks of a cron are fired and outcomes are counted.
    let counted = async || scene.count("outcome_counts").await == 0;
    eventually(SOON, "the scheduler does its duties", counted).await;
    drop(scheduler);
    assert_eq!(scene.count("messages").await, 5);
    assert_eq!(scene.retire().await, Retired::Dropped, "although it could have been dropped");
}
