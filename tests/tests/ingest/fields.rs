//! The fields of a message beyond those of the original.

use serde_json::{Value, json};

use super::{Setup, assert_error};

const VALIDATION: &str = "FST_ERR_VALIDATION";
const INVALID: &str = "PH_INVALID_VALUE";

#[actix_rt::test]
async fn what_is_wrong_with_a_field_is_said() {
    let setup = Setup::new().await;
    let too_late = "must be later than the time at which the message is due, and than now";
    for (fields, code, says) in [
        (json!({"bodyBase64": 7}), VALIDATION, "body/bodyBase64 must be string"),
        (json!({"bodyBase64": "AP-A"}), INVALID, "body/bodyBase64: takes base64 of the standard alphabet"),
        (json!({"bodyBase64": "AP8"}), INVALID, "body/bodyBase64: takes base64"),
        (json!({"bodyBase64": "YQ==", "body": "a"}), INVALID, "body/bodyBase64: cannot be given together with body"),
        (json!({"delay": true}), VALIDATION, "body/delay must be number or string"),
        (json!({"delay": {}}), VALIDATION, "body/delay must be number or string"),
        (json!({"delay": ""}), INVALID, "body/delay: takes seconds, such as 90 or 0.5, or an ISO 8601 duration"),
        (json!({"delay": "soon"}), INVALID, "body/delay: takes seconds"),
        (json!({"delay": -1}), INVALID, "body/delay: must not be negative"),
        (json!({"delay": "-PT1S"}), INVALID, "body/delay: must not be negative"),
        (json!({"delay": "P1M"}), INVALID, "body/delay: takes no years and months"),
        (json!({"delay": "P3651D"}), INVALID, "body/delay: must be at most 3650 days"),
        (json!({"delay": 1, "when": "2199-01-01"}), INVALID, "body/delay: cannot be given together with when"),
        (json!({"expiresAt": 7}), INVALID, "body/expiresAt: takes a time such as"),
        (json!({"expiresAt": "never"}), INVALID, "body/expiresAt: takes a time such as"),
        (json!({"expiresAt": "2199-01-01", "when": "2199-01-01"}), INVALID, too_late),
        (json!({"expiresAt": "2001-01-01"}), INVALID, too_late),
        (json!({"expiresAt": "2002-01-01", "when": "2001-01-01"}), INVALID, too_late),
        (json!({"expiresAt": "2026-12-31", "delay": "P3650D"}), INVALID, too_late),
        (json!({"expiresAt": "2001-01-01", "idempotencyKey": "k"}), INVALID, too_late),
        (json!({"idempotencyKey": 7}), VALIDATION, "body/idempotencyKey must be string"),
        (json!({"idempotencyKey": ""}), INVALID, "body/idempotencyKey: takes 1 to 255 characters"),
        (json!({"idempotencyKey": "k".repeat(256)}), INVALID, "body/idempotencyKey: takes 1 to 255 characters"),
        (json!({"idempotencyKey": "a\u{7}"}), INVALID, "none of them a control character"),
        (json!({"status": "delivered"}), "PH_READ_ONLY_FIELD", "body/status is set by Posthaste alone"),
        (json!({"delays": 1}), "PH_UNKNOWN_FIELD", "body has no property 'delays'"),
    ] {
        let mut message = json!({"queueId": 1});
        message.as_object_mut().unwrap().append(&mut fields.as_object().unwrap().clone());
        assert_error(&setup.api.post("/messages/", &message).await, 400, code, says);
    }
    assert_eq!((setup.rows("messages").await, setup.rows("pending").await), (0, 0));
    assert_eq!(setup.rows("idempotency_keys").await, 0);
}

