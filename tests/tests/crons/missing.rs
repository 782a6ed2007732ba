//! What becomes of ticks that nobody looked for in time.

use posthaste_tests::wait;
use serde_json::{Value, json};

use super::{LONG, Scene, ms};

impl Scene {
    /// A cron that fires every minute, and stands where it stood that many seconds ago, while there is no scheduler. Then there is
    /// one.
    async fn outage(&mut self, seconds: i64, fields: Value) -> String {
        let mut fields = fields;
        fields["schedule"] = json!("* * * * *");
        let cron = self.cron(fields).await;
        self.set_back(&cron, seconds).await;
        self.start_scheduler().await;
        cron
    }
}

/// The outcome of ticks, and how many were skipped together.
fn outcomes(ticks: &[Value]) -> Vec<(&str, i64)> {
    ticks.iter().map(|tick| (tick["outcome"].as_str().unwrap(), tick["count"].as_i64().unwrap_or(1))).collect()
}

#[actix_rt::test]
async fn the_latest_missed_tick_stands_for_all() {
    let mut scene = Scene::without_scheduler().await;
    let cron = scene.outage(3_600, json!({})).await;
    scene.ticks_with(&cron, "upcoming").await;
    let ticks = scene.ticks_with(&cron, "caught_up").await;
    let [first, skipped, caught_up, ..] = outcomes(&ticks)[..] else { panic!("{ticks:?}") };
    assert_eq!((first, skipped.0, caught_up), (("fired", 1), "skipped", ("caught_up", 1)));
    assert!((58..=59).contains(&skipped.1), "{skipped:?}");
    assert_eq!((&ticks[1]["reason"], &ticks[1]["messageId"]), (&json!("missed"), &Value::Null));
    // The range ends a minute before the one that stands for it.
    assert_eq!(ms(&ticks[2]["at"]) - ms(&ticks[1]["until"]), 60_000);
    assert_eq!(ms(&ticks[1]["at"]) - ms(&ticks[0]["at"]), 60_000);
    scene.receiver.wait_for_count(LONG, "/hook", 1).await;
}

#[actix_rt::test]
async fn missed_ticks_are_skipped_if_the_cron_says_so() {
    let mut scene = Scene::without_scheduler().await;
    let cron = scene.outage(600, json!({"missed": "skip"})).await;
    let ticks = scene.ticks_with(&cron, "skipped").await;
    assert_eq!(outcomes(&ticks).first().map(|first| first.0), Some("skipped"), "nothing was stored ahead: {ticks:?}");
    let count = outcomes(&ticks)[0].1;
    assert!((9..=11).contains(&count), "{ticks:?}");
    let next = ms(&scene.get(&cron).await["nextFireAt"]);
    assert!(next - ms(&ticks[0]["until"]) <= 120_000, "it goes on");
    assert!(ticks.iter().all(|tick| tick["outcome"] != "caught_up"));
}

#[actix_rt::test]
async fn missed_ticks_are_all_made_up_for_within_the_tolerance() {
    let mut scene = Scene::without_scheduler().await;
    let cron = scene.outage(1_200, json!({"missed": "all", "missedTolerance": 630})).await;
    scene.ticks_with(&cron, "upcoming").await;
    let ticks = scene.ticks_with(&cron, "caught_up").await;
    let skipped = ticks.iter().find(|tick| tick["outcome"] == "skipped").expect("some are too old");
    let count = skipped["count"].as_i64().unwrap();
    assert!((8..=10).contains(&count), "{ticks:?}");
    let caught_up = ticks.iter().filter(|tick| tick["outcome"] == "caught_up").count();
    assert!((9..=10).contains(&caught_up), "{ticks:?}");
    // Those and the first, in their order, each once.
    let seconds: Vec<i64> =
        ticks.iter().filter(|tick| tick["outcome"] != "skipped").map(|tick| ms(&tick["at"]) / 60_000).collect();
    assert!(seconds[1..].windows(2).all(|pair| pair[1] - pair[0] == 1), "{seconds:?}");
    scene.receiver.wait_for_count(LONG, "/hook", caught_up + 1).await;
}

#[actix_rt::test]
async fn what_a_paused_cron_has_missed_is_dealt_with_when_it_is_resumed() {
    let scene = Scene::new().await;
    let crons = [
        scene.cron(json!({"schedule": "* * * * * *", "missed": "skip"})).await,
        scene.cron(json!({"schedule": "* * * * * *", "missed": "one"})).await,
        scene.cron(json!({"schedule": "* * * * * *", "missed": "all"})).await,
    ];
    for cron in &crons {
        scene.ticks_with(cron, "fired").await;
        let paused = scene.api().post(&format!("/crons/{cron}/pause"), &json!({})).await;
        assert_eq!((paused.status, &paused.json["paused"]), (200, &json!(true)));
        assert!(paused.json["pausedAt"].is_string());
    }
    let pending = "SELECT count(*) FROM posthaste.pending";
    wait::eventually(LONG, "what was stored is gone", async || scene.outbox.number(pending).await == 0).await;
    let came = scene.receiver.requests_to("/hook").len();
    for cron in &crons {
        scene.set_back(cron, 10).await;
    }
    for cron in &crons {
        let resumed = scene.api().post(&format!("/crons/{cron}/resume"), &json!({})).await;
        assert_eq!((resumed.status, &resumed.json["paused"]), (200, &json!(false)));
    }
    scene.receiver.wait_for_count(LONG, "/hook", came + 15).await;
    let paused = |ticks: &[Value]| ticks.iter().filter(|tick| tick["reason"] == "paused").count();
    let caught_up = |ticks: &[Value]| ticks.iter().filter(|tick| tick["outcome"] == "caught_up").count();
    let [skip, one, all] = [scene.ticks(&crons[0]).await, scene.ticks(&crons[1]).await, scene.ticks(&crons[2]).await];
    assert_eq!((paused(&skip), caught_up(&skip)), (1, 0), "{skip:?}");
    assert_eq!((paused(&one), caught_up(&one)), (1, 1), "{one:?}");
    assert_eq!(paused(&all), 0, "{all:?}");
    assert!(caught_up(&all) >= 9, "{all:?}");
}
