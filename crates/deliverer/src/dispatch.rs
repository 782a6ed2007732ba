//! One delivery: one HTTP request, and what its answer means.
//!
//! The only place that names `awc`. It is not `Send`: each worker thread has its own [`Dispatcher`]. No redirect is
//! followed, the address that is connected to is checked against the egress rules ([`connect`]), and reading an answer is
//! bounded in bytes and time, whatever the receiver does.
//!
//! An attempt ends within its total timeout and [`answer::PATIENCE`]: the former is for everything up to the end of the answer's
//! head, and the connect timeout for the part of it until there is a connection, TLS included.

mod answer;
mod attempt;
mod call;
mod classify;
mod client;
mod connect;
mod oauth;
mod permit;
mod proxy;
mod request;
mod target;
mod wire;

use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_http::body::None as NoBody;
use awc::{ClientRequest, ClientResponse, SendClientRequest};
use bytes::Bytes;
use posthaste_core::transition::{ErrorClass, is_expired};
use posthaste_service::traces::{Side, Traces};
use posthaste_store::outcome::Timings;
use posthaste_store::payload::{Payload, Trace};
use posthaste_store::target::Settings;

use crate::clock::DatabaseClock;
use crate::config::Config;
use answer::Answer;
pub(crate) use attempt::{Attempt, Report};
use call::Call;
pub(crate) use classify::Failure;
use classify::{classify, not_connected, timed_out};
use client::{Renewing, public_tls, system_roots};
use connect::Ways;
use permit::Guarded;
pub(crate) use permit::{NotSent, Permit};
pub use proxy::Proxy;
use request::{Identity, headers};
use target::{Authorization, Workshop};
pub(crate) use target::{Target, Targets};

/// What a worker thread sends its deliveries with.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    client: Renewing,
    workshop: Workshop,
    traces: Traces,
}

impl Dispatcher {
    pub(crate) fn new(config: &Config, traces: Traces) -> Dispatcher {
        let ways = Rc::new(Ways { egress: config.egress.clone(), proxy: config.proxy.clone() });
        let roots = system_roots();
        let tls = public_tls(&roots);
        let (defaults, keys) = (config.delivery.clone(), config.secrets.clone());
        let client = Renewing::new(Rc::clone(&ways), tls);
        Dispatcher { client, workshop: Workshop { defaults, keys, ways, roots }, traces }
    }

    /// Lets go of connections that nobody uses any more. To be called now and then.
    pub(crate) fn sweep(&self) {
        self.client.sweep();
    }

    /// What targets are made with.
    pub(crate) fn workshop(&self) -> &Workshop {
        &self.workshop
    }

    /// How long an attempt to deliver `payload` may take.
    pub(crate) fn time_limit(&self, payload: &Payload, target: Option<&Target>) -> Duration {
        let of_queue = target.map_or(self.workshop.defaults.total_timeout, |target| target.total_timeout);
        payload.timeouts.total.unwrap_or(of_queue)
    }

    /// Sends `payload` and says what came of it.
    ///
    /// # Errors
    /// `permit` was gone before the request was sent.
    pub(crate) async fn deliver(
        &self,
        attempt: &Attempt,
        payload: Payload,
        target: Option<&Target>,
        clock: DatabaseClock,
        permit: &Permit,
    ) -> Result<Report, NotSent> {
        if !permit.stands() {
            return Err(NotSent);
        }
        let started_at = clock.now();
        let began = Instant::now();
        let nothing = |class, text: &str| Sent::failed(Failure(class, text.to_owned()));
        let sent = match target {
            Some(target) if is_expired(attempt.retries_done(), payload.lifetime, &target.policy) => {
                nothing(ErrorClass::Expired, "the message's time was over before it could be sent")
            }
            Some(target) => {
                // A replay is what it repeats, to whoever looks for repetitions.
                let id = format!("msg_{}", payload.provenance.replay_of.unwrap_or(payload.id));
                let identity = Identity { id: &id, at: started_at, is_test: false };
                self.send(payload, target, &identity, began, permit).await?
            }
            None => nothing(ErrorClass::QueueDeleted, "the queue was deleted"),
        };
        let finished_at = started_at.saturating_add(began.elapsed());
        Ok(Report { answer: sent.answer, started_at, finished_at, timings: sent.timings })
    }

    /// Sends `payload` once, as `id`, for somebody who waits for the answer.
    ///
    /// # Errors
    /// `permit` was gone before the request was sent.
    pub(crate) async fn rehearse(
        &self,
        payload: Payload,
        target: Option<&Target>,
        id: &str,
        clock: DatabaseClock,
        permit: &Permit,
    ) -> Result<Report, NotSent> {
        let started_at = clock.now();
        let began = Instant::now();
        let sent = match target {
            Some(target) => {
                let identity = Identity { id, at: started_at, is_test: true };
                self.send(payload, target, &identity, began, permit).await?
            }
            None => Sent::failed(Failure(ErrorClass::QueueDeleted, "the queue was deleted".to_owned())),
        };
        let finished_at = started_at.saturating_add(began.elapsed());
        Ok(Report { answer: sent.answer, started_at, finished_at, timings: sent.timings })
    }

    /// A target that is not kept.
    pub(crate) fn target(&self, settings: Settings) -> Target {
        Target::new(settings, &self.workshop)
    }

