//! `/healthz`, `/readyz` and `/metrics` of a service that has no HTTP of its own.
//!
//! `GET /healthz` answers 200 while the process lives, `GET /readyz` 200 or 503 with the reason, both in JSON. An answer
//! comes from memory: a probe never waits for the database.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::{Arc, PoisonError, RwLock};

use actix_web::web::ServiceConfig;
use actix_web::{App, HttpResponse, HttpServer, web};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::metrics::{self, Metrics};
use crate::run::StartError;

/// Whether a service does its work now. Clones share the answer. Not ready until it is told so.
#[derive(Debug, Clone)]
pub struct Health(Arc<RwLock<Option<String>>>);

impl Health {
    /// Not ready: "starting".
    #[must_use]
    pub fn new() -> Health {
        Health(Arc::new(RwLock::new(Some("starting".to_owned()))))
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
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, problem: Option<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = problem;
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

/// The answer to `/healthz`.
#[must_use]
pub fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(Report { status: "ok", reason: None })
}

/// The answer to `/readyz`; `problem` is why the service is not ready.
#[must_use]
pub fn readyz(problem: Option<&str>) -> HttpResponse {
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
        let (health, metrics) = (health.clone(), metrics.clone());
        routes
            .route("/healthz", web::get().to(async || healthz()))
            .route("/readyz", web::get().to(move || std::future::ready(readyz(health.problem().as_deref()))))
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
        tokio::time::timeout(std::time::Duration::from_secs(10), async {
            while TcpStream::connect(address).is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
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
