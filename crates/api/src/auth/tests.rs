use posthaste_core::entity::{MessageField, QueueField};
use posthaste_core::filter::{Filter, Value as FieldValue};
use posthaste_service::environment::Secret;

use super::*;

const RULES: &str = r#"[
    {"role": "anonymous", "entity": "queue", "find": true},
    {"role": "user", "entity": "message", "find": {"checks": {"queueId": "X-PLATFORMATIC-USER-ID"}}, "save": true}
]"#;

fn auth(secret: Option<&str>, rules: Option<&str>) -> Auth {
    let config = AuthorizationConfig {
        admin_secret: secret.map(Secret::new),
        rules: rules.map(|rules| Rules::compile(rules).unwrap()),
        ..AuthorizationConfig::default()
    };
    Auth::new(&config, Arc::new(config.rules.clone().unwrap_or_default()), None, None)
}

async fn caller(auth: &Auth, headers: &[(&str, &str)]) -> Caller {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse().unwrap(), value.parse().unwrap());
    }
    auth.identify(&map).await.unwrap()
}

#[actix_web::test]
async fn without_anything_configured_everybody_may_do_everything() {
    let auth = auth(None, None);
    for headers in [&[][..], &[(SECRET, "x")], &[("authorization", "Bearer x")]] {
        let caller = caller(&auth, headers).await;
        assert_eq!(caller.grant::<QueueField>(Operation::Delete), Ok(Grant::everything()));
        assert_eq!((caller.administer(), caller.actor()), (Ok(()), "anonymous"));
    }
}

#[actix_web::test]
async fn a_wrong_secret_is_none() {
    let auth = auth(Some("open sesame"), Some(RULES));
    for headers in [&[][..], &[(SECRET, "")], &[(SECRET, "open sesam"), (ROLE, "user")], &[(ROLE, "user")]] {
        let caller = caller(&auth, headers).await;
        assert_eq!(caller.grant::<QueueField>(Operation::Find), Ok(Grant::everything()));
        assert_eq!(caller.grant::<QueueField>(Operation::Save), Err(ApiError::Unauthorized));
        assert_eq!(caller.grant::<MessageField>(Operation::Find), Err(ApiError::Unauthorized));
        assert_eq!((caller.administer(), caller.actor()), (Err(ApiError::Unauthorized), "anonymous"));
    }
}

#[actix_web::test]
async fn the_secret_opens_everything_or_what_a_role_may() {
    let auth = auth(Some("open sesame"), Some(RULES));
    for role in [None, Some(""), Some("platformatic-admin"), Some("user, platformatic-admin")] {
        let mut headers = vec![(SECRET, "open sesame")];
        headers.extend(role.map(|role| (ROLE, role)));
        let caller = caller(&auth, &headers).await;
        assert_eq!(caller.grant::<MessageField>(Operation::UpdateMany), Ok(Grant::everything()), "{role:?}");
        assert_eq!((caller.administer(), caller.actor()), (Ok(()), "admin"));
    }

    let headers = [(SECRET, "open sesame"), (ROLE, "other,user"), ("X-Platformatic-User-Id", "7")];
    let user = caller(&auth, &headers).await;
    let expected = Filter::equal(MessageField::QueueId, FieldValue::Number(7));
    assert_eq!(user.grant::<MessageField>(Operation::Find).map(|grant| grant.filter), Ok(expected));
    assert_eq!(user.grant::<MessageField>(Operation::Save), Ok(Grant::everything()));
    assert_eq!(user.grant::<MessageField>(Operation::UpdateMany), Err(ApiError::Forbidden));
    assert_eq!(user.grant::<QueueField>(Operation::Find), Err(ApiError::Forbidden));
    assert_eq!((user.administer(), user.actor()), (Err(ApiError::Forbidden), "user:7"));

    // Without the claim, nothing is compared with null.
    let user = caller(&auth, &headers[..2]).await;
    assert_eq!(user.grant::<MessageField>(Operation::Find), Err(ApiError::Forbidden));
    assert_eq!(user.actor(), "user");
}

