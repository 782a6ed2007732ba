//! Tokens of an OAuth2 server: fetched once for many, renewed, given up when they are refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use posthaste_tests::receiver::{Answer, Receiver};
use serde_json::{Value, json};

use super::{SOON, Scene};

/// A token server whose nth token is `token-n`, good for some seconds.
fn token_server(seconds: u64) -> Receiver {
    let server = Receiver::start();
    server.plan("/token", move |number, _| {
        let token = json!({"access_token": format!("token-{number}"), "token_type": "Bearer", "expires_in": seconds});
        Answer::status(200).header("content-type", "application/json").body(token.to_string())
    });
    server
}

async fn set(scene: &Scene, queue: i64, server: &Receiver, more: Value) {
    let mut authorization = json!({
        "type": "oauth2", "tokenUrl": server.url("/token"), "clientId": "me & you", "clientSecret": "s3cret/+"
    });
    authorization.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer =
        scene.api().put(&format!("/queues/{queue}/credentials"), &json!({"authorization": authorization})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.json.to_string().contains("s3cret"), "{answer:?}");
}

#[actix_rt::test]
async fn one_token_serves_many_deliveries() {
    let (scene, server) = (Scene::new().await, token_server(3600));
    let queue = scene.queue("/hook").await;
    set(&scene, queue, &server, json!({"scope": "orders:write", "audience": "https://shop.example"})).await;
    scene.outbox.enqueue_many(queue, 200).await;
    scene.outbox.nothing_pending(SOON).await;
    let requests = scene.receiver.requests_to("/hook");
    assert_eq!(requests.len(), 200);
    assert!(requests.iter().all(|request| request.header("authorization").unwrap().starts_with("Bearer token-")));
    let asked = server.requests();
    // Each worker thread asks for itself.
    assert!((1..=std::thread::available_parallelism().unwrap().get()).contains(&asked.len()), "{}", asked.len());
    let form = "grant_type=client_credentials&scope=orders%3Awrite&audience=https%3A%2F%2Fshop.example";
    assert_eq!(asked[0].text(), form);
    assert_eq!(asked[0].header("content-type"), Some("application/x-www-form-urlencoded"));
    let basic = format!("Basic {}", STANDARD.encode("me+%26+you:s3cret%2F%2B"));
    assert_eq!(asked[0].header("authorization"), Some(basic.as_str()));

    // The other way to prove who asks.
    set(&scene, queue, &server, json!({"clientAuthentication": "body"})).await;
    scene.deliver(queue, "x").await;
    let last = server.requests().pop().unwrap();
    assert_eq!(last.text(), "grant_type=client_credentials&client_id=me+%26+you&client_secret=s3cret%2F%2B");
    assert_eq!(last.header("authorization"), None);
}

#[actix_rt::test]
async fn a_token_is_renewed_before_it_ends_and_given_up_when_it_is_refused() {
    let (scene, server) = (Scene::new().await, token_server(1));
    let queue = scene.queue("/hook").await;
    set(&scene, queue, &server, json!({})).await;
    scene.deliver(queue, "x").await;
    let later = scene.outbox.enqueue_with(queue, "at => now() + interval '1 s'").await;
    scene.outbox.ended(SOON, later).await;
    let tokens: Vec<_> = scene
        .receiver
        .requests_to("/hook")
        .iter()
        .map(|request| request.header("authorization").unwrap().to_owned())
        .collect();
    assert_ne!(tokens[0], tokens[1]);

    let lasting = token_server(3600);
    scene.receiver.plan("/strict", |_, request| {
        Answer::status(if request.header("authorization") == Some("Bearer token-0") { 401 } else { 204 })
    });
    let strict = scene.queue("/strict").await;
    set(&scene, strict, &lasting, json!({})).await;
    let message = scene.outbox.enqueue(strict, "x").await;
    let attempts = scene.outbox.ended(SOON, message).await;
    assert_eq!(attempts.iter().map(|attempt| attempt.status).collect::<Vec<_>>(), [Some(401), Some(204)]);
}

#[actix_rt::test]
async fn without_a_token_nothing_is_sent_and_the_log_says_why() {
    let scene = Scene::new().await;
    let server = Receiver::start();
    server.answer("/token", Answer::status(401).body(r#"{"error":"invalid_client","error_description":"s3cret"}"#));
    let queue = scene.queue("/hook").await;
    let last = async |says: &str, class: &str| {
        let message = scene.outbox.enqueue(queue, "x").await;
        let attempts = scene.outbox.ended(SOON, message).await;
        let last = attempts.last().unwrap();
        assert_eq!(last.verdict(), format!("failed {class}"), "{attempts:?}");
        let error = last.error.as_ref().unwrap();
        assert!(error.contains(says) && !error.contains("s3cret"), "{error}");
    };
    set(&scene, queue, &server, json!({})).await;
    last("the token server answered 401: invalid_client", "oauth").await;
    server.answer("/token", Answer::status(200).body("{}"));
    last("has no access_token", "oauth").await;
    server.answer("/token", Answer::status(200).body(r#"{"access_token":"x","token_type":"mac"}"#));
    last("is no bearer token", "oauth").await;
    server.answer("/token", Answer::status(302).header("location", &scene.receiver.url("/token")));
    last("the token server answered 302", "oauth").await;
    server.answer("/token", Answer::status(200).body(vec![b' '; 100_000]));
    last("too long", "oauth").await;
    server.answer("/token", Answer::close());
    last("the token server", "oauth").await;
    // One that does not answer costs no more than the delivery may take.
    server.answer("/token", Answer::hang());
    scene.outbox.execute(&format!("UPDATE posthaste.queues SET timeout_ms = 300 WHERE id = {queue}")).await;
    last("no answer within 300 ms", "total_timeout").await;
    assert_eq!(scene.receiver.count(), 0);
}

#[actix_rt::test]
async fn a_token_server_is_called_under_the_same_rules_as_receivers() {
    let mut scene = Scene::new().await;
    let server = token_server(3600);
    let queue = scene.queue("/hook").await;
    set(&scene, queue, &server, json!({})).await;
    drop(std::mem::replace(
        &mut scene.deliverer,
        posthaste_tests::process::Launch::deliverer(&scene.database)
            .env("SECRETS_KEY", super::KEY)
            .env("EGRESS_ALLOW", "")
            .start()
            .await,
    ));
    let message = scene.outbox.enqueue(queue, "x").await;
    let attempts = scene.outbox.ended(SOON, message).await;
    assert_eq!(attempts.last().unwrap().verdict(), "failed blocked_address", "{attempts:?}");
    assert_eq!(server.count(), 0);
}
