//! Shards change hands: without a second delivery where the owner can still act, at the price of what it had in flight where it
//! cannot, and quickly in any case.

use std::time::{Duration, Instant};

use posthaste_tests::cluster::{Cluster, made_by};
use posthaste_tests::database::Database;
use posthaste_tests::fault::{Fault, SLOTS_OF_ONE_QUEUE, check_repetitions};
use posthaste_tests::ledger::{Ledger, message_of};
use posthaste_tests::process::Launch;
use posthaste_tests::receiver::Answer;
use posthaste_tests::wait;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Each test loads both cores: one after the other.
static ALONE: Mutex<()> = Mutex::const_new(());

/// For everything that must happen and has no time of its own.
const LONG: Duration = Duration::from_secs(60);

/// So much in flight that each of two deliverers has a part in it.
const BOTH: usize = SLOTS_OF_ONE_QUEUE + 20;

/// A stop waits for what is being delivered.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

/// Waits until deliveries are well under way and at least `wanted` unanswered; tells how many.
async fn wait_until_in_flight(ledger: &Ledger, wanted: usize) -> usize {
    ledger.wait_for(LONG, 600).await;
    let enough = async || Some(ledger.open()).filter(|open| *open >= wanted);
    wait::until(LONG, "much is in flight", enough).await
}

#[actix_rt::test]
async fn a_stopped_deliverer_hands_over_without_a_repetition() {
    let _alone = ALONE.lock().await;
    let database = Database::new().await;
    let cluster = Cluster::on(&database).await;
    let ledger = Ledger::start(Duration::from_millis(300));
    let queue = cluster.create_queue(&ledger.url()).await;
    let (mut leaving, _) = cluster.start_deliverer(Launch::deliverer(&database)).await;
    let (_staying, heir) = cluster.start_deliverer(Launch::deliverer(&database)).await;
    cluster.wait_until_shared(LONG, 2).await;

    let messages = cluster.enqueue(queue, 6000).await;
    let in_flight = wait_until_in_flight(&ledger, BOTH).await;
    let asked = Instant::now();
    leaving.sigterm();
    cluster.wait_until_owner(LONG, heir).await;
    let taken = asked.elapsed();
    assert!(ledger.distinct() < messages.len(), "all was delivered before: this tests nothing");
    let status = leaving.wait(STOPPED_WITHIN).await;
    eprintln!(
        "stop with {in_flight} open: all shards at the heir after {taken:?}, the process ended after {:?}",
        asked.elapsed()
    );
    assert!(status.success(), "{status}");

    ledger.wait_for_all(LONG, &messages).await;
    cluster.check_each_recorded_once(LONG, &ledger).await;
    assert!(ledger.repeated().is_empty(), "{:?}", ledger.repeated());
    assert_eq!(cluster.pending().await, 0);
}

#[actix_rt::test]
async fn from_one_to_three_deliverers_and_back_without_a_repetition() {
    let _alone = ALONE.lock().await;
    let database = Database::new().await;
    let cluster = Cluster::on(&database).await;
    let ledger = Ledger::start(Duration::from_millis(50));
    let queue = cluster.create_queue(&ledger.url()).await;
    let (mut first, _) = cluster.start_deliverer(Launch::deliverer(&database)).await;

    let enough = CancellationToken::new();
    let scaling = async {
        let _enough = enough.clone().drop_guard();
        ledger.wait_for(LONG, 500).await;
        let ((mut second, _), (_third, last)) = {
            let second = cluster.start_deliverer(Launch::deliverer(&database)).await;
            ledger.wait_for(LONG, ledger.distinct() + 200).await;
            (second, cluster.start_deliverer(Launch::deliverer(&database)).await)
        };
        cluster.wait_until_shared(LONG, 3).await;
        ledger.wait_for(LONG, ledger.distinct() + 500).await;
        first.sigterm();
        cluster.wait_until_shared(LONG, 2).await;
        ledger.wait_for(LONG, ledger.distinct() + 200).await;
        second.sigterm();
        cluster.wait_until_owner(LONG, last).await;
        ledger.wait_for(LONG, ledger.distinct() + 500).await;
        assert!(first.wait(STOPPED_WITHIN).await.success());
        assert!(second.wait(STOPPED_WITHIN).await.success());
        _third
    };
    let feeding = async {
        let feeder = Cluster::on(&database).await;
        feed(&feeder, &ledger, queue, &enough).await
    };
    let (_last, messages) = tokio::join!(scaling, feeding);

    ledger.wait_for_all(LONG, &messages).await;
    cluster.check_each_recorded_once(LONG, &ledger).await;
    eprintln!("1 → 3 → 1 under load: {} messages, {} came again", messages.len(), ledger.repeated().len());
    assert!(ledger.repeated().is_empty(), "{:?}", ledger.repeated());
    assert_eq!(ledger.distinct(), messages.len());
}

