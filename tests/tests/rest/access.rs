//! The admin secret.

use awc::http::Method;
use posthaste_tests::client::Api;
use posthaste_tests::database::Database;
use posthaste_tests::process::Launch;
use serde_json::json;

use super::{Setup, assert_error, assert_not_found, queue};

const SECRET: &str = "open sesame";
const DENIED: &str = "operation not allowed";
const CODE: &str = "PLT_DB_AUTH_UNAUTHORIZED";

#[actix_rt::test]
async fn without_the_secret_nothing_is_told_and_nothing_done() {
    let database = Database::new().await;
    let launch = Launch::api(&database).env("ADMIN_SECRET", SECRET);
    let setup = Setup::start(launch, database).await;
    let nobody = &setup.api;
    let address = setup.process.address();
    let [somebody, admin] = [Api::with_secret(address, "open sesam"), Api::with_secret(address, SECRET)];
    assert_eq!(admin.create_queue(&queue()).await, "1");

    let queue = queue();
    let (message, cron) = (json!({"queueId": 1}), json!({"queueId": 1, "schedule": "@yearly"}));
    // Also where the request is wrong: who may not ask learns nothing, not even that.
    let wrong = json!({"nope": 1});
    for (method, path, body) in [
        (Method::GET, "/queues", None),
        (Method::GET, "/queues/1", None),
        (Method::GET, "/queues/99", None),
        (Method::GET, "/queues/x?y=z", None),
        (Method::GET, "/messages/", None),
        (Method::GET, "/cron/", None),
        (Method::POST, "/queues/", Some(&queue)),
        (Method::POST, "/queues/", Some(&wrong)),
        (Method::POST, "/messages", Some(&message)),
        (Method::POST, "/messages", Some(&wrong)),
        (Method::POST, "/crons", Some(&cron)),
        (Method::POST, "/cron/", Some(&wrong)),
        (Method::DELETE, "/queues/1", None),
        (Method::DELETE, "/queues/1?force=true", None),
        (Method::DELETE, "/messages/1", None),
        (Method::DELETE, "/crons/1", None),
        (Method::PUT, "/queues/1", Some(&queue)),
        (Method::PUT, "/queues?where.nope.eq=1", Some(&wrong)),
        (Method::GET, "/queues/1/messages", None),
        (Method::GET, "/messages/99/attempts", None),
        (Method::GET, "/stats", None),
        (Method::POST, "/queues/1/pause", None),
        (Method::POST, "/messages/1/cancel", None),
        (Method::POST, "/messages/batch", Some(&wrong)),
        (Method::GET, "/api-keys", None),
        (Method::GET, "/audit-log", None),
    ] {
        for api in [nobody, &somebody] {
            let answer = api.send(method.clone(), path, body).await;
            assert_error(&answer, 401, CODE, "Unauthorized", DENIED);
        }
    }
    let invalid = nobody.post_raw("/messages", "application/json", "{").await;
    assert_error(&invalid, 401, CODE, "Unauthorized", DENIED);
    assert_eq!((setup.rows("queues").await, setup.rows("messages").await, setup.rows("crons").await), (1, 0, 0));

    assert_eq!(admin.get("/queues/1").await.status, 200);
    assert_eq!(admin.create_message(&message).await, "1");
    assert_eq!(admin.delete("/messages/1").await.status, 200);
    assert_not_found(&admin.get("/queues/99").await, "GET", "/queues/99");
    // Probes carry no secrets, and what is not there needs none.
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/", 200), ("/nope", 404)] {
        assert_eq!(nobody.get(path).await.status, status, "{path}");
    }
}
