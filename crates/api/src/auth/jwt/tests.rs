mod keys;
mod published;

use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use self::keys::{ED25519, ED25519_PEM, P_256, P_256_PEM, P_384, P_384_PEM, RSA, RSA_N, RSA_PEM, RSA_PKCS1_PEM};
use super::*;

const SECRET: &str = "hunter2 of the tokens";

fn private(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).unwrap()
}

/// A key to sign with in an algorithm.
fn signing(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => EncodingKey::from_secret(SECRET.as_bytes()),
        Algorithm::ES256 => EncodingKey::from_ec_der(&private(P_256)),
        Algorithm::ES384 => EncodingKey::from_ec_der(&private(P_384)),
        Algorithm::EdDSA => EncodingKey::from_ed_der(&private(ED25519)),
        _ => EncodingKey::from_rsa_der(&private(RSA)),
    }
}

fn token(algorithm: Algorithm, kid: Option<&str>, payload: &Value) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    encode(&header, payload, &signing(algorithm)).unwrap()
}

fn now() -> i64 {
    i64::try_from(jsonwebtoken::get_current_timestamp()).unwrap()
}

fn payload() -> Value {
    json!({"sub": "42", "X-PLATFORMATIC-ROLE": "user", "exp": now() + 60})
}

fn config(keys: KeySource) -> JwtConfig {
    JwtConfig { keys, issuers: Vec::new(), audiences: Vec::new(), namespace: None }
}

fn of_secret() -> JwtConfig {
    config(KeySource::Secret(Secret::new(SECRET)))
}

fn of_pem(pem: &str) -> JwtConfig {
    config(KeySource::PublicKey(VerifyingKey::of_pem(pem).unwrap()))
}

async fn is_known(config: &JwtConfig, token: &str) -> bool {
    Jwt::new(config, None).unwrap().claims(token).await.is_some()
}

const ALGORITHMS: [Algorithm; 12] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

#[actix_web::test]
async fn a_key_verifies_its_own_algorithms_and_no_other() {
    let escaped = P_256_PEM.replace('\n', "\\n");
    for (config, own) in [
        (of_secret(), &ALGORITHMS[0..3]),
        (of_pem(RSA_PEM), &ALGORITHMS[3..9]),
        (of_pem(RSA_PKCS1_PEM), &ALGORITHMS[3..9]),
        (of_pem(P_256_PEM), &ALGORITHMS[9..10]),
        (of_pem(&escaped), &ALGORITHMS[9..10]),
        (of_pem(P_384_PEM), &ALGORITHMS[10..11]),
        (of_pem(ED25519_PEM), &ALGORITHMS[11..12]),
    ] {
        for algorithm in ALGORITHMS {
            let token = token(algorithm, None, &payload());
            assert_eq!(is_known(&config, &token).await, own.contains(&algorithm), "{config:?} {algorithm:?}");
        }
    }
}

#[actix_web::test]
async fn a_public_key_is_no_secret() {
    for pem in [RSA_PEM, RSA_PKCS1_PEM, P_256_PEM, ED25519_PEM] {
        let config = of_pem(pem);
        for secret in [pem.as_bytes(), pem.trim().as_bytes(), RSA_N.as_bytes()] {
            let token = encode(&Header::default(), &payload(), &EncodingKey::from_secret(secret)).unwrap();
            assert!(!is_known(&config, &token).await);
        }
    }
}

