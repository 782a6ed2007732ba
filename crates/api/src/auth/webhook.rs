//! Callers that a webhook knows.
//!
//! It is sent the headers of the request, and answers 2xx with an object: what it knows of the caller, as the claims of a
//! token. Any other answer, and none, is that it does not know them. An answer may be kept for a while, by all the headers
//! that it was given for; that there was none is not kept.

use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use moka::future::Cache;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::claims::Claims;
use super::outbound::{HttpUrl, Outbound, Question};
use super::secret::Hash;

/// What is about the connection or the body of the request and not about its sender; the first three as in the original.
const NOT_SENT: [&str; 14] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "accept-encoding",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "proxy-connection",
    "proxy-authorization",
];
/// How many answers are kept at most.
const MOST_KEPT: u64 = 10_000;

/// Where callers are known.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    pub url: HttpUrl,
    /// How long its answers are kept; zero: not at all.
    pub keep: Duration,
}

/// Asks the webhook.
#[derive(Debug)]
pub(super) struct Webhook {
    url: HttpUrl,
    outbound: Outbound,
    kept: Option<Cache<Hash, Option<Claims>>>,
}

impl Webhook {
    pub(super) fn new(config: &WebhookConfig, outbound: Outbound) -> Webhook {
        let cache = || Cache::builder().max_capacity(MOST_KEPT).time_to_live(config.keep).build();
        Webhook { url: config.url.clone(), outbound, kept: (!config.keep.is_zero()).then(cache) }
    }

    /// What is known of who shows these headers; `None`: nothing.
    pub(super) async fn claims(&self, headers: &HeaderMap) -> Option<Claims> {
        let sent = sent(headers);
        let answer = match &self.kept {
            Some(kept) => kept.try_get_with(hash(&sent), self.ask(sent)).await.map_err(|problem| problem.to_string()),
            None => self.ask(sent).await,
        };
        match answer {
            Ok(claims) => claims,
            Err(problem) => {
                tracing::warn!(problem, "the webhook that knows callers did not answer; the caller stays anonymous");
                None
            }
        }
    }

    async fn ask(&self, mut headers: Vec<(HeaderName, HeaderValue)>) -> Result<Option<Claims>, String> {
        headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        let question =
            Question { method: Method::POST, url: self.url.clone(), headers, body: Bytes::from_static(b"{}") };
        let answer = self.outbound.ask(question).await?;
        if !(200..300).contains(&answer.status) {
            return Ok(None);
        }
        match serde_json::from_slice(&answer.body) {
            Ok(Value::Object(claims)) => Ok(Some(claims.into())),
            Ok(_) | Err(_) => Ok(None),
        }
    }
}

fn sent(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let mut sent: Vec<_> = headers
        .iter()
        .filter(|(name, _)| !NOT_SENT.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    // Stable: values of one name keep their order.
    sent.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    sent
}

fn hash(headers: &[(HeaderName, HeaderValue)]) -> Hash {
    let mut hash = Sha256::new();
    for (name, value) in headers {
        // Neither can hold a NUL.
        hash.update(name.as_str());
        hash.update([0]);
        hash.update(value.as_bytes());
        hash.update([0]);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
