//! What is published to a topic is stored for each queue that takes it, by one commit.

use serde_json::{Value, json};

use super::{LONG, Scene};

#[actix_rt::test]
async fn each_subscription_that_takes_it_has_a_message() {
    let scene = Scene::new().await;
    let (all, created, other) = (
        scene.queue("/all", json!({})).await,
        scene.queue("/created", json!({})).await,
        scene.queue("/other", json!({})).await,
    );
    let subscription = |queue: &str| format!("/topics/orders/subscriptions/{queue}");
    let stored = scene.api().put(&subscription(&all), &json!({})).await;
    assert_eq!((stored.status, &stored.json["filter"], &stored.json["topic"]), (200, &Value::Null, &json!("orders")));
    let filter = json!({"X-Kind": ["created", "updated"]});
    scene.api().put(&subscription(&created), &json!({"filter": filter})).await;
    scene.api().put(&format!("/topics/other/subscriptions/{other}"), &json!({})).await;
    let listed = scene.api().get("/topics/orders/subscriptions").await.json;
    assert_eq!(
        listed.as_array().unwrap().iter().map(|it| it["queueId"].clone()).collect::<Vec<_>>(),
        [json!(all), json!(created)]
    );
    assert_eq!(listed[1]["filter"], filter);

    let publish = async |headers: Value| {
        let message = json!({"body": {"n": 1}, "headers": headers, "orderingKey": "k"});
        let published = scene.api().post("/topics/orders/messages", &message).await;
        assert_eq!(published.status, 200, "{}", published.text);
        published.json.as_array().unwrap().iter().map(|message| message["queueId"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(publish(json!({"x-kind": "created"})).await, [json!(all), json!(created)]);
    assert_eq!(publish(json!({"x-kind": "deleted"})).await, [json!(all)]);
    assert_eq!(publish(json!(null)).await, [json!(all)]);
    scene.receiver.wait_for_count(LONG, "/all", 3).await;
    assert_eq!(scene.receiver.wait_for_count(LONG, "/created", 1).await[0].text(), r#"{"n":1}"#);

    // The same key stores nothing again.
    let once = json!({"body": "once", "idempotencyKey": "a"});
    let first = scene.api().post("/topics/orders/messages", &once).await.json;
    assert_eq!(scene.api().post("/topics/orders/messages", &once).await.json, first);
    let another = json!({"body": "twice", "idempotencyKey": "a"});
    let refused = scene.api().post("/topics/orders/messages", &another).await;
    assert_eq!((refused.status, &refused.json["code"]), (409, &json!("PH_IDEMPOTENCY_CONFLICT")));

    let ended = scene.api().delete(&subscription(&all)).await;
    assert_eq!((ended.status, &ended.json["queueId"]), (200, &json!(all)));
    assert_eq!(scene.api().delete(&subscription(&all)).await.status, 404);
    assert_eq!(publish(json!(null)).await, Vec::<Value>::new());
    // A deleted queue subscribes to nothing.
    scene.outbox.nothing_pending(LONG).await;
    assert_eq!(scene.api().delete(&format!("/queues/{created}")).await.status, 200);
    assert_eq!(scene.api().get("/topics/orders/subscriptions").await.json, json!([]));
    assert_eq!(scene.receiver.requests_to("/other").len(), 0);
}

#[actix_rt::test]
async fn what_topics_refuse() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook", json!({})).await;
    let subscription = format!("/topics/t/subscriptions/{queue}");
    for (filter, says) in [
        (json!([]), "takes null, or an object"),
        (json!({"a": null}), "takes null, or an object"),
        (json!({"a": []}), "may name at most 32 headers"),
    ] {
        let refused = scene.api().put(&subscription, &json!({"filter": filter})).await;
        assert_eq!((refused.status, &refused.json["code"]), (400, &json!("PH_INVALID_VALUE")));
        assert!(refused.json["message"].as_str().unwrap().contains(says), "{}", refused.text);
    }
    assert_eq!(scene.api().put("/topics/t/subscriptions/99999", &json!({})).await.status, 404);
    assert_eq!(scene.api().put(&subscription, &json!({"filters": {}})).await.json["code"], json!("PH_UNKNOWN_FIELD"));
    let unnamed = scene.api().post("/topics/a%20b/messages", &json!({"body": "x"})).await;
    assert_eq!((unnamed.status, &unnamed.json["code"]), (400, &json!("FST_ERR_VALIDATION")));
    let named = scene.api().post("/topics/t/messages", &json!({"body": "x", "queueId": queue})).await;
    assert_eq!((named.status, &named.json["code"]), (400, &json!("PH_UNKNOWN_FIELD")));
}
