//! Who asks, and what they may do.
//!
//! Each request is given a [`Caller`] once, from its credentials. The first kind that it shows decides:
//!
//! 1. `X-PLATFORMATIC-ADMIN-SECRET`: an administrator, or whoever the headers beside it name.
//!
//! Credentials that are not valid are as none: the caller is anonymous. What anonymous callers may do is up to the rules;
//! by default it is nothing. Where no kind of credentials is configured and there are no rules, everybody may do everything,
//! which `Config` allows on loopback addresses only, unless told otherwise.

mod caller;
pub mod claims;
pub mod grant;
pub mod rules;
mod secret;

use std::sync::Arc;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderMap;
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError};
use serde_json::Value;

pub use caller::Caller;

use crate::auth::claims::{Claims, split};
use crate::auth::rules::{ADMIN, Rules};
use crate::auth::secret::SecretDigest;
use crate::config::AuthorizationConfig;
use crate::error::ApiError;

const SECRET: &str = "x-platformatic-admin-secret";
const ROLE: &str = "x-platformatic-role";
/// What headers begin with that count beside the admin secret.
const CLAIM_PREFIX: &str = "x-platformatic-";

/// What tells who asks.
#[derive(Debug)]
pub struct Auth {
    admin_secret: Option<SecretDigest>,
    rules: Arc<Rules>,
    /// Nothing is configured: everybody may do everything.
    open: bool,
    // Those who come with most requests, made once.
    everybody: Caller,
    admin: Caller,
    anonymous: Caller,
}

impl Auth {
    /// As configured.
    #[must_use]
    pub fn new(config: &AuthorizationConfig) -> Auth {
        let rules = Arc::new(config.rules.clone().unwrap_or_default());
        Auth {
            admin_secret: config.admin_secret.as_ref().map(SecretDigest::of),
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

/// Lets a request through that an administrator makes.
///
/// # Errors
/// Those of the service behind it.
pub async fn require_secret<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let allowed = request.extract::<Caller>().await.and_then(|caller| caller.administer());
    match allowed {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        Err(error) => Ok(request.into_response(error.error_response()).map_into_right_body()),
    }
}

#[cfg(test)]
mod tests;