#[actix_web::test]
async fn a_token_that_does_not_count_is_as_none() {
    use self::jwt::{JwtConfig, KeySource};
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    let keys = KeySource::Secret(Secret::new("of the tokens"));
    let jwt = JwtConfig { keys, issuers: Vec::new(), audiences: Vec::new(), namespace: None };
    let config = AuthorizationConfig {
        admin_secret: Some(Secret::new("open sesame")),
        rules: Some(Rules::compile(RULES).unwrap()),
        jwt: Some(jwt),
        ..AuthorizationConfig::default()
    };
    let auth = Auth::new(&config, Arc::new(config.rules.clone().unwrap_or_default()), None, None);
    let bearer = |claims: Value| {
        let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(b"of the tokens")).unwrap();
        format!("Bearer {token}")
    };
    let good = bearer(json!({"X-PLATFORMATIC-ROLE": ["other", "user"], "X-PLATFORMATIC-USER-ID": 7}));
    for scheme in ["Bearer", "bearer", "BEARER "] {
        let user = caller(&auth, &[("authorization", &good.replace("Bearer", scheme))]).await;
        let expected = Filter::equal(MessageField::QueueId, FieldValue::Number(7));
        assert_eq!(user.grant::<MessageField>(Operation::Find).map(|grant| grant.filter), Ok(expected), "{scheme}");
        assert_eq!(user.grant::<QueueField>(Operation::Find), Err(ApiError::Forbidden));
        assert_eq!((user.administer(), user.actor()), (Err(ApiError::Forbidden), "user:7"));
    }
    // Roles beside a token do not count, and a wrong secret beside one makes it none.
    for headers in [
        &[("authorization", "Bearer x")][..],
        &[("authorization", "Bearer phk_x")],
        &[("authorization", "Basic eDp5")],
        &[("x-api-key", "phk_x"), ("authorization", &good)],
        &[(SECRET, "wrong"), ("authorization", &good)],
        &[(ROLE, "user")],
    ] {
        let nobody = caller(&auth, headers).await;
        assert_eq!(nobody.grant::<MessageField>(Operation::Save), Err(ApiError::Unauthorized), "{headers:?}");
        assert_eq!(nobody.grant::<QueueField>(Operation::Find), Ok(Grant::everything()), "{headers:?}");
    }
    // One without a role is somebody in the role of nobody.
    let user = caller(&auth, &[("authorization", &bearer(json!({"sub": "x"})))]).await;
    assert_eq!(user.grant::<QueueField>(Operation::Find), Ok(Grant::everything()));
    assert_eq!(user.grant::<QueueField>(Operation::Save), Err(ApiError::Forbidden));
    let admin = caller(&auth, &[("authorization", &bearer(json!({"X-PLATFORMATIC-ROLE": ADMIN, "sub": "x"})))]).await;
    assert_eq!((admin.administer(), admin.actor()), (Ok(()), "user:x"));
}

#[actix_web::test]
async fn a_webhook_is_asked_about_who_shows_nothing_better() {
    use std::time::Duration;

    use self::local::Local;
    use self::webhook::WebhookConfig;

    let local = Local::start();
    let webhook = WebhookConfig { url: local.url.parse().unwrap(), keep: Duration::ZERO };
    let config = AuthorizationConfig {
        admin_secret: Some(Secret::new("open sesame")),
        rules: Some(Rules::compile(RULES).unwrap()),
        webhook: Some(webhook),
        ..AuthorizationConfig::default()
    };
    let outbound = Outbound::start().unwrap();
    let auth = Auth::new(&config, Arc::new(config.rules.clone().unwrap_or_default()), None, Some(outbound));
    local.answer(200, r#"{"X-PLATFORMATIC-ROLE": "user", "X-PLATFORMATIC-USER-ID": "7"}"#);
    let user = caller(&auth, &[("cookie", "a=1"), ("authorization", "Bearer opaque")]).await;
    assert!(user.grant::<MessageField>(Operation::Find).is_ok());
    assert_eq!((user.actor(), local.asked()), ("user:7", 1));
    for headers in [&[(SECRET, "open sesame")][..], &[(SECRET, "wrong")], &[("x-api-key", "phk_x")]] {
        caller(&auth, headers).await;
    }
    assert_eq!(local.asked(), 1);
    local.answer(403, "");
    let nobody = caller(&auth, &[]).await;
    assert_eq!(nobody.grant::<MessageField>(Operation::Find), Err(ApiError::Unauthorized));
    local.stop().await;
}

#[test]
fn telling_who_asks_can_be_waited_for_on_any_thread() {
    fn is_send<T: Send>(_: &T) {}
    let auth = auth(Some("x"), None);
    is_send(&auth.identify(&HeaderMap::new()));
}
