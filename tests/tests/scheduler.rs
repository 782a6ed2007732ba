//! Crons fire each tick once, whatever happens to schedulers and to the rows that they work on; partitions are there in time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use posthaste_tests::client::Api;
use posthaste_tests::cluster::Cluster;
use posthaste_tests::database::Database;
use posthaste_tests::ledger::Ledger;
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::receiver::Answer;
use posthaste_tests::{ticks, wait};
use serde_json::json;
use tokio::sync::Mutex;

/// Each test starts several processes and looks at the second: one after the other.
static ALONE: Mutex<()> = Mutex::const_new(());

/// For everything that must happen and has no time of its own.
const LONG: Duration = Duration::from_secs(60);

/// A database with an API, a deliverer, a queue and its receiver, and no scheduler yet.
struct Stage {
    cluster: Cluster,
    ledger: Ledger,
    api: Api,
    queue: String,
    _processes: [Process; 2],
    // Dropped last.
    database: Database,
}

impl Stage {
    async fn set() -> Self {
        let database = Database::new().await;
        let cluster = Cluster::on(&database).await;
        let ledger = Ledger::start(Duration::ZERO);
        let processes = [Launch::api(&database).start().await, Launch::deliverer(&database).start().await];
        cluster.wait_until_shared(LONG, 1).await;
        let api = processes[0].api();
        let queue = json!({ "name": "ticks", "callbackUrl": ledger.url(), "method": "POST", "maxRetries": 5 });
        let queue = api.create_queue(&queue).await;
        Self { cluster, ledger, api, queue, _processes: processes, database }
    }

    async fn cron(&self, schedule: &str, body: &str) -> i64 {
        let cron = json!({ "queueId": self.queue, "schedule": schedule, "body": body });
        self.api.create_cron(&cron).await.parse().unwrap()
    }

    fn scheduler(&self) -> Launch {
        Launch::scheduler(&self.database)
    }

    /// Waits until the cron's next `count` seconds, from now, are stored.
    async fn pass(&self, cron: i64, count: i64) {
        let now = ticks::now(&self.cluster).await;
        ticks::stored_until(&self.cluster, cron, now + count).await;
    }

    /// Checks a cron that fires every second, and that nothing came more than once.
    async fn check_each_second(&self, cron: i64) -> ticks::Ticks {
        let stored = ticks::check_each_second(&self.cluster, &self.ledger, cron).await;
        assert!(self.ledger.repeated().is_empty(), "{:?}", self.ledger.repeated());
        stored
    }
}

const EVERY_SECOND: &str = "*/1 * * * * *";

#[actix_rt::test]
async fn each_second_fires_once_while_leaders_die_stop_and_freeze() {
    let _alone = ALONE.lock().await;
    let stage = Stage::set().await;
    let mut first = stage.scheduler().start().await;
    let leader = stage.cluster.wait_for_leader_other_than(LONG, None).await;
    let mut second = stage.scheduler().start().await;
    let cron = stage.cron(EVERY_SECOND, "tick").await;
    stage.pass(cron, 2).await;

    // The first leads.
    let before = Instant::now();
    first.sigkill().await;
    let leader = stage.cluster.wait_for_leader_other_than(LONG, Some(leader)).await;
    let killed = before.elapsed();
    stage.pass(cron, 1).await;
    first.start_again().await;
    assert_eq!(stage.cluster.leader().await, Some(leader), "a scheduler that comes back stands by");
    stage.pass(cron, 1).await;

    // The second leads.
    let before = Instant::now();
    second.sigterm();
    let leader = stage.cluster.wait_for_leader_other_than(LONG, Some(leader)).await;
    let stopped = before.elapsed();
    assert!(second.wait(LONG).await.success());
    second.start_again().await;
    stage.pass(cron, 1).await;

    // The first leads again.
    let before = Instant::now();
    first.sigstop();
    let leader = stage.cluster.wait_for_leader_other_than(LONG, Some(leader)).await;
    let frozen = before.elapsed();
    stage.pass(cron, 2).await;
    first.sigcont();
    stage.pass(cron, 3).await;
    assert_eq!(stage.cluster.leader().await, Some(leader), "a leader that thaws leads no more");
    first.wait_until_ready(LONG).await;

    let fired = stage.check_each_second(cron).await;
    let late = ticks::lateness(&stage.ledger, &fired).into_iter().filter_map(|(_, late)| late).max().unwrap();
    eprintln!("another leader after SIGKILL {killed:?}, after SIGTERM {stopped:?}, after SIGSTOP {frozen:?}");
    eprintln!("{} ticks, each once, the latest late by {late:?}", fired.len());
    assert!(killed < Duration::from_secs(5), "{killed:?}");
    assert!(stopped < Duration::from_secs(5), "{stopped:?}");
    assert!(frozen < Duration::from_secs(10), "{frozen:?}");
}

