//! Counts are those of what happened, before they are folded, while they are, and after.

use futures_util::future::join_all;
use posthaste_core::ids::QueueId;
use posthaste_store::connect::{Connection, Purpose, connect};
use posthaste_store::count::{Backlog, MOST_COUNTED, Totals, backlog, fold, totals};
use posthaste_tests::process::Launch;
use posthaste_tests::receiver::Answer;
use posthaste_tests::wait;

use super::{SOON, Scene};

const UNFOLDED: &str = "SELECT count(*) FROM posthaste.outcome_counts";

impl Scene {
    async fn totals(&mut self, queue: i64) -> Totals {
        totals(&mut self.api, Some(QueueId(queue))).await.unwrap()
    }

    async fn session(&self) -> Connection {
        connect(&self.database.url().parse().unwrap(), Purpose::Pool).await.unwrap()
    }
}

#[actix_rt::test]
async fn totals_are_what_the_receiver_saw_before_and_after_folding() {
    let mut scene = Scene::new().await;
    scene.receiver.answer("/fails", Answer::status(500));
    let dead = scene.queue("/dead", &[]).await;
    let working = scene.queue("/works", &[]).await;
    let settings = [("max_retries", "2"), ("retry_initial_ms", "1"), ("dead_letter_queue_id", &dead.to_string())];
    let failing = scene.queue("/fails", &settings).await;
    scene.outbox.enqueue_many(working, 500).await;
    scene.outbox.enqueue_many(failing, 40).await;
    let never = scene.outbox.enqueue_with(working, "at => now() + interval '1 day'").await;
    scene
        .outbox
        .execute(&format!(
            "UPDATE posthaste.pending SET cancelled = true, xid = pg_current_xact_id() WHERE message_id = {never}"
        ))
        .await;
    let late = scene.outbox.enqueue_with(failing, "at => now() + interval '500 ms'").await;
    scene.outbox.execute(&format!("UPDATE posthaste.messages SET expires_at = now() WHERE id = {late}")).await;
    scene.outbox.nothing_pending(SOON).await;

    let of_working = Totals { delivered: 500, cancelled: 1, ..Totals::default() };
    let of_failing = Totals { failed: 40, retried: 80, expired: 1, dead_lettered: 41, ..Totals::default() };
    let of_dead = Totals { delivered: 41, ..Totals::default() };
    let all = Totals { delivered: 541, failed: 40, retried: 80, cancelled: 1, expired: 1, dead_lettered: 41 };
    let seen = ["/works", "/fails", "/dead"].map(|path| scene.receiver.requests_to(path).len());
    assert_eq!(seen, [500, 120, 41]);
    assert!(scene.outbox.number(UNFOLDED).await > 0);

    let queues = [(working, of_working), (failing, of_failing), (dead, of_dead), (dead + 1000, Totals::default())];
    for folded in [false, true] {
        for (queue, expected) in queues {
            assert_eq!(scene.totals(queue).await, expected, "queue {queue}, folded: {folded}");
        }
        assert_eq!(totals(&mut scene.api, None).await.unwrap(), all);
        if !folded {
            let _scheduler = Launch::scheduler(&scene.database).start().await;
            wait::eventually(SOON, "everything is folded", async || scene.outbox.number(UNFOLDED).await == 0).await;
        }
    }
    // And what comes afterwards is added.
    scene.outbox.enqueue_many(working, 7).await;
    scene.outbox.nothing_pending(SOON).await;
    assert_eq!(scene.totals(working).await.delivered, 507);
}

#[actix_rt::test]
async fn several_that_fold_at_once_count_nothing_twice() {
    let mut scene = Scene::without_deliverer().await;
    scene
        .outbox
        .execute(
            "INSERT INTO posthaste.outcome_counts (queue_id, delivered, failed, retried, cancelled, expired, dead_lettered)
             SELECT i % 7, 1, 2, 3, 4, 5, 6 FROM generate_series(1, 7000) AS i",
        )
        .await;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(scene.session().await);
    }
    let folding = sessions.iter_mut().map(async |conn| {
        let mut count = 0;
        // A deadlock is tried again, as the duty is.
        while scene.outbox.number(UNFOLDED).await > 0 {
            if let Ok(folded) = fold(conn, i64::MIN, 300).await {
                count += folded.rows;
            }
        }
        count
    });
    assert_eq!(join_all(folding).await.into_iter().sum::<u64>(), 7000);
    let of_one =
        Totals { delivered: 1000, failed: 2000, retried: 3000, cancelled: 4000, expired: 5000, dead_lettered: 6000 };
    for queue in 0..7 {
        assert_eq!(scene.totals(queue).await, of_one);
    }
}

#[actix_rt::test]
async fn what_commits_late_is_counted_at_once_and_folded_from_the_beginning() {
    let mut scene = Scene::without_deliverer().await;
    let insert = "INSERT INTO posthaste.outcome_counts
                  (queue_id, delivered, failed, retried, cancelled, expired, dead_lettered) VALUES (1, 1, 0, 0, 0, 0, 0)";
    let late = scene.database.connect().await;
    late.batch_execute(&format!("BEGIN; {insert}")).await.unwrap();
    scene.outbox.execute(insert).await;
    let first = fold(&mut scene.api, i64::MIN, 100).await.unwrap();
    assert_eq!(first.rows, 1);
    late.batch_execute("COMMIT").await.unwrap();
    assert_eq!(scene.totals(1).await.delivered, 2);
    let further = fold(&mut scene.api, first.last.unwrap(), 100).await.unwrap();
    assert_eq!((further.rows, further.last), (0, None));
    assert_eq!(fold(&mut scene.api, i64::MIN, 100).await.unwrap().rows, 1);
    assert_eq!(scene.totals(1).await.delivered, 2);
}

#[actix_rt::test]
async fn a_backlog_is_counted_up_to_a_bound_and_knows_its_oldest() {
    let mut scene = Scene::without_deliverer().await;
    let (small, large) = (scene.queue("/small", &[]).await, scene.queue("/large", &[]).await);
    scene.outbox.enqueue_with(small, "at => '2024-01-02 03:04:05Z'").await;
    scene.outbox.enqueue_many(small, 9).await;
    scene.outbox.enqueue_many(large, 10_001).await;
    let oldest = "SELECT (extract(epoch FROM '2024-01-02 03:04:05Z'::timestamptz) * 1000000)::bigint";
    let oldest = posthaste_core::time::Timestamp(scene.outbox.number(oldest).await);

    let of_small = backlog(&mut scene.api, Some(QueueId(small))).await.unwrap();
    assert_eq!(of_small, Backlog { pending: 10, is_capped: false, oldest_due: Some(oldest) });
    let of_large = backlog(&mut scene.api, Some(QueueId(large))).await.unwrap();
    assert_eq!((of_large.pending, of_large.is_capped), (MOST_COUNTED, true));
    assert!(of_large.oldest_due.is_some());
    let of_all = backlog(&mut scene.api, None).await.unwrap();
    assert_eq!(of_all, Backlog { pending: MOST_COUNTED, is_capped: true, oldest_due: Some(oldest) });
}
