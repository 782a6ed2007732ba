//! Secrets: made, shown once, used, listed, replaced, revoked.

use posthaste_tests::process::Launch;
use serde_json::{Value, json};

use super::{SOON, Scene, record, signatures, verifies};

#[actix_rt::test]
async fn a_receiver_verifies_what_it_gets() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    let unsigned = scene.deliver(queue, "before").await;
    assert_eq!(signatures(&unsigned), 0);

    let symmetric = scene.secret(queue, json!({})).await;
    let secret = symmetric["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && symmetric["publicKey"].is_null(), "{symmetric}");
    for body in ["{\"order\": 4711}", "", "grüße\n"] {
        let request = scene.deliver(queue, body).await;
        assert_eq!(signatures(&request), 1);
        assert!(verifies(&request, secret), "{request:?}");
        record(secret, &request);
        let mut tampered = request.clone();
        tampered.body.push(b'x');
        assert!(!verifies(&tampered, secret));
    }
    let message = scene.outbox.enqueue_with(queue, "body_binary => '\\x00ff0a'").await;
    scene.outbox.ended(SOON, message).await;
    let binary = scene.receiver.requests().pop().unwrap();
    assert_eq!(binary.body, [0, 0xff, 10]);
    assert!(verifies(&binary, secret));
    record(secret, &binary);

    let asymmetric = scene.secret(queue, json!({"type": "v1a"})).await;
    let public = asymmetric["publicKey"].as_str().unwrap();
    assert!(public.starts_with("whpk_") && asymmetric["secret"].as_str().unwrap().starts_with("whsk_"), "{asymmetric}");
    let both = scene.deliver(queue, "both").await;
    assert_eq!(signatures(&both), 2, "another type replaces nothing");
    assert!(verifies(&both, secret) && verifies(&both, public));
    record(secret, &both);
    record(public, &both);
}

#[actix_rt::test]
async fn a_retry_has_the_same_id_and_a_signature_of_its_own_time() {
    let scene = Scene::new().await;
    let queue = scene.queue("/fails").await;
    scene.receiver.answer("/fails", posthaste_tests::receiver::Answer::status(500));
    let wait = format!("UPDATE posthaste.queues SET retry_kind = 'fixed', retry_initial_ms = 1100 WHERE id = {queue}");
    scene.outbox.execute(&wait).await;
    let secret = scene.secret(queue, json!({})).await;
    scene.deliver(queue, "x").await;
    let requests = scene.receiver.requests_to("/fails");
    let header = |name: &str| requests.iter().map(|request| request.header(name).unwrap()).collect::<Vec<_>>();
    let (ids, times, signatures) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    assert_eq!(ids[0], ids[1]);
    assert_ne!(times[0], times[1]);
    assert_ne!(signatures[0], signatures[1]);
    assert!(requests.iter().all(|request| verifies(request, secret["secret"].as_str().unwrap())));
}

#[actix_rt::test]
async fn secrets_are_replaced_with_a_grace_period() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    let text = |secret: &Value| secret["secret"].as_str().unwrap().to_owned();
    let first = text(&scene.secret(queue, json!({})).await);
    let second = text(&scene.secret(queue, json!({"gracePeriodSeconds": 3600})).await);
    let request = scene.deliver(queue, "both are good").await;
    assert!(signatures(&request) == 2 && verifies(&request, &first) && verifies(&request, &second));
    let listed = scene.api().get(&format!("/queues/{queue}/secrets")).await.json;
    assert!(listed[0]["expiresAt"].is_string() && listed[1]["expiresAt"].is_null(), "{listed}");

    // A second replacement leaves the first one its time, and never gives it more.
    let ends = listed[0]["expiresAt"].clone();
    let third = text(&scene.secret(queue, json!({"gracePeriodSeconds": 86_400})).await);
    let listed = scene.api().get(&format!("/queues/{queue}/secrets")).await.json;
    assert_eq!(listed[0]["expiresAt"], ends);
    assert!(listed[1]["expiresAt"].as_str() > ends.as_str() && listed[2]["expiresAt"].is_null(), "{listed}");
    let request = scene.deliver(queue, "three").await;
    assert_eq!(signatures(&request), 3);

    // Without grace only the new one is left; with null everything stays.
    let fourth = text(&scene.secret(queue, json!({"gracePeriodSeconds": 0})).await);
    let request = scene.deliver(queue, "one").await;
    assert_eq!(signatures(&request), 1);
    assert!(verifies(&request, &fourth) && !verifies(&request, &third));
    scene.secret(queue, json!({"gracePeriodSeconds": null})).await;
    assert_eq!(signatures(&scene.deliver(queue, "two").await), 2);
}

