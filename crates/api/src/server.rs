//! The HTTP server: what every request passes before it reaches its route.
//!
//! It is put together from the parts that `actix_web::HttpServer` is made of, because that one has no place for the
//! guard of connections (see [`crate::connection`]).

use std::net::TcpListener;
use std::time::Duration;

use actix_http::HttpService;
use actix_service::{ServiceFactoryExt, fn_service, map_config};
use actix_web::App as HttpApp;
use actix_web::dev::{AppConfig, Server};
use actix_web::http::KeepAlive;
use actix_web::middleware::{Condition, from_fn};
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;

use crate::app::App;
use crate::connection::{self, Guarded};
use crate::cors::{self, Origins};
use crate::{drain, graphql, limits, metrics, pages, rest, spans};

/// How long requests under way may take to end after a stop.
const DRAIN: Duration = Duration::from_secs(30);

/// The most connections of one thread. Further ones wait in the kernel until one ends.
const MOST_CONNECTIONS: usize = 10_000;

/// What of the configuration concerns the server.
#[derive(Debug, Clone)]
pub struct Serving {
    pub keep_alive: Duration,
    pub cors: Origins,
}

/// Serves on a listener from now on.
///
/// # Errors
/// The listener cannot be used.
pub fn start(app: Data<App>, serving: Serving, listener: TcpListener) -> std::io::Result<Server> {
    let address = listener.local_addr()?;
    let builder = Server::build();
    let stopping = builder.graceful_shutdown_signal();
    let builder = builder
        .max_concurrent_connections(MOST_CONNECTIONS)
        .disable_signals()
        .shutdown_timeout(DRAIN.as_secs())
        .listen("api", listener, move || {
            let (app, keep_alive, stopping) = (app.clone(), serving.keep_alive, stopping.clone());
            // The last one is the first to see a request.
            let routes = HttpApp::new()
                .app_data(app)
                .configure(pages::configure)
                .configure(graphql::configure)
                .configure(rest::configure)
                .wrap(from_fn(limits::watch))
                .wrap(Condition::new(!serving.cors.is_none(), serving.cors.middleware()))
                .wrap(from_fn(cors::tidy))
                .wrap(from_fn(spans::watch))
                .wrap(from_fn(metrics::watch))
                .wrap(from_fn(drain::watch))
                .wrap(from_fn(connection::watch));
            let http = HttpService::build()
                .keep_alive(KeepAlive::Timeout(keep_alive))
                .client_request_timeout(connection::HEAD)
                .client_disconnect_timeout(connection::GOODBYE)
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .local_addr(address)
                .on_connect_ext(|connection: &Guarded, data| {
                    data.insert(connection.activity());
                })
                .finish(map_config(routes, |()| AppConfig::default()));
            let guard = move |io: TcpStream| async move {
                // As answers are written whole, waiting for more to send would only delay them.
                let _ = io.set_nodelay(true);
                let peer = io.peer_addr().ok();
                Ok((Guarded::new(io, keep_alive), actix_http::Protocol::Http1, peer))
            };
            fn_service(guard).and_then(http)
        })?;
    Ok(builder.run())
}
