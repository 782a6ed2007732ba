//! Nothing that opens anything is logged, however much is.

use posthaste_tests::receiver::{Answer, Receiver};

use super::*;

/// Signed with `hunter2-of-the-tokens`: role `user`, user 42, and no end.
pub(super) const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
     eyJYLVBMQVRGT1JNQVRJQy1ST0xFIjoidXNlciIsIlgtUExBVEZPUk1BVElDLVVTRVItSUQiOjQyfQ.\
     GJxhLmaNC_Q1k3lOj2bVCoUKx4V7jpKtdyhQYjNoeD8";

#[actix_rt::test]
async fn credentials_are_not_logged() {
    let database = Database::new().await;
    let webhook = Receiver::start();
    webhook
        .answer("/who", Answer::status(200).body(r#"{"X-PLATFORMATIC-ROLE": "guest", "sub": "hunter2-of-a-claim"}"#));
    let rules =
        r#"[{"role": "user", "entity": "queue", "find": true}, {"role": "guest", "entity": "message", "find": true}]"#;
    let launch = Launch::api(&database)
        .env("ADMIN_SECRET", SECRET)
        .env("JWT_SECRET", "hunter2-of-the-tokens")
        .env("AUTH_RULES", rules)
        .env("AUTH_WEBHOOK_URL", &webhook.url("/who?token=hunter2-of-the-webhook"))
        .env("LOG", "trace");
    let mut process = launch.start().await;
    let admin = Api::with_secret(process.address(), SECRET);
    let (_, key) = created(&admin, &reader(&json!({}))).await;
    assert_eq!(with_key(&process, &key).get("/queues").await.status, 200);

    let with = |headers: &[(&str, &str)]| Api::with_headers(process.address(), headers);
    let token = format!("Bearer {TOKEN}");
    let forged = format!("Bearer {TOKEN}-hunter2-forged");
    for (headers, path, status) in [
        (&[("x-platformatic-admin-secret", "hunter2-of-a-stranger")][..], "/queues", 401),
        (&[("authorization", &token)], "/queues", 200),
        (&[("authorization", &token)], "/messages", 403),
        (&[("authorization", &forged)], "/messages", 200),
        (&[("cookie", "session=hunter2-of-a-session")], "/messages", 200),
        (&[("cookie", "session=hunter2-of-a-session")], "/queues", 403),
    ] {
        assert_eq!(with(headers).get(path).await.status, status, "{headers:?} {path}");
    }
    assert_eq!(webhook.requests_to("/who").len(), 3);
    webhook.answer("/who", Answer::close());
    assert_eq!(with(&[("cookie", "hunter2-unanswered")]).get("/messages").await.status, 401);

    process.sigterm();
    assert_eq!(process.wait(SOON).await.code(), Some(0));
    let shown = format!("{}{}", process.stdout(), process.stderr());
    assert!(shown.contains(r#""level":"TRACE""#) && shown.contains("webhook"), "{shown}");
    for secret in [SECRET, "hunter2", &key[10..], &TOKEN[TOKEN.len() - 20..]] {
        let line = shown.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}