#[actix_rt::test]
async fn a_cron_that_cannot_fire_stops_no_other_and_is_not_tried_without_end() {
    let _alone = ALONE.lock().await;
    let stage = Stage::set().await;
    let scheduler = stage.scheduler().start().await;
    let good = stage.cron(EVERY_SECOND, "good").await;
    let unreadable = stage.cron(EVERY_SECOND, "unreadable").await;
    let refused = stage.cron(EVERY_SECOND, "refused").await;
    let also_good = stage.cron(EVERY_SECOND, "good").await;
    stage.pass(good, 2).await;

    // Behind the API's back: a schedule that cannot be read, and a message that cannot be stored.
    let sql = format!(
        "UPDATE posthaste.crons SET schedule = 'every full moon' WHERE id = {unreadable};
         ALTER TABLE posthaste.messages ADD CONSTRAINT refused CHECK (body <> 'refused') NOT VALID"
    );
    stage.database.execute(&sql).await;
    let (from, scans) = (ticks::now(&stage.cluster).await, scans_of_crons(&stage.cluster).await);
    stage.pass(good, 5).await;

    for cron in [good, also_good] {
        stage.check_each_second(cron).await;
    }
    let next = "SELECT coalesce(extract(epoch FROM next_fire_at), 0)::bigint FROM posthaste.crons WHERE id = ";
    assert_eq!(stage.cluster.number(&format!("{next}{unreadable}")).await, 0, "it has no tick any more");
    let told = |what: &str| scheduler.stderr().lines().filter(|line| line.contains(what)).count();
    assert_eq!(told("schedule cannot be read"), 1, "the operator is told once");
    assert_eq!(told("the next tick of a cron cannot be stored"), 1, "the operator is told once a minute");

    // Each look at the crons is a few scans; two or three looks a second are enough.
    let seconds = ticks::now(&stage.cluster).await - from;
    wait::eventually(LONG, "the statistics have come", async || scans_of_crons(&stage.cluster).await > scans).await;
    let scans = scans_of_crons(&stage.cluster).await - scans;
    eprintln!("{scans} scans of the crons in {seconds} s");
    assert!(scans < 100 * seconds, "{scans} scans in {seconds} s");

    // What can be read again fires again, once it is given its next tick, as an update does.
    stage.database.execute("ALTER TABLE posthaste.messages DROP CONSTRAINT refused").await;
    let stuck = stage.cluster.number(&format!("{next}{refused}")).await;
    assert!(stuck > 0 && stuck <= ticks::now(&stage.cluster).await, "it waits at the tick that it could not leave");
}

async fn scans_of_crons(cluster: &Cluster) -> i64 {
    let sql =
        "SELECT seq_scan + idx_scan FROM pg_stat_user_tables WHERE schemaname = 'posthaste' AND relname = 'crons'";
    cluster.number(sql).await
}

#[actix_rt::test]
async fn a_tick_that_has_a_message_gets_no_other() {
    let _alone = ALONE.lock().await;
    let stage = Stage::set().await;
    let scheduler = stage.scheduler().start().await;
    let cron = stage.cron(EVERY_SECOND, "tick").await;
    stage.pass(cron, 1).await;

    // As a leader leaves it that stored the tick and whose cron was then set back.
    let sql = "INSERT INTO posthaste.cron_ticks (cron_id, tick, message_id)
               SELECT id, next_fire_at + interval '2 s', next_message_id FROM posthaste.crons WHERE id = $1
               RETURNING extract(epoch FROM tick)::bigint, message_id";
    let row = stage.cluster.client().query_one(sql, &[&cron]).await.unwrap();
    let (tick, message): (i64, i64) = (row.get(0), row.get(1));
    let stored = ticks::stored_until(&stage.cluster, cron, tick + 2).await;
    ticks::check_contiguous(&stored);
    assert_eq!(stored[&tick], message, "the tick keeps the message that it had");
    let mut of_ticks: BTreeSet<(i64, i64)> = stored.into_iter().collect();
    assert!(of_ticks.remove(&(tick, message)));
    assert_eq!(ticks::messages(&stage.cluster, cron, tick + 2).await, of_ticks);
    assert!(scheduler.stderr().contains("the tick has its message already"), "the operator is told");

    ticks::stored_until(&stage.cluster, cron, tick + 3).await;
    let all: Vec<i64> = of_ticks.into_iter().map(|(_, message)| message).collect();
    stage.ledger.wait_for_all(LONG, &all).await;
    assert!(stage.ledger.repeated().is_empty(), "{:?}", stage.ledger.repeated());
}

