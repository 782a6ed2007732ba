//! Who made a request, and what they may do.

use std::fmt;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, ready};
use posthaste_core::entity::Field;
use posthaste_core::ids::ApiKeyId;

use super::claims::Claims;
use super::grant::{Grant, Operation};
use super::key::KeyAccess;
use super::rules::{ADMIN, Rules};
use crate::app::App;
use crate::error::ApiError;

/// Who made a request. Cheap to clone. A handler takes it, asks it for a [`Grant`], and only then looks at the rest of the
/// request: who may not do something learns nothing, not even whether the request was well made.
#[derive(Clone)]
pub struct Caller(Arc<Inner>);

struct Inner {
    identity: Identity,
    /// Whether there were valid credentials.
    authenticated: bool,
    actor: String,
    rules: Arc<Rules>,
}

enum Identity {
    /// May do everything.
    Administrator,
    /// May do what the rules say.
    Roles { roles: Vec<String>, claims: Claims },
    /// May do what an API key is good for.
    Key(KeyAccess),
}

impl Caller {
    /// Whoever shows these headers, by name and value; for connections that carry credentials in another way than a request
    /// does. Those that could be no headers are left out.
    ///
    /// # Errors
    /// As for a request: it cannot be said now, or is said too often.
    pub async fn from_headers(
        app: &App,
        headers: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Caller, ApiError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                map.append(name, value);
            }
        }
        app.auth.identify(&map).await
    }

    /// What they may do with an entity.
    ///
    /// # Errors
    /// They may not: [`ApiError::Forbidden`] if they had valid credentials, and otherwise [`ApiError::Unauthorized`].
    pub fn grant<F: Field>(&self, operation: Operation) -> Result<Grant<F>, ApiError> {
        let granted = match &self.0.identity {
            Identity::Administrator => Some(Grant::everything()),
            Identity::Roles { roles, claims } => self.0.rules.grant(operation, roles, claims),
            Identity::Key(access) => access.grant(operation),
        };
        granted.ok_or_else(|| self.denied())
    }

    /// Makes sure that they may do what only administrators may: API keys, the audit log.
    ///
    /// # Errors
    /// As [`Caller::grant`].
    pub fn administer(&self) -> Result<(), ApiError> {
        match &self.0.identity {
            Identity::Administrator => Ok(()),
            Identity::Roles { .. } | Identity::Key(_) => Err(self.denied()),
        }
    }

    /// For the audit log: `admin`, `key:7`, `user:42`, `anonymous`.
    #[must_use]
    pub fn actor(&self) -> &str {
        &self.0.actor
    }

    fn denied(&self) -> ApiError {
        if self.0.authenticated { ApiError::Forbidden } else { ApiError::Unauthorized }
    }

    /// Anybody, where nobody is asked for credentials.
    pub(super) fn everybody(rules: &Arc<Rules>) -> Caller {
        Caller::new(rules, Identity::Administrator, false, "anonymous".to_owned())
    }

    /// Who knows the admin secret.
    pub(super) fn admin(rules: &Arc<Rules>) -> Caller {
        Caller::new(rules, Identity::Administrator, true, "admin".to_owned())
    }

    /// Nobody knows who.
    pub(super) fn anonymous(rules: &Arc<Rules>) -> Caller {
        let identity = Identity::Roles { roles: vec![rules.anonymous_role.clone()], claims: Claims::default() };
        Caller::new(rules, identity, false, "anonymous".to_owned())
    }

    /// Who has an API key.
    pub(super) fn with_key(rules: &Arc<Rules>, id: ApiKeyId, access: KeyAccess) -> Caller {
        Caller::new(rules, Identity::Key(access), true, format!("key:{id}"))
    }

    /// Whoever has these claims, in whose roles they are.
    pub(super) fn with_claims(rules: &Arc<Rules>, claims: Claims) -> Caller {
        let roles = claims.roles(&rules.roles_at);
        Caller::with_roles(rules, roles, claims)
    }

    /// Somebody with valid credentials.
    pub(super) fn with_roles(rules: &Arc<Rules>, mut roles: Vec<String>, claims: Claims) -> Caller {
        let actor = claims.user().map_or_else(|| "user".to_owned(), |user| format!("user:{user}"));
        if roles.iter().any(|role| role == ADMIN) {
            return Caller::new(rules, Identity::Administrator, true, actor);
        }
        if roles.is_empty() {
            roles.push(rules.anonymous_role.clone());
        }
        Caller::new(rules, Identity::Roles { roles, claims }, true, actor)
    }

    fn new(rules: &Arc<Rules>, identity: Identity, authenticated: bool, actor: String) -> Caller {
        Caller(Arc::new(Inner { identity, authenticated, actor, rules: Arc::clone(rules) }))
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Caller").field(&self.0.actor).finish()
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Caller, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let known = request.extensions().get::<Caller>().cloned();
        if let Some(caller) = known {
            return ready(Ok(caller)).boxed_local();
        }
        let request = request.clone();
        async move {
            let app = request.app_data::<Data<App>>().ok_or(ApiError::Internal)?;
            let caller = app.auth.identify(request.headers()).await?;
            request.extensions_mut().insert(caller.clone());
            Ok(caller)
        }
        .boxed_local()
    }
}
