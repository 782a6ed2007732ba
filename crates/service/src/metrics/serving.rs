//! `GET /metrics`.

use std::net::SocketAddr;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use tokio_util::sync::CancellationToken;

use super::Metrics;
use crate::health::serve;
use crate::run::StartError;

/// The text format's own, version 0.0.4: every Prometheus and all that imitate it read it.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of the process.
#[must_use]
pub fn answer(metrics: &Metrics) -> HttpResponse {
    match metrics.text() {
        Ok(text) => {
            HttpResponse::Ok().insert_header((CONTENT_TYPE, TEXT)).insert_header((CACHE_CONTROL, "no-store")).body(text)
        }
        Err(error) => {
            tracing::error!(%error, "metrics cannot be told");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// Serves them, and nothing else, until `until` is cancelled.
///
/// # Errors
/// As [`bind`](crate::health::bind), with `variable` for the port.
pub async fn serve_metrics(
    host: &str,
    port: u16,
    variable: &'static str,
    metrics: Metrics,
    until: CancellationToken,
) -> Result<SocketAddr, StartError> {
    let bound = serve(host, port, until, move |routes| {
        let metrics = metrics.clone();
        routes.route("/metrics", web::get().to(move || std::future::ready(answer(&metrics))));
    });
    bound.await.map_err(|error| match error {
        StartError::Bind { variable: "PORT", problem } => StartError::Bind { variable, problem },
        error => error,
    })
}
