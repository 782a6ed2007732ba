//! Callers that show a token (JWT, RFC 7519).
//!
//! A token counts if its signature is right by a key that we trust, in an algorithm of that very key, and if it is
//! neither expired nor from the future, and from and for whom the settings say. Anything else is no token: the caller is
//! anonymous, and nothing is logged of it.

mod jwks;
pub mod key;

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Validation, decode};
use posthaste_service::environment::Secret;
use serde::Deserialize;
use serde_json::{Map, Value};

use self::jwks::Jwks;
use self::key::VerifyingKey;
use super::claims::Claims;
use super::outbound::{HttpUrl, Outbound};

/// How far the clocks of who makes tokens and ours may be apart, in seconds.
const LEEWAY: f64 = 5.0;
/// The longest token that is looked at.
const LONGEST: usize = 16 << 10;

/// Which tokens count.
#[derive(Debug, Clone)]
pub struct JwtConfig {
    pub keys: KeySource,
    /// Who may have made one; empty: anybody who has a key.
    pub issuers: Vec<String>,
    /// For whom one may be made; empty: for anybody.
    pub audiences: Vec<String>,
    /// What the names of claims may begin with that mean us.
    pub namespace: Option<String>,
}

/// What signatures are verified with.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A secret that is shared with who makes tokens.
    Secret(Secret),
    /// The public key of who makes tokens.
    PublicKey(VerifyingKey),
    /// Where who makes tokens publishes its keys.
    Jwks(HttpUrl),
}

/// Verifies tokens.
#[derive(Debug)]
pub(super) struct Jwt {
    keys: Keys,
    issuers: Vec<String>,
    audiences: Vec<String>,
    namespace: Option<String>,
}

#[derive(Debug)]
enum Keys {
    Fixed(VerifyingKey),
    Published(Jwks),
}

/// What is looked at of a token's head before its signature is verified.
#[derive(Deserialize)]
struct Head {
    kid: Option<String>,
    /// Extensions that must be understood (RFC 7515, section 4.1.11). We know none.
    crit: Option<Value>,
}

impl Jwt {
    /// `outbound` is asked only where keys are published.
    pub(super) fn new(config: &JwtConfig, outbound: Option<&Outbound>) -> Option<Jwt> {
        let keys = match &config.keys {
            KeySource::Secret(secret) => Keys::Fixed(VerifyingKey::of_secret(secret)),
            KeySource::PublicKey(key) => Keys::Fixed(key.clone()),
            KeySource::Jwks(url) => Keys::Published(Jwks::new(url.clone(), outbound?.clone())),
        };
        let (issuers, audiences) = (config.issuers.clone(), config.audiences.clone());
        Some(Jwt { keys, issuers, audiences, namespace: config.namespace.clone() })
    }

    /// What a token says of who shows it; `None` if it does not count.
    pub(super) async fn claims(&self, token: &str) -> Option<Claims> {
        if token.len() > LONGEST {
            return None;
        }
        let head = head(token)?;
        let payload = match &self.keys {
            Keys::Fixed(key) => self.verify(token, key),
            Keys::Published(jwks) => {
                jwks.candidates(head.kid.as_deref()).await.iter().find_map(|key| self.verify(token, key))
            }
        };
        let claims = Claims::from(payload.filter(is_current)?);
        Some(match &self.namespace {
            Some(namespace) => claims.without_prefix(namespace),
            None => claims,
        })
    }

    fn verify(&self, token: &str, key: &VerifyingKey) -> Option<Map<String, Value>> {
        let mut validation = Validation::new(*key.algorithms.first()?);
        validation.algorithms.clone_from(&key.algorithms);
        // By `is_current`: here a time that is no number would count as none.
        validation.validate_exp = false;
        validation.validate_aud = !self.audiences.is_empty();
        let mut required = Vec::new();
        if !self.issuers.is_empty() {
            validation.set_issuer(&self.issuers);
            required.push("iss");
        }
        if !self.audiences.is_empty() {
            validation.set_audience(&self.audiences);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        decode(token, &key.key, &validation).ok().map(|token| token.claims)
    }
}

fn head(token: &str) -> Option<Head> {
    let (head, _) = token.split_once('.')?;
    let head: Head = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
    head.crit.is_none().then_some(head)
}

/// Whether a token is neither expired nor from the future. One that says nothing of it is not.
fn is_current(payload: &Map<String, Value>) -> bool {
    let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) else { return false };
    let now = now.as_secs_f64();
    let holds = |name: &str, test: &dyn Fn(f64) -> bool| match payload.get(name) {
        None => true,
        Some(at) => at.as_f64().is_some_and(test),
    };
    holds("exp", &|exp| now < exp + LEEWAY) && holds("nbf", &|nbf| nbf - LEEWAY <= now)
}

#[cfg(test)]
mod tests;