/// Keeps some hundred messages waiting until told that it is `enough`, and returns all their ids.
async fn feed(cluster: &Cluster, ledger: &Ledger, queue: i64, enough: &CancellationToken) -> Vec<i64> {
    const BACKLOG: usize = 400;
    let mut messages = Vec::new();
    while !enough.is_cancelled() {
        messages.extend(cluster.enqueue(queue, 100).await);
        ledger.wait_for(LONG, messages.len().saturating_sub(BACKLOG)).await;
    }
    messages
}

#[actix_rt::test]
async fn a_slow_delivery_outlives_the_stop_of_its_deliverer_and_holds_nobody_up() {
    const SLOW: Duration = Duration::from_secs(3);
    let _alone = ALONE.lock().await;
    let database = Database::new().await;
    let cluster = Cluster::on(&database).await;
    let ledger = Ledger::answering(|request| match request.text().as_str() {
        "slow" => Answer::after(SLOW),
        _ => Answer::status(200),
    });
    let (mut leaving, session) = cluster.start_deliverer(Launch::deliverer(&database)).await;
    let (_staying, _) = cluster.start_deliverer(Launch::deliverer(&database)).await;
    cluster.wait_until_shared(LONG, 2).await;
    let owned = cluster.deliverers().await.remove(&session).unwrap();
    let queue = queue_in_one_of(&cluster, &ledger, &owned.into_iter().collect::<Vec<_>>()).await;

    let sql = "SELECT posthaste.enqueue($1::bigint, 'slow')";
    let slow: i64 = cluster.client().query_one(sql, &[&queue]).await.unwrap().get(0);
    ledger.wait_for(LONG, 1).await;
    leaving.sigterm();
    let others = cluster.enqueue(queue, 200).await;
    ledger.wait_for_all(LONG, &others).await;
    let passed = ledger.arrivals().values().map(|times| times[0]).max().unwrap() - ledger.arrivals()[&slow][0];
    eprintln!("200 messages of the same shard had arrived {passed:?} after the slow one");
    assert!(passed < SLOW, "the shard waited for the slow delivery: {passed:?}");

    assert!(leaving.wait(STOPPED_WITHIN).await.success());
    cluster.wait_until_finished(LONG).await;
    cluster.check_each_recorded_once(LONG, &ledger).await;
    assert!(ledger.repeated().is_empty(), "{:?}", ledger.repeated());
    let attempts = cluster.attempts(&[slow]).await;
    assert!(made_by(&attempts[&slow][0], leaving.pid()), "{attempts:?}");
}

/// A queue all of whose messages are in one shard, and that is one of `shards`.
async fn queue_in_one_of(cluster: &Cluster, ledger: &Ledger, shards: &[i32]) -> i64 {
    loop {
        let queue = cluster.create_queue(&ledger.url()).await;
        let sql = "UPDATE posthaste.queues SET spread = 1 WHERE id = $1 RETURNING posthaste.shard_of(id, 1, NULL, 1)";
        let shard: i32 = cluster.client().query_one(sql, &[&queue]).await.unwrap().get(0);
        if shards.contains(&shard) {
            return queue;
        }
    }
}

