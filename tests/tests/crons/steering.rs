//! Pausing, triggering and changing crons.

use posthaste_tests::wait;
use serde_json::{Value, json};

use super::{EVERY_SECOND, LONG, Scene};

#[actix_rt::test]
async fn a_cron_is_fired_by_hand_also_while_it_is_paused() {
    let scene = Scene::new().await;
    let cron =
        scene.cron(json!({"schedule": "@yearly", "paused": true, "body": "b", "headers": {"x-n": "{{tick}}"}})).await;
    assert_eq!(scene.outbox.number("SELECT count(*) FROM posthaste.pending").await, 0, "nothing is to come");
    let triggered = scene.api().post(&format!("/crons/{cron}/trigger"), &json!({})).await;
    assert_eq!((triggered.status, &triggered.json["cronId"]), (200, &json!(cron)), "{}", triggered.text);
    let request = scene.receiver.wait_for_count(LONG, "/hook", 1).await.remove(0);
    assert_eq!((request.header("x-n"), request.text().as_str()), (Some("manual"), "b"));
    let ticks = scene.ticks(&cron).await;
    assert_eq!((ticks.len(), &ticks[0]["outcome"]), (1, &json!("triggered")));
    assert_eq!(ticks[0]["messageId"], triggered.json["id"]);
    assert_eq!(scene.get(&cron).await["paused"], true);
    assert_eq!(scene.api().post("/crons/99999/trigger", &json!({})).await.status, 404);
}

#[actix_rt::test]
async fn a_pause_cancels_what_is_to_come_and_a_resume_stores_it_again() {
    let scene = Scene::without_scheduler().await;
    let cron = scene.cron(json!({"schedule": "@yearly"})).await;
    let path = format!("/crons/{cron}");
    let before = scene.get(&cron).await;
    let stored = async || scene.outbox.number("SELECT count(*) FROM posthaste.pending WHERE NOT cancelled").await;
    assert_eq!(stored().await, 1);
    for _ in 0..2 {
        let paused = scene.api().post(&format!("{path}/pause"), &json!({})).await;
        assert_eq!((paused.status, &paused.json["nextFireAt"]), (200, &before["nextFireAt"]));
    }
    assert_eq!(stored().await, 0);
    assert!(scene.ticks(&cron).await.is_empty());
    // Changed while it is paused, it stays so.
    let daily = json!({"queueId": scene.queue, "schedule": "@daily"});
    let changed = scene.api().put(&path, &daily).await.json;
    assert_eq!((&changed["paused"], stored().await), (&json!(true), 0));
    assert_ne!(changed["nextFireAt"], before["nextFireAt"]);
    let resumed = scene.api().post(&format!("{path}/resume"), &json!({})).await.json;
    assert_eq!((&resumed["paused"], &resumed["pausedAt"], stored().await), (&json!(false), &Value::Null, 1));
    // An answer can be sent back.
    assert_eq!(scene.api().put(&path, &resumed).await.json["nextFireAt"], changed["nextFireAt"]);
    assert_eq!(stored().await, 1);
    // To one that is stored when it is due, and back.
    let mut when_due = daily.clone();
    when_due["overlap"] = json!("skip");
    let changed = scene.api().put(&path, &when_due).await.json;
    assert_eq!(
        (&changed["overlap"], &changed["nextFireAt"], stored().await),
        (&json!("skip"), &resumed["nextFireAt"], 0)
    );
    when_due["overlap"] = json!("allow");
    assert_eq!(scene.api().put(&path, &when_due).await.status, 200);
    assert_eq!(stored().await, 1);
    wait::eventually(LONG, "what was cancelled is dropped", async || {
        scene.outbox.number("SELECT count(*) FROM posthaste.pending").await == 1
    })
    .await;
}

#[actix_rt::test]
async fn no_tick_is_lost_or_doubled_while_a_cron_is_changed_paused_and_resumed() {
    let scene = Scene::new().await;
    let mut crons = Vec::new();
    for overlap in ["allow", "skip"] {
        crons.push(scene.cron(json!({"schedule": EVERY_SECOND, "missed": "all", "overlap": overlap})).await);
    }
    for round in 0..12 {
        for cron in &crons {
            let (path, api) = (format!("/crons/{cron}"), scene.api());
            let whole = json!({"queueId": scene.queue, "schedule": EVERY_SECOND, "body": format!("round {round}")});
            assert_eq!(api.put(&path, &whole).await.status, 200);
            if round % 3 == 0 {
                assert_eq!(api.post(&format!("{path}/pause"), &json!({})).await.status, 200);
                assert_eq!(api.post(&format!("{path}/resume"), &json!({})).await.status, 200);
            }
        }
        let came = scene.receiver.requests_to("/hook").len();
        scene.receiver.wait_for_count(LONG, "/hook", came + 1).await;
    }
    for cron in &crons {
        let sql = format!(
            "SELECT extract(epoch FROM tick)::bigint FROM posthaste.cron_ticks WHERE cron_id = {cron} ORDER BY tick"
        );
        let seconds = scene.outbox.numbers(&sql).await;
        assert!(seconds.len() > 6, "{seconds:?}");
        assert!(seconds.windows(2).all(|pair| pair[1] - pair[0] == 1), "each second is accounted for: {seconds:?}");
    }
    // What was replaced is cancelled, and of each tick one message was sent.
    for cron in &crons {
        scene.api().post(&format!("/crons/{cron}/pause"), &json!({})).await;
    }
    scene.outbox.nothing_pending(LONG).await;
    let doubled = "SELECT count(*) FROM (
        SELECT m.cron_id, m.scheduled_at FROM posthaste.messages m
          JOIN posthaste.attempts a ON a.message_id = m.id AND a.outcome = 'delivered'
         GROUP BY 1, 2 HAVING count(*) > 1) AS d";
    assert_eq!(scene.outbox.number(doubled).await, 0, "ticks that were delivered twice");
}

#[actix_rt::test]
async fn a_queue_with_crons_is_not_deleted_by_accident() {
    let scene = Scene::without_scheduler().await;
    let cron = scene.cron(json!({"every": "P1D", "paused": true})).await;
    let refused = scene.api().delete(&format!("/queues/{}", scene.queue)).await;
    assert_eq!((refused.status, &refused.json["code"]), (409, &json!("PH_IN_USE")));
    assert_eq!(scene.api().delete(&format!("/queues/{}?force=true", scene.queue)).await.status, 200);
    assert_eq!(scene.api().get(&format!("/crons/{cron}")).await.status, 404);
}
