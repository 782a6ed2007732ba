//! Postgres dies, or cuts connections, under load. What was accepted arrives, and every service goes on by itself.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use posthaste_tests::cluster::{Cluster, SessionId};
use posthaste_tests::database::Database;
use posthaste_tests::fault::{Fault, SLOTS_OF_ONE_QUEUE, check_repetitions};
use posthaste_tests::ledger::Ledger;
use posthaste_tests::postgres::Server;
use posthaste_tests::posting::{CLIENTS, post_until};
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::wait;
use serde_json::json;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Each test loads both cores: one after the other.
static ALONE: Mutex<()> = Mutex::const_new(());

/// For everything that must happen and has no time of its own.
const LONG: Duration = Duration::from_secs(60);

/// How soon after the server is back every service works again: their pauses between two attempts are at most 2 s.
const BACK_WITHIN: Duration = Duration::from_secs(15);

#[actix_rt::test]
async fn what_was_accepted_arrives_although_postgres_is_killed() {
    const CRASHES: usize = 2;
    let _alone = ALONE.lock().await;
    let server = Arc::new(Server::own());
    let database = Database::on(&server).await;
    let ledger = Ledger::start(Duration::from_millis(50));
    let cluster = Cluster::on(&database).await;
    let mut services = vec![Launch::api(&database).start().await, Launch::api(&database).start().await];
    services.push(Launch::scheduler(&database).start().await);
    let apis = [services[0].api(), services[1].api()];
    for _ in 0..2 {
        services.push(cluster.start_deliverer(Launch::deliverer(&database)).await.0);
    }
    cluster.wait_until_shared(LONG, 2).await;
    let queue = json!({ "name": "work", "callbackUrl": ledger.url(), "method": "POST", "maxRetries": 5 });
    let queue = apis[0].create_queue(&queue).await;
    drop(cluster);

    let (enough, under_way) = (CancellationToken::new(), Cell::new(0));
    let breaking = async {
        let _enough = enough.clone().drop_guard();
        let mut faults = Vec::new();
        for _ in 0..CRASHES {
            ledger.wait_for(LONG, ledger.distinct() + 1500).await;
            let busy = async || ledger.open() >= 10 && under_way.get() >= CLIENTS;
            wait::eventually(LONG, "much is in flight and many posts are under way", busy).await;
            let fault = Fault::of_all(2 * SLOTS_OF_ONE_QUEUE);
            server.sigkill();
            faults.push(fault);
            let restarting = Arc::clone(&server);
            tokio::task::spawn_blocking(move || restarting.start_again()).await.unwrap();
            let up = Instant::now();
            for service in &mut services {
                service.wait_until_ready(BACK_WITHIN).await;
            }
            let ready = up.elapsed();
            Cluster::on(&database).await.wait_until_shared(LONG, 2).await;
            eprintln!(
                "Postgres was down for {:?}; all services were ready {ready:?} after, all shards owned {:?} after",
                up - fault.at,
                up.elapsed()
            );
        }
        ledger.wait_for(LONG, ledger.distinct() + 1000).await;
        faults
    };
    let (faults, posted) = tokio::join!(breaking, post_until(&apis, &queue, &under_way, &enough));

    for service in &mut services {
        assert!(service.is_running());
    }
    let cluster = Cluster::on(&database).await;
    ledger.wait_for_all(LONG, &posted.accepted).await;
    // Also what was stored although its answer was lost.
    cluster.wait_until_finished(LONG).await;
    cluster.check_each_recorded_once(LONG, &ledger).await;
    assert_eq!(
        cluster.number("SELECT count(*) FROM posthaste.messages").await,
        i64::try_from(ledger.distinct()).unwrap()
    );
    let repeated = check_repetitions(&cluster, &ledger, &faults).await;
    eprintln!(
        "{CRASHES} crashes of Postgres: {} posts accepted, {} refused or cut; {} messages arrived, {repeated} of them twice",
        posted.accepted.len(),
        posted.refused,
        ledger.distinct()
    );
    // A post whose answer was lost may have been stored; none was stored twice.
    assert!(ledger.distinct() <= posted.accepted.len() + posted.refused);
}

