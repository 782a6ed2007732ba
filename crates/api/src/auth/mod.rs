//! Who asks, and what they may do.
//!
//! Each request is given a [`Caller`] once, from its credentials. The first kind that it shows decides:
//!
//! 1. `X-PLATFORMATIC-ADMIN-SECRET`: an administrator, or whoever the headers beside it name.
//! 2. `X-API-Key`, or `Authorization: Bearer`, with a key of ours: what that key is good for.
//! 3. `Authorization: Bearer` with a token, where tokens are configured: who it names, in the roles that it names.
//! 4. Whatever a webhook makes of the headers, where there is one.
//!
//! Credentials that are not valid are as none: the caller is anonymous. What anonymous callers may do is up to the rules;
//! by default it is nothing. Where no kind of credentials is configured and there are no rules, everybody may do everything,
//! which `Config` allows on loopback addresses only, unless told otherwise.

mod caller;
pub mod claims;
pub mod grant;
pub mod jwt;
pub mod key;
#[cfg(test)]
mod local;
pub mod outbound;
pub mod rules;
mod secret;
pub mod webhook;

use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use serde_json::Value;

pub use caller::Caller;
pub use grant::{Grant, Operation};

use self::claims::{Claims, split};
use self::jwt::Jwt;
use self::key::{ApiKeys, is_key};
use self::outbound::Outbound;
use self::rules::{ADMIN, Rules};
use self::secret::SecretDigest;
use self::webhook::Webhook;
use crate::config::AuthorizationConfig;
use crate::database::Database;
use crate::error::ApiError;

const API_KEY: &str = "x-api-key";
const SECRET: &str = "x-platformatic-admin-secret";
const ROLE: &str = "x-platformatic-role";
/// What headers begin with that count beside the admin secret.
const CLAIM_PREFIX: &str = "x-platformatic-";

/// What tells who asks.
#[derive(Debug)]
pub struct Auth {
    admin_secret: Option<SecretDigest>,
    /// `None` where nobody is asked for one.
    keys: Option<ApiKeys>,
    jwt: Option<Jwt>,
    webhook: Option<Webhook>,
    rules: Arc<Rules>,
    /// Nothing is configured: everybody may do everything.
    open: bool,
    // Those who come with most requests, made once.
    everybody: Caller,
    admin: Caller,
    anonymous: Caller,
}

impl Auth {
    /// As configured. `database` is where API keys are.
    ///
    /// # Errors
    /// There is no thread for requests of its own.
    pub fn start(config: &AuthorizationConfig, database: Database) -> std::io::Result<Auth> {
        let rules = Arc::new(config.rules.clone().unwrap_or_default());
        let outbound = if config.asks_others() { Some(Outbound::start()?) } else { None };
        let keys = (!config.is_open()).then(|| ApiKeys::new(database, Arc::clone(&rules)));
        Ok(Auth::new(config, rules, keys, outbound))
    }

    fn new(config: &AuthorizationConfig, rules: Arc<Rules>, keys: Option<ApiKeys>, outbound: Option<Outbound>) -> Auth {
        let webhook = config.webhook.as_ref().zip(outbound.clone());
        Auth {
            admin_secret: config.admin_secret.as_ref().map(SecretDigest::of),
            keys,
            jwt: config.jwt.as_ref().and_then(|jwt| Jwt::new(jwt, outbound.as_ref())),
            webhook: webhook.map(|(webhook, outbound)| Webhook::new(webhook, outbound)),
            open: config.is_open(),
            everybody: Caller::everybody(&rules),
            admin: Caller::admin(&rules),
            anonymous: Caller::anonymous(&rules),
            rules,
        }
    }

    /// Who shows these headers.
    ///
    /// # Errors
    /// It cannot be said now ([`ApiError::Unavailable`]), or is said too often ([`ApiError::RateLimited`]). Credentials that
    /// are not valid are no error.
    pub async fn identify(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        if self.open {
            return Ok(self.everybody.clone());
        }
        if let Some(secret) = &self.admin_secret
            && let Some(given) = headers.get(SECRET)
        {
            let valid = secret.is(given.as_bytes());
            return Ok(if valid { self.named_by(headers) } else { self.anonymous.clone() });
        }
        let bearer = bearer(headers);
        let own = headers.get(API_KEY).and_then(|key| key.to_str().ok()).into_iter().chain(bearer);
        if let Some(key) = own.map(str::trim).find(|text| is_key(text)) {
            let found = match &self.keys {
                Some(keys) => keys.find(key).await?,
                None => None,
            };
            return Ok(found.unwrap_or_else(|| self.anonymous.clone()));
        }
        if let (Some(jwt), Some(token)) = (&self.jwt, bearer)
            && let Some(claims) = jwt.claims(token).await
        {
            return Ok(Caller::with_claims(&self.rules, claims));
        }
        if let Some(webhook) = &self.webhook
            && let Some(claims) = webhook.claims(headers).await
        {
            return Ok(Caller::with_claims(&self.rules, claims));
        }
        Ok(self.anonymous.clone())
    }

    /// Whoever the headers beside a valid admin secret name: without a role, an administrator.
    fn named_by(&self, headers: &HeaderMap) -> Caller {
        let roles = headers.get(ROLE).and_then(|role| role.to_str().ok()).map(split).unwrap_or_default();
        if roles.is_empty() || roles.iter().any(|role| role == ADMIN) {
            return self.admin.clone();
        }
        let claims: Claims = headers
            .iter()
            .filter(|(name, _)| name.as_str().starts_with(CLAIM_PREFIX) && name.as_str() != SECRET)
            .filter_map(|(name, value)| {
                Some((name.as_str().to_ascii_uppercase(), Value::from(value.to_str().ok()?.trim())))
            })
            .collect();
        Caller::with_roles(&self.rules, roles, claims)
    }
}

/// What `Authorization: Bearer` is followed by.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim_start().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
}

#[cfg(test)]
mod tests;
