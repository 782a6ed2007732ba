//! Many crons that are due in the same second, while the scheduler that stores them is killed.

use posthaste_tests::process::Launch;
use posthaste_tests::wait;
use serde_json::json;

use super::{LONG, Scene};

#[actix_rt::test]
async fn a_burst_loses_and_doubles_no_tick_though_its_leaders_are_killed() {
    const CRONS: i64 = 3_000;
    let mut scene = Scene::new().await;
    scene.start_scheduler().await;
    // Stored as by the API, which is asked for one of them.
    let first = scene.cron(json!({"schedule": "*/2 * * * * *"})).await;
    let sql = format!(
        "WITH new AS (
             INSERT INTO posthaste.crons (queue_id, schedule, overlap, next_fire_at)
             SELECT c.queue_id, c.schedule, CASE WHEN i % 3 = 0 THEN 'skip' ELSE 'allow' END,
                    date_trunc('minute', clock_timestamp()) + interval '2 s' * ceil(extract(second FROM clock_timestamp()) / 2 + 1)
               FROM posthaste.crons c CROSS JOIN generate_series(2, {CRONS}) AS i WHERE c.id = {first}
             RETURNING id)
         SELECT count(*) FROM new"
    );
    assert_eq!(scene.outbox.number(&sql).await, CRONS - 1);
    for _ in 0..3 {
        let ticks = scene.outbox.number("SELECT count(*) FROM posthaste.cron_ticks").await;
        // In the middle of a burst.
        wait::eventually(LONG, "the next burst has begun", async || {
            scene.outbox.number("SELECT count(*) FROM posthaste.cron_ticks").await > ticks + CRONS / 3
        })
        .await;
        // Whoever leads, and whoever does not.
        let mut killed: Vec<_> = scene.services.drain(1..).collect();
        killed[0].sigkill().await;
        scene.services.push(killed.remove(1));
        scene.services.push(Launch::scheduler(&scene.database).start().await);
    }
    scene.outbox.execute("UPDATE posthaste.crons SET paused_at = clock_timestamp()").await;
    wait::eventually(LONG, "all that is due is delivered", async || {
        scene.outbox.number("SELECT count(*) FROM posthaste.pending WHERE due_at <= clock_timestamp()").await == 0
    })
    .await;

    let stages = "SELECT count(*) FROM (
        SELECT cron_id, count(*) AS ticks, extract(epoch FROM max(tick) - min(tick))::bigint / 2 + 1 AS wanted
          FROM posthaste.cron_ticks GROUP BY cron_id) AS t WHERE ticks <> wanted";
    assert_eq!(scene.outbox.number(stages).await, 0, "crons with ticks that are missing");
    assert_eq!(scene.outbox.number("SELECT count(DISTINCT cron_id) FROM posthaste.cron_ticks").await, CRONS);
    let doubled = "SELECT count(*) FROM (
        SELECT cron_id, scheduled_at FROM posthaste.messages GROUP BY 1, 2 HAVING count(*) > 1) AS d";
    assert_eq!(scene.outbox.number(doubled).await, 0, "ticks with two messages");
    let unknown = "SELECT count(*) FROM posthaste.messages m WHERE NOT EXISTS (
        SELECT FROM posthaste.cron_ticks t WHERE t.cron_id = m.cron_id AND t.message_id = m.id)";
    assert_eq!(scene.outbox.number(unknown).await, 0, "messages without a tick");
    let tally = scene.receiver.tally(|request| Some(posthaste_tests::outbox::message_of(request)));
    assert!(tally.values().all(|times| *times == 1), "delivered twice");
}
