//! Which outcomes count: those of the attempt that is due, by the shard's owner or by one that was given a hold.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use posthaste_core::ids::{Epoch, MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use posthaste_core::transition::{ErrorClass, Verdict};
use posthaste_store::connect::Connection;
use posthaste_store::connect::Purpose;
use posthaste_store::outcome::{Outcome, Recorded, Timings, record};
use posthaste_store::reading;
use posthaste_store::shard::{Hold, hold, take_over};
use posthaste_tests::database::Database;
use posthaste_tests::outbox::Outbox;

use super::session;

/// A database without any deliverer: the test is the owner.
struct Scene {
    database: Database,
    outbox: Outbox,
    owner: Connection,
    now: Timestamp,
}

impl Scene {
    async fn new() -> Self {
        let database = Database::new().await;
        let mut owner = session(&database, Purpose::Writing).await;
        let (_, facts) = reading::begin(&mut owner).await.unwrap();
        Self { outbox: Outbox::on(&database).await, database, owner, now: facts.clock }
    }

    /// Stores a message, takes its shard over, and answers an outcome of its first attempt as its owner would write it.
    async fn owned(&mut self, queue: i64, verdict: Verdict) -> Outcome {
        let owned = self.owned_many(queue, 1).await.remove(0);
        outcome(owned.id, owned.shard, owned.epoch, verdict, self.now)
    }

    /// The same of several, which are delivered.
    async fn owned_many(&mut self, queue: i64, count: i32) -> Vec<Outcome> {
        let ids = self.outbox.enqueue_many(queue, count).await;
        let mut shards = Vec::new();
        for id in &ids {
            let sql = format!("SELECT shard::bigint FROM posthaste.pending WHERE message_id = {id}");
            shards.push(Shard(i32::try_from(self.outbox.number(&sql).await).unwrap()));
        }
        let epochs: HashMap<Shard, Epoch> = take_over(&mut self.owner, &shards).await.unwrap().into_iter().collect();
        let owned = ids.into_iter().zip(shards);
        owned.map(|(id, shard)| outcome(MessageId(id), shard, epochs[&shard], Verdict::Delivered, self.now)).collect()
    }

    async fn take_over(&mut self, shard: Shard) -> Epoch {
        let raised = take_over(&mut self.owner, &[shard]).await.unwrap();
        assert_eq!((raised.len(), raised[0].0), (1, shard));
        raised[0].1
    }

    async fn record(&mut self, outcome: &Outcome) -> Vec<Recorded> {
        record(&mut self.owner, &[outcome], "test").await.unwrap()
    }

    async fn messages(&self) -> i64 {
        self.outbox.number("SELECT count(*) FROM posthaste.messages").await
    }
}

/// With what the verdict must have to be written.
fn outcome(id: MessageId, shard: Shard, epoch: Epoch, verdict: Verdict, now: Timestamp) -> Outcome {
    let (status, error_class) = match verdict {
        Verdict::Delivered => (Some(200), None),
        Verdict::Retried { .. } | Verdict::Failed => (Some(500), Some(ErrorClass::Status)),
        Verdict::Cancelled => (None, Some(ErrorClass::Cancelled)),
        Verdict::Expired => (None, Some(ErrorClass::Expired)),
    };
    Outcome {
        id,
        queue: QueueId(0),
        attempt: 0,
        shard,
        epoch,
        verdict,
        started_at: now,
        finished_at: now,
        status,
        error_class,
        error: None,
        response_headers: None,
        response_body: None,
        timings: Timings::default(),
        pauses_queue: None,
    }
}

const RETRIED: Verdict = Verdict::Retried { wait: Duration::from_secs(3600) };

#[actix_rt::test]
async fn the_owners_outcome_counts_once() {
    let mut scene = Scene::new().await;
    let dead = scene.outbox.queue("http://127.0.0.1:1/", &[]).await;
    let queue = scene.outbox.queue("http://127.0.0.1:1/", &[("dead_letter_queue_id", &dead.to_string())]).await;
    for verdict in [Verdict::Delivered, RETRIED, Verdict::Failed] {
        let before = scene.messages().await;
        let outcome = scene.owned(queue, verdict).await;
        let recorded = scene.record(&outcome).await;
        assert_eq!(recorded.len(), 1, "{verdict:?}");
        assert_eq!((recorded[0].id, recorded[0].attempt), (outcome.id, 0));
        assert_eq!(recorded[0].dead_letter.is_some(), verdict == Verdict::Failed);

        // As after a commit of which nobody knows.
        for _ in 0..3 {
            assert_eq!(scene.record(&outcome).await, [], "{verdict:?}");
        }
        let attempts = scene.outbox.attempts(outcome.id.0).await;
        assert_eq!((attempts.len(), attempts[0].outcome.as_str()), (1, verdict.as_str()));
        let dead_letters = i64::from(verdict == Verdict::Failed);
        assert_eq!(scene.messages().await, before + 1 + dead_letters, "{verdict:?}");
        assert_eq!(scene.outbox.is_pending(outcome.id.0).await, verdict == RETRIED);
    }
    let attempts =
        "SELECT attempt::bigint FROM posthaste.pending WHERE queue_id <> (SELECT min(id) FROM posthaste.queues)";
    assert_eq!(scene.outbox.numbers(attempts).await, [1]);
}

