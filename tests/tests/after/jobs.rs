//! Replays, redrives and purges meet each message once, whoever is killed, as fast as they may, and can be steered.

use std::collections::BTreeMap;

use posthaste_tests::outbox::message_of;
use posthaste_tests::process::Launch;
use posthaste_tests::receiver::Answer;
use posthaste_tests::wait;
use serde_json::{Value, json};

use super::{LONG, Scene};

impl Scene {
    /// A queue of whose messages all have failed, and how many.
    async fn failed(&self, count: i32, further: Value) -> String {
        self.receiver.answer("/hook", Answer::status(500));
        let mut queue = further;
        queue["maxRetries"] = json!(0);
        let queue = self.queue("/hook", queue).await;
        self.outbox.enqueue_many(queue.parse().unwrap(), count).await;
        wait::eventually(LONG, "all have failed", async || self.pending(&queue).await == 0).await;
        self.receiver.answer("/hook", Answer::status(200));
        queue
    }

    async fn pending(&self, queue: &str) -> i64 {
        self.outbox.number(&format!("SELECT count(*) FROM posthaste.pending WHERE queue_id = {queue}")).await
    }

    /// How often each message came again to `/hook`, by what it repeats.
    fn replays(&self) -> BTreeMap<i64, usize> {
        let mut replays = BTreeMap::new();
        for request in self.receiver.requests_to("/hook") {
            if request.header("posthaste-replay").is_some() {
                *replays.entry(message_of(&request)).or_default() += 1;
            }
        }
        replays
    }
}

#[actix_rt::test]
async fn one_message_is_replayed() {
    let scene = Scene::new().await;
    scene.receiver.plan("/hook", |earlier, _| Answer::status(if earlier == 0 { 500 } else { 200 }));
    let queue = scene.queue("/hook", json!({"maxRetries": 0})).await;
    let further = json!({"queueId": queue, "body": "hi", "headers": {"x-a": "b"}, "orderingKey": "k", "priority": 3, "timeoutMs": 9000});
    let message = scene.api().create_message(&further).await;
    scene.becomes(&message, "failed").await;

    let replay = scene.api().post(&format!("/messages/{message}/replay"), &json!({})).await;
    assert_eq!((replay.status, &replay.json["replayOf"]), (200, &json!(message)), "{}", replay.text);
    for (name, value) in further.as_object().unwrap() {
        assert_eq!(replay.json[name], *value, "{name}");
    }
    let id = replay.created();
    assert_ne!(id, message);
    scene.becomes(&id, "delivered").await;
    let request = &scene.receiver.requests_to("/hook")[1];
    assert_eq!(request.header("webhook-id"), Some(format!("msg_{message}").as_str()));
    assert_eq!(request.header("posthaste-replay"), Some(id.as_str()));
    assert_eq!((request.header("x-a"), request.text().as_str()), (Some("b"), "hi"));
    // The one that failed stays as it was; and a replay of a replay is of the first.
    assert_eq!(scene.becomes(&message, "failed").await["replayOf"], Value::Null);
    let again = scene.api().post(&format!("/messages/{id}/replay"), &json!({})).await;
    assert_eq!(again.json["replayOf"], json!(message));

    let waiting = json!({"queueId": queue, "when": "2199-01-01T00:00:00Z"});
    let waiting = scene.api().create_message(&waiting).await;
    let refused = scene.api().post(&format!("/messages/{waiting}/replay"), &json!({})).await;
    assert_eq!((refused.status, &refused.json["code"]), (409, &json!("PH_STILL_PENDING")));
    assert_eq!(scene.api().post("/messages/99999/replay", &json!({})).await.status, 404);
}

