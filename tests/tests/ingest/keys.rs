//! Idempotency keys: each key's message once, and everybody gets its answer.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use posthaste_tests::client::Answer;
use serde_json::json;

use super::{Setup, assert_error, header, queue};

/// Like the first answer, and marked.
fn assert_replay(answer: &Answer, first: &Answer) {
    assert_eq!((answer.status, &answer.text), (200, &first.text));
    assert_eq!(header(answer, "location"), header(first, "location"));
    assert_eq!(header(answer, "idempotency-replayed"), Some("true"));
}

#[actix_rt::test]
async fn a_repetition_gets_the_first_answer() {
    let setup = Setup::with(2, &[]).await;
    let (api, other) = (&setup.api, &setup.others[0]);
    let message = json!({
        "queueId": 1, "body": {"a": 1}, "headers": {"x": "y", "z": "1"}, "delay": 60, "expiresAt": "2199-01-01",
        "idempotencyKey": "order-7"
    });
    let first = api.post("/messages/", &message).await;
    assert_eq!(header(&first, "location"), Some("/messages/1"));
    assert_eq!(header(&first, "idempotency-replayed"), None);
    assert_replay(&api.post("/messages/", &message).await, &first);
    assert_replay(&other.post("/messages/", &message).await, &first);

    // The same request in other words, and the key as a header.
    let same = r#"{"headers": {"z":"1","x":"y"}, "queueId": "1", "when": null, "body": "{\"a\":1}", "delay": "PT1M",
                   "expiresAt": "2199-01-01T02:00:00+02:00"}"#;
    let same = serde_json::from_str(same).unwrap();
    assert_replay(&other.post_with("/messages/", &[("Idempotency-Key", "order-7")], &same).await, &first);

    // Its answer does not need it any more.
    assert_eq!(api.delete("/messages/1").await.status, 200);
    assert_replay(&api.post("/messages/", &message).await, &first);
    assert_eq!(setup.rows("messages").await, 0);
}

#[actix_rt::test]
async fn another_message_with_the_same_key_is_a_conflict() {
    let setup = Setup::new().await;
    let (api, first) = (&setup.api, json!({"queueId": 1, "body": "a", "idempotencyKey": "k"}));
    let id = api.create_message(&first).await;
    for changed in [
        json!({"body": "b"}),
        json!({"body": null}),
        json!({"body": null, "bodyBase64": "/w=="}),
        json!({"headers": {"a": "b"}}),
        json!({"when": "2199-01-01"}),
        json!({"delay": 0}),
        json!({"expiresAt": "2199-01-01"}),
    ] {
        let mut message = first.clone();
        message.as_object_mut().unwrap().append(&mut changed.as_object().unwrap().clone());
        let answer = api.post("/messages/", &message).await;
        assert_error(
            &answer,
            409,
            "PH_IDEMPOTENCY_CONFLICT",
            "body/idempotencyKey: was used before for another message",
        );
    }
    assert_eq!(setup.rows("messages").await, 1);
    assert_eq!(api.post("/messages/", &first).await.created(), id, "the key is as it was");

    // Each queue has keys of its own.
    api.create_queue(&queue()).await;
    let elsewhere = api.post("/messages/", &json!({"queueId": 2, "body": "b", "idempotencyKey": "k"})).await;
    assert_ne!(elsewhere.created(), id);
    assert_eq!(header(&elsewhere, "idempotency-replayed"), None);
}

#[actix_rt::test]
async fn header_and_field_say_the_same() {
    let setup = Setup::new().await;
    let message = json!({"queueId": 1, "idempotencyKey": "a"});
    let post = async |headers: &[(&str, &str)]| setup.api.post_with("/messages/", headers, &message).await;
    let code = "PH_INVALID_VALUE";
    let answer = post(&[("idempotency-key", "b")]).await;
    assert_error(&answer, 400, code, "body/idempotencyKey: is not the key of the header Idempotency-Key");
    let answer = post(&[("idempotency-key", "a"), ("idempotency-key", "b")]).await;
    assert_error(&answer, 400, code, "the header Idempotency-Key takes one value");
    let long = "k".repeat(256);
    assert_error(&post(&[("idempotency-key", &long)]).await, 400, code, "takes 1 to 255 characters");
    assert_eq!(setup.rows("idempotency_keys").await, 0);
    assert_eq!(post(&[("idempotency-key", "a")]).await.created(), "1");
    assert_eq!(setup.rows("idempotency_keys").await, 1);
}

