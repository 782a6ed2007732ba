//! One delivery: one HTTP request, and what its answer means.
//!
//! The only place that names `awc`. It is not `Send`: each worker thread has its own [`Dispatcher`]. No redirect is
//! followed, the address that is connected to is checked against the egress rules ([`connect`]), and reading an answer is
//! bounded in bytes and time, whatever the receiver does.

mod answer;
mod connect;
mod permit;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::body::None as NoBody;
use awc::error::SendRequestError;
use awc::http::Method;
use awc::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use awc::{Client, ClientRequest};
use posthaste_core::address::Egress;
use posthaste_core::ids::Epoch;
use posthaste_core::queue::{CallbackUrl, merge_headers};
use posthaste_core::time::Timestamp;
use posthaste_core::transition::{AttemptResult, ErrorClass, decide, is_expired};
use posthaste_store::outcome::Outcome;
use posthaste_store::payload::{Payload, Target};

use crate::clock::DatabaseClock;
use answer::Answer;
use permit::Guarded;
pub(crate) use permit::{NotSent, Permit};

/// From the start of a delivery to the last byte of the answer's head. Beyond it the attempt has failed.
pub(crate) const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);
/// For the TCP connection, and again for the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An idle connection is closed after this; receivers commonly close theirs after some more.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
const PRODUCT: &str = concat!("Posthaste/", env!("CARGO_PKG_VERSION"));

/// A client is replaced at this age. It looks at an idle connection only when it is about to use it again, so one to a
/// receiver that is not called any more would stay open for ever; with its client it is closed.
const CLIENT_LIFETIME: Duration = Duration::from_secs(10);

/// What a worker thread sends its deliveries with.
pub(crate) struct Dispatcher {
    egress: Egress,
    tls: Arc<rustls::ClientConfig>,
    client: RefCell<(Client, Instant)>,
}

/// A failure before there was an answer: its class, and a sentence for people.
struct Failure(ErrorClass, String);

impl Dispatcher {
    pub(crate) fn new(egress: &Egress) -> Dispatcher {
        let tls = connect::tls();
        let client = client(egress, &tls);
        Dispatcher { egress: egress.clone(), tls, client: RefCell::new((client, Instant::now())) }
    }

    /// The client to send with. Deliveries under way keep theirs.
    fn client(&self) -> Client {
        let mut current = self.client.borrow_mut();
        if current.1.elapsed() >= CLIENT_LIFETIME {
            *current = (client(&self.egress, &self.tls), Instant::now());
        }
        current.0.clone()
    }

    /// Sends `payload` and says what came of it. Ends within [`TOTAL_TIMEOUT`] and the bounds of [`answer`].
    ///
    /// # Errors
    /// `permit` was gone before the request was sent; see [`permit`] for a GET or HEAD without a body.
    pub(crate) async fn deliver(
        &self,
        payload: Payload,
        epoch: Epoch,
        clock: DatabaseClock,
        permit: &Permit,
    ) -> Result<Outcome, NotSent> {
        if !permit.stands() {
            return Err(NotSent);
        }
        let started_at = clock.now();
        let began = Instant::now();
        let answer = match &payload.target {
            Some(target) if is_expired(retries_done(&payload), payload.lifetime, &target.policy) => {
                Err(Failure(ErrorClass::Expired, "the message's time was over before it could be sent".to_owned()))
            }
            Some(target) => self.send(&payload, target, permit).await?,
            None => Err(Failure(ErrorClass::QueueDeleted, "the queue was deleted".to_owned())),
        };
        let finished_at = started_at.saturating_add(began.elapsed());
        Ok(outcome(&payload, epoch, answer, started_at, finished_at))
    }

    async fn send(
        &self,
        payload: &Payload,
        target: &Target,
        permit: &Permit,
    ) -> Result<Result<Answer, Failure>, NotSent> {
        let request = match self.request(payload, target) {
            Ok(request) => request,
            Err(failure) => return Ok(Err(failure)),
        };
        let body = Guarded::new(payload.body.clone().unwrap_or_default(), permit);
        // GET and HEAD without a body announce none; the others say that it is empty (RFC 9110 §8.6).
        let bare = payload.body.is_none() && matches!(target.method.as_str(), "GET" | "HEAD");
        let sent = tokio::time::timeout(TOTAL_TIMEOUT, async {
            if bare { request.send_body(NoBody::new()).await } else { request.send_body(body).await }
        });
        Ok(match sent.await {
            Ok(Ok(response)) => Ok(Answer::read(response).await),
            Ok(Err(SendRequestError::Body(error))) if error.is::<NotSent>() => return Err(NotSent),
            Ok(Err(error)) => Err(connect::classify(error)),
            Err(_) => Err(Failure(ErrorClass::TotalTimeout, timed_out())),
        })
    }