#[actix_rt::test]
async fn after_an_outage_the_last_minute_fires_late_and_a_longer_time_once() {
    let _alone = ALONE.lock().await;
    let stage = Stage::set().await;
    let (short, long) = (stage.cron(EVERY_SECOND, "short").await, stage.cron(EVERY_SECOND, "long").await);
    // Their first ticks were stored with them, and are delivered without any scheduler.
    stage.ledger.wait_for(LONG, 2).await;
    stage.cluster.wait_until_finished(LONG).await;
    let mut stopped_at = Vec::new();
    for (cron, outage) in [(short, 30), (long, 3600)] {
        let sql = format!(
            "UPDATE posthaste.crons SET next_fire_at = next_fire_at - interval '{outage} s' WHERE id = {cron};
             UPDATE posthaste.cron_ticks SET tick = tick - interval '{outage} s' WHERE cron_id = {cron};
             UPDATE posthaste.messages SET scheduled_at = scheduled_at - interval '{outage} s' WHERE cron_id = {cron}"
        );
        stage.database.execute(&sql).await;
        let sql = format!("SELECT extract(epoch FROM next_fire_at)::bigint FROM posthaste.crons WHERE id = {cron}");
        stopped_at.push(stage.cluster.number(&sql).await);
    }

    let back = ticks::now(&stage.cluster).await;
    let _scheduler = stage.scheduler().start().await;
    stage.pass(short, 2).await;
    stage.pass(long, 1).await;

    let fired = stage.check_each_second(short).await;
    assert_eq!(fired.keys().next(), Some(&stopped_at[0]), "nothing is left out");
    let until = ticks::now(&stage.cluster).await;
    let mut fired = ticks::stored_until(&stage.cluster, long, until).await;
    assert_eq!(fired.pop_first().map(|(tick, _)| tick), Some(stopped_at[1]));
    ticks::check_contiguous(&fired);
    let first = *fired.keys().next().unwrap();
    assert!(first >= back - 1, "one tick, the latest, stands for an hour: the first is at {} s of now", first - back);
    stage.ledger.wait_for_all(LONG, &fired.into_values().collect::<Vec<_>>()).await;
    assert!(stage.ledger.repeated().is_empty(), "{:?}", stage.ledger.repeated());
}

#[actix_rt::test]
async fn a_cron_that_is_deleted_while_it_fires_is_heard_no_more() {
    const CRONS: usize = 30;
    let _alone = ALONE.lock().await;
    let stage = Stage::set().await;
    let _scheduler = stage.scheduler().start().await;
    let crons = join_all((0..CRONS).map(|_| stage.cron(EVERY_SECOND, "tick"))).await;
    for cron in &crons {
        stage.pass(*cron, 1).await;
    }
    let delete = async |crons: &[i64]| {
        let deletions = crons.iter().map(async |cron| stage.api.delete(&format!("/crons/{cron}")).await);
        let answers = join_all(deletions).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    };
    let (first, second) = crons.split_at(CRONS / 2);
    // A tick has just come, and the scheduler stores the next ones at this moment.
    stage.ledger.wait_for(LONG, stage.ledger.distinct() + 1).await;
    delete(first).await;
    // The next one is stored, and yet to come.
    stage.pass(second[0], 1).await;
    delete(second).await;
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let deleted = stage.cluster.number(sql).await;
    assert_eq!(stage.cluster.number("SELECT count(*) FROM posthaste.crons").await, 0);
    stage.cluster.wait_until_finished(LONG).await;

    let sql = "SELECT m.id, (extract(epoch FROM m.scheduled_at) * 1000000)::bigint, array_agg(a.outcome)
               FROM posthaste.messages m LEFT JOIN posthaste.attempts a ON a.message_id = m.id GROUP BY m.id";
    let rows = stage.cluster.client().query(sql, &[]).await.unwrap();
    let mut cancelled = 0;
    for row in &rows {
        let (id, at, outcomes): (i64, i64, Vec<Option<String>>) = (row.get(0), row.get(1), row.get(2));
        match outcomes.as_slice() {
            [Some(outcome)] if outcome == "delivered" => {
                assert!(at <= deleted, "message {id} of a deleted cron was sent")
            }
            [Some(outcome)] if outcome == "cancelled" => {
                cancelled += 1;
                assert!(!stage.ledger.has(id), "message {id} is cancelled and was sent");
            }
            other => panic!("message {id}: {other:?}"),
        }
    }
    eprintln!("{} ticks of {CRONS} deleted crons, {cancelled} cancelled", rows.len());
    assert!(cancelled > 0, "no cron had its next message stored: this tests nothing");
    assert!(stage.ledger.repeated().is_empty(), "{:?}", stage.ledger.repeated());
}

