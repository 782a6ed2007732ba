//! API keys, over one API and two.

use std::time::Instant;

use awc::http::Method;
use futures_util::future::join_all;
use posthaste_tests::wait;

use super::*;

#[actix_rt::test]
async fn a_key_is_shown_once_and_does_what_its_scopes_say() {
    let setup = Setup::new().await;
    let asked = json!({"name": "ci", "scopes": ["queues:read", "messages:read", "messages:write"]});
    let answer = setup.admin.post("/api-keys/", &asked).await;
    let (id, key) = (answer.created(), answer.json["key"].as_str().unwrap().to_owned());
    assert_eq!(answer.headers.get("location").unwrap(), &format!("/api-keys/{id}"));
    assert_eq!(answer.headers.get("cache-control").unwrap(), "no-store");
    assert_eq!((key.len(), &key[..4]), (47, "phk_"));
    assert_eq!(answer.json["prefix"], key[..10]);

    // Nowhere else, not even in the database.
    let mut shown = answer.json.clone();
    shown.as_object_mut().unwrap().remove("key");
    assert_eq!(setup.admin.get(&format!("/api-keys/{id}")).await.json, shown);
    assert_eq!(setup.admin.get("/api-keys").await.json, json!([shown]));
    let stored = "SELECT count(*) FROM posthaste.api_keys k, posthaste.audit_log a
                  WHERE k::text || a::text LIKE '%' || 'KEY' || '%'";
    assert_eq!(setup.database.number(&stored.replace("KEY", &key[10..])).await, 0);

    let queue = json!({"name": "q", "callbackUrl": "http://127.0.0.1:9/", "method": "POST"});
    let queue = setup.admin.create_queue(&queue).await;
    let bearer = setup.with_key(&key);
    let header = Api::with_headers(setup.process.address(), &[("x-api-key", &key)]);
    for api in [&bearer, &header] {
        assert_eq!(api.get("/queues").await.status, 200);
        let message = api.create_message(&json!({"queueId": queue})).await;
        assert_eq!(api.get(&format!("/messages/{message}")).await.status, 200);
        for (method, path) in [
            (Method::POST, "/queues"),
            (Method::DELETE, "/queues/1"),
            (Method::GET, "/crons"),
            (Method::POST, "/crons"),
            (Method::GET, "/api-keys"),
            (Method::GET, "/api-keys/1"),
            (Method::POST, "/api-keys"),
            (Method::DELETE, "/api-keys/1"),
            (Method::GET, "/audit-log"),
        ] {
            let answer = api.send(method.clone(), path, Some(&json!({"nope": 1}))).await;
            assert_eq!(code(&answer), FORBIDDEN, "{method} {path}");
        }
    }
    let other = format!("{}{}", &key[..46], if key.ends_with('A') { 'Q' } else { 'A' });
    for wrong in ["phk_", "phk_x", &key[..46], &other] {
        assert_eq!(code(&setup.with_key(wrong).get("/queues").await), UNAUTHORIZED, "{wrong}");
    }
}

#[actix_rt::test]
async fn only_administrators_learn_what_is_wrong_with_a_request_for_a_key() {
    let setup = Setup::new().await;
    let (nobody, past) = (setup.process.api(), json!({"expiresAt": "2020-01-01T00:00:00Z"}));
    for (asked, status, error) in [
        (json!({"name": "x"}), 400, "FST_ERR_VALIDATION"),
        (reader(&json!({"scopes": ["everything"]})), 400, "PH_INVALID_VALUE"),
        (reader(&json!({"queueIds": ["99"]})), 404, "PH_UNKNOWN_QUEUE"),
        (reader(&past), 400, "PH_INVALID_VALUE"),
        (reader(&json!({"hash": "x"})), 400, "PH_UNKNOWN_FIELD"),
    ] {
        assert_eq!(code(&setup.admin.post("/api-keys", &asked).await), (status, error), "{asked}");
        assert_eq!(code(&nobody.post("/api-keys", &asked).await), UNAUTHORIZED, "{asked}");
    }
    for (path, status) in
        [("/api-keys/99", 404), ("/api-keys/x", 400), ("/api-keys?limit=101", 400), ("/api-keys/1?x=1", 400)]
    {
        assert_eq!(setup.admin.get(path).await.status, status, "{path}");
        assert_eq!(code(&nobody.get(path).await), UNAUTHORIZED, "{path}");
    }
    assert_eq!(setup.admin.delete("/api-keys/99").await.status, 404);
    assert_eq!(setup.database.number("SELECT count(*) FROM posthaste.api_keys").await, 0);
    assert_eq!(setup.database.number("SELECT count(*) FROM posthaste.audit_log").await, 0);
}

