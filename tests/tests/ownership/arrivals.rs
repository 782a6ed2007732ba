//! What an owner reads: every committed change once, whatever other transactions do meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use posthaste_core::window::Row;
use posthaste_store::connect::Connection;
use posthaste_store::connect::Purpose;
use posthaste_store::reading::{self, Snapshot};
use posthaste_tests::database::Database;
use posthaste_tests::outbox::Outbox;
use tokio_postgres::Client;

use super::{all_shards, session};

const NOTHING: [i64; 0] = [];

/// A reader as the deliverer is one, and a queue.
struct Scene {
    database: Database,
    queue: i64,
    reader: Connection,
    snapshot: Snapshot,
}

impl Scene {
    async fn new() -> Self {
        let database = Database::new().await;
        let queue = Outbox::on(&database).await.queue("http://127.0.0.1:1/", &[]).await;
        let mut reader = session(&database, Purpose::Reading).await;
        let (snapshot, _) = reading::begin(&mut reader).await.unwrap();
        Self { database, queue, reader, snapshot }
    }

    /// What has changed since the last call, by id.
    async fn arrivals(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        let read = reading::arrivals(&mut self.reader, &all_shards(), &self.snapshot, |row| rows.push(row)).await;
        self.snapshot = read.unwrap().0;
        rows.sort_by_key(|row| row.id);
        rows
    }

    async fn arrived(&mut self) -> Vec<i64> {
        self.arrivals().await.iter().map(|row| row.id.0).collect()
    }

    async fn writer(&self) -> Writer {
        Writer { client: self.database.connect().await, queue: self.queue }
    }
}

/// A session of an application.
struct Writer {
    client: Client,
    queue: i64,
}

impl Writer {
    async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    async fn enqueue(&self) -> i64 {
        let row = self.client.query_one("SELECT posthaste.enqueue($1::bigint)", &[&self.queue]).await;
        row.unwrap().get(0)
    }
}

#[actix_rt::test]
async fn what_commits_late_arrives_when_it_commits() {
    let mut scene = Scene::new().await;
    let (late, other) = (scene.writer().await, scene.writer().await);
    late.run("BEGIN").await;
    let early_id = late.enqueue().await;
    assert_eq!(scene.arrived().await, NOTHING);

    for _ in 0..3 {
        let id = other.enqueue().await;
        assert!(id > early_id);
        assert_eq!(scene.arrived().await, [id]);
        assert_eq!(scene.arrived().await, NOTHING);
    }
    late.run("COMMIT").await;

    assert_eq!(scene.arrived().await, [early_id]);
    assert_eq!(scene.arrived().await, NOTHING);
}

#[actix_rt::test]
async fn what_is_rolled_back_never_arrives() {
    let mut scene = Scene::new().await;
    let (writer, other) = (scene.writer().await, scene.writer().await);
    writer.run("BEGIN").await;
    writer.enqueue().await;
    assert_eq!(scene.arrived().await, NOTHING);
    writer.run("ROLLBACK").await;
    let id = other.enqueue().await;
    assert_eq!(scene.arrived().await, [id]);
    assert_eq!(scene.arrived().await, NOTHING);
}

#[actix_rt::test]
async fn savepoints_belong_to_their_transaction() {
    let mut scene = Scene::new().await;
    let (writer, other) = (scene.writer().await, scene.writer().await);
    writer.run("BEGIN; SAVEPOINT a").await;
    writer.enqueue().await;
    writer.run("ROLLBACK TO a").await;
    let before = writer.enqueue().await;
    writer.run("SAVEPOINT b").await;
    let within = writer.enqueue().await;
    writer.run("RELEASE b; SAVEPOINT c").await;
    let open = writer.enqueue().await;
    let between = other.enqueue().await;
    assert_eq!(scene.arrived().await, [between]);
    writer.run("COMMIT").await;
    assert_eq!(scene.arrived().await, [before, within, open]);
    assert_eq!(scene.arrived().await, NOTHING);
}

#[actix_rt::test]
async fn every_change_of_a_row_arrives_as_it_is_then() {
    let mut scene = Scene::new().await;
    let writer = scene.writer().await;
    let id = writer.enqueue().await;
    let first = scene.arrivals().await;
    assert_eq!((first.len(), first[0].id.0, first[0].attempt, first[0].cancelled), (1, id, 0, false));
    assert_eq!((first[0].queue.0, first[0].held_until), (scene.queue, None));

    writer.run("UPDATE posthaste.pending SET attempt = 3, due_at = '2030-01-02 03:04:05.678901Z', xid = pg_current_xact_id()").await;
    let second = scene.arrivals().await;
    assert_eq!((second.len(), second[0].attempt), (1, 3));
    assert_eq!(second[0].due.to_string(), "2030-01-02T03:04:05.678901Z");

    // Twice in a transaction is one change.
    writer.run("BEGIN; UPDATE posthaste.pending SET cancelled = true, xid = pg_current_xact_id()").await;
    writer.run("UPDATE posthaste.pending SET held_until = '2030-01-01Z', xid = pg_current_xact_id(); COMMIT").await;
    let third = scene.arrivals().await;
    assert_eq!((third.len(), third[0].cancelled, third[0].held_until.is_some()), (1, true, true));

    writer.run("DELETE FROM posthaste.pending").await;
    assert_eq!(scene.arrived().await, NOTHING);
}

