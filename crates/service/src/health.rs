//! `/healthz`, `/readyz` and `/metrics` of a service that has no HTTP of its own.
//!
//! `GET /healthz` answers 200 while the process works, whether or not its database does: 503 only where one of its threads is
//! stuck, which nothing but a restart mends. `GET /readyz` answers 200, or 503 with the reason. Both are JSON, and come from memory: a
//! probe never waits for the database.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use actix_web::web::ServiceConfig;
use actix_web::{App, HttpResponse, HttpServer, web};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::metrics::{self, Metrics};
use crate::run::StartError;

/// A thread that has not run a timer for so long is stuck. None has work that takes a hundredth of it.
const STUCK: Duration = Duration::from_secs(30);
/// How often a thread shows that it is not.
const BEAT: Duration = Duration::from_secs(1);

/// Whether a service does its work now. Clones share the answer. Not ready until it is told so.
#[derive(Debug, Clone)]
pub struct Health(Arc<State>);

#[derive(Debug)]
struct State {
    problem: RwLock<Option<String>>,
    began: Instant,
    pulses: Mutex<Vec<Pulse>>,
}

/// When a thread has run last.
#[derive(Debug)]
struct Pulse {
    thread: String,
    /// In milliseconds since the service began.
    last: Arc<AtomicU64>,
}

impl Health {
    /// Not ready: "starting".
    #[must_use]
    pub fn new() -> Health {
        let problem = RwLock::new(Some("starting".to_owned()));
        Health(Arc::new(State { problem, began: Instant::now(), pulses: Mutex::default() }))
    }

    /// Runs on the thread that is to be watched, beside its work, for as long as it is to be. Dropped, it is not watched any more.
    pub async fn beat(&self, thread: &str) {
        let last = Arc::new(AtomicU64::new(self.age()));
        let pulse = Pulse { thread: thread.to_owned(), last: Arc::clone(&last) };
        self.pulses().push(pulse);
        let _gone = Unwatch { health: self, last: &last };
        loop {
            last.store(self.age(), Ordering::Relaxed);
            tokio::time::sleep(BEAT).await;
        }
    }

    /// The threads that are stuck.
    #[must_use]
    pub fn stuck(&self) -> Option<String> {
        let oldest = self.age().saturating_sub(u64::try_from(STUCK.as_millis()).unwrap_or(u64::MAX));
        let is_stuck = |pulse: &&Pulse| pulse.last.load(Ordering::Relaxed) < oldest;
        let stuck: Vec<String> = self.pulses().iter().filter(is_stuck).map(|pulse| pulse.thread.clone()).collect();
        (!stuck.is_empty()).then(|| format!("stuck: {}", stuck.join(", ")))
    }

    fn age(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn pulses(&self) -> MutexGuard<'_, Vec<Pulse>> {
        self.0.pulses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it works.
    pub fn ready(&self) {
        self.set(None);
    }

    /// From now on it does not; `reason` is shown to whoever asks.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    /// Why it does not work now; `None` if it does.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.0.problem.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, problem: Option<String>) {
        *self.0.problem.write().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

/// Ends the watch over a thread.
struct Unwatch<'a> {
    health: &'a Health,
    last: &'a Arc<AtomicU64>,
}

impl Drop for Unwatch<'_> {
    fn drop(&mut self) {
        self.health.pulses().retain(|pulse| !Arc::ptr_eq(&pulse.last, self.last));
    }
}

impl Default for Health {
    fn default() -> Health {
        Health::new()
    }
}

#[derive(Serialize)]
struct Report<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// The answer to a probe; `problem` is what is wrong.
fn answer(problem: Option<&str>) -> HttpResponse {
    match problem {
        None => HttpResponse::Ok().json(Report { status: "ok", reason: None }),
        Some(reason) => HttpResponse::ServiceUnavailable().json(Report { status: "unavailable", reason: Some(reason) }),
    }
}

/// Serves both, and `/metrics`, until `until` is cancelled. That should be after the service has drained: a probe that fails
/// meanwhile would have it killed.
///
/// # Errors
/// As [`bind`].
pub async fn serve_health(
    host: &str,
    port: u16,
    health: Health,
    metrics: Metrics,
    until: CancellationToken,
) -> Result<SocketAddr, StartError> {
    serve(host, port, until, move |routes| {
        let (alive, health, metrics) = (health.clone(), health.clone(), metrics.clone());
        routes
            .route("/healthz", web::get().to(move || std::future::ready(answer(alive.stuck().as_deref()))))
            .route("/readyz", web::get().to(move || std::future::ready(answer(health.problem().as_deref()))))
            .route("/metrics", web::get().to(move || std::future::ready(metrics::answer(&metrics))));
    })
    .await
}