#[actix_rt::test]
async fn a_key_that_is_revoked_is_refused_by_every_api_within_two_seconds() {
    let setup = Setup::new().await;
    let other = start(&setup.database).await;
    let (id, key) = created(&setup.admin, &reader(&json!({}))).await;
    let apis = [setup.with_key(&key), with_key(&other, &key)];
    for api in &apis {
        assert_eq!(api.get("/queues").await.status, 200);
    }
    let revoked = setup.admin.delete(&format!("/api-keys/{id}")).await;
    let began = Instant::now();
    assert_eq!(revoked.status, 200);
    assert!(revoked.json["revokedAt"].is_string() && revoked.json["key"].is_null(), "{}", revoked.text);
    for api in &apis {
        wait::eventually(SOON, "it is refused", async || code(&api.get("/queues").await) == UNAUTHORIZED).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    // Once more changes nothing.
    assert_eq!(setup.admin.delete(&format!("/api-keys/{id}")).await.json["revokedAt"], revoked.json["revokedAt"]);
    assert_eq!(setup.database.number("SELECT count(*) FROM posthaste.audit_log").await, 2);
}

#[actix_rt::test]
async fn a_key_ends_when_it_expires() {
    let setup = Setup::new().await;
    let at = chrono::Utc::now() + chrono::TimeDelta::seconds(3);
    let (id, key) = created(&setup.admin, &reader(&json!({"expiresAt": at.to_rfc3339()}))).await;
    let api = setup.with_key(&key);
    assert_eq!(api.get("/queues").await.status, 200);
    wait::eventually(SOON, "it is refused", async || code(&api.get("/queues").await) == UNAUTHORIZED).await;
    assert!(chrono::Utc::now() >= at);
    assert_eq!(setup.admin.get(&format!("/api-keys/{id}")).await.status, 200);
}

#[actix_rt::test]
async fn a_key_is_limited_in_its_rate_and_no_other_by_it() {
    let setup = Setup::new().await;
    let (_, slow) = created(&setup.admin, &reader(&json!({"rateLimit": 1}))).await;
    let (_, free) = created(&setup.admin, &reader(&json!({}))).await;
    let (slow, free) = (setup.with_key(&slow), setup.with_key(&free));
    assert_eq!(slow.get("/queues").await.status, 200);
    let refused = wait::until(SOON, "it is too much", async || {
        Some(slow.get("/queues").await).filter(|answer| answer.status != 200)
    });
    let refused = refused.await;
    assert_eq!(code(&refused), (429, "PH_RATE_LIMITED"));
    assert_eq!(refused.headers.get("retry-after").unwrap(), "1");
    for _ in 0..20 {
        assert_eq!(free.get("/queues").await.status, 200);
    }
    wait::eventually(SOON, "it may come again", async || slow.get("/queues").await.status == 200).await;
}

#[actix_rt::test]
async fn the_last_use_is_noted_to_the_minute() {
    let setup = Setup::new().await;
    let (id, key) = created(&setup.admin, &reader(&json!({}))).await;
    let path = format!("/api-keys/{id}");
    assert_eq!(setup.admin.get(&path).await.json["lastUsedAt"], Value::Null);
    let api = setup.with_key(&key);
    assert_eq!(api.get("/queues").await.status, 200);
    let noted = wait::until(SOON, "it is noted", async || {
        Some(setup.admin.get(&path).await.json["lastUsedAt"].clone()).filter(Value::is_string)
    })
    .await;
    // Neither by this API nor by another is it noted again so soon.
    let other = start(&setup.database).await;
    let before = "SELECT xmin::text::bigint FROM posthaste.api_keys";
    let version = setup.database.number(before).await;
    for api in [&api, &with_key(&other, &key)] {
        for _ in 0..10 {
            assert_eq!(api.get("/queues").await.status, 200);
        }
    }
    assert_eq!(setup.admin.get(&path).await.json["lastUsedAt"], noted);
    assert_eq!(setup.database.number(before).await, version);
}

#[actix_rt::test]
async fn who_tries_keys_is_slowed_down_and_nobody_else() {
    let setup = Setup::new().await;
    let (_, key) = created(&setup.admin, &reader(&json!({}))).await;
    let good = setup.with_key(&key);
    assert_eq!(good.get("/queues").await.status, 200);
    let mut tried = 0..;
    wait::eventually(SOON, "some are not even looked up", async || {
        let apis: Vec<Api> = tried.by_ref().take(200).map(|n: u32| setup.with_key(&format!("phk_{n:043}"))).collect();
        let answers = join_all(apis.iter().map(|api| api.get("/queues"))).await;
        assert_eq!(good.get("/queues").await.status, 200);
        let limited = answers.iter().filter(|answer| code(answer) == (429, "PH_RATE_LIMITED")).count();
        let unknown = answers.iter().filter(|answer| code(answer) == UNAUTHORIZED).count();
        assert_eq!(limited + unknown, answers.len());
        limited > 0
    })
    .await;
}