#[actix_rt::test]
async fn a_deliverer_starts_nothing_on_old_locks_when_a_frozen_postgres_thaws() {
    let _alone = ALONE.lock().await;
    let server = Server::own();
    let database = Database::on(&server).await;
    let ledger = Ledger::start(Duration::from_millis(100));
    let cluster = Cluster::on(&database).await;
    let queue = cluster.create_queue(&ledger.url()).await;
    let mut deliverers = Vec::new();
    for _ in 0..2 {
        deliverers.push(cluster.start_deliverer(Launch::deliverer(&database)).await.0);
    }
    cluster.wait_until_shared(LONG, 2).await;
    let messages = cluster.enqueue(queue, 6000).await;
    ledger.wait_for(LONG, 1000).await;

    let fault = Fault::of_all(2 * SLOTS_OF_ONE_QUEUE);
    server.sigstop();
    // Nobody answers, and no connection breaks: they must find out by themselves.
    for deliverer in &deliverers {
        let api = deliverer.api();
        wait::eventually(LONG, "a deliverer is not ready", async || api.get("/readyz").await.status == 503).await;
    }
    let noticed = fault.at.elapsed();
    let stood = ledger.distinct();
    assert!(stood < messages.len(), "all was delivered before: this tests nothing");
    server.sigcont();
    let thawed = Instant::now();
    for deliverer in &mut deliverers {
        deliverer.wait_until_ready(BACK_WITHIN).await;
    }
    cluster.wait_until_shared(LONG, 2).await;
    eprintln!(
        "a frozen Postgres was noticed after {noticed:?}; all shards owned {:?} after it thawed",
        thawed.elapsed()
    );
    assert!(noticed < Duration::from_secs(5), "{noticed:?}");

    ledger.wait_for_all(LONG, &messages).await;
    cluster.wait_until_finished(LONG).await;
    cluster.check_each_recorded_once(LONG, &ledger).await;
    let repeated = check_repetitions(&cluster, &ledger, &[fault]).await;
    eprintln!("frozen Postgres: {repeated} of {} messages came twice", messages.len());
    for deliverer in &mut deliverers {
        assert!(deliverer.is_running());
    }
}

#[actix_rt::test]
async fn a_deliverer_whose_lock_session_is_cut_takes_its_shards_anew() {
    let _alone = ALONE.lock().await;
    let database = Database::new().await;
    let cluster = Cluster::on(&database).await;
    let ledger = Ledger::start(Duration::from_millis(100));
    let queue = cluster.create_queue(&ledger.url()).await;
    let (mut deliverer, mut session) = cluster.start_deliverer(Launch::deliverer(&database)).await;

    let mut messages = cluster.enqueue(queue, 6000).await;
    let mut faults = Vec::new();
    for _ in 0..2 {
        ledger.wait_for(LONG, ledger.distinct() + 1000).await;
        wait::eventually(LONG, "much is in flight", async || ledger.open() >= 100).await;
        let fault = Fault::of_all(SLOTS_OF_ONE_QUEUE);
        cut(&cluster, "pid = $1", &session).await;
        let lost = session;
        session = wait::until(LONG, "the deliverer owns all shards again, by another session", async || {
            let deliverers = cluster.deliverers().await;
            deliverers.into_iter().find(|(id, shards)| *id != lost && shards.len() == 64).map(|(id, _)| id)
        })
        .await;
        eprintln!("the lock session was cut: all shards taken anew after {:?}", fault.at.elapsed());
        faults.push(fault);
    }
    messages.extend(cluster.enqueue(queue, 100).await);
    ledger.wait_for_all(LONG, &messages).await;
    cluster.wait_until_finished(LONG).await;
    cluster.check_each_recorded_once(LONG, &ledger).await;
    let repeated = check_repetitions(&cluster, &ledger, &faults).await;
    eprintln!("2 cuts of the lock session: {repeated} of {} messages came twice", messages.len());
    check_ready(&mut deliverer).await;
}

#[actix_rt::test]
async fn a_deliverer_whose_data_sessions_are_cut_repeats_nothing() {
    const CUTS: usize = 5;
    let _alone = ALONE.lock().await;
    let database = Database::new().await;
    let cluster = Cluster::on(&database).await;
    let ledger = Ledger::start(Duration::from_millis(100));
    let queue = cluster.create_queue(&ledger.url()).await;
    let (mut deliverer, session) = cluster.start_deliverer(Launch::deliverer(&database)).await;

    let messages = cluster.enqueue(queue, 6000).await;
    for _ in 0..CUTS {
        ledger.wait_for(LONG, ledger.distinct() + 800).await;
        cut(&cluster, "application_name LIKE 'posthaste-deliverer%' AND pid <> $1", &session).await;
    }
    assert!(ledger.distinct() < messages.len(), "all was delivered before: this tests nothing");
    ledger.wait_for_all(LONG, &messages).await;
    cluster.wait_until_finished(LONG).await;
    cluster.check_each_recorded_once(LONG, &ledger).await;
    eprintln!(
        "{CUTS} cuts of the data sessions: {} of {} messages came twice",
        ledger.repeated().len(),
        messages.len()
    );
    // It held its locks all the while and knew what it had in flight.
    assert!(ledger.repeated().is_empty(), "{:?}", ledger.repeated());
    assert_eq!(cluster.deliverers().await.into_keys().collect::<Vec<_>>(), [session]);
    check_ready(&mut deliverer).await;
}

/// Ends the sessions in this database for which `condition` holds.
async fn cut(cluster: &Cluster, condition: &str, session: &SessionId) {
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND {condition}"
    );
    let ended = cluster.client().query(&sql, &[session]).await.unwrap();
    assert!(!ended.is_empty(), "there is no such session");
}

async fn check_ready(process: &mut Process) {
    process.wait_until_ready(BACK_WITHIN).await;
    assert!(process.is_running());
}
