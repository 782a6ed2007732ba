//! Lists: ordered by id, in pages.

use posthaste_tests::client::Answer;
use serde_json::json;

use super::{Setup, assert_json, queue};

const MANY: usize = 12;

fn ids(answer: &Answer) -> Vec<usize> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let rows = answer.json.as_array().unwrap_or_else(|| panic!("a list: {}", answer.text));
    rows.iter().map(|row| row["id"].as_str().unwrap().parse().unwrap()).collect()
}

#[actix_rt::test]
async fn lists_are_ordered_by_id_and_bounded() {
    let Setup { api, database, .. } = &Setup::api().await;
    for path in ["/queues", "/messages", "/crons"] {
        assert_json(&api.get(path).await, "[]");
    }
    for _ in 0..MANY {
        api.create_queue(&queue()).await;
    }
    for _ in 0..MANY {
        api.create_cron(&json!({"queueId": 1, "schedule": "@yearly"})).await;
    }
    // Each cron has a message already. A row that was written last is not read last.
    database.execute("UPDATE posthaste.queues SET name = 'changed' WHERE id = 3").await;
    database.execute("UPDATE posthaste.crons SET body = 'changed' WHERE id = 3").await;
    for path in ["/queues", "/queues/", "/messages", "/messages/", "/crons", "/crons/", "/cron", "/cron/"] {
        for (query, expected) in [
            ("", 1..11),
            ("?limit=3", 1..4),
            ("?limit=100", 1..13),
            ("?limit=5&offset=10", 11..13),
            ("?offset=3", 4..13),
            ("?limit=0", 1..1),
            ("?offset=12", 1..1),
            ("?offset=9223372036854775807", 1..1),
        ] {
            let answer = api.get(&format!("{path}{query}")).await;
            assert_eq!(ids(&answer), expected.collect::<Vec<_>>(), "{path}{query}");
        }
    }
}

#[actix_rt::test]
async fn the_rows_of_a_list_are_those_of_single_answers() {
    let Setup { api, .. } = &Setup::api().await;
    api.create_queue(&queue()).await;
    api.create_cron(&json!({"queueId": 1, "schedule": "@yearly", "headers": {"b": 1, "a": 2}})).await;
    api.create_message(&json!({"queueId": 1, "body": "nul \u{0}"})).await;
    for (list, single) in [("/queues", vec![1]), ("/crons", vec![1]), ("/messages", vec![1, 2])] {
        let mut rows = Vec::new();
        for id in single {
            rows.push(api.get(&format!("{list}/{id}")).await.text);
        }
        assert_eq!(api.get(list).await.text, format!("[{}]", rows.join(",")));
    }
}
