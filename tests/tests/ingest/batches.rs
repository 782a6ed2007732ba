//! `POST /messages/batch`.

use std::time::Instant;

use futures_util::future::join_all;
use posthaste_tests::client::Answer;
use serde_json::{Value, json};

use super::{Setup, assert_error, queue};

const PATH: &str = "/messages/batch";
const LINES: &str = "application/x-ndjson";

/// 200 with so many accepted, failed and replayed, and a result for each, in order.
fn assert_counts(answer: &Answer, accepted: usize, failed: usize, replayed: usize) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let counts = ["accepted", "failed", "replayed"].map(|name| answer.json[name].as_u64().unwrap());
    assert_eq!(counts.map(|count| usize::try_from(count).unwrap()), [accepted, failed, replayed], "{}", answer.text);
    let results = answer.json["results"].as_array().unwrap();
    assert_eq!(results.len(), accepted + failed + replayed);
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result["index"], index);
    }
}

#[actix_rt::test]
async fn each_message_has_its_result() {
    let setup = Setup::new().await;
    let batch = r#"[
        {"queueId": 1, "body": "first"},
        {"queueId": 7},
        {"queueId": "1", "body": {"a": 1}, "idempotencyKey": "k"},
        {"queueId": 1, "when": "soon"},
        7,
        {"queueId": 1, "idempotencyKey": "k", "body": "{\"a\":1}"},
        {"queueId": 1, "idempotencyKey": "k", "body": "another"},
        {"queueId": 1, "bodyBase64": "/w==", "when": "2199-01-01"},
        {"queueId": 1, "expiresAt": "2001-01-01"}
    ]"#;
    let answer = setup.api.post_raw(PATH, "application/json", batch).await;
    let expected = concat!(
        r#"{"accepted":3,"failed":5,"replayed":1,"results":[{"index":0,"id":"1"},"#,
        r#"{"index":1,"error":{"statusCode":404,"code":"PH_UNKNOWN_QUEUE","message":"body/queueId: there is no queue with id 7"}},"#,
        r#"{"index":2,"id":"3"},"#,
        r#"{"index":3,"error":{"statusCode":400,"code":"PH_INVALID_VALUE","message":"body/when: takes a time such as 2026-11-23T13:15:54.470Z or 2026-11-23 15:15:54+02:00 (without an offset: UTC), in the years 1970 to 9999"}},"#,
        r#"{"index":4,"error":{"statusCode":400,"code":"FST_ERR_VALIDATION","message":"body must be object"}},"#,
        r#"{"index":5,"id":"3","replayed":true},"#,
        r#"{"index":6,"error":{"statusCode":409,"code":"PH_IDEMPOTENCY_CONFLICT","message":"body/idempotencyKey: was used before for another message to this queue"}},"#,
        r#"{"index":7,"id":"2"},"#,
        r#"{"index":8,"error":{"statusCode":400,"code":"PH_INVALID_VALUE","message":"body/expiresAt: must be later than the time at which the message is due, and than now"}}]}"#,
    );
    assert_eq!((answer.status, answer.text.as_str()), (200, expected));
    assert_eq!((setup.rows("messages").await, setup.rows("pending").await), (3, 3));
    let transactions = "SELECT count(DISTINCT xid) FROM posthaste.pending";
    assert_eq!(setup.database.number(transactions).await, 1, "one commit");
    assert_eq!(setup.api.get("/messages/3").await.json["body"], r#"{"a":1}"#);
    assert_eq!(setup.api.get("/messages/2").await.json["bodyBase64"], "/w==");
}