/// Serves `routes` on a thread of its own until `until` is cancelled.
pub(crate) async fn serve(
    host: &str,
    port: u16,
    until: CancellationToken,
    routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> Result<SocketAddr, StartError> {
    let listener = bind(host, port)?;
    let other = |error: std::io::Error| StartError::Other(format!("the health listener: {error}"));
    let address = listener.local_addr().map_err(other)?;
    let server = HttpServer::new(move || App::new().configure(routes.clone()))
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)
        .map_err(other)?
        .run();
    let handle = server.handle();
    tokio::spawn(server);
    tokio::spawn(async move {
        until.cancelled().await;
        handle.stop(true).await;
    });
    Ok(address)
}

/// Binds the first address of `host` that can be bound; port 0 takes a free one.
///
/// # Errors
/// [`StartError::Bind`], with the variable (`HOST`, `PORT`) that is to blame.
pub fn bind(host: &str, port: u16) -> Result<TcpListener, StartError> {
    let fault = |variable, problem| StartError::Bind { variable, problem };
    let addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| fault("HOST", format!("{host} is no address of this machine: {error}")))?;
    TcpListener::bind(addresses.collect::<Vec<_>>().as_slice()).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => fault("PORT", format!("{port} is in use on {host}")),
        std::io::ErrorKind::PermissionDenied => {
            fault("PORT", format!("{port} on {host} may not be bound by this user"))
        }
        std::io::ErrorKind::AddrNotAvailable => fault("HOST", format!("{host} is no address of this machine")),
        _ => fault("HOST", format!("{host}, port {port}: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    async fn get(address: SocketAddr, path: &str) -> (u16, serde_json::Value) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            (status, serde_json::from_str(body).unwrap())
        })
        .await
        .unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_tells_how_it_is() {
        let (health, until) = (Health::new(), CancellationToken::new());
        let metrics = Metrics::default();
        let address = serve_health("127.0.0.1", 0, health.clone(), metrics, until.clone()).await.unwrap();
        assert_eq!(get(address, "/healthz").await, (200, serde_json::json!({"status": "ok"})));
        assert_eq!(
            get(address, "/readyz").await,
            (503, serde_json::json!({"status": "unavailable", "reason": "starting"}))
        );
        health.ready();
        assert_eq!(get(address, "/readyz").await, (200, serde_json::json!({"status": "ok"})));
        health.not_ready("the lock session is lost");
        assert_eq!(get(address, "/readyz").await.0, 503);
        until.cancel();
        tokio::time::timeout(Duration::from_secs(10), async {
            while TcpStream::connect(address).is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn a_thread_that_does_not_run_is_stuck_until_it_does() {
        let mut health = Health::new();
        let state = Arc::get_mut(&mut health.0).unwrap();
        // Its pulse was long ago.
        state.began = Instant::now().checked_sub(STUCK + Duration::from_secs(5)).unwrap();
        state.pulses.get_mut().unwrap().push(Pulse { thread: "deliver-1".to_owned(), last: Arc::default() });
        assert_eq!(health.stuck().as_deref(), Some("stuck: deliver-1"));
        health.pulses()[0].last.store(health.age(), Ordering::Relaxed);
        assert_eq!(health.stuck(), None);
        // It is watched as long as it beats.
        assert!(tokio::time::timeout(BEAT / 100, health.beat("deliver-2")).await.is_err());
        assert_eq!(health.pulses().iter().map(|pulse| pulse.thread.as_str()).collect::<Vec<_>>(), ["deliver-1"]);
    }

    #[test]
    fn a_port_in_use_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = bind("127.0.0.1", port).unwrap_err();
        assert_eq!(error.to_string(), format!("PORT: {port} is in use on 127.0.0.1"));
    }

    #[test]
    fn a_foreign_address_is_named() {
        // 192.0.2.0/24 is set apart for documentation (RFC 5737).
        let error = bind("192.0.2.1", 0).unwrap_err();
        assert!(error.to_string().starts_with("HOST: 192.0.2.1 is no address of this machine"), "{error}");
    }
}
