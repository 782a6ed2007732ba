//! Keys that are published by a real server.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::super::jwks::{Jwks, Timing};
use super::super::{Jwt, Keys};
use super::keys::{ED25519_X, P_256_XY, P_384_XY, RSA_N};
use super::{payload, token};
use crate::auth::local::Local;
use crate::auth::outbound::Outbound;

const NEVER: Duration = Duration::from_secs(3600);
const AT_ONCE: Duration = Duration::ZERO;

fn publish(publisher: &Local, keys: &[Value]) {
    publisher.answer(200, &json!({ "keys": keys }).to_string());
}

fn jwt(url: &str, timing: Timing) -> Jwt {
    let jwks = Jwks::with_timing(url.parse().unwrap(), Outbound::start().unwrap(), timing);
    Jwt { keys: Keys::Published(jwks), issuers: Vec::new(), audiences: Vec::new(), namespace: None }
}

fn rsa(kid: &str) -> Value {
    json!({"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": RSA_N, "e": "AQAB"})
}

fn p_256(kid: &str) -> Value {
    json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": P_256_XY[0], "y": P_256_XY[1]})
}

async fn is_known(jwt: &Jwt, algorithm: Algorithm, kid: Option<&str>) -> bool {
    jwt.claims(&token(algorithm, kid, &payload())).await.is_some()
}

#[actix_web::test]
async fn every_kind_of_published_key_verifies_its_own_tokens() {
    let publisher = Local::start();
    publish(
        &publisher,
        &[
            // What cannot be used does not keep the others from being used.
            json!({"kty": "oct", "kid": "secret", "k": "aHVudGVyMiBvZiB0aGUgdG9rZW5z"}),
            json!({"kty": "RSA", "kid": "enc", "use": "enc", "n": RSA_N, "e": "AQAB"}),
            json!({"kty": "EC", "crv": "secp256k1", "kid": "odd", "x": "AA", "y": "AA"}),
            json!(7),
            rsa("r"),
            p_256("e"),
            json!({"kty": "EC", "crv": "P-384", "kid": "e3", "x": P_384_XY[0], "y": P_384_XY[1]}),
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "d", "x": ED25519_X}),
        ],
    );
    let jwt = jwt(&publisher.url, Timing { lifetime: NEVER, between: NEVER, after_failure: NEVER });
    for (algorithm, kid) in
        [(Algorithm::RS256, "r"), (Algorithm::ES256, "e"), (Algorithm::ES384, "e3"), (Algorithm::EdDSA, "d")]
    {
        assert!(is_known(&jwt, algorithm, Some(kid)).await, "{kid}");
        assert!(is_known(&jwt, algorithm, None).await, "{kid} that is not named");
        assert!(!is_known(&jwt, algorithm, Some("enc")).await);
    }
    for (algorithm, kid) in [
        (Algorithm::HS256, "secret"),
        (Algorithm::HS256, "r"),
        (Algorithm::RS256, "e"),
        // The key says RS256 and nothing else.
        (Algorithm::RS384, "r"),
        (Algorithm::PS256, "r"),
        (Algorithm::ES256, "odd"),
    ] {
        assert!(!is_known(&jwt, algorithm, Some(kid)).await, "{algorithm:?} {kid}");
    }
    assert_eq!(publisher.asked(), 1);
    publisher.stop().await;
}

#[actix_web::test]
async fn a_key_that_is_added_is_found_and_one_that_is_taken_away_is_forgotten() {
    let publisher = Local::start();
    publish(&publisher, &[rsa("old")]);
    let jwt = jwt(&publisher.url, Timing { lifetime: NEVER, between: AT_ONCE, after_failure: NEVER });
    assert!(is_known(&jwt, Algorithm::RS256, Some("old")).await);
    assert!(!is_known(&jwt, Algorithm::ES256, Some("new")).await);
    assert_eq!(publisher.asked(), 2);
    publish(&publisher, &[rsa("old"), p_256("new")]);
    assert!(is_known(&jwt, Algorithm::ES256, Some("new")).await);
    publish(&publisher, &[p_256("new")]);
    assert!(!is_known(&jwt, Algorithm::RS256, Some("unknown")).await);
    assert!(!is_known(&jwt, Algorithm::RS256, Some("old")).await);
    publisher.stop().await;
}

#[actix_web::test]
async fn who_names_unknown_keys_does_not_keep_the_publisher_busy() {
    let publisher = Local::start();
    publish(&publisher, &[rsa("r")]);
    let jwt = jwt(&publisher.url, Timing { lifetime: NEVER, between: NEVER, after_failure: NEVER });
    for n in 0..50 {
        assert!(!is_known(&jwt, Algorithm::RS256, Some(&format!("unknown {n}"))).await);
    }
    assert!(is_known(&jwt, Algorithm::RS256, Some("r")).await);
    assert_eq!(publisher.asked(), 1);
    publisher.stop().await;
}

#[actix_web::test]
async fn old_keys_stay_while_new_ones_cannot_be_read() {
    let publisher = Local::start();
    let jwt = jwt(&publisher.url, Timing { lifetime: AT_ONCE, between: AT_ONCE, after_failure: AT_ONCE });
    let huge = format!(r#"{{"keys": [], "x": "{}"}}"#, "x".repeat(2 << 20));
    publisher.answer(503, "");
    assert!(!is_known(&jwt, Algorithm::RS256, Some("r")).await);
    publish(&publisher, &[rsa("r")]);
    assert!(is_known(&jwt, Algorithm::RS256, Some("r")).await);
    for (status, body) in [
        (503, "{}"),
        (302, "{}"),
        (200, "no JSON"),
        (200, "{}"),
        (200, r#"{"keys": []}"#),
        (200, r#"{"keys": [{"kty": "oct", "k": "AA"}]}"#),
        (200, huge.as_str()),
    ] {
        publisher.answer(status, body);
        let before = publisher.asked();
        assert!(is_known(&jwt, Algorithm::RS256, Some("r")).await, "{status}");
        assert!(!is_known(&jwt, Algorithm::ES256, Some("e")).await);
        assert!(publisher.asked() > before);
    }
    publisher.stop().await;
    assert!(is_known(&jwt, Algorithm::RS256, Some("r")).await);
    assert!(!is_known(&jwt, Algorithm::ES256, Some("e")).await);
}
