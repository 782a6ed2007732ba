//! The database's answer is lost: whoever has a key asks again, and its message is stored once.

use std::cell::Cell;

use futures_util::future::join_all;
use posthaste_tests::wait;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{SOON, Setup, assert_error};

/// Ends the sessions of the APIs that are in the midst of something.
const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name LIKE 'posthaste-api%' AND state <> 'idle'";

#[actix_rt::test]
async fn a_key_is_not_taken_by_what_was_cut() {
    let setup = Setup::new().await;
    let message = json!({"queueId": 1, "body": "a", "idempotencyKey": "k"});
    // Somebody else is about to take the key, so that the API waits.
    let mut session = setup.database.connect().await;
    let rival = session.transaction().await.unwrap();
    let take = "INSERT INTO posthaste.idempotency_keys
                VALUES (1, 'k', sha256('other'), 1, now(), now(), now() + interval '1 day')";
    rival.execute(take, &[]).await.unwrap();
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let cutting = async {
        wait::eventually(SOON, "the API waits", async || setup.database.number(waiting).await == 1).await;
        setup.database.number(CUT).await
    };
    let (answer, cut) = tokio::join!(setup.api.post("/messages/", &message), cutting);
    assert_eq!(cut, 1);
    assert_error(&answer, 503, "PH_OUTCOME_UNKNOWN", "look before you try again");
    assert!(answer.headers.get("retry-after").is_none());
    rival.rollback().await.unwrap();
    assert_eq!(setup.api.post("/messages/", &message).await.status, 200);
    assert_eq!((setup.rows("messages").await, setup.rows("idempotency_keys").await), (1, 1));
}

#[actix_rt::test]
async fn asking_until_there_is_an_answer_stores_once() {
    const CLIENTS: usize = 8;
    const CUTS: i64 = 40;
    let setup = Setup::with(2, &[]).await;
    let apis = [&setup.api, &setup.others[0]];
    let (enough, unknown) = (CancellationToken::new(), Cell::new(0));
    let cutting = async {
        let _enough = enough.clone().drop_guard();
        let mut cut = 0;
        wait::eventually(SOON * 4, "sessions are cut, and answers lost", async || {
            cut += setup.database.number(CUT).await;
            cut >= CUTS && unknown.get() >= 5
        })
        .await;
    };
    let asking = join_all((0..CLIENTS).map(async |client| {
        let mut stored = 0_i64;
        while !enough.is_cancelled() {
            let message = json!({"queueId": 1, "body": "a", "idempotencyKey": format!("{client} {stored}")});
            let mut attempt = client;
            wait::eventually(SOON * 2, "an answer", async || {
                attempt += 1;
                let answer = apis[attempt % 2].post("/messages/", &message).await;
                match (answer.status, answer.json["code"].as_str()) {
                    (200, _) => return true,
                    (503, Some("PH_OUTCOME_UNKNOWN")) => unknown.set(unknown.get() + 1),
                    (503, Some("PH_UNAVAILABLE")) => {}
                    _ => panic!("{}", answer.text),
                }
                false
            })
            .await;
            stored += 1;
        }
        stored
    }));
    let ((), stored) = tokio::join!(cutting, asking);
    let stored: i64 = stored.into_iter().sum();
    assert_eq!((setup.rows("messages").await, setup.rows("pending").await), (stored, stored));
    assert_eq!(setup.rows("idempotency_keys").await, stored);
}
