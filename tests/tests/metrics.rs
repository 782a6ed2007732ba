//! Metrics: what happens is counted once, by queue up to a bound; a duty that fails is seen and stops no other.

use std::time::Duration;

use posthaste_service::metrics::Metric;
use posthaste_tests::client::Api;
use posthaste_tests::cluster::Cluster;
use posthaste_tests::database::Database;
use posthaste_tests::ports::Port;
use posthaste_tests::process::Launch;
use posthaste_tests::receiver::{Answer, Receiver};
use posthaste_tests::scrape::Scrape;
use posthaste_tests::wait;
use serde_json::json;

const LONG: Duration = Duration::from_secs(60);

/// All duties of the leader but the one that a test makes fail.
const OTHER_DUTIES: [&str; 11] = [
    "firings",
    "partitions",
    "counts",
    "ticks",
    "idempotency_keys",
    "deletions",
    "audit_log",
    "secrets",
    "retention",
    "jobs",
    "statistics",
];

#[actix_rt::test]
async fn what_becomes_of_messages_is_counted() {
    let database = Database::new().await;
    let cluster = Cluster::on(&database).await;
    let receiver = Receiver::start();
    receiver.answer("/bad", Answer::status(500));
    let port = Port::lease();
    let api_process =
        Launch::api(&database).env("METRICS_PORT", &port.number().to_string()).env("ADMIN_SECRET", "s").start().await;
    let api = Api::with_secret(api_process.address(), "s");
    let queue = async |path: &str, more: serde_json::Value| {
        let mut queue = json!({"name": "q", "callbackUrl": receiver.url(path), "method": "POST"});
        queue.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        api.create_queue(&queue).await
    };
    let dead = queue("/dead", json!({})).await;
    let good = queue("/good", json!({})).await;
    let bad = queue(
        "/bad",
        json!({"maxRetries": 1, "deadLetterQueueId": dead, "retryPolicy": {"type": "fixed", "waitMs": 10}}),
    )
    .await;
    for _ in 0..3 {
        api.create_message(&json!({"queueId": good, "body": "x"})).await;
    }
    api.create_message(&json!({"queueId": bad, "body": "x"})).await;
    let far = api.create_message(&json!({"queueId": good, "body": "x", "delay": "PT1H"})).await;
    // Nobody delivers yet: what is due is late.
    let scheduler = Launch::scheduler(&database).start().await;
    wait::eventually(LONG, "the backlog is told", async || {
        let scrape = Scrape::of(&scheduler.api()).await;
        let backlog = |queue: &str| scrape.count("posthaste_backlog_messages", &[("queue", queue)]);
        (backlog(&good), backlog(&bad), backlog("other")) == (3.0, 1.0, 0.0)
            && scrape.count("posthaste_backlog_oldest_due_seconds", &[]) > 0.0
            && scrape.count("posthaste_leader", &[]) == 1.0
    })
    .await;
    let deliverer = Launch::deliverer(&database).start().await;
    wait::eventually(LONG, "it is cancelled", async || {
        api.post(&format!("/messages/{far}/cancel"), &json!({})).await.status == 200 && cluster.pending().await == 0
    })
    .await;

    // What has been committed is counted a moment later.
    let counted =
        [("delivered", &good, 3.0), ("failed", &bad, 1.0), ("dead_lettered", &bad, 1.0), ("delivered", &dead, 1.0)];
    wait::eventually(LONG, "all is counted", async || {
        let scrape = Scrape::of(&deliverer.api()).await;
        let is = |&(what, queue, count): &(&str, &String, f64)| {
            scrape.count(&format!("posthaste_messages_{what}_total"), &[("queue", queue)]) == count
        };
        counted.iter().all(is)
            && scrape.count("posthaste_messages_cancelled_total", &[("queue", &good)]) == 1.0
            && scrape.count("posthaste_attempts_retried_total", &[("queue", &bad)]) == 1.0
            && scrape.count("posthaste_messages_delivered_total", &[]) == 4.0
    })
    .await;
    let scrape = Scrape::of(&deliverer.api()).await;
    for (name, count) in [
        ("attempt_duration_seconds_count", 6.0),
        ("delivery_lateness_seconds_count", 6.0),
        ("end_to_end_seconds_count", 4.0),
        ("attempts_in_flight", 0.0),
        ("shards_owned", 64.0),
        ("outcome_batch_size_sum", 7.0),
        ("lock_sessions_lost_total", 0.0),
    ] {
        assert_eq!(scrape.count(&format!("posthaste_{name}"), &[]), count, "{name}");
    }
    assert!(scrape.count("posthaste_takeover_seconds_count", &[]) >= 1.0);
    wait::eventually(LONG, "the backlog is gone", async || {
        let scrape = Scrape::of(&scheduler.api()).await;
        scrape.count("posthaste_backlog_messages", &[]) == 0.0
            && scrape.count("posthaste_backlog_oldest_due_seconds", &[]) == 0.0
    })
    .await;

    // The API's are for administrators, and on a port of their own for all.
    assert_eq!(api_process.api().get("/metrics").await.status, 401);
    let open = Api::at(port.address());
    assert_eq!(open.get("/queues").await.status, 404, "that port has nothing else");
    for scrape in [Scrape::of(&api).await, Scrape::of(&open).await] {
        assert_eq!(scrape.count("posthaste_messages_accepted_total", &[("queue", &good)]), 4.0);
        assert_eq!(scrape.count("posthaste_messages_accepted_total", &[]), 5.0);
        let posted = [("method", "POST"), ("status", "2xx")];
        assert!(scrape.count("posthaste_http_requests_total", &posted) >= 8.0);
        assert!(scrape.count("posthaste_http_request_duration_seconds_count", &[("method", "POST")]) >= 8.0);
        assert!(scrape.count("posthaste_pool_wait_seconds_count", &[]) >= 8.0);
    }

    // Nothing is told that the README does not name.
    for (service, of) in [("api", &open), ("scheduler", &scheduler.api()), ("deliverer", &deliverer.api())] {
        for series in Scrape::of(of).await.series() {
            assert_eq!(series.labels["service"], service);
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| series.name.strip_suffix(end));
            let named = |metric: &&Metric| metric.name() == series.name || Some(metric.name()) == family;
            assert!(Metric::ALL.iter().any(|metric| named(&metric)), "{series:?}");
        }
    }
}

