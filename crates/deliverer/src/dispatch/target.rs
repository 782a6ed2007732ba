//! Where a queue's messages go, made ready once for each revision of its settings: everything that all of its deliveries have
//! in common.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use awc::http::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use awc::http::{Method, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use posthaste_core::credentials::{self, Credentials};
use posthaste_core::ids::QueueId;
use posthaste_core::queue::{CallbackUrl, merge_headers};
use posthaste_core::seal::{Context, Keys, Purpose};
use posthaste_core::signature::{Secret, Signer};
use posthaste_core::time::Timestamp;
use posthaste_core::transition::{ErrorClass, RetryPolicy};
use posthaste_store::queue_secret::SealedSecret;
use posthaste_store::target::Settings;
use rustls::RootCertStore;

use super::classify::Failure;
use super::client::{self, Certificates, Renewing};
use super::connect::Ways;
use super::oauth::{Grant, Tokens};
use crate::config::DeliveryDefaults;

const PRODUCT: &str = concat!("Posthaste/", env!("CARGO_PKG_VERSION"));
pub(super) const QUEUE: HeaderName = HeaderName::from_static("posthaste-queue");

/// What a header's value cannot have, and what would make it ambiguous.
pub(super) const NOT_IN_HEADERS: &AsciiSet = &CONTROLS.add(b'%');

/// Queues remembered, at most: those of many tenants, not of all that there ever were.
const MOST: usize = 10_000;

/// Where a queue's messages go, and how.
#[derive(Debug)]
pub(crate) struct Target {
    revision: i64,
    pub(crate) policy: RetryPolicy,
    pub(super) connect_timeout: Duration,
    pub(super) total_timeout: Duration,
    /// What cannot be called fails every delivery in the same way.
    pub(super) route: Result<Route, Failure>,
}

/// What every request to a receiver has in common.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) uri: Uri,
    pub(super) method: Method,
    /// Those of the queue, and ours that are the same for every message.
    pub(super) headers: HeaderMap,
    /// What requests are signed with, each until when.
    pub(super) signers: Vec<(Signer, Option<Timestamp>)>,
    pub(super) authorization: Authorization,
    /// Where the queue has certificates of its own.
    pub(super) client: Option<Renewing>,
}

/// What a request shows the receiver.
#[derive(Debug)]
pub(super) enum Authorization {
    None,
    Header(HeaderName, HeaderValue),
    Oauth(Tokens),
}

impl Target {
    pub(super) fn new(settings: Settings, workshop: &Workshop) -> Target {
        let defaults = &workshop.defaults;
        Target {
            revision: settings.revision,
            route: route(&settings, workshop),
            connect_timeout: settings.timeouts.connect.unwrap_or(defaults.connect_timeout),
            total_timeout: settings.timeouts.total.unwrap_or(defaults.total_timeout),
            policy: RetryPolicy {
                backoff: settings.backoff.unwrap_or_else(|| defaults.backoff.clone()),
                max_retries: settings.max_retries,
                max_age: settings.max_age,
                final_statuses: settings.final_statuses,
            },
        }
    }
}

fn route(settings: &Settings, workshop: &Workshop) -> Result<Route, Failure> {
    let url = CallbackUrl::parse(&settings.callback_url).map_err(|error| invalid(error.to_string()))?;
    let method = settings.method.parse().map_err(|_| invalid(format!("method {}", settings.method)))?;
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
    for (name, value) in merge_headers(settings.headers.as_ref(), None) {
        let (name, value) = header(&name, &value)?;
        headers.insert(name, value);
    }
    let name = utf8_percent_encode(&settings.name, NOT_IN_HEADERS).to_string();
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(QUEUE, name);
    }
    let credentials = workshop.credentials(settings)?;
    let (authorization, client) = match credentials {
        Some(credentials) => (authorization(credentials.authorization.as_ref())?, workshop.client(&credentials)?),
        None => (Authorization::None, None),
    };
    let signers = workshop.signers(settings)?;
    Ok(Route { uri: url.uri().clone(), method, headers, signers, authorization, client })
}