#[actix_rt::test]
async fn a_body_comes_back_as_text_or_in_base64() {
    let setup = Setup::new().await;
    for (fields, body, base64) in [
        (json!({"bodyBase64": "AP+A"}), Value::Null, json!("AP+A")),
        (json!({"bodyBase64": "aGk="}), json!("hi"), Value::Null),
        (json!({"bodyBase64": ""}), json!(""), Value::Null),
        (json!({"bodyBase64": null, "body": "hi"}), json!("hi"), Value::Null),
        (json!({"body": "nul \u{0}"}), json!("nul \u{0}"), Value::Null),
        (json!({}), Value::Null, Value::Null),
    ] {
        let mut message = json!({"queueId": 1});
        message.as_object_mut().unwrap().append(&mut fields.as_object().unwrap().clone());
        let created = setup.api.post("/messages/", &message).await;
        let read = setup.api.get(&format!("/messages/{}", created.created())).await;
        assert_eq!((&created.json["body"], &created.json["bodyBase64"]), (&body, &base64), "{fields}");
        assert_eq!(created.text, read.text);
    }
}

#[actix_rt::test]
async fn a_delay_counts_from_the_databases_clock() {
    let setup = Setup::new().await;
    for (delay, micros) in [
        (json!(0), 0),
        (json!(90), 90_000_000),
        (json!(0.25), 250_000),
        (json!("1.5"), 1_500_000),
        (json!("PT1H30M"), 5_400_000_000),
        (json!("P1D"), 86_400_000_000),
        (json!("P3650D"), 315_360_000_000_000_i64),
        (json!(null), 0),
    ] {
        for key in [json!(null), json!(delay.to_string())] {
            let message = json!({"queueId": 1, "delay": delay, "idempotencyKey": key});
            let id = setup.api.create_message(&message).await;
            let sql = format!(
                "SELECT (extract(epoch FROM p.due_at - m.created_at) * 1000000)::bigint
                 FROM posthaste.messages m JOIN posthaste.pending p ON p.message_id = m.id AND p.due_at = m.scheduled_at
                 WHERE m.id = {id}"
            );
            assert_eq!(setup.database.number(&sql).await, micros, "{delay}");
        }
    }
}

#[actix_rt::test]
async fn an_expiry_is_stored_and_shown() {
    let setup = Setup::new().await;
    for fields in [json!({}), json!({"when": "2198-01-01"}), json!({"delay": "P1D"}), json!({"idempotencyKey": "k"})] {
        let mut message = json!({"queueId": 1, "expiresAt": "2199-01-01T00:00:00+02:00"});
        message.as_object_mut().unwrap().append(&mut fields.as_object().unwrap().clone());
        let created = setup.api.post("/messages/", &message).await;
        assert_eq!(created.json["expiresAt"], "2198-12-31T22:00:00.000Z", "{}", created.text);
        assert_eq!(created.json["status"], "pending");
        assert_eq!(setup.api.get(&format!("/messages/{}", created.created())).await.text, created.text);
    }
    for none in [json!(null), json!("")] {
        let created = setup.api.post("/messages/", &json!({"queueId": 1, "expiresAt": none})).await;
        assert_eq!(created.json["expiresAt"], Value::Null);
    }
}

#[actix_rt::test]
async fn a_body_that_is_too_large_is_refused_however_it_is_written() {
    let setup = Setup::with(1, &[("MAX_BODY_BYTES", "2000")]).await;
    for body in [json!({"body": "x".repeat(2000)}), json!({"bodyBase64": "AAAA".repeat(500)})] {
        let mut message = json!({"queueId": 1});
        message.as_object_mut().unwrap().append(&mut body.as_object().unwrap().clone());
        let answer = setup.api.post("/messages/", &message).await;
        assert_error(&answer, 413, "FST_ERR_CTP_BODY_TOO_LARGE", "Request body is too large");
        let answer = setup.api.post("/messages/batch", &json!([message, {"queueId": 1}])).await;
        assert_eq!((answer.status, &answer.json["accepted"]), (200, &json!(1)), "{}", answer.text);
        assert_eq!(answer.json["results"][0]["error"]["code"], "FST_ERR_CTP_BODY_TOO_LARGE");
    }
}
