//! The REST routes.
//!
//! Every path may end with a slash. `HEAD` is `GET` without the body. A method that a path does not have is answered as
//! a path that does not exist, as the original does. Who asks is looked at before anything else of a request.

pub mod actions;
mod audit;
mod batch;
mod conditions;
mod cursor;
mod entities;
mod health;
mod keys;
mod nested;
pub mod parameters;

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource as Path, Route, guard};

use crate::error::ApiError;
use crate::ops::{Crons, Messages, Queues, Resource};

/// Registers every route.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(resource("/healthz").route(get().to(health::alive)))
        .service(resource("/readyz").route(get().to(health::ready)))
        .service(resource("/stats").route(get().to(actions::stats)))
        .service(resource("/queues/{id}/stats").route(get().to(actions::queue_stats)))
        .service(resource("/queues/{id}/pause").route(web::post().to(actions::pause)))
        .service(resource("/queues/{id}/resume").route(web::post().to(actions::resume)))
        .service(resource("/messages/batch").route(web::post().to(batch::create)))
        .service(resource("/messages/{id}/cancel").route(web::post().to(actions::cancel)))
        .service(resource("/messages/{id}/attempts").route(get().to(actions::attempts)))
        .default_service(web::to(nothing));
    keys::configure(config);
    audit::configure(config);
    nested::configure(config);
    entity::<Queues>(config, "/queues");
    entity::<Messages>(config, "/messages");
    entity::<Crons>(config, "/crons");
    entity::<Crons>(config, "/cron");
}

fn entity<R: Resource>(config: &mut ServiceConfig, path: &str) {
    let all = resource(path)
        .route(get().to(entities::list::<R>))
        .route(web::post().to(entities::create::<R>))
        .route(web::put().to(entities::update_all::<R>));
    let one = resource(&format!("{path}/{{id}}"))
        .route(get().to(entities::get::<R>))
        .route(web::put().to(entities::update::<R>))
        .route(web::delete().to(entities::delete::<R>));
    config.service(all).service(one);
}

/// A path, with or without a slash at its end.
fn resource(path: &str) -> Path {
    let path = path.trim_end_matches('/');
    web::resource(vec![path.to_owned(), format!("{path}/")]).default_service(web::to(nothing))
}

fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

pub async fn nothing(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(ApiError::not_found(&request))
}