#[actix_rt::test]
async fn a_replay_meets_each_message_once_though_its_scheduler_is_killed() {
    let mut scene = Scene::new().await;
    let queue = scene.failed(3_000, json!({})).await;
    let delivered = scene.message(&queue, "delivered").await;
    scene.becomes(&delivered, "delivered").await;

    let path = format!("/queues/{queue}/replay");
    let preview = scene.api().post(&path, &json!({"preview": true})).await.json;
    assert_eq!(preview["total"], 3_000);
    assert_eq!((&preview["targets"][0]["queueId"], &preview["targets"][0]["messages"]), (&json!(queue), &json!(3_000)));
    assert_eq!(scene.api().get("/jobs").await.json, json!([]), "a preview begins nothing");

    let job = scene.api().post(&path, &json!({})).await.json;
    assert_eq!((&job["kind"], &job["state"], &job["total"]), (&json!("replay"), &json!("running"), &json!(3_000)));
    let done = async || scene.api().get(&format!("/jobs/{}", job["id"].as_str().unwrap())).await.json["done"].as_i64();
    wait::eventually(LONG, "the job has begun", async || done().await > Some(0)).await;
    scene.services.pop().unwrap().sigkill().await;
    scene.services.push(Launch::scheduler(&scene.database).start().await);
    let finished = scene.job(&job["id"], "finished").await;
    assert_eq!(finished["done"], 3_000);
    scene.outbox.nothing_pending(LONG).await;
    let replays = scene.replays();
    assert_eq!((replays.len(), replays.values().max()), (3_000, Some(&1)));
    assert!(!replays.contains_key(&delivered.parse().unwrap()));
}

#[actix_rt::test]
async fn a_replay_can_be_narrowed_slowed_paused_and_cancelled() {
    let scene = Scene::new().await;
    let queue = scene.failed(200, json!({})).await;
    let ids = scene.outbox.numbers("SELECT id FROM posthaste.messages ORDER BY id").await;
    let path = format!("/queues/{queue}/replay?where.id.lte={}", ids[99]);
    let none = scene.api().post(&path, &json!({"errorClass": "dns"})).await.json;
    assert_eq!(scene.job(&none["id"], "finished").await["done"], 0);

    assert_eq!(none["total"], 0);
    let preview = scene.api().post(&path, &json!({"errorClass": "status", "preview": true})).await.json;
    assert_eq!((&preview["total"], &preview["targets"][0]["messages"]), (&json!(100), &json!(100)));
    let slow = scene.api().post(&path, &json!({"errorClass": "status", "ratePerSecond": 10})).await.json;
    assert_eq!(slow["total"], 100);
    let at = |action: &str| format!("/jobs/{}{action}", slow["id"].as_str().unwrap());
    let done = async || scene.api().get(&at("")).await.json["done"].as_i64().unwrap();
    wait::eventually(LONG, "it has begun", async || done().await > 0).await;
    let paused = scene.api().post(&at("/pause"), &json!({})).await.json;
    assert_eq!(paused["state"], "paused");
    let so_far = done().await;
    assert!(so_far <= 40, "{so_far} within a few seconds at ten a second");
    // A job that is not paused goes by; this one has not moved.
    let other = scene.api().post(&format!("/queues/{queue}/replay?where.id.gt={}", ids[190]), &json!({})).await.json;
    assert_eq!(scene.job(&other["id"], "finished").await["done"], 9);
    assert_eq!(done().await, so_far);
    assert_eq!(scene.api().post(&at("/resume"), &json!({})).await.json["state"], "running");
    wait::eventually(LONG, "it goes on", async || done().await > so_far).await;
    let cancelled = scene.api().post(&at("/cancel"), &json!({})).await.json;
    assert_eq!(cancelled["state"], "cancelled");
    assert!(cancelled["finishedAt"].is_string());
    // It stays so.
    assert_eq!(scene.api().post(&at("/resume"), &json!({})).await.json["state"], "cancelled");
    scene.outbox.nothing_pending(LONG).await;
    let replayed = i64::try_from(scene.replays().len()).unwrap();
    assert_eq!(replayed, 9 + done().await);
    assert!(replayed < 109, "it was cancelled in time");
}

