//! Pods whose clocks are hours apart: only the database's counts. Needs Debian's package `libfaketime`.

use std::time::{Duration, Instant};

use posthaste_tests::cluster::Cluster;
use posthaste_tests::database::Database;
use posthaste_tests::ledger::Ledger;
use posthaste_tests::process::Launch;
use posthaste_tests::{ticks, wait};
use serde_json::json;

const LONG: Duration = Duration::from_secs(60);

/// With a clock that is wrong by so many seconds.
fn skewed(launch: Launch, seconds: i32) -> Launch {
    let folders = std::fs::read_dir("/usr/lib").expect("/usr/lib");
    let library = folders
        .map(|folder| folder.expect("a folder").path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
        .expect("Debian's package libfaketime");
    let launch = launch.env("LD_PRELOAD", library.to_str().expect("a path"));
    launch.env("FAKETIME", &format!("{seconds:+}s")).env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

#[actix_rt::test]
async fn clocks_that_are_hours_apart_double_and_lose_no_tick() {
    let database = Database::new().await;
    let cluster = Cluster::on(&database).await;
    let ledger = Ledger::start(Duration::ZERO);
    let api = skewed(Launch::api(&database), 3 * 3600).start().await;
    let _deliverer = skewed(Launch::deliverer(&database), -7200).start().await;
    let _other = skewed(Launch::deliverer(&database), 7200).start().await;
    // They say so themselves.
    let at = |text: &str| text.split("\"timestamp\":\"").nth(1).and_then(|rest| rest.get(11..13)).map(str::to_owned);
    assert_ne!(at(&api.stderr()), at(&_deliverer.stderr()), "the clocks are wrong");

    let queue = json!({"name": "q", "callbackUrl": ledger.url(), "method": "POST"});
    let queue = api.api().create_queue(&queue).await;
    let cron = json!({"queueId": queue, "schedule": "* * * * * *", "body": "x"});
    let cron: i64 = api.api().create_cron(&cron).await.parse().unwrap();
    // Each leads for a while: an hour ahead, an hour behind, four hours ahead.
    for seconds in [3600, -3600, 4 * 3600] {
        let mut scheduler = skewed(Launch::scheduler(&database), seconds).start().await;
        let now = ticks::now(&cluster).await;
        ticks::stored_until(&cluster, cron, now + 4).await;
        scheduler.sigkill().await;
    }
    let mut last = skewed(Launch::scheduler(&database), -5).start().await;
    let ticks = ticks::check_each_second(&cluster, &ledger, cron).await;
    assert!(ticks.len() > 6 && ledger.repeated().is_empty(), "{} ticks", ticks.len());

    // A delay is a delay.
    let asked = Instant::now();
    let delayed = json!({"queueId": queue, "body": "x", "delay": "PT2S"});
    let delayed: i64 = api.api().create_message(&delayed).await.parse().unwrap();
    ledger.wait_for_all(LONG, &[delayed]).await;
    assert!((1.9..20.0).contains(&asked.elapsed().as_secs_f64()), "{:?}", asked.elapsed());
    last.sigterm();
    assert!(last.wait(LONG).await.success());
    wait::eventually(LONG, "the API still answers", async || api.api().get("/readyz").await.status == 200).await;
}