    fn request(&self, payload: &Payload, target: &Target) -> Result<ClientRequest, Failure> {
        let invalid = |what: String| Failure(ErrorClass::InvalidRequest, what);
        let url = CallbackUrl::parse(&target.callback_url).map_err(|error| invalid(error.to_string()))?;
        let method: Method = target.method.parse().map_err(|_| invalid(format!("method {}", target.method)))?;
        let mut request = self.client().request(method, url.uri()).no_decompress();
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
        for (name, value) in merge_headers(target.headers.as_ref(), payload.headers.as_ref()) {
            let parsed =
                HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_bytes(value.as_bytes()).ok());
            let (header, value) = parsed.ok_or_else(|| invalid(format!("header {name} cannot be sent")))?;
            headers.insert(header, value);
        }
        debug_assert!(headers.contains_key(CONTENT_TYPE), "merge_headers gives a default");
        // The same over all attempts, so that a receiver can tell a repetition (Standard Webhooks 1.0.0).
        if let Ok(id) = HeaderValue::from_str(&format!("msg_{}", payload.id)) {
            headers.insert(HeaderName::from_static("webhook-id"), id);
        }
        Ok(request)
    }
}

fn client(egress: &Egress, tls: &Arc<rustls::ClientConfig>) -> Client {
    let connector = awc::Connector::new()
        .connector(connect::guarded(egress.clone()))
        .rustls_0_23(Arc::clone(tls))
        .timeout(CONNECT_TIMEOUT)
        .handshake_timeout(CONNECT_TIMEOUT)
        .conn_keep_alive(KEEP_ALIVE)
        // How many deliveries run at once is the gate's decision; a second limit here could only deadlock with it.
        .limit(0);
    Client::builder().connector(connector).disable_redirects().no_default_headers().timeout(TOTAL_TIMEOUT).finish()
}

fn timed_out() -> String {
    format!("no answer within {} s", TOTAL_TIMEOUT.as_secs())
}

/// The outcome of a delivery that ended without an answer and without blame on the receiver, such as a bug of ours: it
/// counts as a failed attempt, so that it is retried within the queue's bounds.
pub(crate) fn broken(payload: &Payload, epoch: Epoch, clock: DatabaseClock) -> Outcome {
    let now = clock.now();
    let failure = Failure(ErrorClass::Protocol, "the delivery broke off".to_owned());
    outcome(payload, epoch, Err(failure), now, now)
}

fn retries_done(payload: &Payload) -> u32 {
    u32::try_from(payload.attempt).unwrap_or(0)
}

fn outcome(
    payload: &Payload,
    epoch: Epoch,
    answer: Result<Answer, Failure>,
    started_at: Timestamp,
    finished_at: Timestamp,
) -> Outcome {
    let result = match &answer {
        Ok(answer) => AttemptResult::Status(answer.status),
        Err(Failure(class, _)) => AttemptResult::Error(*class),
    };
    let lifetime = payload.lifetime.after(finished_at.since(started_at));
    let policy = payload.target.as_ref().map(|target| target.policy).unwrap_or_default();
    let verdict = decide(result, retries_done(payload), lifetime, &policy);
    let mut outcome = Outcome {
        id: payload.id,
        attempt: payload.attempt,
        shard: payload.shard,
        epoch,
        verdict,
        started_at,
        finished_at,
        status: None,
        error_class: result.error_class(),
        error: None,
        response_headers: None,
        response_body: None,
    };
    match answer {
        Ok(answer) => {
            outcome.status = Some(answer.status);
            outcome.response_headers = answer.headers;
            outcome.response_body = answer.body;
        }
        Err(Failure(_, text)) => outcome.error = Some(text),
    }
    outcome
}