#[actix_rt::test]
async fn a_key_is_free_again_when_its_time_is_over() {
    let setup = Setup::with(1, &[("IDEMPOTENCY_TTL_SECONDS", "120")]).await;
    let message = |body: &str| json!({"queueId": 1, "body": body, "idempotencyKey": "k"});
    let first = setup.api.create_message(&message("a")).await;
    let left = "SELECT extract(epoch FROM expires_at - created_at)::bigint FROM posthaste.idempotency_keys";
    assert_eq!(setup.database.number(left).await, 120);

    setup.database.execute("UPDATE posthaste.idempotency_keys SET expires_at = now()").await;
    let second = setup.api.post("/messages/", &message("b")).await;
    assert_eq!(header(&second, "idempotency-replayed"), None);
    let second = second.created();
    assert_ne!(first, second);
    assert_eq!(setup.api.post("/messages/", &message("b")).await.created(), second);
    assert_error(&setup.api.post("/messages/", &message("a")).await, 409, "PH_IDEMPOTENCY_CONFLICT", "");
    assert_eq!((setup.rows("messages").await, setup.rows("idempotency_keys").await), (2, 1));
}

#[actix_rt::test]
async fn what_is_refused_takes_no_key() {
    let setup = Setup::new().await;
    let message = json!({"queueId": 2, "idempotencyKey": "k"});
    assert_error(&setup.api.post("/messages/", &message).await, 404, "PH_UNKNOWN_QUEUE", "no queue with id 2");
    let expired = json!({"queueId": 1, "expiresAt": "2001-01-01", "idempotencyKey": "k"});
    assert_error(&setup.api.post("/messages/", &expired).await, 400, "PH_INVALID_VALUE", "body/expiresAt");
    assert_eq!(setup.rows("idempotency_keys").await, 0);
    setup.api.create_queue(&queue()).await;
    assert_eq!(header(&setup.api.post("/messages/", &message).await, "idempotency-replayed"), None);
    assert_eq!(setup.rows("messages").await, 1);
}

#[actix_rt::test]
async fn what_was_fine_stays_fine() {
    let setup = Setup::new().await;
    let message = json!({"queueId": 1, "expiresAt": "2199-01-01", "idempotencyKey": "k"});
    let first = setup.api.post("/messages/", &message).await;
    first.created();
    // A day later it could not be stored any more, nor where its queue is gone.
    setup.database.execute("DELETE FROM posthaste.queues").await;
    assert_replay(&setup.api.post("/messages/", &message).await, &first);
}

#[actix_rt::test]
async fn of_hundreds_at_the_same_time_one_is_stored() {
    const REQUESTS: usize = 600;
    const KEYS: usize = 7;
    let setup = Setup::with(2, &[]).await;
    setup.api.create_queue(&queue()).await;
    let apis = [&setup.api, &setup.others[0]];
    // Keys in opposite orders, some beside messages without any, some for another message.
    let posts = (0..REQUESTS).map(async |n| {
        let number = if n % 2 == 0 { n / 2 % KEYS } else { KEYS - 1 - n / 2 % KEYS };
        let queue = number % 2 + 1;
        let key = format!("key {number}");
        let body = if n % 50 == 49 { "another" } else { "one" };
        let message = match n % 10 {
            9 if n % 50 != 49 => json!({"queueId": queue, "body": "without"}),
            _ => json!({"queueId": queue, "body": body, "idempotencyKey": key}),
        };
        let answer = apis[n % 2].post("/messages/", &message).await;
        (number, message, answer)
    });
    let (mut ids, mut firsts, mut without) = (BTreeMap::<usize, BTreeSet<String>>::new(), 0, 0);
    for (number, message, answer) in join_all(posts).await {
        if message["idempotencyKey"].is_null() {
            answer.created();
            without += 1;
            continue;
        }
        // Whether "one" or "another" came first is nobody's to say; all others then follow the first.
        if answer.status == 409 {
            assert_error(&answer, 409, "PH_IDEMPOTENCY_CONFLICT", "");
            continue;
        }
        ids.entry(number).or_default().insert(answer.created());
        firsts += usize::from(header(&answer, "idempotency-replayed").is_none());
    }
    assert_eq!(ids.len(), KEYS);
    for (number, ids) in &ids {
        assert_eq!(ids.len(), 1, "key {number} is one message");
    }
    assert_eq!(firsts, KEYS, "all but the first are replays");
    let stored = i64::try_from(KEYS + without).unwrap();
    assert_eq!((setup.rows("messages").await, setup.rows("pending").await), (stored, stored));
    assert_eq!(setup.rows("idempotency_keys").await, i64::try_from(KEYS).unwrap());
}
