//! Lifetimes, timeouts and traces of messages, however they are stored.

use serde_json::{Value, json};

use super::Setup;

const OWN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const REQUESTS: &str = "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203332-00";
const TRACED: [(&str, &str); 2] = [("traceparent", REQUESTS), ("tracestate", "a=b")];

/// What a message has of this kind.
async fn of(setup: &Setup, id: impl std::fmt::Display) -> [Value; 4] {
    let message = setup.api.get(&format!("/messages/{id}")).await.json;
    ["connectTimeoutMs", "timeoutMs", "traceparent", "tracestate"].map(|field| message[field].clone())
}

#[actix_rt::test]
async fn a_lifetime_counts_from_when_it_is_due() {
    let setup = Setup::new().await;
    for (fields, seconds) in [
        (json!({"ttl": 60}), 60),
        (json!({"ttl": "PT1M", "delay": "PT1H"}), 60),
        (json!({"ttl": "P1D", "when": "2199-01-01"}), 86_400),
        (json!({"ttl": 60, "when": "2199-01-01", "idempotencyKey": "at"}), 60),
        (json!({"ttl": 60, "delay": 5, "idempotencyKey": "later"}), 60),
    ] {
        let mut message = json!({"queueId": 1});
        message.as_object_mut().unwrap().append(&mut fields.as_object().unwrap().clone());
        let created = setup.api.post("/messages/", &message).await;
        let id = created.created();
        let sql = format!(
            "SELECT (extract(epoch FROM expires_at - scheduled_at) * 1000000)::bigint FROM posthaste.messages WHERE id = {id}"
        );
        assert_eq!(setup.database.number(&sql).await, seconds * 1_000_000, "{fields}");
        assert_eq!(setup.api.get(&format!("/messages/{id}")).await.text, created.text);
        if !fields["idempotencyKey"].is_null() {
            let again = setup.api.post("/messages/", &message).await;
            assert_eq!((&again.text, again.headers.contains_key("idempotency-replayed")), (&created.text, true));
            message["ttl"] = json!(61);
            assert_eq!(setup.api.post("/messages/", &message).await.json["code"], "PH_IDEMPOTENCY_CONFLICT");
        }
    }
}

#[actix_rt::test]
async fn timeouts_are_stored_and_changed() {
    let setup = Setup::new().await;
    let message = json!({"queueId": 1, "connectTimeoutMs": 5, "timeoutMs": 7, "traceparent": OWN, "tracestate": "c=d"});
    let id = setup.api.create_message(&message).await;
    assert_eq!(of(&setup, &id).await, [json!(5), json!(7), json!(OWN), json!("c=d")]);
    let path = format!("/messages/{id}");
    let changed = setup.api.put(&path, &json!({"queueId": 1, "timeoutMs": null, "connectTimeoutMs": 6})).await;
    assert_eq!((changed.status, &changed.json["timeoutMs"]), (200, &Value::Null), "{}", changed.text);
    assert_eq!(of(&setup, &id).await, [json!(6), json!(null), json!(OWN), json!("c=d")]);
    let alone = setup.api.put(&path, &json!({"queueId": 1, "traceparent": null})).await;
    assert_eq!((alone.status, &alone.json["code"]), (400, &json!("PH_INVALID_VALUE")), "{}", alone.text);
    let found =
        setup.api.get(&format!("/messages?where.connectTimeoutMs.eq=6&where.traceparent.eq={OWN}&fields=id")).await;
    assert_eq!(found.json.as_array().map(Vec::len), Some(1), "{}", found.text);
}

#[actix_rt::test]
async fn a_message_belongs_to_the_trace_of_its_request_unless_it_says_another() {
    let setup = Setup::new().await;
    let api = &setup.api;
    let request = [json!(null), json!(null), json!(REQUESTS), json!("a=b")];
    let own = [json!(null), json!(null), json!(OWN), json!(null)];
    let none = [json!(null), json!(null), json!(null), json!(null)];

    let plain = json!({"queueId": 1});
    let traced = json!({"queueId": 1, "traceparent": OWN});
    assert_eq!(of(&setup, api.post_with("/messages/", &TRACED, &plain).await.created()).await, request);
    assert_eq!(of(&setup, api.post_with("/messages/", &TRACED, &traced).await.created()).await, own);
    let broken = [("traceparent", "nonsense"), ("tracestate", "a=b")];
    assert_eq!(of(&setup, api.post_with("/messages/", &broken, &plain).await.created()).await, none);

    let batch = api.post_with("/messages/batch", &TRACED, &json!([plain, traced])).await;
    let id = |index: usize| batch.json["results"][index]["id"].as_str().unwrap().to_owned();
    assert_eq!((of(&setup, id(0)).await, of(&setup, id(1)).await), (request.clone(), own.clone()));

    let query = "mutation($input: MessageInput!, $inputs: [MessageInput]!) {
                     saveMessage(input: $input) { traceparent tracestate }
                     insertMessages(inputs: $inputs) { traceparent tracestate } }";
    let operation = json!({"query": query, "variables": {"input": plain, "inputs": [plain, traced]}});
    let stored = api.post_with("/graphql", &TRACED, &operation).await;
    let (request, own) =
        (json!({"traceparent": REQUESTS, "tracestate": "a=b"}), json!({"traceparent": OWN, "tracestate": null}));
    assert_eq!(
        stored.json["data"],
        json!({"saveMessage": request, "insertMessages": [request, own]}),
        "{}",
        stored.text
    );
}

#[actix_rt::test]
async fn a_repetition_with_another_trace_is_a_repetition() {
    let setup = Setup::new().await;
    let message = json!({"queueId": 1, "idempotencyKey": "k", "timeoutMs": 5});
    let first = setup.api.post_with("/messages/", &TRACED, &message).await;
    let again = setup.api.post_with("/messages/", &[("traceparent", OWN)], &message).await;
    assert_eq!((again.status, again.created()), (200, first.created()), "{}", again.text);
    let other = json!({"queueId": 1, "idempotencyKey": "k", "timeoutMs": 6});
    assert_eq!(setup.api.post("/messages/", &other).await.json["code"], "PH_IDEMPOTENCY_CONFLICT");
}