#[actix_rt::test]
async fn dead_letters_are_redriven_to_where_they_come_from() {
    let scene = Scene::new().await;
    let dead = scene.queue("/dead", json!({})).await;
    // They wait there, as long as nobody has looked.
    scene.api().post(&format!("/queues/{dead}/pause"), &json!({})).await;
    let first = scene.failed(20, json!({"deadLetterQueueId": dead})).await;
    let second = scene.failed(5, json!({"deadLetterQueueId": dead})).await;
    assert_eq!(scene.pending(&dead).await, 25);
    let originals =
        scene.outbox.numbers(&format!("SELECT id FROM posthaste.messages WHERE queue_id <> {dead} ORDER BY id")).await;

    let path = format!("/queues/{dead}/redrive");
    let preview = scene.api().post(&path, &json!({"preview": true})).await.json;
    let targets: Vec<_> = preview["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|to| (to["queueId"].clone(), to["messages"].clone()))
        .collect();
    assert_eq!(targets, [(json!(first), json!(20)), (json!(second), json!(5))]);
    let job = scene.api().post(&path, &json!({})).await.json;
    assert_eq!(scene.job(&job["id"], "finished").await["done"], 25);
    wait::eventually(LONG, "all are delivered", async || scene.replays().len() == 25).await;
    assert_eq!(scene.replays().into_keys().collect::<Vec<_>>(), originals);
    assert_eq!(scene.receiver.requests_to("/dead").len(), 0);
    // Here they are cancelled, also while the queue is paused.
    scene.outbox.nothing_pending(LONG).await;
    assert_eq!(scene.receiver.requests_to("/hook").len(), 50);
    // Each once, however often that is asked for.
    let again = scene.api().post(&path, &json!({})).await.json;
    assert_eq!((&again["total"], &scene.job(&again["id"], "finished").await["done"]), (&json!(0), &json!(0)));
}

#[actix_rt::test]
async fn a_redrive_leaves_alone_what_it_cannot_store_elsewhere() {
    let scene = Scene::new().await;
    let dead = scene.queue("/dead", json!({})).await;
    scene.api().post(&format!("/queues/{dead}/pause"), &json!({})).await;
    scene.receiver.answer("/hook", Answer::status(500));
    scene.receiver.answer("/closes", Answer::close());
    let failing = scene.queue("/hook", json!({"maxRetries": 0, "deadLetterQueueId": dead})).await;
    let closing = scene.queue("/closes", json!({"maxRetries": 0, "deadLetterQueueId": dead})).await;
    let leaving = scene.queue("/hook", json!({"maxRetries": 0, "deadLetterQueueId": dead})).await;
    let keyed = json!({"queueId": failing, "body": "x", "orderingKey": "k", "priority": 7, "timeoutMs": 4321});
    let message = scene.api().create_message(&keyed).await;
    for queue in [&closing, &leaving] {
        scene.message(queue, "x").await;
    }
    wait::eventually(LONG, "all have failed", async || scene.pending(&dead).await == 3).await;
    assert_eq!(scene.api().delete(&format!("/queues/{leaving}")).await.status, 200);
    let own = scene.message(&dead, "no dead letter").await;

    let path = format!("/queues/{dead}/redrive");
    let preview = scene.api().post(&path, &json!({"preview": true, "errorClass": "status"})).await.json;
    assert_eq!((&preview["total"], &preview["targets"][0]["queueId"]), (&json!(1), &json!(failing)), "{preview}");
    scene.receiver.answer("/hook", Answer::status(200));
    let job = scene.api().post(&path, &json!({"errorClass": "status"})).await.json;
    assert_eq!(scene.job(&job["id"], "finished").await["done"], 1);
    wait::eventually(LONG, "it is dropped here", async || scene.pending(&dead).await == 3).await;
    let listed = scene.api().get(&format!("/queues/{failing}/messages?orderby.id=desc")).await.json;
    let again = &listed[0];
    assert_eq!(again["replayOf"], json!(message));
    for name in ["queueId", "body", "orderingKey", "priority", "timeoutMs"] {
        assert_eq!(again[name], keyed[name], "{name}");
    }
    let letters = scene.api().get(&format!("/queues/{dead}/messages")).await.json;
    assert!(letters[0]["origin"]["redrivenAt"].is_string(), "{letters}");

    // Two at the same time: each letter once, and what is none stays.
    scene.receiver.answer("/closes", Answer::status(200));
    let all = [scene.api().post(&path, &json!({})).await.json, scene.api().post(&path, &json!({})).await.json];
    let mut done = 0;
    for job in all {
        done += scene.job(&job["id"], "finished").await["done"].as_i64().unwrap();
    }
    assert_eq!(done, 1, "that of the queue that closes");
    wait::eventually(LONG, "it is dropped here", async || scene.pending(&dead).await == 2).await;
    scene.api().post(&format!("/queues/{dead}/resume"), &json!({})).await;
    scene.becomes(&own, "delivered").await;
    scene.outbox.nothing_pending(LONG).await;
    assert_eq!(scene.receiver.requests_to("/dead").len(), 2, "its own, and the letter whose queue is gone");
}

#[actix_rt::test]
async fn a_purge_cancels_what_is_pending_in_steps() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook", json!({})).await;
    scene.api().post(&format!("/queues/{queue}/pause"), &json!({})).await;
    let id = queue.parse().unwrap();
    let purged = scene.outbox.enqueue_many(id, 5_000).await;
    let later = format!("body => 'kept', priority => 5, at => now() + interval '{} s'", 3);
    let kept = scene.outbox.enqueue_with(id, &later).await;
    let path = format!("/queues/{queue}/purge?where.priority.eq=0");
    let job = scene.api().post(&path, &json!({})).await.json;
    assert_eq!(job["total"], 5_000);
    // What comes after it is not met.
    let after = scene.outbox.enqueue(id, "after").await;
    assert_eq!(scene.job(&job["id"], "finished").await["done"], 5_000);
    wait::eventually(LONG, "they are dropped", async || scene.pending(&queue).await == 2).await;
    scene.api().post(&format!("/queues/{queue}/resume"), &json!({})).await;
    scene.outbox.nothing_pending(LONG).await;
    let mut came: Vec<i64> = scene.receiver.requests_to("/hook").iter().map(message_of).collect();
    came.sort_unstable();
    assert_eq!(came, [kept, after]);
    let status = scene.api().get(&format!("/messages/{}", purged[7])).await.json["status"].clone();
    assert_eq!(status, "cancelled");
}

