//! The deliverer: owns shards of the pending work and delivers what is due in them.
//!
//! One process holds one lock session (`ownership`): the advisory locks of its shards, its membership, and LISTEN. Its
//! worker threads share nothing but the read-only configuration and the [`Lease`](posthaste_store::lease::Lease): each
//! runs a single-threaded runtime with its own shards, two database connections and its own HTTP client (`worker`,
//! `outcomes`, `dispatch`).
//!
//! Crash semantics: nothing is claimed, so a killed process leaves nothing behind but what it was sending at that moment,
//! which its successor sends again. A process that is stopped or superseded hands over without sending anything twice.

mod clock;
pub mod config;
mod dispatch;
mod metrics;
mod outcomes;
mod ownership;
mod testing;
mod worker;

use std::sync::Arc;

use posthaste_service::health::{Health, serve_health};
use posthaste_service::metrics::QueueLabels;
use posthaste_service::traces::Traces;
use posthaste_service::{ConfigError, Running, StartError, Telemetry};
use posthaste_store::connect::Purpose;
use posthaste_store::migrations::check_schema;
use posthaste_store::pool::pool;
use tokio_util::sync::CancellationToken;

pub use config::Config;

use crate::metrics::DelivererMetrics;

/// Reaches the database, checks its schema, starts the worker threads and begins to contend for shards. Cancelling `stop`
/// hands every shard over, finishes what is being sent, and then resolves `finished`.
///
/// # Errors
/// Where the database cannot be reached or has another schema, a setting contradicts it, or the health port is taken.
pub async fn start(config: Config, telemetry: Telemetry, stop: CancellationToken) -> Result<Running, StartError> {
    // Takeovers and holds; two, so that a slow one does not stand in the way of the other.
    let control = pool(&config.database_url, 2, Purpose::Writing)
        .await
        .map_err(|error| StartError::Database(error.to_string()))?;
    let schema = {
        let mut conn = control.get().await.map_err(|error| StartError::Database(error.to_string()))?;
        check_schema(&mut conn).await.map_err(|error| StartError::Database(error.to_string()))?
    };
    ConfigError::unless_agreed("SHARDS", config.shards, &schema.shards)?;

    let metrics = telemetry.metrics.of("deliverer")?;
    let traces = Traces::start(&telemetry.traces, "posthaste-deliverer").map_err(StartError::Other)?;
    let own = DelivererMetrics::new(&metrics, traces.clone(), QueueLabels::new(config.metrics_queues), schema.shards)?;
    let health = Health::new();
    // Probes are answered until everything is drained.
    let drained = CancellationToken::new();
    let address = match config.health_port {
        Some(port) => Some(serve_health(&config.host, port, health.clone(), metrics.clone(), drained.clone()).await?),
        None => None,
    };

    let config = Arc::new(config);
    let (reports, workers) =
        worker::spawn_all(&config, &own, &health).map_err(|error| StartError::Other(error.to_string()))?;
    let ownership = ownership::Ownership::new(config, control, schema.shards, workers, reports, health, own);
    let finished = tokio::spawn(async move {
        ownership.run(stop).await;
        traces.end().await;
        drained.cancel();
        Ok(())
    });
    Ok(Running { address, finished })
}
