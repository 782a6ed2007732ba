//! The scheduler: stores the next tick of every cron before it is due, and keeps house.
//!
//! Any number of schedulers may run; one leads ([`leader`]) and the others take its place within a second. The leader fires
//! crons ([`firing`]) and does recurring duties ([`duties`]). It delivers nothing: each tick is a message, stored one tick
//! ahead, that the deliverers send on time also while no scheduler runs.
//!
//! Crash semantics: each tick of a cron has exactly one message, whatever is killed and whenever. A scheduler keeps
//! nothing that its successor needs.

pub mod config;
mod duties;
mod firing;
mod leader;
mod metrics;

use posthaste_service::environment::ConfigError;
use posthaste_service::health::{Health, serve_health};
use posthaste_service::{Running, StartError, Telemetry};
use posthaste_store::connect::{Purpose, connect};
use posthaste_store::migrations::check_schema;
use tokio_util::sync::CancellationToken;

pub use config::Config;

use crate::duties::{Means, Timetable};
use crate::leader::{APPLICATION, Scheduler};
use crate::metrics::SchedulerMetrics;

/// Reaches the database, checks its schema, binds the health listener and begins to stand by for the lead. Cancelling
/// `stop` finishes the statement under way, gives the lead back, and then resolves `finished`.
///
/// # Errors
/// Where the database cannot be reached or has another schema, a setting contradicts it, or the health port is taken.
pub async fn start(config: Config, telemetry: Telemetry, stop: CancellationToken) -> Result<Running, StartError> {
    let url = config.database_url.for_service(APPLICATION);
    let mut conn = connect(&url, Purpose::Pool).await.map_err(database)?;
    let schema = check_schema(&mut conn).await.map_err(database)?;
    drop(conn);
    ConfigError::unless_agreed("SHARDS", config.shards, &schema.shards)?;

    let metrics = telemetry.metrics.of("scheduler")?;
    let own = SchedulerMetrics::new(&metrics, config.metrics_queues)?;
    let health = Health::new();
    // Probes are answered until everything is done.
    let ended = CancellationToken::new();
    let end = ended.clone().drop_guard();
    let address = match config.health_port {
        Some(port) => Some(serve_health(&config.host, port, health.clone(), metrics, ended).await?),
        None => None,
    };
    let timetable = Timetable::start().await.map_err(|error| StartError::Other(error.to_string()))?;
    let means = Means { secrets: config.secrets, retention: config.retention, metrics: own };
    let lock_database = config.lock_database_url;
    let scheduler = Scheduler { database: url, lock_database, health, timetable, means };
    let finished = tokio::spawn(async move {
        let _end = end;
        let health = scheduler.health.clone();
        tokio::select! {
            () = scheduler.run(stop) => {}
            () = health.beat("scheduler") => {}
        }
        Ok(())
    });
    Ok(Running { address, finished })
}

fn database(error: impl std::fmt::Display) -> StartError {
    StartError::Database(error.to_string())
}
