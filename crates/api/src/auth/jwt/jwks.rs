//! Keys that who makes tokens publishes (JWKS, RFC 7517).
//!
//! They are read when the first token comes, and again when they are old, or when a token names a key that is not among
//! them: then it may just have been added. As anybody can name a key, that happens only so often. While they cannot be
//! read the old ones stay.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use actix_web::http::Method;
use actix_web::http::header::{ACCEPT, HeaderValue};
use actix_web::web::Bytes;
use serde_json::Value;
use tokio::sync::Mutex;

use super::key::VerifyingKey;
use crate::auth::outbound::{HttpUrl, Outbound, Question};

/// How many keys are looked at.
const MOST_KEYS: usize = 100;

/// When keys are read again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// How long they count as new.
    pub(super) lifetime: Duration,
    /// The shortest time between two readings.
    pub(super) between: Duration,
    /// The same after one that failed.
    pub(super) after_failure: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            lifetime: Duration::from_secs(600),
            between: Duration::from_secs(30),
            after_failure: Duration::from_secs(5),
        }
    }
}

/// The keys at a URL.
#[derive(Debug)]
pub(super) struct Jwks {
    url: HttpUrl,
    outbound: Outbound,
    timing: Timing,
    published: RwLock<Arc<Published>>,
    /// When the last reading ended, and whether it succeeded. Held while one is under way.
    last: Mutex<Option<(Instant, bool)>>,
}

#[derive(Debug, Default)]
struct Published {
    keys: Vec<(Option<String>, VerifyingKey)>,
    since: Option<Instant>,
}

impl Jwks {
    pub(super) fn new(url: HttpUrl, outbound: Outbound) -> Jwks {
        Jwks::with_timing(url, outbound, Timing::default())
    }

    pub(super) fn with_timing(url: HttpUrl, outbound: Outbound, timing: Timing) -> Jwks {
        Jwks { url, outbound, timing, published: RwLock::default(), last: Mutex::new(None) }
    }

    /// The keys that a token which names this one may be signed with; all of them if it names none.
    pub(super) async fn candidates(&self, kid: Option<&str>) -> Vec<VerifyingKey> {
        let published = self.published();
        let found = published.named(kid);
        if found.is_empty() {
            // Who waits here finds what the one before has read.
            self.refresh(&mut *self.last.lock().await).await;
        } else if published.since.is_none_or(|since| since.elapsed() >= self.timing.lifetime)
            && let Ok(mut last) = self.last.try_lock()
        {
            self.refresh(&mut last).await;
        } else {
            return found;
        }
        self.published().named(kid)
    }

    fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn refresh(&self, last: &mut Option<(Instant, bool)>) {
        let wait = |succeeded| if succeeded { self.timing.between } else { self.timing.after_failure };
        if last.is_some_and(|(at, succeeded)| at.elapsed() < wait(succeeded)) {
            return;
        }
        let read = self.read().await;
        *last = Some((Instant::now(), read.is_ok()));
        match read {
            Ok(keys) => {
                let published = Published { keys, since: Some(Instant::now()) };
                *self.published.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(published);
            }
            Err(problem) => {
                tracing::warn!(problem, "the keys of tokens cannot be read; those known before still count")
            }
        }
    }

    async fn read(&self) -> Result<Vec<(Option<String>, VerifyingKey)>, String> {
        let headers = vec![(ACCEPT, HeaderValue::from_static("application/json"))];
        let question = Question { method: Method::GET, url: self.url.clone(), headers, body: Bytes::new() };
        let answer = self.outbound.ask(question).await?;
        if answer.status != 200 {
            return Err(format!("the answer is {}", answer.status));
        }
        let document: Value = serde_json::from_slice(&answer.body).map_err(|_| "the answer is not JSON".to_owned())?;
        let keys = document.get("keys").and_then(Value::as_array).ok_or("the answer has no keys")?;
        let keys: Vec<_> = keys.iter().take(MOST_KEYS).filter_map(VerifyingKey::of_jwk).collect();
        if keys.is_empty() { Err("the answer has no key that can be used".to_owned()) } else { Ok(keys) }
    }
}

impl Published {
    fn named(&self, kid: Option<&str>) -> Vec<VerifyingKey> {
        let is_named = |name: &Option<String>| kid.is_none() || name.as_deref() == kid;
        self.keys.iter().filter(|(name, _)| is_named(name)).map(|(_, key)| key.clone()).collect()
    }
}