fn authorization(given: Option<&credentials::Authorization>) -> Result<Authorization, Failure> {
    let secret = |name: &str, value: &str| {
        let (name, mut value) = header(name, value)?;
        value.set_sensitive(true);
        Ok(Authorization::Header(name, value))
    };
    match given {
        None => Ok(Authorization::None),
        Some(credentials::Authorization::Bearer { token }) => secret("authorization", &format!("Bearer {token}")),
        Some(credentials::Authorization::Basic { username, password }) => {
            secret("authorization", &format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
        }
        Some(credentials::Authorization::Header { name, value }) => secret(&name.to_ascii_lowercase(), value),
        Some(credentials::Authorization::Oauth2 {
            token_url,
            client_id,
            client_secret,
            scope,
            audience,
            client_authentication,
        }) => Ok(Authorization::Oauth(Tokens::new(Grant {
            token_url: token_url.clone(),
            client_id: client_id.clone(),
            client_secret: client_secret.clone(),
            scope: scope.clone(),
            audience: audience.clone(),
            authentication: *client_authentication,
        }))),
    }
}

fn invalid(what: String) -> Failure {
    Failure(ErrorClass::InvalidRequest, what)
}

/// What targets are made with.
#[derive(Debug)]
pub(crate) struct Workshop {
    pub(super) defaults: DeliveryDefaults,
    pub(super) keys: Option<Keys>,
    pub(super) ways: Rc<Ways>,
    pub(super) roots: Arc<RootCertStore>,
}

impl Workshop {
    fn signers(&self, settings: &Settings) -> Result<Vec<(Signer, Option<Timestamp>)>, Failure> {
        let mut signers = Vec::with_capacity(settings.secrets.len());
        for SealedSecret { queue, scheme, sealed, expires_at } in &settings.secrets {
            let context = Context { purpose: Purpose::SigningSecret, queue: *queue };
            // A request that its receiver expects to be signed must not go out without.
            let signer = scheme
                .and_then(|scheme| Secret::from_bytes(scheme, self.open(context, sealed).ok()?).ok())
                .and_then(|secret| secret.signer().ok());
            let signer = match signer {
                Some(signer) => signer,
                None => return Err(self.unopened(context, sealed)),
            };
            signers.push((signer, *expires_at));
        }
        Ok(signers)
    }

    fn credentials(&self, settings: &Settings) -> Result<Option<Credentials>, Failure> {
        let Some(sealed) = &settings.credentials else { return Ok(None) };
        let context = Context { purpose: Purpose::Credentials, queue: settings.queue };
        let text = self.open(context, sealed)?;
        let read = std::str::from_utf8(&text).ok().and_then(|text| Credentials::parse(text).ok());
        read.map(Some).ok_or_else(|| Failure(ErrorClass::Secrets, "the queue's credentials make no sense".to_owned()))
    }

    fn client(&self, credentials: &Credentials) -> Result<Option<Renewing>, Failure> {
        if credentials.client_certificate.is_none() && credentials.ca_certificates.is_none() {
            return Ok(None);
        }
        let unusable =
            |error: &dyn std::fmt::Display| Failure(ErrorClass::Tls, format!("the queue's certificates: {error}"));
        let own = match &credentials.client_certificate {
            Some(own) => {
                Some((own.chain().map_err(|error| unusable(&error))?, own.key().map_err(|error| unusable(&error))?))
            }
            None => None,
        };
        let authorities = credentials.authorities().map_err(|error| unusable(&error))?;
        let tls = client::tls(&self.roots, Certificates { authorities, own }).map_err(|error| unusable(&error))?;
        Ok(Some(Renewing::new(Rc::clone(&self.ways), tls)))
    }

    fn open(&self, context: Context, sealed: &[u8]) -> Result<Vec<u8>, Failure> {
        let keys = self.keys.as_ref().ok_or_else(|| self.unopened(context, sealed))?;
        keys.open(context, sealed).map_err(|_| self.unopened(context, sealed))
    }

    fn unopened(&self, context: Context, sealed: &[u8]) -> Failure {
        let what = match context.purpose {
            Purpose::SigningSecret => "a signing secret of the queue",
            Purpose::Credentials => "the queue's credentials",
        };
        let why = match self.keys.as_ref().map(|keys| keys.open(context, sealed)) {
            None => "this deliverer has no SECRETS_KEY".to_owned(),
            Some(Err(error)) => error.to_string(),
            Some(Ok(_)) => "it is of a kind that this version does not know".to_owned(),
        };
        Failure(ErrorClass::Secrets, format!("{what} cannot be used: {why}"))
    }
}

/// A header as the client takes it. It was checked when it was stored; somebody may have stored it by other ways.
pub(super) fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_bytes(value.as_bytes()).ok());
    parsed.ok_or_else(|| Failure(ErrorClass::InvalidRequest, format!("header {name} cannot be sent")))
}

/// The targets that a thread knows.
#[derive(Debug, Default)]
pub(crate) struct Targets(HashMap<QueueId, Rc<Target>>);

impl Targets {
    /// The target of a queue at this revision, or a later one.
    pub(crate) fn get(&self, queue: QueueId, revision: i64) -> Option<&Rc<Target>> {
        self.0.get(&queue).filter(|target| target.revision >= revision)
    }

    /// Lets go of connections that nobody uses any more. To be called now and then.
    pub(crate) fn sweep(&self) {
        let routes = self.0.values().filter_map(|target| target.route.as_ref().ok());
        routes.filter_map(|route| route.client.as_ref()).for_each(Renewing::sweep);
    }

    /// Makes what was read ready for use.
    pub(crate) fn learn(&mut self, settings: Vec<Settings>, workshop: &Workshop) {
        if self.0.len() + settings.len() > MOST {
            self.0.clear();
        }
        for settings in settings {
            self.0.insert(settings.queue, Rc::new(Target::new(settings, workshop)));
        }
    }
}
