//! The API: REST over HTTP.
//!
//! Stateless: it delivers nothing and schedules nothing, so any number of them run side by side. A success is answered
//! only after the commit that it tells of. After SIGTERM every request that has arrived is still answered.

mod app;
mod auth;
mod backlog;
mod batcher;
mod changes;
pub mod config;
mod connection;
pub mod cors;
mod database;
mod drain;
pub mod error;
mod graphql;
mod json;
pub mod limits;
mod memory;
mod metrics;
pub mod openapi;
mod ops;
mod pages;
mod rest;
mod server;
mod spans;
mod waker;
mod wire;

use actix_web::dev::Server;
use actix_web::web::Data;
use posthaste_service::environment::ConfigError;
use posthaste_service::health::bind;
use posthaste_service::metrics::{QueueLabels, serve_metrics};
use posthaste_service::traces::Traces;
use posthaste_service::{Running, StartError, Telemetry};
use posthaste_store::connect::Purpose;
use posthaste_store::migrations::check_schema;
use posthaste_store::pool::{Pool, pool};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use config::Config;

use crate::app::App;
use crate::auth::Auth;
use crate::backlog::Backlogs;
use crate::batcher::Batcher;
use crate::changes::Changes;
use crate::database::Database;
use crate::drain::Drain;
use crate::memory::Memory;
use crate::metrics::{ApiMetrics, Connections};
use crate::server::Serving;
use crate::waker::Waker;

/// Reaches the database, checks its schema, binds the listener and serves. Cancelling `stop` stops to accept, answers
/// what is under way, and then resolves `finished`.
///
/// # Errors
/// Where the database cannot be reached or has another schema, a setting contradicts it, or the port is taken.
pub async fn start(config: Config, telemetry: Telemetry, stop: CancellationToken) -> Result<Running, StartError> {
    let pool = pool(&config.database_url, config.pool_size, Purpose::Pool).await.map_err(database)?;
    check(&pool, config.shards).await?;
    let listener = bind(&config.host, config.port)?;
    let address = listener.local_addr().ok();

    let metrics = ApiMetrics::new(&telemetry.metrics.of("api")?, QueueLabels::new(config.metrics_queues))?;
    let pool = Connections::new(pool, &metrics.all)?;
    let traces = Traces::start(&telemetry.traces, "posthaste-api").map_err(StartError::Other)?;
    // Told until everything has ended.
    let told = CancellationToken::new();
    if let Some(port) = config.metrics_port {
        serve_metrics(&config.host, port, "METRICS_PORT", metrics.all.clone(), told.clone()).await?;
    }
    let told = told.drop_guard();
    let served = CancellationToken::new();
    let waker = Waker::default();
    let memory = Memory::default();
    let lifetime = config.idempotency_ttl;
    let (batcher, storing) =
        Batcher::start(pool.clone(), waker.clone(), metrics.clone(), memory.clone(), lifetime, served.clone());
    let stored = CancellationToken::new();
    let waking = tokio::spawn(waker.clone().run(pool.clone(), stored.clone()));
    let database = Database::new(pool);
    let app = Data::new(App {
        auth: Auth::start(&config.authorization, database.clone())
            .map_err(|error| StartError::Other(error.to_string()))?,
        backlogs: Backlogs::new(database.clone(), config.max_backlog),
        database,
        batcher,
        memory,
        waker,
        drain: Drain::default(),
        changes: Changes::new(config.database_url.clone(), stop.clone()),
        schema: graphql::schema().map_err(|error| StartError::Other(error.to_string()))?,
        max_body_bytes: config.max_body_bytes,
        secrets: config.secrets,
        tests: Semaphore::new(ops::testing::MOST),
        ids: config.ids,
        egress: config.egress,
        metrics,
        traces: traces.clone(),
        max_batch_bytes: config.max_batch_bytes,
    });
    let serving = Serving { keep_alive: config.keep_alive, cors: config.cors };
    let server = server::start(app.clone(), serving, listener).map_err(|error| StartError::Other(error.to_string()))?;
    let finished = tokio::spawn(async move {
        let result = serve(server, &app, stop).await;
        // In the order in which they feed each other.
        served.cancel();
        ended(storing).await;
        stored.cancel();
        ended(waking).await;
        traces.end().await;
        drop(told);
        result
    });
    Ok(Running { address, finished })
}

async fn check(pool: &Pool, shards: Option<u16>) -> Result<(), StartError> {
    let mut conn = pool.get().await.map_err(database)?;
    let schema = check_schema(&mut conn).await.map_err(database)?;
    Ok(ConfigError::unless_agreed("SHARDS", shards, &schema.shards)?)
}

/// Serves until `stop`, and then until no request is under way.
async fn serve(server: Server, app: &App, stop: CancellationToken) -> Result<(), String> {
    let handle = server.handle();
    let mut serving = tokio::spawn(server);
    tokio::select! {
        result = &mut serving => return Err(format!("the HTTP server ended: {result:?}")),
        () = stop.cancelled() => {}
    }
    app.drain.begin().await;
    handle.stop(true).await;
    // If the server has failed now, it has ended all the same.
    let _ = serving.await;
    Ok(())
}

/// Waits for a task; if it has panicked, that is in the log already.
async fn ended(task: JoinHandle<()>) {
    let _ = task.await;
}

fn database(error: impl std::fmt::Display) -> StartError {
    StartError::Database(error.to_string())
}
