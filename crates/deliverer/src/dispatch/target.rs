//! Where a queue's messages go, made ready once for each revision of its settings: everything that all of its deliveries have
//! in common.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use awc::http::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use awc::http::{Method, Uri};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use posthaste_core::ids::QueueId;
use posthaste_core::queue::{CallbackUrl, merge_headers};
use posthaste_core::transition::{ErrorClass, RetryPolicy};
use posthaste_store::target::Settings;

use super::classify::Failure;
use crate::config::DeliveryDefaults;

const PRODUCT: &str = concat!("Posthaste/", env!("CARGO_PKG_VERSION"));
pub(super) const QUEUE: HeaderName = HeaderName::from_static("posthaste-queue");

/// What a header's value cannot have, and what would make it ambiguous.
const NOT_IN_HEADERS: &AsciiSet = &CONTROLS.add(b'%');

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
}

impl Target {
    fn new(settings: Settings, defaults: &DeliveryDefaults) -> Target {
        Target {
            revision: settings.revision,
            route: route(&settings),
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

fn route(settings: &Settings) -> Result<Route, Failure> {
    let invalid = |what: String| Failure(ErrorClass::InvalidRequest, what);
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
    Ok(Route { uri: url.uri().clone(), method, headers })
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

    /// Makes what was read ready for use.
    pub(crate) fn learn(&mut self, settings: Vec<Settings>, defaults: &DeliveryDefaults) {
        if self.0.len() + settings.len() > MOST {
            self.0.clear();
        }
        for settings in settings {
            self.0.insert(settings.queue, Rc::new(Target::new(settings, defaults)));
        }
    }
}