#[actix_rt::test]
async fn what_jobs_refuse() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook", json!({})).await;
    let replay = format!("/queues/{queue}/replay");
    for (path, body, status, code) in [
        ("/queues/99999/replay".to_owned(), json!({}), 404, Value::Null),
        ("/jobs/99999/cancel".to_owned(), json!({}), 404, Value::Null),
        (replay.clone(), json!({"errorClass": "no"}), 400, json!("PH_INVALID_VALUE")),
        (replay.clone(), json!({"ratePerSecond": -1}), 400, json!("PH_INVALID_VALUE")),
        (replay.clone(), json!({"rate": 1}), 400, json!("PH_UNKNOWN_FIELD")),
        (format!("/queues/{queue}/purge"), json!({"errorClass": "dns"}), 400, json!("PH_INVALID_VALUE")),
        (format!("{replay}?where.nothing.eq=1"), json!({}), 400, json!("PH_UNKNOWN_PARAMETER")),
        (format!("{replay}?limit=1"), json!({}), 400, json!("PH_UNKNOWN_PARAMETER")),
    ] {
        let refused = scene.api().post(&path, &body).await;
        assert_eq!((refused.status, &refused.json["code"]), (status, &code), "{path}: {}", refused.text);
    }
    assert_eq!(scene.api().get("/jobs/99999").await.status, 404);
    assert_eq!(scene.api().get("/jobs").await.json, json!([]));
}
