//! What crons send, and when.

use posthaste_tests::receiver::Answer;
use posthaste_tests::wait;
use serde_json::{Value, json};

use super::{EVERY_SECOND, LONG, Scene, by_message, ms};

#[actix_rt::test]
async fn a_firing_has_the_crons_method_headers_and_body_and_tells_which_it_is() {
    let scene = Scene::new().await;
    let cron = scene
        .cron(json!({
            "schedule": EVERY_SECOND, "method": "PUT", "body": {"a": 1},
            "headers": {"x-at": "{{scheduledTime}}", "x-n": "no. {{tick}}", "x-plain": "p"},
        }))
        .await;
    let requests = scene.receiver.wait_for_count(LONG, "/hook", 4).await;
    let ticks = scene.ticks(&cron).await;
    let of = by_message(&requests);
    for (index, (_, request)) in of.iter().enumerate().take(4) {
        assert_eq!((request.method.as_str(), request.text().as_str()), ("PUT", r#"{"a":1}"#));
        assert_eq!(request.header("x-n"), Some(format!("no. {}", index + 1).as_str()));
        assert_eq!(request.header("x-plain"), Some("p"));
    }
    for tick in &ticks {
        let Some(request) = tick["messageId"].as_str().and_then(|id| of.get(id)) else { continue };
        assert_eq!(request.header("x-at"), tick["at"].as_str());
    }
    let numbers: Vec<i64> = ticks.iter().map(|tick| tick["number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=i64::try_from(ticks.len()).unwrap()).collect::<Vec<_>>());
    // A replay is what it repeats.
    let replay = scene.api().post(&format!("/messages/{}/replay", of.keys().next().unwrap()), &json!({})).await;
    let again = replay.created();
    let again = wait::until(LONG, "it comes again", async || {
        let requests = scene.receiver.requests_to("/hook");
        requests.into_iter().find(|request| request.header("posthaste-replay") == Some(again.as_str()))
    })
    .await;
    assert_eq!((again.method.as_str(), again.header("x-n")), ("PUT", Some("no. 1")));
}

#[actix_rt::test]
async fn a_cron_fires_at_a_distance_between_its_start_and_its_end() {
    let scene = Scene::new().await;
    let sql = "SELECT (extract(epoch FROM date_trunc('second', clock_timestamp())) * 1000)::bigint";
    let start = scene.outbox.number(sql).await + 2_250;
    let time = |ms: i64| chrono::DateTime::from_timestamp_millis(ms).unwrap().to_rfc3339();
    let cron = scene
        .cron(json!({"every": "PT1.5S", "startAt": time(start), "endAt": time(start + 4_500), "jitter": null}))
        .await;
    wait::eventually(LONG, "it has ended", async || scene.get(&cron).await["nextFireAt"].is_null()).await;
    let ticks: Vec<i64> = scene.ticks(&cron).await.iter().map(|tick| ms(&tick["at"]) - start).collect();
    assert_eq!(ticks, [0, 1_500, 3_000, 4_500]);
    scene.receiver.wait_for_count(LONG, "/hook", 4).await;

    let once = scene.cron(json!({"at": time(start + 8_000), "overlap": "skip"})).await;
    assert_eq!(ms(&scene.get(&once).await["nextFireAt"]), start + 8_000);
    let requests = scene.receiver.wait_for_count(LONG, "/hook", 5).await;
    let late = requests[4].time.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert!(i64::try_from(late).unwrap() >= start + 8_000, "never early");
    wait::eventually(LONG, "it has ended", async || scene.get(&once).await["nextFireAt"].is_null()).await;
    let ticks = scene.ticks(&once).await;
    assert_eq!((ticks.len(), &ticks[0]["outcome"]), (1, &json!("fired")));
}

#[actix_rt::test]
async fn failures_retries_and_dead_letters_change_nothing_of_the_schedule() {
    let scene = Scene::new().await;
    scene.receiver.answer("/fails", Answer::status(500));
    let queue = json!({
        "name": "fails", "callbackUrl": scene.receiver.url("/fails"), "method": "POST", "maxRetries": 2,
        "retryPolicy": {"type": "fixed", "waitMs": 200}, "deadLetterQueueId": scene.queue,
    });
    let queue = scene.api().create_queue(&queue).await;
    let cron = json!({"queueId": queue, "schedule": EVERY_SECOND});
    let cron = scene.api().create_cron(&cron).await;
    scene.receiver.wait_for_count(LONG, "/hook", 3).await;
    let ticks = scene.ticks(&cron).await;
    let seconds: Vec<i64> = ticks.iter().map(|tick| ms(&tick["at"]) / 1_000).collect();
    assert!(seconds.windows(2).all(|pair| pair[1] - pair[0] == 1), "{seconds:?}");
    let stored = scene.outbox.number(&format!("SELECT count(*) FROM posthaste.messages WHERE cron_id = {cron}")).await;
    let now = scene.ticks(&cron).await.len();
    assert!(usize::try_from(stored).unwrap() <= now, "{stored} messages of {now} ticks");
}

#[actix_rt::test]
async fn jitter_delays_each_tick_by_what_is_always_its_own() {
    let scene = Scene::new().await;
    let cron = scene.cron(json!({"schedule": EVERY_SECOND, "jitter": "PT3S"})).await;
    scene.receiver.wait_for_count(LONG, "/hook", 3).await;
    let sql = format!(
        "SELECT (extract(epoch FROM m.scheduled_at - t.tick) * 1000)::bigint FROM posthaste.cron_ticks t
           JOIN posthaste.messages m ON m.id = t.message_id WHERE t.cron_id = {cron} ORDER BY t.tick"
    );
    let delays = scene.outbox.numbers(&sql).await;
    assert!(delays.iter().all(|delay| (0..=3_000).contains(delay)), "{delays:?}");
    assert!(delays.windows(2).any(|pair| pair[0] != pair[1]), "{delays:?}");
    // A change that leaves the tick as it is leaves its delay as it is.
    let yearly = scene.cron(json!({"schedule": "@yearly", "jitter": "PT1H"})).await;
    let due = async || {
        scene
            .outbox
            .number(&format!(
                "SELECT (extract(epoch FROM due_at) * 1000)::bigint FROM posthaste.pending p
           JOIN posthaste.crons c ON c.next_message_id = p.message_id WHERE c.id = {yearly}"
            ))
            .await
    };
    let before = due().await;
    assert!(before > ms(&scene.get(&yearly).await["nextFireAt"]), "it is delayed");
    let whole = json!({"queueId": scene.queue, "schedule": "@yearly", "body": "new"});
    assert_eq!(scene.api().put(&format!("/crons/{yearly}"), &whole).await.status, 200);
    assert_eq!(due().await, before);
}

#[actix_rt::test]
async fn a_tick_is_skipped_while_the_firing_before_it_has_not_ended() {
    let scene = Scene::new().await;
    scene.receiver.answer("/hook", Answer::after(std::time::Duration::from_millis(2_400)));
    let cron = scene.cron(json!({"schedule": EVERY_SECOND, "overlap": "skip", "headers": {"x-n": "{{tick}}"}})).await;
    scene.receiver.wait_for_count(LONG, "/hook", 1).await;
    // Nor may it be fired by hand.
    let refused = scene.api().post(&format!("/crons/{cron}/trigger"), &json!({})).await;
    assert_eq!((refused.status, &refused.json["code"]), (409, &json!("PH_UNFINISHED")), "{}", refused.text);
    let requests = scene.receiver.wait_for_count(LONG, "/hook", 3).await;
    assert_eq!(scene.receiver.most_open("/hook"), 1, "at once");
    let numbers: Vec<_> = requests.iter().map(|request| request.header("x-n").unwrap().to_owned()).collect();
    assert_eq!(numbers, ["1", "2", "3"], "what is skipped has no number");
    let ticks = scene.ticks(&cron).await;
    let seconds: Vec<i64> = ticks.iter().map(|tick| ms(&tick["at"]) / 1_000).collect();
    assert!(seconds.windows(2).all(|pair| pair[1] - pair[0] == 1), "every tick is accounted for: {ticks:?}");
    let of = |outcome: &str| ticks.iter().filter(|tick| tick["outcome"] == outcome).collect::<Vec<&Value>>();
    assert!(of("skipped").iter().all(|tick| tick["reason"] == "overlap" && tick["messageId"].is_null()), "{ticks:?}");
    assert!(of("skipped").len() >= 4 && of("fired").len() >= 3, "{ticks:?}");
}