#[actix_rt::test]
async fn a_snapshot_that_was_not_adopted_gives_the_same_again() {
    let mut scene = Scene::new().await;
    let (writer, late) = (scene.writer().await, scene.writer().await);
    late.run("BEGIN").await;
    let late_id = late.enqueue().await;
    let old = scene.snapshot.clone();
    let first = writer.enqueue().await;
    assert_eq!(scene.arrived().await, [first]);
    let second = writer.enqueue().await;
    late.run("COMMIT").await;

    scene.snapshot = old;
    assert_eq!(scene.arrived().await, [late_id, first, second]);
}

#[actix_rt::test]
async fn only_the_shards_that_are_asked_for_arrive() {
    let mut scene = Scene::new().await;
    let writer = scene.writer().await;
    writer.run("UPDATE posthaste.queues SET spread = 64").await;
    for _ in 0..200 {
        writer.enqueue().await;
    }
    let since = scene.snapshot.clone();
    let mut seen = HashMap::new();
    for shard in all_shards() {
        let count = |row: Row| {
            assert_eq!(row.shard, shard);
            *seen.entry(row.id).or_insert(0) += 1;
        };
        reading::arrivals(&mut scene.reader, &[shard], &since, count).await.unwrap();
    }
    assert_eq!(seen.len(), 200);
    assert!(seen.values().all(|times| *times == 1));
    let nothing = |row: Row| panic!("{row:?} of no shard");
    reading::arrivals(&mut scene.reader, &[], &since, nothing).await.unwrap();
}

/// A generator of numbers that look random: the same ones for the same seed.
struct Dice(u64);

impl Dice {
    /// Below `bound`.
    fn roll(&mut self, bound: u64) -> u64 {
        // xorshift64*, Vigna 2016.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// By message and attempt, as each change raises the attempt.
type Changes = HashSet<(i64, i32)>;

const WRITERS: usize = 8;
const TRANSACTIONS: usize = 60;

/// Eight sessions insert and change rows in transactions that stay open for a random while, and commit or roll back in
/// whatever order that gives, while a reader reads on and on.
#[actix_rt::test]
async fn among_many_writers_every_change_is_seen_exactly_once() {
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros();
    let seed = u64::try_from(seed).unwrap() | 1;
    println!("seed {seed}");
    let mut scene = Scene::new().await;
    let committed: Arc<Mutex<Changes>> = Arc::default();
    let running = Arc::new(AtomicUsize::new(WRITERS));
    for number in 0..WRITERS {
        let (writer, committed, running) = (scene.writer().await, Arc::clone(&committed), Arc::clone(&running));
        let dice = Dice(seed.rotate_left(u32::try_from(number).unwrap() * 7) | 1);
        actix_rt::spawn(async move {
            write_at_random(&writer, dice, &committed).await;
            running.fetch_sub(1, Ordering::SeqCst);
        });
    }

    let mut seen: HashMap<(i64, i32), usize> = HashMap::new();
    let (mut reads, mut most) = (0, 0);
    loop {
        let last = running.load(Ordering::SeqCst) == 0;
        let rows = scene.arrivals().await;
        reads += 1;
        most = most.max(rows.len());
        for row in rows {
            *seen.entry((row.id.0, row.attempt)).or_default() += 1;
        }
        if last {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    let committed = committed.lock().unwrap();
    println!("{} changes in {reads} reads, at most {most} in one", committed.len());
    assert!(committed.len() > WRITERS * TRANSACTIONS, "too few changes to prove anything");
    // Between two reads a row may change twice; then only the later version is there to be seen.
    let seen_later = |&(id, attempt): &(i64, i32)| seen.keys().any(|later| later.0 == id && later.1 > attempt);
    let unseen: Vec<_> = committed.iter().filter(|change| !seen.contains_key(change)).collect();
    let missed: Vec<_> = unseen.iter().filter(|change| !seen_later(change)).collect();
    assert!(unseen.len() < committed.len() / 4, "{} of {} changes were overtaken", unseen.len(), committed.len());
    let invented: Vec<_> = seen.keys().filter(|change| !committed.contains(change)).collect();
    let repeated: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(missed.is_empty(), "never seen: {missed:?}");
    assert!(invented.is_empty(), "seen without a commit: {invented:?}");
    assert!(repeated.is_empty(), "seen more than once: {repeated:?}");
}

async fn write_at_random(writer: &Writer, mut dice: Dice, committed: &Mutex<Changes>) {
    // Rows of this writer's own that it may change, with their attempts.
    let mut mine: Vec<(i64, i32)> = Vec::new();
    for _ in 0..TRANSACTIONS {
        let mut after = mine.clone();
        let mut changes = Vec::new();
        writer.run("BEGIN").await;
        for _ in 0..=dice.roll(4) {
            if after.is_empty() || dice.roll(3) > 0 {
                let row = (writer.enqueue().await, 0);
                after.push(row);
                changes.push(row);
            } else {
                let index = usize::try_from(dice.roll(u64::try_from(after.len()).unwrap())).unwrap();
                let (id, attempt) = after[index];
                // A later change in the same transaction hides an earlier one.
                if !changes.contains(&(id, attempt)) {
                    writer.run(&change(id)).await;
                    after[index].1 += 1;
                    changes.push(after[index]);
                }
            }
            tokio::time::sleep(Duration::from_micros(dice.roll(3000))).await;
        }
        tokio::time::sleep(Duration::from_micros(dice.roll(20_000))).await;
        if dice.roll(5) == 0 {
            writer.run("ROLLBACK").await;
            continue;
        }
        // Recorded before the commit: the reader may see it before we hear of it.
        committed.lock().unwrap().extend(changes);
        writer.run("COMMIT").await;
        mine = after;
    }
}

fn change(id: i64) -> String {
    format!("UPDATE posthaste.pending SET attempt = attempt + 1, xid = pg_current_xact_id() WHERE message_id = {id}")
}
