//! The roles of the operations guide are enough: what it says is executed, and each service works with no more than that.

use std::time::Duration;

use posthaste_tests::cluster::Cluster;
use posthaste_tests::database::{Database, connect, migrate};
use posthaste_tests::ledger::Ledger;
use posthaste_tests::postgres::Server;
use posthaste_tests::process::Launch;
use posthaste_tests::wait;
use serde_json::{Value, json};

const GUIDE: &str = include_str!("../../deploy/OPERATIONS.md");
const LONG: Duration = Duration::from_secs(60);
/// Of every role.
const PASSWORD: &str = "of-everybody";

/// The statements of the guide's blocks, as its reader executes them, in their order.
fn statements() -> Vec<String> {
    let blocks = GUIDE.split("```sql").skip(1).filter_map(|rest| rest.split_once("```"));
    let text: String =
        blocks.flat_map(|(block, _)| block.lines()).filter(|line| !line.trim().starts_with("--")).collect();
    let statements = text.split_inclusive(';').map(|statement| statement.trim().replace('…', PASSWORD));
    // The database is there already.
    statements.filter(|statement| !statement.starts_with("CREATE DATABASE")).collect()
}

/// Another role's way into the database.
fn url(database: &Database, role: &str) -> String {
    let (_, place) = database.url().split_once('@').expect("a user");
    format!("postgres://{role}:{PASSWORD}@{place}")
}

#[actix_rt::test]
async fn the_roles_of_the_guide_are_enough() {
    let server = Server::own();
    let database = Database::empty_on(&server).await;
    let superuser = database.connect().await;
    let statements = statements();
    let (owner, others): (Vec<_>, Vec<_>) =
        statements.iter().partition(|statement| statement.starts_with("CREATE ROLE posthaste_owner"));
    assert_eq!((owner.len(), others.len()), (1, 18), "{statements:#?}");
    superuser.batch_execute(owner[0]).await.unwrap();
    superuser.batch_execute(&format!("ALTER DATABASE {} OWNER TO posthaste_owner", database.name())).await.unwrap();
    migrate(&url(&database, "posthaste_owner")).await;
    for statement in others {
        superuser.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    // The settings of its sessions, without which it would have to be alone in them.
    let deliverer = connect(&url(&database, "posthaste_deliverer")).await;
    assert_eq!(deliverer.query_one("SHOW enable_seqscan", &[]).await.unwrap().get::<_, String>(0), "off");

    let ledger = Ledger::start(Duration::ZERO);
    let cluster = Cluster::on(&database).await;
    let key = "ZGV2ZWxvcG1lbnQtZGV2ZWxvcG1lbnQtZGV2ZWxvcG0=";
    let with = |launch: Launch, role| launch.env("DATABASE_URL", &url(&database, role)).env("SECRETS_KEY", key);
    let services = [
        with(Launch::api(&database), "posthaste_service").start().await,
        with(Launch::scheduler(&database), "posthaste_owner").start().await,
        with(Launch::deliverer(&database), "posthaste_service").start().await,
        with(Launch::deliverer(&database), "posthaste_deliverer").start().await,
    ];
    cluster.wait_until_shared(LONG, 2).await;
    let api = services[0].api();
    let done = async |path: &str, body: Value| {
        let answer = api.post(path, &body).await;
        assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.text);
        answer.json
    };

    let letters = json!({"name": "letters", "callbackUrl": ledger.url(), "method": "POST"});
    let letters = api.create_queue(&letters).await;
    let queue = json!({"name": "q", "callbackUrl": ledger.url(), "method": "POST", "maxConcurrency": 3,
        "rateLimit": {"perSecond": 500, "burst": 500}, "deadLetterQueueId": letters});
    let queue = api.create_queue(&queue).await;
    done(&format!("/queues/{queue}/secrets"), json!({})).await;
    let refused = json!({"name": "refused", "callbackUrl": "http://127.0.0.1:1/", "method": "POST", "maxRetries": 0,
        "deadLetterQueueId": letters});
    let refused = api.create_queue(&refused).await;
    let cron = json!({"queueId": queue, "schedule": "* * * * * *", "body": "x", "overlap": "skip"});
    let cron = api.create_cron(&cron).await;
    let yearly = api.create_cron(&json!({"queueId": queue, "schedule": "@yearly", "body": "x"})).await;

    let mut sent = Vec::new();
    for n in 0..50 {
        let message = json!({"queueId": queue, "body": "x", "orderingKey": (n % 5).to_string(), "priority": n % 3,
            "idempotencyKey": n.to_string()});
        sent.push(api.create_message(&message).await.parse::<i64>().unwrap());
    }
    let batch = vec![json!({"queueId": queue, "body": "one of many"}); 100];
    assert_eq!(done("/messages/batch", json!(batch)).await["accepted"], 100);
    ledger.wait_for_all(LONG, &sent).await;
    let later = api.create_message(&json!({"queueId": queue, "body": "x", "delay": "PT1H"})).await;
    assert_eq!(done(&format!("/messages/{later}/cancel"), json!({})).await["status"], "cancelled");
    done(&format!("/messages/{}/replay", sent[0]), json!({})).await;
    let failed = api.create_message(&json!({"queueId": refused, "body": "x"})).await;
    wait::eventually(LONG, "it has failed", async || {
        api.get(&format!("/messages/{failed}")).await.json["status"] == "failed"
    })
    .await;
    done(&format!("/queues/{queue}/pause"), json!({})).await;
    done(&format!("/queues/{queue}/resume"), json!({})).await;
    done(&format!("/crons/{yearly}/trigger"), json!({})).await;
    done(&format!("/queues/{queue}/test"), json!({})).await;
    done(
        "/graphql",
        json!({"query": "{ queues { name stats { delivered } messages(limit: 3) { attempts { outcome } } } }"}),
    )
    .await;
    // The scheduler's part.
    done(&format!("/queues/{refused}/purge"), json!({})).await;
    wait::eventually(LONG, "the cron has fired", async || {
        let ticks = api.get(&format!("/crons/{cron}/ticks")).await.json;
        ticks.as_array().is_some_and(|ticks| ticks.iter().any(|tick| tick["outcome"] == "fired"))
    })
    .await;
    wait::eventually(LONG, "the purge has ended", async || {
        let jobs = api.get("/jobs").await.json;
        jobs.as_array().is_some_and(|jobs| !jobs.is_empty() && jobs.iter().all(|job| job["state"] == "finished"))
    })
    .await;
    let deleted = api.delete(&format!("/queues/{queue}?force=true")).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text);
    for service in &services {
        let log = service.stderr();
        assert!(!log.contains("permission denied") && !log.contains("must be owner"), "{log}");
    }
}
