//! Replacing the key that everything is encrypted with, while deliveries go on.

use posthaste_tests::process::Launch;
use posthaste_tests::wait::eventually;
use serde_json::json;

use super::{KEY, OTHER_KEY, SOON, Scene, verifies};

#[actix_rt::test]
async fn a_new_key_takes_over_and_the_old_one_can_go() {
    let mut scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    let secret = scene.secret(queue, json!({})).await["secret"].as_str().unwrap().to_owned();
    let credentials = json!({"authorization": {"type": "bearer", "token": "t0ken"}});
    assert_eq!(scene.api().put(&format!("/queues/{queue}/credentials"), &credentials).await.status, 200);
    let old_id = "SELECT count(DISTINCT substring(sealed FROM 2 FOR 8)) FROM (
        SELECT sealed FROM posthaste.queue_secrets UNION ALL SELECT sealed FROM posthaste.queue_credentials) s";
    assert_eq!(scene.outbox.number(old_id).await, 1);
    let before = scene.outbox.text("SELECT encode(sealed, 'hex') FROM posthaste.queue_secrets").await;

    // The scheduler has the new key first: on taking the lead it encrypts everything anew.
    let both = format!("{OTHER_KEY},{KEY}");
    let scheduler = Launch::scheduler(&scene.database).env("SECRETS_KEY", &both).start().await;
    let changed =
        async || scene.outbox.text("SELECT encode(sealed, 'hex') FROM posthaste.queue_secrets").await != before;
    eventually(SOON, "everything is encrypted anew", changed).await;
    let left = format!(
        "SELECT count(*) FROM posthaste.queue_credentials WHERE encode(substring(sealed FROM 2 FOR 8), 'hex') = '{}'",
        &before[2..18]
    );
    eventually(SOON, "the credentials as well", async || scene.outbox.number(&left).await == 0).await;
    drop(scheduler);

    // Who has only the new key can go on.
    let new = Launch::deliverer(&scene.database).env("SECRETS_KEY", OTHER_KEY).start().await;
    drop(std::mem::replace(&mut scene.deliverer, new));
    let request = scene.deliver(queue, "x").await;
    assert!(verifies(&request, &secret));
    assert_eq!(request.header("authorization"), Some("Bearer t0ken"));
}

#[actix_rt::test]
async fn a_scheduler_that_cannot_open_something_says_so_and_changes_nothing() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    scene.secret(queue, json!({})).await;
    let before = scene.outbox.text("SELECT encode(sealed, 'hex') FROM posthaste.queue_secrets").await;
    let scheduler = Launch::scheduler(&scene.database).env("SECRETS_KEY", OTHER_KEY).start().await;
    let says = async || (scheduler.stdout() + &scheduler.stderr()).contains("a secret of a queue cannot be opened");
    eventually(SOON, "the log says so", says).await;
    assert_eq!(scene.outbox.text("SELECT encode(sealed, 'hex') FROM posthaste.queue_secrets").await, before);
}
