//! What a receiver is told about a delivery.

use std::time::{Duration, SystemTime};

use posthaste_tests::receiver::Answer;

use super::{SOON, Scene};

#[actix_rt::test]
async fn a_receiver_is_told_which_attempt_of_which_message_it_is() {
    let scene = Scene::new().await;
    scene.receiver.plan("/hook", |number, _| Answer::status(if number == 0 { 500 } else { 204 }));
    let queue = scene.queue("/hook", &[("name", "'Bestellungen für 100 %'")]).await;
    let message = scene.outbox.enqueue_with(queue, "at => '2020-01-02T03:04:05.678+00'").await;
    scene.outbox.ended(SOON, message).await;

    let requests = scene.receiver.requests_to("/hook");
    let all = |name: &str| requests.iter().map(|request| request.header(name).unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(all("webhook-id"), [format!("msg_{message}"), format!("msg_{message}")]);
    assert_eq!(all("posthaste-attempt"), ["1", "2"]);
    assert_eq!(all("posthaste-scheduled-at"), ["2020-01-02T03:04:05.678000Z", "2020-01-02T03:04:05.678000Z"]);
    assert_eq!(all("posthaste-queue")[0], "Bestellungen f%C3%BCr 100 %25");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    for timestamp in all("webhook-timestamp") {
        let at = Duration::from_secs(timestamp.parse().unwrap());
        assert!(at <= now && now - at < Duration::from_secs(60), "{timestamp}");
    }
}

#[actix_rt::test]
async fn what_is_ours_cannot_be_set_by_others() {
    let scene = Scene::new().await;
    let forged =
        r#"'{"webhook-timestamp": "1", "Webhook-Id": "forged", "posthaste-attempt": "9", "user-agent": "mine"}'"#;
    let queue = scene.queue("/hook", &[("headers", forged)]).await;
    let message = scene.outbox.enqueue(queue, "x").await;
    // Past every check.
    let sql = format!("UPDATE posthaste.messages SET headers = {forged} WHERE id = {message}");
    scene.outbox.execute(&sql).await;
    scene.outbox.ended(SOON, message).await;
    let again = scene.outbox.enqueue_with(queue, "at => now() + interval '200 ms'").await;
    scene.outbox.execute(&format!("UPDATE posthaste.messages SET headers = {forged} WHERE id = {again}")).await;
    scene.outbox.ended(SOON, again).await;
    for (request, message) in scene.receiver.requests_to("/hook").iter().zip([message, again]) {
        assert_eq!(request.header("webhook-id"), Some(format!("msg_{message}").as_str()));
        assert_eq!(request.header("posthaste-attempt"), Some("1"));
        assert_ne!(request.header("webhook-timestamp"), Some("1"));
        assert_eq!(request.header("user-agent"), Some("mine"));
    }
}

#[actix_rt::test]
async fn a_trace_is_carried_on() {
    let scene = Scene::new().await;
    let (parent, state) = ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "congo=t61rcWkgMzE");
    let dead = scene.queue("/dead", &[]).await.to_string();
    let queue = scene.queue("/hook", &[("dead_letter_queue_id", &dead), ("max_retries", "1")]).await;
    scene.receiver.answer("/hook", Answer::status(500));
    let message = scene.outbox.enqueue_with(queue, "at => now() + interval '300 ms'").await;
    let sql =
        format!("UPDATE posthaste.messages SET traceparent = '{parent}', tracestate = '{state}' WHERE id = {message}");
    scene.outbox.execute(&sql).await;
    let letter = scene.receiver.wait_for_count(SOON, "/dead", 1).await;
    let mut requests = scene.receiver.requests_to("/hook");
    assert_eq!(requests.len(), 2);
    requests.extend(letter);
    for request in &requests {
        assert_eq!(request.header("traceparent"), Some(parent), "{request:?}");
        assert_eq!(request.header("tracestate"), Some(state), "{request:?}");
    }
    // Without any, none is made up.
    let plain = scene.queue("/plain", &[]).await;
    scene.outbox.enqueue(plain, "x").await;
    let request = &scene.receiver.wait_for_count(SOON, "/plain", 1).await[0];
    assert_eq!((request.header("traceparent"), request.header("tracestate")), (None, None));
}

#[actix_rt::test]
async fn every_method_is_sent_with_and_without_a_body() {
    let scene = Scene::new().await;
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let path = format!("/{method}");
        let queue = scene.queue(&path, &[("method", &format!("'{method}'"))]).await;
        for body in ["body => 'text'", "body_binary => '\\x00ff80'", "body => NULL"] {
            let message = scene.outbox.enqueue_with(queue, body).await;
            let attempts = scene.outbox.ended(SOON, message).await;
            assert_eq!(attempts[0].verdict(), "delivered", "{method}, {body}");
        }
        let requests = scene.receiver.requests_to(&path);
        let bodies: Vec<&[u8]> = requests.iter().map(|request| request.body.as_slice()).collect();
        assert_eq!(bodies, [&b"text"[..], &[0, 0xff, 0x80], b""], "{method}");
        assert!(requests.iter().all(|request| request.method == method));
        let length = requests[2].header("content-length");
        assert_eq!(length, if ["GET", "HEAD"].contains(&method) { None } else { Some("0") }, "{method}");
    }
}