#[actix_rt::test]
async fn all_or_nothing_where_it_is_asked_for() {
    let setup = Setup::new().await;
    let path = "/messages/batch?onError=fail-all";
    let good = json!({"queueId": 1, "idempotencyKey": "k"});
    for bad in [json!({"queueId": 7}), json!({"queueId": 1, "expiresAt": "2001-01-01"}), json!({"queueId": 1, "x": 1})]
    {
        let answer = setup.api.post(path, &json!([good, bad, good, bad])).await;
        assert_error(&answer, 422, "PH_BATCH_REFUSED", "nothing was stored: 2 of 4 messages cannot be");
        assert_eq!((&answer.json["error"], &answer.json["accepted"]), (&json!("Unprocessable Entity"), &json!(0)));
        let failing: Vec<_> = answer.json["results"].as_array().unwrap().iter().map(|it| it["index"].clone()).collect();
        assert_eq!(failing, [1, 3], "{}", answer.text);
        assert!(answer.json["results"][0]["error"]["code"].is_string());
    }
    assert_eq!((setup.rows("messages").await, setup.rows("idempotency_keys").await), (0, 0));
    assert_counts(&setup.api.post(path, &json!([good, good, {"queueId": 1}])).await, 2, 0, 1);
    assert_counts(&setup.api.post(path, &json!([good])).await, 0, 0, 1);
}

#[actix_rt::test]
async fn ten_thousand_and_no_more() {
    let setup = Setup::with(1, &[("MAX_BATCH_BYTES", "2000000")]).await;
    let batch = |count: usize, keyed: bool| {
        let key = |n: usize| if keyed { json!(format!("key {n}")) } else { Value::Null };
        (0..count).map(|n| json!({"queueId": 1, "body": {"n": n}, "idempotencyKey": key(n)})).collect::<Vec<_>>()
    };
    for (keyed, total) in [(false, 10_000), (true, 20_000)] {
        let started = Instant::now();
        let answer = setup.api.post(PATH, &json!(batch(10_000, keyed))).await;
        println!("10,000 messages, with keys: {keyed}: {:?}", started.elapsed());
        assert_counts(&answer, 10_000, 0, 0);
        let id = |index: usize| answer.json["results"][index]["id"].as_str().unwrap().parse::<usize>().unwrap();
        assert!((1..10_000).all(|index| id(index) == id(index - 1) + 1), "in order");
        assert_eq!(setup.rows("pending").await, total);
    }
    assert_eq!(setup.database.number("SELECT count(DISTINCT xid) FROM posthaste.pending").await, 2, "two commits");
    assert_counts(&setup.api.post(PATH, &json!(batch(10_000, true))).await, 0, 0, 10_000);

    let says = "body must NOT have more than 10000 items";
    let many = batch(10_001, false);
    assert_error(&setup.api.post(PATH, &json!(many)).await, 413, "PH_BATCH_TOO_LARGE", says);
    let many: String = many.iter().map(|message| format!("{message}\n")).collect();
    assert_error(&setup.api.post_raw(PATH, LINES, many).await, 413, "PH_BATCH_TOO_LARGE", says);

    let large: Vec<Value> = (0..30).map(|_| json!({"queueId": 1, "body": "x".repeat(100_000)})).collect();
    let code = "FST_ERR_CTP_BODY_TOO_LARGE";
    assert_error(&setup.api.post(PATH, &json!(large)).await, 413, code, "");
    let lines = large.iter().map(|message| format!("{message}\n").into_bytes()).collect();
    assert_error(&setup.api.post_chunks(PATH, LINES, lines).await, 413, code, "");
    assert_eq!(setup.rows("messages").await, 20_000);
}

#[actix_rt::test]
async fn lines_are_read_as_items() {
    let setup = Setup::new().await;
    let text = "{\"queueId\": 1, \"body\": \"ü\"}\r\n\n  \n{\"queueId\":1\n[]\n{\"queueId\": 2}\n{\"queueId\": 1}";
    for chunk in [1, 7, 1000] {
        let chunks = text.as_bytes().chunks(chunk).map(<[u8]>::to_vec).collect();
        let answer = setup.api.post_chunks(PATH, LINES, chunks).await;
        assert_counts(&answer, 2, 3, 0);
        let codes: Vec<_> = (1..4).map(|n| answer.json["results"][n]["error"]["code"].as_str().unwrap()).collect();
        assert_eq!(codes, ["FST_ERR_CTP_INVALID_JSON_BODY", "FST_ERR_VALIDATION", "PH_UNKNOWN_QUEUE"]);
        let id = answer.json["results"][0]["id"].as_str().unwrap();
        assert_eq!(setup.api.get(&format!("/messages/{id}")).await.json["body"], "ü");
    }
    let answer = setup.api.post_raw(PATH, LINES, b"\xff\n{\"queueId\":1}\n".to_vec()).await;
    assert_counts(&answer, 1, 1, 0);
    let long = format!("{{\"queueId\":1,\"body\":\"{}\"}}\n{{\"queueId\":1}}\n", "x".repeat(1 << 20));
    let answer = setup.api.post_raw(PATH, LINES, long).await;
    assert_counts(&answer, 1, 1, 0);
    assert_eq!(answer.json["results"][0]["error"]["code"], "FST_ERR_CTP_BODY_TOO_LARGE");
}