#[actix_rt::test]
async fn one_that_ends_while_a_deliverer_knows_it_is_not_used_any_more() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    scene.secret(queue, json!({})).await;
    scene.secret(queue, json!({"gracePeriodSeconds": 2})).await;
    let two = scene.deliver(queue, "two").await;
    assert_eq!(signatures(&two), 2);
    // Nothing of the queue changes meanwhile: it is the time alone.
    let later = scene.outbox.enqueue_with(queue, "at => now() + interval '2100 ms'").await;
    scene.outbox.ended(SOON, later).await;
    assert_eq!(signatures(&scene.receiver.requests().pop().unwrap()), 1);
}

#[actix_rt::test]
async fn a_revoked_secret_is_not_used_again() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    let secret = scene.secret(queue, json!({})).await;
    assert_eq!(signatures(&scene.deliver(queue, "signed").await), 1);
    let path = format!("/queues/{queue}/secrets/{}", secret["id"].as_str().unwrap());
    let revoked = scene.api().delete(&path).await;
    assert!(revoked.status == 200 && revoked.json["revokedAt"].is_string(), "{revoked:?}");
    assert!(revoked.json.get("secret").is_none(), "{revoked:?}");
    assert_eq!(signatures(&scene.deliver(queue, "not signed").await), 0);
    assert_eq!(scene.api().delete(&path).await.json, revoked.json, "twice is once");
    let other = scene.queue("/other").await;
    let elsewhere = path.replace(&format!("/queues/{queue}/"), &format!("/queues/{other}/"));
    assert_eq!(scene.api().delete(&elsewhere).await.status, 404);
}

#[actix_rt::test]
async fn bad_requests_are_refused() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    let path = format!("/queues/{queue}/secrets");
    for (body, says) in [
        (json!({"type": "v2"}), "body/type: takes v1"),
        (json!({"gracePeriodSeconds": -1}), "body/gracePeriodSeconds: takes 0 to"),
        (json!({"secret": "whsec_mine"}), "body has no property 'secret'"),
    ] {
        let answer = scene.api().post(&path, &body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.json["message"].as_str().unwrap().starts_with(says), "{answer:?}");
    }
    assert_eq!(scene.api().post("/queues/99999/secrets", &json!({})).await.status, 404);
    assert_eq!(scene.api().get("/queues/99999/secrets").await.status, 404);
    assert_eq!(scene.api().delete(&format!("{path}/x")).await.json["message"], "params/secretId must be integer");
    for _ in 0..10 {
        scene.secret(queue, json!({"gracePeriodSeconds": null})).await;
    }
    let eleventh = scene.api().post(&path, &json!({"gracePeriodSeconds": null})).await;
    assert_eq!((eleventh.status, &eleventh.json["code"]), (422, &json!("PH_LIMIT_EXCEEDED")), "{eleventh:?}");
    assert_eq!(scene.api().get(&path).await.json.as_array().unwrap().len(), 10);
    assert_eq!(signatures(&scene.deliver(queue, "x").await), 10);
}

