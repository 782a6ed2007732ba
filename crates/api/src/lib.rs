//! The API: REST over HTTP.
//!
//! Stateless: it delivers nothing and schedules nothing, so any number of them run side by side. A success is answered
//! only after the commit that it tells of. After SIGTERM every request that has arrived is still answered.

mod app;
mod auth;
mod batcher;
mod changes;
pub mod config;
mod database;
mod drain;
pub mod error;
mod graphql;
mod json;
mod ops;
mod rest;
mod waker;
mod wire;

use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App as HttpApp, HttpServer};
use posthaste_service::environment::ConfigError;
use posthaste_service::health::bind;
use posthaste_service::{Running, StartError};
use posthaste_store::connect::Purpose;
use posthaste_store::migrations::check_schema;
use posthaste_store::pool::{Pool, pool};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use config::Config;

use crate::app::App;
use crate::auth::Auth;
use crate::batcher::Batcher;
use crate::changes::Changes;
use crate::database::Database;
use crate::drain::Drain;
use crate::waker::Waker;

/// How long requests under way may take to end after a stop.
const DRAIN: Duration = Duration::from_secs(30);

/// Reaches the database, checks its schema, binds the listener and serves. Cancelling `stop` stops to accept, answers
/// what is under way, and then resolves `finished`.
///
/// # Errors
/// Where the database cannot be reached or has another schema, a setting contradicts it, or the port is taken.
pub async fn start(config: Config, stop: CancellationToken) -> Result<Running, StartError> {
    let pool = pool(&config.database_url, config.pool_size, Purpose::Pool).await.map_err(database)?;
    check(&pool, config.shards).await?;
    let listener = bind(&config.host, config.port)?;
    let address = listener.local_addr().ok();

    let served = CancellationToken::new();
    let waker = Waker::default();
    let (batcher, storing) = Batcher::start(pool.clone(), waker.clone(), config.idempotency_ttl, served.clone());
    let stored = CancellationToken::new();
    let waking = tokio::spawn(waker.clone().run(pool.clone(), stored.clone()));
    let database = Database::new(pool);
    let app = Data::new(App {
        auth: Auth::start(&config.authorization, database.clone())
            .map_err(|error| StartError::Other(error.to_string()))?,
        database,
        batcher,
        waker,
        drain: Drain::default(),
        changes: Changes::new(config.database_url.clone(), stop.clone()),
        schema: graphql::schema().map_err(|error| StartError::Other(error.to_string()))?,
        max_body_bytes: config.max_body_bytes,
        ids: config.ids,
        max_batch_bytes: config.max_batch_bytes,
    });
    let server = server(app.clone(), listener).map_err(|error| StartError::Other(error.to_string()))?;
    let finished = tokio::spawn(async move {
        let result = serve(server, &app, stop).await;
        // In the order in which they feed each other.
        served.cancel();
        ended(storing).await;
        stored.cancel();
        ended(waking).await;
        result
    });
    Ok(Running { address, finished })
}

async fn check(pool: &Pool, shards: Option<u16>) -> Result<(), StartError> {
    let mut conn = pool.get().await.map_err(database)?;
    let schema = check_schema(&mut conn).await.map_err(database)?;
    Ok(ConfigError::unless_agreed("SHARDS", shards, &schema.shards)?)
}

fn server(app: Data<App>, listener: TcpListener) -> std::io::Result<Server> {
    let factory = move || {
        HttpApp::new()
            .app_data(app.clone())
            .wrap(from_fn(drain::watch))
            .configure(graphql::configure)
            .configure(rest::configure)
    };
    Ok(HttpServer::new(factory).listen(listener)?.disable_signals().shutdown_timeout(DRAIN.as_secs()).run())
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