#[actix_rt::test]
async fn the_outcome_of_a_former_owner_is_refused() {
    let mut scene = Scene::new().await;
    let queue = scene.outbox.queue("http://127.0.0.1:1/", &[]).await;
    for verdict in [Verdict::Delivered, RETRIED, Verdict::Failed, Verdict::Cancelled, Verdict::Expired] {
        let stale = scene.owned(queue, verdict).await;
        let epoch = scene.take_over(stale.shard).await;
        assert!(epoch.0 > stale.epoch.0);

        assert_eq!(scene.record(&stale).await, [], "{verdict:?}");
        assert!(scene.outbox.is_pending(stale.id.0).await, "{verdict:?}");
        assert_eq!(scene.outbox.attempts(stale.id.0).await, []);

        // The same of the new owner counts.
        let fresh = Outcome { epoch, ..stale };
        assert_eq!(scene.record(&fresh).await.len(), 1, "{verdict:?}");
    }
}

#[actix_rt::test]
async fn a_hold_lets_the_former_owners_outcome_count_and_ends_with_it() {
    let mut scene = Scene::new().await;
    let queue = scene.outbox.queue("http://127.0.0.1:1/", &[]).await;
    for verdict in [Verdict::Delivered, RETRIED] {
        let outcome = scene.owned(queue, verdict).await;
        let held = Hold {
            id: outcome.id,
            attempt: 0,
            shard: outcome.shard,
            epoch: outcome.epoch,
            remaining: Some(Duration::from_secs(60)),
        };
        hold(&mut scene.owner, &[held]).await.unwrap();
        let until = format!(
            "SELECT (extract(epoch FROM held_until - now()) * 1000)::bigint FROM posthaste.pending WHERE message_id = {}",
            outcome.id.0
        );
        assert!((50_000..=60_000).contains(&scene.outbox.number(&until).await));
        scene.take_over(outcome.shard).await;

        assert_eq!(scene.record(&outcome).await.len(), 1, "{verdict:?}");
        assert_eq!(scene.record(&outcome).await, [], "{verdict:?}");
        let holds = "SELECT count(*) FROM posthaste.pending WHERE held_until IS NOT NULL";
        assert_eq!(scene.outbox.number(holds).await, 0);
    }
}

#[actix_rt::test]
async fn a_former_owner_cannot_hold_any_more() {
    let mut scene = Scene::new().await;
    let queue = scene.outbox.queue("http://127.0.0.1:1/", &[]).await;
    let outcome = scene.owned(queue, Verdict::Delivered).await;
    let epoch = scene.take_over(outcome.shard).await;
    let late = Hold {
        id: outcome.id,
        attempt: 0,
        shard: outcome.shard,
        epoch: outcome.epoch,
        remaining: Some(Duration::from_secs(60)),
    };
    // Too late, and of an attempt that is not the next.
    hold(&mut scene.owner, &[late, Hold { attempt: 1, epoch, ..late }]).await.unwrap();
    assert_eq!(scene.record(&outcome).await, []);
    assert_eq!(scene.outbox.number("SELECT count(*) FROM posthaste.pending WHERE held_until IS NULL").await, 1);
}

#[actix_rt::test]
async fn an_outcome_of_another_attempt_is_refused() {
    let mut scene = Scene::new().await;
    let queue = scene.outbox.queue("http://127.0.0.1:1/", &[]).await;
    let first = scene.owned(queue, RETRIED).await;
    let third = Outcome { attempt: 2, ..first.clone() };
    assert_eq!(scene.record(&third).await, []);
    assert_eq!(scene.record(&first).await.len(), 1);
    assert_eq!(scene.record(&third).await, []);
    assert_eq!(scene.record(&first).await, []);
    let second = Outcome { attempt: 1, ..first.clone() };
    assert_eq!(scene.record(&second).await.len(), 1);
    let numbers: Vec<_> = scene.outbox.attempts(first.id.0).await.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2]);
}

#[actix_rt::test]
async fn of_outcomes_written_at_once_only_one_counts() {
    let mut scene = Scene::new().await;
    let dead = scene.outbox.queue("http://127.0.0.1:1/", &[]).await;
    let queue = scene.outbox.queue("http://127.0.0.1:1/", &[("dead_letter_queue_id", &dead.to_string())]).await;
    let mut writers = Vec::new();
    for _ in 0..4 {
        writers.push(session(&scene.database, Purpose::Writing).await);
    }
    for round in 0..20 {
        // Ten messages, each with another verdict from each writer, in another order.
        let verdicts = [Verdict::Failed, RETRIED, Verdict::Delivered, Verdict::Failed];
        let outcomes = scene.owned_many(queue, 10).await;
        let before = scene.messages().await;
        let writing = writers.iter_mut().zip(verdicts).enumerate().map(|(number, (writer, verdict))| {
            let mut mine: Vec<Outcome> =
                outcomes.iter().map(|of| outcome(of.id, of.shard, of.epoch, verdict, of.started_at)).collect();
            mine.rotate_left(number * 3);
            async move { record(writer, &mine.iter().collect::<Vec<_>>(), "test").await.unwrap() }
        });
        let recorded: Vec<Recorded> = join_all(writing).await.into_iter().flatten().collect();

        assert_eq!(recorded.len(), 10, "round {round}: {recorded:?}");
        let dead_letters = recorded.iter().filter(|recorded| recorded.dead_letter.is_some()).count();
        assert_eq!(scene.messages().await, before + i64::try_from(dead_letters).unwrap(), "round {round}");
        for of in &outcomes {
            assert_eq!(scene.outbox.attempts(of.id.0).await.len(), 1, "round {round}");
        }
    }
}
