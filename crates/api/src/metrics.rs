//! The API's metrics.

use std::time::Instant;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::web::Data;
use posthaste_core::ids::QueueId;
use posthaste_service::metrics::{Metric, Metrics, MetricsError, QueueLabels};
use posthaste_store::error::StoreError;
use posthaste_store::pool::{Checkout, Pool};
use prometheus::{Histogram, HistogramVec, IntCounterVec};

use crate::app::App;

/// What an API tells of itself. Clones share it.
#[derive(Debug, Clone)]
pub struct ApiMetrics {
    /// All metrics of the process.
    pub all: Metrics,
    requests: IntCounterVec,
    duration: HistogramVec,
    accepted: IntCounterVec,
    labels: QueueLabels,
}

impl ApiMetrics {
    /// # Errors
    /// They were made before.
    pub fn new(metrics: &Metrics, labels: QueueLabels) -> Result<ApiMetrics, MetricsError> {
        Ok(ApiMetrics {
            all: metrics.clone(),
            requests: metrics.counters(Metric::Requests)?,
            duration: metrics.histograms(Metric::RequestDuration)?,
            accepted: metrics.counters(Metric::MessagesAccepted)?,
            labels,
        })
    }

    /// A message of this queue is stored.
    pub fn accepted(&self, queue: QueueId) {
        self.accepted.with_label_values(&[&self.labels.label(queue.0)]).inc();
    }
}

/// A pool of connections that tells how long they are waited for. Clones share both.
#[derive(Debug, Clone)]
pub struct Connections {
    pool: Pool,
    wait: Histogram,
}

impl Connections {
    /// # Errors
    /// There are others.
    pub fn new(pool: Pool, metrics: &Metrics) -> Result<Connections, MetricsError> {
        Ok(Connections { pool, wait: metrics.histogram(Metric::PoolWait)? })
    }

    /// A free connection, as soon as there is one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where there is none for too long.
    pub async fn get(&self) -> Result<Checkout<'_>, StoreError> {
        let since = Instant::now();
        let connection = self.pool.get().await;
        self.wait.observe(since.elapsed().as_secs_f64());
        Ok(connection?)
    }
}

/// Counts each request, and measures how long it takes.
///
/// # Errors
/// Those of the service behind it.
pub async fn watch<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let (since, method) = (Instant::now(), method(request.method()));
    let app = request.app_data::<Data<App>>().cloned();
    let response = next.call(request).await;
    if let Some(app) = app {
        let status = response.as_ref().map_or_else(|error| error.as_response_error().status_code(), |it| it.status());
        let class = match status.as_u16() {
            100..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        app.metrics.requests.with_label_values(&[method, class]).inc();
        app.metrics.duration.with_label_values(&[method]).observe(since.elapsed().as_secs_f64());
    }
    response
}

/// Whoever sends a request invents its method; a series for each would be theirs to make.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