#[actix_rt::test]
async fn without_a_key_nothing_is_stored_and_nothing_goes_out_unsigned() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    scene.secret(queue, json!({})).await;
    let keyless = Launch::api(&scene.database).start().await;
    for answer in [
        keyless.api().post(&format!("/queues/{queue}/secrets"), &json!({})).await,
        keyless
            .api()
            .put(&format!("/queues/{queue}/credentials"), &json!({"authorization": {"type": "bearer", "token": "x"}}))
            .await,
    ] {
        assert_eq!((answer.status, &answer.json["code"]), (409, &json!("PH_SECRETS_KEY_MISSING")), "{answer:?}");
        assert!(answer.json["message"].as_str().unwrap().contains("SECRETS_KEY"), "{answer:?}");
    }
    assert_eq!(keyless.api().get(&format!("/queues/{queue}/secrets")).await.status, 200);

    let Scene { outbox, receiver, database, deliverer, .. } = scene;
    drop(deliverer);
    for (key, says) in [(None, "has no SECRETS_KEY"), (Some(super::OTHER_KEY), "a key that SECRETS_KEY does not have")]
    {
        let launch = Launch::deliverer(&database);
        let launch = if let Some(key) = key { launch.env("SECRETS_KEY", key) } else { launch };
        let _deliverer = launch.start().await;
        let message = outbox.enqueue(queue, "x").await;
        let attempts = outbox.ended(SOON, message).await;
        assert_eq!(attempts.last().unwrap().verdict(), "failed secrets", "{attempts:?}");
        assert!(attempts[0].error.as_ref().unwrap().contains(says), "{attempts:?}");
    }
    assert_eq!(receiver.count(), 0);
}

#[actix_rt::test]
async fn secrets_are_neither_stored_nor_logged_nor_answered_again() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    let made = scene.secret(queue, json!({"type": "v1a"})).await;
    let secret = made["secret"].as_str().unwrap().trim_start_matches("whsk_").to_owned();
    let token = "hunter2-hunter2-hunter2";
    let path = format!("/queues/{queue}/credentials");
    let set = scene.api().put(&path, &json!({"authorization": {"type": "bearer", "token": token}})).await;
    assert_eq!(set.status, 200);
    scene.deliver(queue, "x").await;
    let mut seen = vec![set.json.to_string()];
    for path in ["/secrets", "/credentials", "", "/stats"] {
        seen.push(scene.api().get(&format!("/queues/{queue}{path}")).await.json.to_string());
    }
    seen.push(scene.api().get("/audit-log").await.json.to_string());
    seen.push(
        scene
            .api()
            .post(
                "/graphql",
                &json!({"query": "{ queues { id secrets { id secret } credentials { authorization } } }"}),
            )
            .await
            .json
            .to_string(),
    );
    for process in [&scene.api, &scene.deliverer] {
        seen.extend([process.stdout(), process.stderr()]);
    }
    // Everything in the database that has text or bytes, in both notations of bytes.
    let dump = "SELECT string_agg(t::text, ' ') FROM (
        SELECT to_jsonb(s)::text FROM posthaste.queue_secrets s UNION ALL SELECT to_jsonb(c)::text FROM posthaste.queue_credentials c
        UNION ALL SELECT to_jsonb(a)::text FROM posthaste.audit_log a UNION ALL SELECT to_jsonb(a)::text FROM posthaste.attempts a) AS t(t)";
    seen.push(scene.outbox.text(dump).await);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let raw = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &secret).unwrap();
    for planted in [secret.clone(), token.to_owned(), hex(&raw[..32]), hex(token.as_bytes())] {
        assert!(seen.iter().all(|text| !text.contains(&planted)), "{planted} in {seen:?}");
    }
    assert!(seen.iter().any(|text| text.contains("queue.secret.create")), "the audit log tells of it");
    assert_eq!(scene.receiver.requests()[0].header("authorization"), Some(format!("Bearer {token}").as_str()));
}
