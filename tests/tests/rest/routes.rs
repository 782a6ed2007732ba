//! What is where, and what is not.

use awc::http::Method;

use super::{SOON, Setup, assert_json, assert_not_found, header, queue};
use posthaste_tests::wait;

#[actix_rt::test]
async fn what_does_not_exist_is_named() {
    let Setup { api, .. } = &Setup::api().await;
    api.create_queue(&queue()).await;
    for (method, target) in [
        ("GET", "/queues/99999"),
        ("GET", "/queues/99999/"),
        ("GET", "/messages/99999"),
        ("GET", "/crons/99999"),
        ("GET", "/cron/99999/"),
        ("GET", "/queues/0"),
        ("GET", "/queues/-1"),
        ("GET", "/queues/9223372036854775808"),
        ("DELETE", "/queues/99999"),
        ("DELETE", "/queues/99999?force=true"),
        ("DELETE", "/messages/99999"),
        ("DELETE", "/crons/99999"),
        ("GET", "/nope"),
        ("GET", "/nope?x=1&y=%20"),
        ("POST", "/nope/"),
        ("GET", "/queues/1/nope"),
        ("GET", "/queue"),
        ("GET", "//queues"),
        ("PATCH", "/queues/1"),
        ("PATCH", "/queues/"),
        ("OPTIONS", "/messages"),
        ("DELETE", "/queues"),
        ("DELETE", "/crons/"),
        ("POST", "/messages/1"),
        ("POST", "/healthz"),
    ] {
        let answer = api.send(Method::from_bytes(method.as_bytes()).unwrap(), target, None).await;
        assert_not_found(&answer, method, target);
    }
    assert_eq!(api.get("/queues/1").await.status, 200, "nothing was deleted");
}

#[actix_rt::test]
async fn head_is_get_without_the_body() {
    let Setup { api, .. } = &Setup::api().await;
    api.create_queue(&queue()).await;
    for path in [
        "/",
        "/healthz",
        "/readyz",
        "/queues",
        "/queues/1",
        "/messages/",
        "/crons",
        "/queues/2",
        "/nope",
        "/queues?limit=x",
    ] {
        let get = api.get(path).await;
        let head = api.send(Method::HEAD, path, None).await;
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        for name in ["content-type", "content-length"] {
            let same =
                if get.status == 404 && name == "content-length" { header(&head, name) } else { header(&get, name) };
            assert_eq!(header(&head, name), same, "{name} of {path}");
        }
        assert_ne!(header(&head, "content-length"), "0", "{path}");
    }
}

#[actix_rt::test]
async fn probes_tell_whether_it_lives_and_whether_it_can_work() {
    let Setup { api, database, .. } = &Setup::api().await;
    for path in ["/healthz", "/healthz/", "/readyz", "/readyz/"] {
        assert_json(&api.get(path).await, r#"{"status":"ok"}"#);
    }
    database.execute("ALTER SCHEMA posthaste RENAME TO gone").await;
    let answer = api.get("/readyz").await;
    assert_eq!((answer.status, answer.json["status"].as_str()), (503, Some("unavailable")), "{}", answer.text);
    let reason = answer.json["reason"].as_str().unwrap();
    assert!(reason.contains("posthaste migrate"), "{reason}");
    assert_eq!(api.get("/healthz").await.status, 200, "it lives");
    database.execute("ALTER SCHEMA gone RENAME TO posthaste").await;
    wait::eventually(SOON, "it is ready again", async || api.get("/readyz").await.status == 200).await;
}