#[actix_rt::test]
async fn what_is_no_batch_is_told() {
    let setup = Setup::new().await;
    let code = "FST_ERR_VALIDATION";
    let post = async |kind: &str, body: &str| setup.api.post_raw(PATH, kind, body).await;
    assert_error(&post("application/json", "[]").await, 400, code, "body must NOT have fewer than 1 items");
    assert_error(&post(LINES, "\n\n").await, 400, code, "body must NOT have fewer than 1 items");
    for body in ["{}", "null", "7", "\"[]\""] {
        assert_error(&post("application/json", body).await, 400, code, "body must be array");
    }
    assert_error(&post("text/plain", "[]").await, 400, code, "body must be array");
    for body in ["[", "[{}", "[{},]", "[] []", "[{\"queueId\":1}", "[1 2]"] {
        assert_error(&post("application/json", body).await, 400, "FST_ERR_CTP_INVALID_JSON_BODY", "");
    }
    assert_error(&post("application/json", "").await, 400, "FST_ERR_CTP_EMPTY_JSON_BODY", "");
    assert_error(&post("application/xml", "[]").await, 415, "FST_ERR_CTP_INVALID_MEDIA_TYPE", "");
    let single = setup.api.post_raw("/messages/", LINES, "{\"queueId\":1}").await;
    assert_error(&single, 415, "FST_ERR_CTP_INVALID_MEDIA_TYPE", "");
    let answer = setup.api.post_with(PATH, &[("idempotency-key", "k")], &json!([{"queueId": 1}])).await;
    assert_error(&answer, 400, code, "each message of a batch takes its own idempotencyKey");
    let answer = setup.api.post("/messages/batch?onError=ignore", &json!([{"queueId": 1}])).await;
    assert_error(&answer, 400, code, "querystring/onError");
    let answer = setup.api.post("/messages/batch?x=1", &json!([{"queueId": 1}])).await;
    assert_error(&answer, 400, "PH_UNKNOWN_PARAMETER", "'x'");
    assert_eq!(setup.api.get(PATH).await.status, 404);
    assert_eq!(setup.rows("messages").await, 0);
}

#[actix_rt::test]
async fn batches_with_the_same_keys_do_not_get_into_each_others_way() {
    const KEYS: usize = 300;
    let setup = Setup::with(2, &[]).await;
    setup.api.create_queue(&queue()).await;
    let apis = [&setup.api, &setup.others[0]];
    let posts = (0..12).map(async |n| {
        let mut batch: Vec<Value> = (0..KEYS)
            .flat_map(|key| {
                [json!({"queueId": key % 2 + 1, "idempotencyKey": format!("{key}")}), json!({"queueId": 1})]
            })
            .collect();
        if n % 2 == 1 {
            batch.reverse();
        }
        batch.rotate_left(n * 31);
        apis[n % 2].post(PATH, &json!(batch)).await
    });
    let mut accepted = 0;
    for answer in join_all(posts).await {
        assert_eq!((answer.status, &answer.json["failed"]), (200, &json!(0)), "{}", answer.text);
        accepted += answer.json["accepted"].as_u64().unwrap();
    }
    let expected = 12 * KEYS + KEYS;
    assert_eq!(usize::try_from(accepted).unwrap(), expected);
    assert_eq!(setup.rows("messages").await, i64::try_from(expected).unwrap());
    assert_eq!(setup.rows("idempotency_keys").await, i64::try_from(KEYS).unwrap());
}
