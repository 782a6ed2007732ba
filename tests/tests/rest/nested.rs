//! Paths from one entity to another.

use posthaste_tests::client::Answer;
use serde_json::json;

use super::{Setup, assert_not_found, header, queue};

fn ids(answer: &Answer) -> Vec<&str> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[actix_rt::test]
async fn relations_are_paths() {
    let Setup { api, .. } = &Setup::api().await;
    api.create_queue(&queue()).await;
    let mut with_letters = queue();
    with_letters["deadLetterQueueId"] = json!(1);
    api.create_queue(&with_letters).await;
    for body in ["a", "b", "c"] {
        api.create_message(&json!({"queueId": 2, "body": body, "when": "2199-01-01"})).await;
    }
    api.create_cron(&json!({"queueId": 2, "schedule": "@yearly"})).await;
    for (path, expected) in [
        ("/queues/2/messages", "1 2 3 4"),
        ("/queues/2/messages/", "1 2 3 4"),
        ("/queues/2/messageQueueId", "1 2 3 4"),
        ("/queues/1/messages", ""),
        ("/queues/2/messages?limit=2&offset=1", "2 3"),
        ("/queues/2/messages?where.body.in=a,c&orderby.id=desc", "3 1"),
        ("/queues/2/messages?where.queueId.eq=1", ""),
        ("/queues/2/crons", "1"),
        ("/queues/1/queues", "2"),
        ("/queues/2/queues", ""),
        ("/crons/1/messages", "4"),
        ("/crons/1/messageCronId", "4"),
        ("/cron/1/messages", "4"),
    ] {
        assert_eq!(ids(&api.get(path).await), expected.split_whitespace().collect::<Vec<_>>(), "{path}");
    }
    let counted = api.get("/queues/2/messages?totalCount=true&limit=1&fields=id").await;
    assert_eq!((counted.text.as_str(), header(&counted, "x-total-count")), (r#"[{"id":"1"}]"#, "4"));
    for (path, target) in [
        ("/queues/2/dead_letter_queue", "/queues/1"),
        ("/messages/1/queue", "/queues/2"),
        ("/messages/4/cron", "/crons/1"),
        ("/crons/1/queue", "/queues/2"),
        ("/cron/1/queue/", "/queues/2"),
    ] {
        assert_eq!(api.get(path).await.text, api.get(target).await.text, "{path}");
    }
    assert_eq!(api.get("/messages/1/queue?fields=id").await.text, r#"{"id":"2"}"#);
    for path in [
        "/queues/1/dead_letter_queue",
        "/messages/1/cron",
        "/queues/9/messages",
        "/queues/9/crons",
        "/queues/9/queues",
        "/queues/9/dead_letter_queue",
        "/messages/9/queue",
        "/crons/9/messages",
        "/crons/9/queue",
        "/queues/9/stats",
        "/messages/9/attempts",
    ] {
        assert_not_found(&api.get(path).await, "GET", path);
    }
    for path in ["/queues/x/messages", "/messages/1.5/queue", "/crons/x/queue"] {
        assert_eq!(api.get(path).await.json["message"], "params/id must be integer", "{path}");
    }
    assert_eq!(api.get("/queues/2/messages?where.nope.eq=1").await.status, 400);
}
