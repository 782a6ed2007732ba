//! The whole fleet on one Postgres: 20,000 messages over HTTP while a deliverer and the leading scheduler are killed.
//!
//! Every accepted message arrives; what arrives twice was in flight in the killed deliverer; every second has its tick, once.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use posthaste_tests::client::Api;
use posthaste_tests::cluster::Cluster;
use posthaste_tests::database::Database;
use posthaste_tests::fault::{Fault, SLOTS, check_repetitions};
use posthaste_tests::ledger::Ledger;
use posthaste_tests::process::Launch;
use posthaste_tests::ticks::check_each_second;
use posthaste_tests::wait;
use serde_json::json;

const MESSAGES: usize = 20_000;

/// Requests under way at each API.
const CLIENTS: usize = 32;

/// For everything that must happen and has no time of its own.
const LONG: Duration = Duration::from_secs(120);

#[actix_rt::test]
async fn every_message_and_every_tick_arrives_while_processes_are_killed() {
    let database = Database::new().await;
    let cluster = Cluster::on(&database).await;
    let ledger = Ledger::start(Duration::from_millis(50));

    let apis = [Launch::api(&database).start().await, Launch::api(&database).start().await];
    let mut leading = Launch::scheduler(&database).start().await;
    let leader = cluster.wait_for_leader_other_than(LONG, None).await;
    let _standby = Launch::scheduler(&database).start().await;
    let (mut killed, _) = cluster.start_deliverer(Launch::deliverer(&database)).await;
    let _second = cluster.start_deliverer(Launch::deliverer(&database)).await;
    let _third = cluster.start_deliverer(Launch::deliverer(&database).env("WORKERS", "2")).await;
    cluster.wait_until_shared(LONG, 3).await;

    let clients = [apis[0].api(), apis[1].api()];
    let queue = clients[0].create_queue(&queue_to("work", &ledger)).await;
    let ticks = clients[1].create_queue(&queue_to("ticks", &ledger)).await;
    let cron = json!({ "queueId": ticks, "schedule": "*/1 * * * * *", "body": "tick" });
    let cron: i64 = clients[0].create_cron(&cron).await.parse().unwrap();

    let started = Instant::now();
    let posting = async {
        let accepted = post_all(&clients, &queue).await;
        eprintln!("{MESSAGES} messages posted in {:?}", started.elapsed());
        accepted
    };
    let breaking = async {
        ledger.wait_for(LONG, MESSAGES / 8).await;
        wait::eventually(LONG, "much is in flight", async || ledger.open() >= 10).await;
        let fault = Fault::of_process(killed.pid(), SLOTS);
        killed.sigkill().await;
        cluster.wait_until_shared(LONG, 2).await;
        let taken = fault.at.elapsed();
        ledger.wait_for(LONG, MESSAGES * 2 / 8).await;
        killed.start_again().await;
        cluster.wait_until_shared(LONG, 3).await;

        ledger.wait_for(LONG, MESSAGES * 3 / 8).await;
        let before = Instant::now();
        leading.sigkill().await;
        let next = cluster.wait_for_leader_other_than(LONG, Some(leader)).await;
        let led = before.elapsed();
        ledger.wait_for(LONG, MESSAGES * 4 / 8).await;
        leading.start_again().await;
        assert_eq!(cluster.leader().await, Some(next), "a scheduler that comes back stands by");
        eprintln!(
            "the killed deliverer's shards were taken over after {taken:?}, the killed scheduler's lead after {led:?}"
        );
        fault
    };
    let (accepted, fault) = tokio::join!(posting, breaking);

    assert_eq!(accepted.iter().collect::<BTreeSet<_>>().len(), MESSAGES, "each answer tells an id of its own");
    ledger.wait_for_all(LONG, &accepted).await;
    let delivered = check_each_second(&cluster, &ledger, cron).await.len();
    assert_eq!(clients[1].delete(&format!("/crons/{cron}")).await.status, 200);
    cluster.check_each_recorded_once(LONG, &ledger).await;
    let repeated = check_repetitions(&cluster, &ledger, &[fault]).await;
    let accepted: BTreeSet<i64> = accepted.into_iter().collect();
    let twice: Vec<i64> = ledger.repeated().into_keys().collect();
    let messages_twice = twice.iter().filter(|id| accepted.contains(id)).count();
    eprintln!(
        "{MESSAGES} messages arrived, {messages_twice} of them twice; {delivered} ticks arrived, {} of them twice",
        repeated - messages_twice
    );
}

fn queue_to(name: &str, ledger: &Ledger) -> serde_json::Value {
    json!({ "name": name, "callbackUrl": ledger.url(), "method": "POST", "maxRetries": 5 })
}

/// Posts all messages through both APIs, over connections that are kept alive, and returns the ids of the answers.
async fn post_all(apis: &[Api], queue: &str) -> Vec<i64> {
    let next = Cell::new(0);
    let client = async |api: &Api| {
        let mut accepted = Vec::new();
        while next.get() < MESSAGES {
            let number = next.replace(next.get() + 1);
            let message = json!({ "queueId": queue, "body": format!("message {number}") });
            accepted.push(api.create_message(&message).await.parse::<i64>().unwrap());
        }
        accepted
    };
    let clients = apis.iter().flat_map(|api| std::iter::repeat_n(api, CLIENTS)).map(client);
    join_all(clients).await.concat()
}