    /// Sends, within a span of its own; the receiver's part of the trace follows that.
    async fn send(
        &self,
        mut payload: Payload,
        target: &Target,
        identity: &Identity<'_>,
        began: Instant,
        permit: &Permit,
    ) -> Result<Sent, NotSent> {
        let mut span =
            self.traces.begin(Side::Client, "attempt", payload.trace.as_ref().map(|trace| trace.parent.as_str()));
        if let Some(parent) = span.traceparent() {
            let state = payload.trace.take().and_then(|trace| trace.state);
            payload.trace = Some(Trace { parent, state });
            span.note("posthaste.message.id", payload.id.0);
            span.note("posthaste.queue.id", payload.queue.0);
            span.note("posthaste.attempt", i64::from(payload.attempt) + 1);
            if let Ok(route) = &target.route {
                span.note("server.address", route.uri.host().unwrap_or_default().to_owned());
            }
        }
        let sent = self.transmit(payload, target, identity, began, permit).await;
        match sent.as_ref().map(|sent| &sent.answer) {
            Ok(Ok(answer)) => {
                span.note("http.response.status_code", i64::from(answer.signals.status));
                if !(200..300).contains(&answer.signals.status) {
                    span.fail("status");
                }
            }
            Ok(Err(Failure(class, _))) => span.fail(class.as_str()),
            Err(NotSent) => span.fail("not_sent"),
        }
        sent
    }

    async fn transmit(
        &self,
        mut payload: Payload,
        target: &Target,
        identity: &Identity<'_>,
        began: Instant,
        permit: &Permit,
    ) -> Result<Sent, NotSent> {
        let route = match &target.route {
            Ok(route) => route,
            Err(failure) => return Ok(Sent::failed(failure.clone())),
        };
        let limits = Limits {
            connect: payload.timeouts.connect.unwrap_or(target.connect_timeout),
            total: self.time_limit(&payload, Some(target)),
        };
        let client = || route.client.as_ref().unwrap_or(&self.client).get();
        let token = match &route.authorization {
            Authorization::Oauth(tokens) => match within(limits.total, tokens.get(client)).await {
                Ok(token) => Some(token),
                Err(failure) => return Ok(Sent::failed(failure)),
            },
            Authorization::None | Authorization::Header(..) => None,
        };
        let headers = match headers(route, &payload, identity, token.as_ref()) {
            Ok(headers) => headers,
            Err(failure) => return Ok(Sent::failed(failure)),
        };
        let method = match payload.method.as_deref().map(str::parse) {
            None => route.method.clone(),
            Some(Ok(method)) => method,
            // It was stored past the API's checks.
            Some(Err(_)) => {
                return Ok(Sent::failed(Failure(ErrorClass::InvalidRequest, "the message's method".to_owned())));
            }
        };
        // GET and HEAD without a body announce none; the others say that it is empty (RFC 9110 §8.6).
        let is_bare = payload.body.is_none() && matches!(method.as_str(), "GET" | "HEAD");
        let is_tls = route.uri.scheme_str() == Some("https");
        let body = Bytes::from(payload.body.take().unwrap_or_default());
        let mut request = client().request(method, route.uri.clone()).no_decompress();
        *request.headers_mut() = headers;
        let call = Call::new(permit.clone(), began, is_tls, is_bare);
        let sent = Rc::clone(&call).scope(exchange(request, (!is_bare).then_some(body), &call, limits, began)).await;
        if sent.is_err() && call.was_refused() {
            return Err(NotSent);
        }
        let answer = match sent {
            Ok(response) => Ok(Answer::read(response, identity.at, self.workshop.defaults.kept_body).await),
            Err(failure) => Err(failure),
        };
        if let (Authorization::Oauth(tokens), Some(token), Ok(answer)) = (&route.authorization, &token, &answer)
            && answer.signals.status == 401
        {
            tokens.refused(token);
        }
        Ok(Sent { answer: answer.and_then(final_answer), timings: call.timings() })
    }
}

/// Waits for what must be there before the request can be sent.
async fn within<T>(limit: Duration, wanted: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(limit, wanted).await.unwrap_or_else(|_| Err(timed_out(limit)))
}

/// What came of sending, and how the time was spent.
struct Sent {
    answer: Result<Answer, Failure>,
    timings: Timings,
}

impl Sent {
    /// Nothing was sent.
    fn failed(failure: Failure) -> Sent {
        Sent { answer: Err(failure), timings: Timings::default() }
    }
}

/// An interim answer (RFC 9110 §15.2) is what nobody asked for, and the client takes it for the answer.
fn final_answer(answer: Answer) -> Result<Answer, Failure> {
    match answer.signals.status {
        status @ 100..=199 => {
            Err(Failure(ErrorClass::Protocol, format!("the receiver sent an interim answer ({status}) and no other")))
        }
        _ => Ok(answer),
    }
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    connect: Duration,
    total: Duration,
}

/// Sends the request and waits for the head of its answer, within the limits.
async fn exchange(
    request: ClientRequest,
    body: Option<Bytes>,
    call: &Rc<Call>,
    limits: Limits,
    began: Instant,
) -> Result<ClientResponse, Failure> {
    let mut sending: SendClientRequest = match body {
        Some(body) => request.send_body(Guarded::new(body, Rc::clone(call))),
        None => request.send_body(NoBody::new()),
    };
    let end = tokio::time::sleep_until((began + limits.total).into());
    let connected = tokio::time::sleep_until((began + limits.connect).into());
    tokio::pin!(end, connected);
    let mut is_checked = limits.connect >= limits.total;
    loop {
        tokio::select! {
            biased;
            sent = &mut sending => {
                if sent.is_ok() {
                    call.answered();
                }
                call.end();
                return sent.map_err(classify);
            }
            () = &mut end => {
                let was_connecting = call.is_connecting();
                call.end();
                return Err(if was_connecting { not_connected(limits.total) } else { timed_out(limits.total) });
            }
            () = &mut connected, if !is_checked => {
                is_checked = true;
                if call.is_connecting() {
                    call.end();
                    return Err(not_connected(limits.connect));
                }
            }
        }
    }
}
