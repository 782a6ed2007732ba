//! A table that grows under statements that were prepared when it was empty.

use std::time::{Duration, Instant};

use posthaste_core::ids::{Epoch, MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use posthaste_core::transition::Verdict;
use posthaste_core::window::{Limits, Start, Windows};
use posthaste_store::connect::Connection;
use posthaste_store::connect::{Purpose, connect};
use posthaste_store::outcome::{Outcome, Timings, record};
use posthaste_store::payload::{Read, payloads};
use posthaste_store::queue_state::paused;
use posthaste_store::reading;
use posthaste_store::shard::{Hold, hold, take_over};
use posthaste_tests::database::Database;
use posthaste_tests::explained::{Explained, Log};
use posthaste_tests::outbox::Outbox;
use posthaste_tests::process::Launch;
use posthaste_tests::receiver::{Answer, Receiver};

use super::{SOON, server};

const MILLION: i64 = 1_000_000;
const WINDOW: usize = 500;

/// The sessions of one deliverer, which stay the same while the table grows.
struct Scene {
    database: Database,
    outbox: Outbox,
    reader: Connection,
    writer: Connection,
    control: Connection,
    log: Log,
}

impl Scene {
    async fn new(name: &str) -> Self {
        let database = Database::on(server()).await;
        let session = async |purpose| connect(&named(&database, name).parse().unwrap(), purpose).await.unwrap();
        Self {
            outbox: Outbox::on(&database).await,
            reader: session(Purpose::Reading).await,
            writer: session(Purpose::Writing).await,
            control: session(Purpose::Writing).await,
            log: Log::of(server(), name),
            database,
        }
    }

    /// The plan of the statement that has just been executed, which contains `piece`. By index, as every other since.
    async fn plan(&mut self, piece: &str) -> Explained {
        let mut all = self.log.next(piece, |explained| explained.text.contains(piece)).await;
        all.iter().for_each(Explained::assert_by_index);
        all.retain(|explained| explained.text.contains(piece));
        assert_eq!(all.len(), 1, "{piece}");
        all.remove(0)
    }

    /// Fills `pending` with rows of one queue that are due tomorrow, spread over 8 shards as usual, half of them with one ordering key.
    async fn grow(&self, queue: i64, from: i64, to: i64) {
        let began = Instant::now();
        self.outbox
            .execute(&format!(
                "INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at, key_hash)
                 SELECT i, {queue}, posthaste.shard_of({queue}, i, NULL, 8), now() + interval '1 day' + i * interval '1 ms',
                        CASE WHEN i % 2 = 0 THEN hashtextextended('order', 0) END
                   FROM generate_series(5000001 + {from}, 5000000 + {to}) AS i"
            ))
            .await;
        println!("{} rows in {:?}", to - from, began.elapsed());
    }

    /// One round of everything that a deliverer does, on five new messages of `queue`.
    async fn round(&mut self, queue: i64) {
        let shards: Vec<Shard> = (0..64).map(Shard).collect();
        let busy = self.database.connect().await;
        let late = format!("BEGIN; SELECT posthaste.enqueue({queue}::bigint, at => now() + interval '1 hour')");
        busy.batch_execute(&late).await.unwrap();
        let (snapshot, _) = reading::begin(&mut self.reader).await.unwrap();
        self.plan("pg_current_snapshot").await;
        let mut ids = self.outbox.enqueue_many(queue, 4).await;
        ids.push(self.outbox.enqueue_with(queue, "ordering_key => 'order'").await);

        // What has arrived, once by the end of the snapshot and once by those that were open in it.
        let mut rows = Vec::new();
        let arrived = reading::arrivals(&mut self.reader, &shards, &snapshot, |row| rows.push(row)).await;
        let (snapshot, facts) = arrived.unwrap();
        assert_eq!(rows.len(), 5);
        self.arrivals_touched(5.0).await;
        busy.batch_execute("COMMIT").await.unwrap();
        let mut late = Vec::new();
        let arrived = reading::arrivals(&mut self.reader, &shards, &snapshot, |row| late.push(row)).await;
        arrived.unwrap();
        assert_eq!(late.len(), 1);
        self.arrivals_touched(1.0).await;

        // Which queues are paused: by the index that has nothing else.
        assert_eq!(paused(&mut self.reader).await.unwrap(), []);
        let (met, _, indexes) = self.plan("WHERE q.paused_at IS NOT NULL ORDER BY").await.of("queues");
        assert_eq!((met, indexes), (0.0, vec!["queues_paused".to_owned()]));

        // Where there are rows, and the first of them.
        let mut windows = Windows::new(Limits { window: WINDOW, budget: 100_000, slots: 100, share: 1, opening: 100 });
        shards.iter().for_each(|shard| windows.take(*shard));
        let steps = windows.next_discovery(64);
        let found = reading::discover(&mut self.reader, &steps, 1000).await.unwrap();
        let pairs = found.iter().map(|found| found.bands.len()).sum::<usize>();
        assert!(pairs > 0 && found.iter().all(|found| found.complete));
        let (met, looks, indexes) = self.plan("RECURSIVE").await.of("pending");
        assert_eq!(indexes, ["pending_reading_order"]);
        assert!(met <= float(pairs) && looks <= float(2 * pairs + 2 * 64), "{met} rows, {looks} looks, {pairs} found");
        for found in found {
            windows.discovered(found.shard, &found.bands, found.complete);
        }
        for _ in 0..2 {
            // The second time beyond what the first has brought.
            let refills = windows.next_refills(Timestamp::MAX, 16);
            let brought = reading::refill(&mut self.reader, &refills).await.unwrap();
            let count = brought.iter().map(|(rows, _)| rows.len()).sum::<usize>();
            if !refills.is_empty() {
                let (met, looks, indexes) = self.plan("after_due").await.of("pending");
                assert_eq!(indexes, ["pending_reading_order"]);
                assert!(
                    met <= float(count) + looks / 2.0 && looks <= float(refills.len()),
                    "{met} rows, {looks} looks for {count}"
                );
            }
            for (refill, (rows, exhausted)) in refills.into_iter().zip(brought) {
                windows.refilled(refill, &rows, exhausted);
            }
            // Room for the next.
            windows.start(Timestamp::MAX, 16 * WINDOW);
        }

        // What is sent, and what becomes of it.
        let starts: Vec<Start> = rows
            .iter()
            .map(|row| Start {
                id: row.id,
                queue: row.queue,
                shard: row.shard,
                attempt: row.attempt,
                cancelled: false,
                key: None,
            })
            .collect();
        let found = payloads(&mut self.reader, &starts, 1 << 20).await.unwrap();
        assert!(found.len() == 5 && found.iter().all(|read| matches!(read, Read::Send(..))));
        let plan = self.plan("octet_length").await;
        let (met, looks, indexes) = plan.of("pending");
        // One has an ordering key: it is made sure that it is the first of it, and that none of it is being sent.
        assert_eq!((met, looks), (6.0, 7.0));
        assert_eq!(indexes, ["pending_held_keys", "pending_ordering_key", "pending_pkey"]);
        let (met, looks, indexes) = plan.of("messages");
        assert!(indexes.iter().all(|index| index.ends_with("_pkey")), "{indexes:?}");
        assert_eq!((met, looks), (5.0, 5.0), "each message is looked for in its own partition only");

        let ids: Vec<MessageId> = ids.into_iter().map(MessageId).collect();
        assert_eq!(reading::by_id(&mut self.reader, &ids, &shards).await.unwrap().len(), 5);
        assert_eq!(
            self.plan(
                "AS p
      WHERE p.shard"
            )
            .await
            .of("pending")
            .0,
            5.0
        );

        let epochs = take_over(&mut self.control, &shards).await.unwrap();
        let outcomes: Vec<Outcome> =
            rows.iter().map(|row| delivered(row.id, row.shard, &epochs, facts.clock)).collect();
        let holds: Vec<Hold> = outcomes
            .iter()
            .map(|of| Hold {
                id: of.id,
                attempt: 0,
                shard: of.shard,
                epoch: of.epoch,
                remaining: Some(Duration::from_secs(1)),
            })
            .collect();
        hold(&mut self.control, &holds).await.unwrap();
        // Once to be locked and once to be changed.
        assert_eq!(self.plan("held_until = coalesce(clock_timestamp()").await.of("pending").0, 10.0);
        assert_eq!(reading::held(&mut self.reader, &shards).await.unwrap().len(), 5);
        let (_, looks, indexes) = self.plan("p.held_until > now()").await.of("pending");
        assert_eq!((looks, indexes), (64.0, vec!["pending_held".to_owned()]));
        let recorded = record(&mut self.writer, &outcomes.iter().collect::<Vec<_>>(), "test").await.unwrap();
        assert_eq!(recorded.len(), 5);
        let plan = self.plan("INSERT INTO posthaste.attempts").await;
        // And the next of the ordering key, to be found and to be changed, if there is one.
        assert!((10.0..=13.0).contains(&plan.of("pending").0), "{plan:?}");
        assert!(plan.of("messages").0 <= 5.0, "{plan:?}");
    }

    /// The last read of arrivals answered so many rows, and met no others.
    async fn arrivals_touched(&mut self, rows: f64) {
        let (met, looks, indexes) = self.plan("pg_current_snapshot").await.of("pending");
        assert_eq!(indexes, ["pending_arrivals"]);
        // The server tells the rows of a look on average, as a whole number.
        assert!(met <= rows + looks / 2.0, "{met} rows were met in {looks} looks for {rows}");
    }
}

pub fn named(database: &Database, application: &str) -> String {
    let separator = if database.url().contains('?') { '&' } else { '?' };
    format!("{}{separator}application_name={application}", database.url())
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

fn delivered(id: MessageId, shard: Shard, epochs: &[(Shard, Epoch)], now: Timestamp) -> Outcome {
    let epoch = epochs.iter().find(|(of, _)| *of == shard).unwrap().1;
    Outcome {
        id,
        queue: QueueId(0),
        attempt: 0,
        shard,
        epoch,
        verdict: Verdict::Delivered,
        started_at: now,
        finished_at: now,
        status: Some(200),
        error_class: None,
        error: None,
        response_headers: None,
        response_body: None,
        timings: Timings::default(),
        pauses_queue: None,
    }
}

#[actix_rt::test]
async fn prepared_on_an_empty_table_statements_stay_by_index_when_it_has_a_million_rows() {
    let mut scene = Scene::new("million").await;
    let queue = scene.outbox.queue("http://127.0.0.1:1/", &[]).await;
    scene.round(queue).await;
    // As after an analysis at a quiet moment: the planner believes that there is nothing.
    scene.outbox.execute("DELETE FROM posthaste.pending; ANALYZE").await;
    // More often than a plan is made anew before it is kept.
    for _ in 0..8 {
        scene.round(queue).await;
    }

    scene.grow(queue, 0, MILLION / 4).await;
    scene.round(queue).await;
    // A backlog was worked off and the table vacuumed, which does not make it smaller; then comes another. By its
    // statistics it is empty, whatever its size.
    scene.outbox.execute("DELETE FROM posthaste.pending").await;
    scene.outbox.execute("VACUUM ANALYZE posthaste.pending").await;
    scene.grow(queue, 0, MILLION / 4).await;
    scene.round(queue).await;

    scene.grow(queue, MILLION / 4, MILLION).await;
    scene.round(queue).await;
    scene.outbox.execute("ANALYZE").await;
    scene.round(queue).await;

    // A reader that has nothing to read, on a million rows.
    let shards: Vec<Shard> = (0..64).map(Shard).collect();
    let (mut snapshot, _) = reading::begin(&mut scene.reader).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..21 {
        scene.outbox.enqueue(queue, "x").await;
        let (began, mut rows) = (Instant::now(), 0);
        let read = reading::arrivals(&mut scene.reader, &shards, &snapshot, |_| rows += 1).await;
        snapshot = read.unwrap().0;
        times.push(began.elapsed());
        assert_eq!(rows, 1);
    }
    times.sort_unstable();
    println!("arrivals over a million rows take {:?} (median), {:?} (worst)", times[10], times[20]);
    assert!(times[10] < Duration::from_millis(50), "{times:?}");

    a_real_deliverer_on(&scene, queue).await;
}

/// A real deliverer meets the million: everything that it executes, from taking over to handing over.
async fn a_real_deliverer_on(scene: &Scene, queue: i64) {
    let receiver = Receiver::start();
    receiver.plan("/fails-once", |earlier, _| Answer::status(if earlier == 0 { 500 } else { 200 }));
    receiver.answer("/fails", Answer::status(500));
    receiver.answer("/slow", Answer::after(Duration::from_secs(2)));
    scene
        .outbox
        .execute(&format!("UPDATE posthaste.queues SET callback_url = '{}' WHERE id = {queue}", receiver.url("/")))
        .await;
    let slow = scene.outbox.queue(&receiver.url("/slow"), &[]).await;
    let failing = scene.outbox.queue(&receiver.url("/fails-once"), &[]).await;
    let settings = [("max_retries", "0"), ("dead_letter_queue_id", &failing.to_string())];
    let dead = scene.outbox.queue(&receiver.url("/fails"), &settings).await;
    let url = named(&scene.database, "deliverer");
    let mut deliverer = Launch::deliverer(&scene.database).env("DATABASE_URL", &url).start().await;
    for queue in [queue, failing, dead] {
        let message = scene.outbox.enqueue(queue, "x").await;
        scene.outbox.ended(SOON, message).await;
    }
    // One is under way when the shards are handed over.
    let held = scene.outbox.enqueue(slow, "x").await;
    receiver.wait_for_count(SOON, "/slow", 1).await;
    deliverer.sigterm();
    assert!(deliverer.wait(SOON).await.success());
    assert_eq!(scene.outbox.attempts(held).await.len(), 1);

    let executed =
        Log::of(server(), "deliverer").next("holds", |explained| explained.text.contains("held_until =")).await;
    println!("the deliverer executed {} statements", executed.len());
    for wanted in ["pg_current_snapshot", "RECURSIVE", "after_due", "octet_length", "INSERT INTO posthaste.attempts"] {
        assert!(executed.iter().any(|explained| explained.text.contains(wanted)), "{wanted}");
    }
    for explained in &executed {
        explained.assert_by_index();
        let (met, _, _) = explained.of("pending");
        // Sixteen windows are filled at once, with up to 2,000 rows each.
        assert!(met <= 32_000.0, "{met} rows were met by {}", explained.text);
    }
}

#[actix_rt::test]
async fn a_hundred_thousand_queues_are_found_by_as_many_looks() {
    let mut scene = Scene::new("queues").await;
    let shards: Vec<Shard> = (0..64).map(Shard).collect();
    let steps: Vec<_> = shards.iter().map(|shard| (*shard, None)).collect();
    // Prepared on the empty table.
    assert!(reading::discover(&mut scene.reader, &steps, 1000).await.unwrap().iter().all(|found| found.complete));
    scene.plan("RECURSIVE").await;
    scene
        .outbox
        .execute(
            "INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at)
             SELECT i, i, posthaste.shard_of(i, i, NULL, 8), now() FROM generate_series(1, 100000) AS i",
        )
        .await;

    let (mut steps, mut all) = (steps, Vec::new());
    while !steps.is_empty() {
        let began = Instant::now();
        let found = reading::discover(&mut scene.reader, &steps, 1000).await.unwrap();
        let pairs: usize = found.iter().map(|found| found.bands.len()).sum();
        println!("{pairs} queues in {:?}", began.elapsed());
        let (met, looks, indexes) = scene.plan("RECURSIVE").await.of("pending");
        assert_eq!(indexes, ["pending_reading_order"]);
        assert!(
            met <= float(pairs + 64) && looks <= float(2 * pairs + 2 * 64),
            "{met} rows, {looks} looks for {pairs}"
        );
        steps.clear();
        for found in found {
            assert!(found.bands.len() <= 1000 && found.bands.is_sorted());
            if !found.complete {
                steps.push((found.shard, found.bands.last().copied()));
            }
            all.extend(found.bands);
        }
    }
    all.sort_unstable();
    assert_eq!(all, (1..=100_000).map(|id| (QueueId(id), 0)).collect::<Vec<_>>());

    // And read, sixteen at a time.
    let mut windows = Windows::new(Limits { window: WINDOW, budget: 100_000, slots: 100, share: 1, opening: 100 });
    windows.take(Shard(7));
    assert_eq!(windows.next_discovery(1), [(Shard(7), None)]);
    let sixteen = reading::discover(&mut scene.reader, &[(Shard(7), None)], 16).await.unwrap().remove(0).bands;
    scene.plan("RECURSIVE").await;
    windows.discovered(Shard(7), &sixteen, true);
    let refills = windows.next_refills(Timestamp::MAX, 16);
    let brought = reading::refill(&mut scene.reader, &refills).await.unwrap();
    let count: usize = brought.iter().map(|(rows, _)| rows.len()).sum();
    assert_eq!(count, 16);
    assert!(brought.iter().all(|(rows, exhausted)| rows.len() == 1 && *exhausted));
    let (met, _, indexes) = scene.plan("after_due").await.of("pending");
    assert_eq!((met, indexes), (float(count), vec!["pending_reading_order".to_owned()]));
}