#[actix_rt::test]
async fn a_killed_deliverer_is_replaced_at_once() {
    let _alone = ALONE.lock().await;
    let database = Database::new().await;
    let cluster = Cluster::on(&database).await;
    let ledger = Ledger::start(Duration::from_millis(300));
    let queue = cluster.create_queue(&ledger.url()).await;
    let (mut killed, _) = cluster.start_deliverer(Launch::deliverer(&database)).await;
    let (_staying, heir) = cluster.start_deliverer(Launch::deliverer(&database)).await;
    cluster.wait_until_shared(LONG, 2).await;

    let messages = cluster.enqueue(queue, 6000).await;
    wait_until_in_flight(&ledger, BOTH).await;
    let fault = Fault::of_process(killed.pid(), SLOTS_OF_ONE_QUEUE);
    killed.sigkill().await;
    cluster.wait_until_owner(LONG, heir).await;
    let taken = fault.at.elapsed();
    assert!(ledger.distinct() < messages.len(), "all was delivered before: this tests nothing");

    ledger.wait_for_all(LONG, &messages).await;
    cluster.check_each_recorded_once(LONG, &ledger).await;
    let repeated = check_repetitions(&cluster, &ledger, &[fault]).await;
    eprintln!("SIGKILL: all shards at the heir after {taken:?}; {repeated} of {} messages came again", messages.len());
    assert!(taken < Duration::from_secs(5), "{taken:?}");
}

#[actix_rt::test]
async fn a_frozen_deliverer_is_replaced_and_starts_nothing_when_it_thaws() {
    let _alone = ALONE.lock().await;
    let database = Database::new().await;
    let cluster = Cluster::on(&database).await;
    let ledger = Ledger::start(Duration::from_millis(150));
    let queue = cluster.create_queue(&ledger.url()).await;
    let (mut frozen, lost) = cluster.start_deliverer(Launch::deliverer(&database)).await;
    let (_staying, heir) = cluster.start_deliverer(Launch::deliverer(&database)).await;
    cluster.wait_until_shared(LONG, 2).await;

    // So much that the frozen one has a full window in memory, and that there is work left when it thaws.
    let messages = cluster.enqueue(queue, 16_000).await;
    // Not all that is in flight has arrived: some deliveries are caught while they connect.
    wait_until_in_flight(&ledger, 200).await;
    let fault = Fault::of_process(frozen.pid(), SLOTS_OF_ONE_QUEUE);
    frozen.sigstop();
    cluster.wait_until_owner(LONG, heir).await;
    let taken = fault.at.elapsed();
    assert!(!cluster.deliverers().await.contains_key(&lost));
    assert!(taken < Duration::from_secs(10), "{taken:?}");

    // What it had in flight is the oldest of what its shards have: the heir, which takes its shards in turn, begins with it.
    ledger.wait_for(LONG, ledger.distinct() + 1000).await;
    let left = messages.len() - ledger.distinct();
    assert!(left > 1000, "only {left} messages are left when it thaws: this tests nothing");
    let thawed = Instant::now();
    frozen.sigcont();
    cluster.wait_until_shared(LONG, 2).await;
    eprintln!(
        "SIGSTOP: all shards at the heir after {taken:?}; thawed with {left} left, again an owner after {:?}",
        thawed.elapsed()
    );

    ledger.wait_for_all(LONG, &messages).await;
    cluster.check_each_recorded_once(LONG, &ledger).await;
    // A delivery that the thawed process started on the strength of its old locks would be a repetition of something that
    // first came long after the freeze.
    let repeated = check_repetitions(&cluster, &ledger, &[fault]).await;
    eprintln!("SIGSTOP: {repeated} of {} messages came again", messages.len());
    assert!(frozen.is_running());
    let requests = ledger.receiver().requests();
    assert_eq!(
        requests.iter().filter_map(message_of).count(),
        messages.len() + repeated,
        "each repetition is one more"
    );
    wait::eventually(LONG, "it works again", async || {
        let more = cluster.enqueue(queue, 50).await;
        ledger.wait_for_all(LONG, &more).await;
        cluster.check_each_recorded_once(LONG, &ledger).await;
        let attempts = cluster.attempts(&more).await;
        attempts.values().flatten().any(|attempt| made_by(attempt, frozen.pid()))
    })
    .await;
}
