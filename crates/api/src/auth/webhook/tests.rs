use serde_json::json;

use super::*;
use crate::auth::local::Local;

fn webhook(local: &Local, keep: Duration) -> Webhook {
    let config = WebhookConfig { url: local.url.parse().unwrap(), keep };
    Webhook::new(&config, Outbound::start().unwrap())
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name.parse().unwrap(), value.parse().unwrap());
    }
    headers
}

#[actix_web::test]
async fn the_webhook_gets_the_headers_and_tells_the_claims() {
    let local = Local::start();
    let webhook = webhook(&local, Duration::ZERO);
    local.answer(201, r#"{"X-PLATFORMATIC-ROLE": "user", "X-PLATFORMATIC-USER-ID": 42}"#);
    let sent = headers(&[
        ("host", "api.example"),
        ("connection", "keep-alive, x-custom"),
        ("content-length", "7"),
        ("content-type", "text/plain"),
        ("accept-encoding", "gzip"),
        ("cookie", "a=1"),
        ("x-custom", "1"),
        ("x-custom", "2"),
        ("user-agent", "test"),
    ]);
    let claims = webhook.claims(&sent).await.unwrap();
    assert_eq!(claims.get("X-PLATFORMATIC-ROLE"), Some(&json!("user")));
    assert_eq!(claims.user().as_deref(), Some("42"));

    let (method, headers, body) = local.last();
    let of = |name: &str| headers.get_all(name).map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((method.as_str(), &body[..]), ("POST", &b"{}"[..]));
    assert_eq!((of("cookie"), of("x-custom"), of("user-agent")), (vec!["a=1"], vec!["1", "2"], vec!["test"]));
    assert_eq!((of("content-type"), of("content-length")), (vec!["application/json"], vec!["2"]));
    assert!(!of("host").contains(&"api.example") && of("accept-encoding").is_empty());
    local.stop().await;
}

#[actix_web::test]
async fn any_other_answer_is_that_it_does_not_know_them() {
    let local = Local::start();
    let webhook = webhook(&local, Duration::ZERO);
    for (status, body) in
        [(401, "{}"), (500, "{}"), (302, "{}"), (200, ""), (200, "null"), (200, "[]"), (200, "\"user\""), (200, "{")]
    {
        local.answer(status, body);
        assert_eq!(webhook.claims(&HeaderMap::new()).await, None, "{status} {body}");
    }
    // One that says nothing of a role is somebody all the same.
    local.answer(200, "{}");
    assert_eq!(webhook.claims(&HeaderMap::new()).await, Some(Claims::default()));
    local.stop().await;
    assert_eq!(webhook.claims(&HeaderMap::new()).await, None);
}

#[actix_web::test]
async fn a_webhook_that_hangs_is_waited_for_only_so_long() {
    let local = Local::start();
    let webhook = webhook(&local, Duration::from_secs(3600));
    local.answer(200, "{}");
    local.hang();
    let began = std::time::Instant::now();
    assert_eq!(webhook.claims(&HeaderMap::new()).await, None);
    assert!(began.elapsed() < Duration::from_secs(10));
    // That no answer came is not kept.
    local.answer(200, "{}");
    assert!(webhook.claims(&HeaderMap::new()).await.is_some());
    local.stop().await;
}

#[actix_web::test]
async fn answers_are_kept_by_the_headers_that_they_are_for() {
    let local = Local::start();
    let (kept, fresh) = (webhook(&local, Duration::from_secs(3600)), webhook(&local, Duration::ZERO));
    local.answer(200, r#"{"sub": "a"}"#);
    let [a, b] = [headers(&[("cookie", "a"), ("x-b", "c")]), headers(&[("cookie", "b"), ("x-b", "c")])];
    // The order of headers of other names, and what is not sent, make no difference.
    let same = headers(&[("x-b", "c"), ("cookie", "a"), ("connection", "close")]);
    for headers in [&a, &a, &same] {
        assert_eq!(kept.claims(headers).await.and_then(|claims| claims.user()).as_deref(), Some("a"));
    }
    assert_eq!(local.asked(), 1);
    local.answer(401, "");
    for _ in 0..3 {
        assert_eq!(kept.claims(&b).await, None);
    }
    assert_eq!(local.asked(), 2);
    assert!(kept.claims(&a).await.is_some());
    for count in 3..6 {
        assert_eq!(fresh.claims(&a).await, None);
        assert_eq!(local.asked(), count);
    }
    local.stop().await;
}