#[actix_rt::test]
async fn queues_beyond_the_bound_are_counted_together() {
    let database = Database::new().await;
    let cluster = Cluster::on(&database).await;
    let receiver = Receiver::start();
    let api = Launch::api(&database).env("METRICS_QUEUES", "1").start().await;
    let deliverer = Launch::deliverer(&database).env("METRICS_QUEUES", "0").start().await;
    let mut queues = Vec::new();
    for _ in 0..3 {
        let queue = json!({"name": "q", "callbackUrl": receiver.url("/"), "method": "POST"});
        queues.push(api.api().create_queue(&queue).await);
        for queue in &queues {
            api.api().create_message(&json!({"queueId": queue, "body": "x"})).await;
        }
    }
    cluster.wait_until_finished(LONG).await;
    let accepted = Scrape::of(&api.api()).await;
    let of = |queue: &str| accepted.count("posthaste_messages_accepted_total", &[("queue", queue)]);
    assert_eq!((of(&queues[0]), of(&queues[1]), of("other")), (3.0, 0.0, 3.0));
    wait::eventually(LONG, "all are counted", async || {
        let scrape = Scrape::of(&deliverer.api()).await;
        scrape.count("posthaste_messages_delivered_total", &[("queue", "other")]) == 6.0
    })
    .await;
}

#[actix_rt::test]
async fn a_duty_that_fails_stops_no_other() {
    let database = Database::new().await;
    database.execute("ALTER TABLE posthaste.test_deliveries RENAME TO hidden").await;
    let scheduler = Launch::scheduler(&database).start().await;
    let last =
        |scrape: &Scrape, duty: &str| scrape.get("posthaste_duty_last_success_timestamp_seconds", &[("duty", duty)]);
    wait::eventually(LONG, "all other duties are done", async || {
        let scrape = Scrape::of(&scheduler.api()).await;
        OTHER_DUTIES.iter().all(|duty| last(&scrape, duty).is_some())
            && scrape.count("posthaste_duty_failures_total", &[("duty", "test_deliveries")]) >= 1.0
    })
    .await;
    let scrape = Scrape::of(&scheduler.api()).await;
    assert_eq!(last(&scrape, "test_deliveries"), None);
    let failed = scrape.count("posthaste_duty_failures_total", &[]);
    assert_eq!(failed, scrape.count("posthaste_duty_failures_total", &[("duty", "test_deliveries")]));
    for duty in OTHER_DUTIES {
        assert!(scrape.count("posthaste_duty_duration_seconds_count", &[("duty", duty)]) >= 1.0, "{duty}");
    }
    // They go on: what is due again is done again.
    let first = last(&scrape, "jobs");
    wait::eventually(LONG, "it is done again", async || last(&Scrape::of(&scheduler.api()).await, "jobs") > first)
        .await;
}