#[actix_web::test]
async fn what_is_not_signed_right_is_no_token() {
    let config = of_secret();
    let good = token(Algorithm::HS256, None, &payload());
    assert!(is_known(&config, &good).await);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = |alg: &str| format!("{}.{}.", part(json!({"alg": alg, "typ": "JWT"})), part(payload()));
    let (_, body) = signed.split_once('.').unwrap();
    let critical = part(json!({"alg": "HS256", "crit": ["b64"], "b64": false}));
    let message = format!("{critical}.{body}");
    let valid = jsonwebtoken::crypto::sign(message.as_bytes(), &signing(Algorithm::HS256), Algorithm::HS256).unwrap();
    let other = encode(&Header::default(), &payload(), &EncodingKey::from_secret(b"other")).unwrap();
    for bad in [
        none("none"),
        none("None"),
        none("HS256"),
        format!("{message}.{valid}"),
        other,
        format!("{signed}."),
        signed.to_owned(),
        format!("{signed}.{}", signature.chars().rev().collect::<String>()),
        format!("{}.{}.{signature}", part(json!({"alg": "HS256"})), part(json!({"sub": "1"}))),
        format!("{good}.x"),
        format!("{good}x"),
        token(Algorithm::HS256, None, &json!("no object")),
        token(Algorithm::HS256, None, &json!({"sub": "x".repeat(LONGEST)})),
        "..".to_owned(),
        String::new(),
        "x".to_owned(),
    ] {
        assert!(!is_known(&config, &bad).await, "{bad}");
    }
}

#[actix_web::test]
async fn times_are_honoured() {
    let config = of_secret();
    for (times, counts) in [
        (json!({}), true),
        (json!({"exp": now() + 60}), true),
        (json!({"exp": now() - 1}), true),
        (json!({"exp": now() - 60}), false),
        (json!({"exp": 0}), false),
        (json!({"exp": -1}), false),
        (json!({"exp": (now() + 60).to_string()}), false),
        (json!({"exp": null}), false),
        (json!({"exp": 1e300}), true),
        (json!({"nbf": now() - 60}), true),
        (json!({"nbf": now() + 1}), true),
        (json!({"nbf": now() + 60}), false),
        (json!({"nbf": "now"}), false),
        (json!({"nbf": now() - 60, "exp": now() - 60}), false),
    ] {
        assert_eq!(is_known(&config, &token(Algorithm::HS256, None, &times)).await, counts, "{times}");
    }
}

#[actix_web::test]
async fn issuer_and_audience_must_be_there_where_they_are_asked_for() {
    let text = |text: &str| vec![text.to_owned()];
    let open = of_secret();
    let bound =
        JwtConfig { issuers: text("https://id"), audiences: vec!["a".to_owned(), "b".to_owned()], ..open.clone() };
    for (payload, counts) in [
        (json!({"iss": "https://id", "aud": "a"}), true),
        (json!({"iss": "https://id", "aud": ["x", "b"]}), true),
        (json!({"iss": "https://id", "aud": ["x"]}), false),
        (json!({"iss": "https://id"}), false),
        (json!({"iss": "https://id", "aud": null}), false),
        (json!({"iss": "https://id", "aud": {"a": 1}}), false),
        (json!({"iss": "https://other", "aud": "a"}), false),
        (json!({"iss": 1, "aud": "a"}), false),
        (json!({"aud": "a"}), false),
    ] {
        let token = token(Algorithm::HS256, None, &payload);
        assert_eq!(is_known(&bound, &token).await, counts, "{payload}");
        assert!(is_known(&open, &token).await, "{payload}");
    }
}

#[actix_web::test]
async fn claims_may_have_a_namespace() {
    let config = JwtConfig { namespace: Some("https://x/".to_owned()), ..of_secret() };
    let token = token(Algorithm::HS256, None, &json!({"https://x/X-PLATFORMATIC-ROLE": "user", "sub": "42"}));
    let claims = Jwt::new(&config, None).unwrap().claims(&token).await.unwrap();
    assert_eq!(claims.get("X-PLATFORMATIC-ROLE"), Some(&json!("user")));
    assert_eq!(claims.user().as_deref(), Some("42"));
}

#[test]
fn what_is_no_public_key_is_refused() {
    let private = format!("-----BEGIN PRIVATE KEY-----\n{P_256}\n-----END PRIVATE KEY-----");
    let cut = RSA_PEM.replace("MIIB", "");
    for text in ["", "x", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----", &private, &cut, &RSA_PEM[..100]] {
        let problem = VerifyingKey::of_pem(text).unwrap_err();
        assert!(problem.starts_with("takes a public key in PEM"), "{text}");
    }
}
