//! What the harness promises to the other tests.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use posthaste_tests::client::Api;
use posthaste_tests::database::Database;
use posthaste_tests::postgres::{Server, exists};
use posthaste_tests::receiver::{Answer, Receiver};
use posthaste_tests::wait;
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

/// Set for the process that is to be killed in the test below.
const VICTIM: &str = "POSTHASTE_TEST_VICTIM";

/// Not a test by itself: the process that the next one kills.
#[test]
fn victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let server = Server::own();
    println!("server {} {}", server.pid(), server.folder().display());
    loop {
        std::thread::park();
    }
}

#[actix_rt::test]
async fn no_server_outlives_a_test_process_that_is_killed() {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let line = lines.find_map(|line| line.unwrap().split_once("server ").map(|(_, rest)| rest.to_owned())).unwrap();
    let (pid, folder) = line.split_once(' ').unwrap();
    let pid = pid.parse().unwrap();
    assert!(exists(pid));

    victim.kill().unwrap();
    victim.wait().unwrap();

    wait::eventually(SOON, "its server is gone", async || !exists(pid)).await;
    wait::eventually(SOON, "its folder is gone", async || !std::path::Path::new(folder).exists()).await;
}

#[actix_rt::test]
async fn a_database_is_migrated_empty_and_the_tests_own() {
    let (one, other) = (Database::new().await, Database::new().await);
    one.execute("INSERT INTO posthaste.queues (name, callback_url, method) VALUES ('q', 'http://x/', 'POST')").await;
    assert_eq!(one.number("SELECT count(*) FROM posthaste.queues").await, 1);
    assert_eq!(other.number("SELECT count(*) FROM posthaste.queues").await, 0);

    let name = one.name().to_owned();
    let _still_connected = one.connect().await;
    drop(one);
    let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    assert_eq!(other.number(&left).await, 0);
}

#[actix_rt::test]
async fn a_server_of_ones_own_can_be_killed_and_frozen() {
    let server = Server::own();
    let database = Database::empty_on(&server).await;
    database.execute("CREATE TABLE kept AS SELECT 1 AS number").await;

    server.sigkill();
    server.start_again();
    assert_eq!(database.number("SELECT count(*) FROM kept").await, 1);

    let client = database.connect().await;
    server.sigstop();
    let asked = client.query_one("SELECT 1", &[]);
    assert!(tokio::time::timeout(Duration::from_millis(300), asked).await.is_err(), "nobody answers");
    server.sigcont();
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
}

#[actix_rt::test]
async fn a_receiver_records_what_comes_and_answers_as_planned() {
    let receiver = Receiver::start();
    let api = Api::at(receiver.address());
    receiver.plan("/flaky", |earlier, _| Answer::status(if earlier == 0 { 503 } else { 204 }));
    receiver.answer("/slow", Answer::after(Duration::from_millis(200)).header("x-answer", "late").body("at last"));
    receiver.answer("/closed", Answer::close());
    receiver.answer("/hung", Answer::hang());

    assert_eq!(api.post("/flaky?a=b", &json!({"id": 1})).await.status, 503);
    assert_eq!(api.post("/flaky?a=b", &json!({"id": 1})).await.status, 204);
    let started = Instant::now();
    let slow = api.get("/slow").await;
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!((slow.text.as_str(), slow.headers.get("x-answer").unwrap().to_str().unwrap()), ("at last", "late"));
    assert!(api.try_send(awc::http::Method::GET, "/closed", None).await.is_err());
    let hung = actix_rt::spawn({
        let api = api.clone();
        async move { api.try_send(awc::http::Method::GET, "/hung", None).await.map(drop) }
    });
    receiver.wait_for_count(SOON, "/hung", 1).await;
    assert_eq!((receiver.open("/hung"), receiver.most_open("/slow")), (1, 1));
    hung.abort();
    wait::eventually(SOON, "the connection is cut", async || receiver.open("/hung") == 0).await;

    let flaky = receiver.requests_to("/flaky");
    assert_eq!(flaky.len(), 2);
    assert_eq!((flaky[0].method.as_str(), flaky[0].path.as_str()), ("POST", "/flaky?a=b"));
    assert_eq!(flaky[0].header("content-type"), Some("application/json"));
    assert_eq!(flaky[0].json(), json!({"id": 1}));
    assert_eq!(
        receiver.tally(|request| request.path.contains("flaky").then(|| request.json()["id"].as_i64())).len(),
        1
    );
    assert_eq!(receiver.count(), 5);
}