#[actix_rt::test]
async fn partitions_are_made_ahead_and_whoever_meets_none_makes_them() {
    let _alone = ALONE.lock().await;
    let database = Database::new().await;
    let cluster = Cluster::on(&database).await;
    let ledger = Ledger::start(Duration::ZERO);
    ledger.receiver().answer("/failing", Answer::status(500));
    let services = [Launch::api(&database).start().await, Launch::deliverer(&database).start().await];
    let api = services[0].api();
    cluster.wait_until_shared(LONG, 1).await;
    let target = json!({ "name": "target", "callbackUrl": ledger.url(), "method": "POST", "maxRetries": 5 });
    let target = api.create_queue(&target).await;
    let queue: i64 = target.parse().unwrap();

    // The SQL outbox, one row and many.
    go_beyond_the_partitions(&cluster).await;
    let mut expected = cluster.enqueue(queue, 1).await;
    go_to_the_last_id(&cluster).await;
    expected.extend(cluster.enqueue(queue, 100).await);

    // The API, with many clients at once.
    go_beyond_the_partitions(&cluster).await;
    let message = json!({ "queueId": target, "body": "a message" });
    let posts = join_all((0..50).map(|_| api.create_message(&message))).await;
    expected.extend(posts.iter().map(|id| id.parse::<i64>().unwrap()));

    // A cron's first message.
    go_beyond_the_partitions(&cluster).await;
    let cron = json!({ "queueId": target, "schedule": EVERY_SECOND, "body": "tick" });
    let cron: i64 = api.create_cron(&cron).await.parse().unwrap();
    ledger.wait_for_all(LONG, &expected).await;

    // A dead letter: its id is taken when its message has failed.
    let doomed = json!({
        "name": "doomed", "callbackUrl": ledger.receiver().url("/failing"), "method": "POST", "maxRetries": 0, "deadLetterQueueId": target,
    });
    let doomed: i64 = api.create_queue(&doomed).await.parse().unwrap();
    let sql = "SELECT posthaste.enqueue($1::bigint, 'doomed', at => clock_timestamp() + interval '1 s')";
    let origin: i64 = cluster.client().query_one(sql, &[&doomed]).await.unwrap().get(0);
    go_beyond_the_partitions(&cluster).await;
    let sql = "SELECT id FROM posthaste.messages WHERE origin_message_id = $1";
    let dead_letter: i64 = wait::until(LONG, "the dead letter is stored", async || {
        cluster.client().query_opt(sql, &[&origin]).await.unwrap().map(|row| row.get(0))
    })
    .await;
    ledger.wait_for_all(LONG, &[dead_letter]).await;

    // The scheduler's next message; and it keeps two whole partitions ahead.
    go_beyond_the_partitions(&cluster).await;
    let _scheduler = Launch::scheduler(&database).start().await;
    let until = ticks::now(&cluster).await + 2;
    ticks::stored_until(&cluster, cron, until).await;
    let ahead =
        "SELECT count(*) FROM posthaste.partitions WHERE first_id > (SELECT last_value FROM posthaste.message_ids)";
    wait::eventually(LONG, "two partitions are ahead", async || cluster.number(ahead).await >= 2).await;
    go_to_the_last_id(&cluster).await;
    wait::eventually(LONG, "two partitions are ahead again", async || cluster.number(ahead).await >= 2).await;
    assert_eq!(cluster.number("SELECT count(*) FROM posthaste.pending WHERE due_at < now() - interval '5 s'").await, 0);
    assert!(ledger.repeated().is_empty(), "{:?}", ledger.repeated());
}

/// The next id is one for which there is no partition.
async fn go_beyond_the_partitions(cluster: &Cluster) {
    let sql = "SELECT setval('posthaste.message_ids', (SELECT max(end_id) FROM posthaste.partitions))";
    cluster.number(sql).await;
}

/// The next id is the last for which there is a partition.
async fn go_to_the_last_id(cluster: &Cluster) {
    let sql = "SELECT setval('posthaste.message_ids', (SELECT max(end_id) - 1 FROM posthaste.partitions), false)";
    cluster.number(sql).await;
}
