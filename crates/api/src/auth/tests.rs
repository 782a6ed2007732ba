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
