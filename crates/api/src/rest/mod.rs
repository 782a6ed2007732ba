//! The REST routes.
//!
//! Every path may end with a slash. `HEAD` is `GET` without the body. A method that a path does not have is answered as
//! a path that does not exist, as the original does. Who asks is looked at before anything else of a request.

pub mod actions;
mod audit;
mod batch;
pub mod conditions;
mod crons;
mod cursor;
mod entities;
mod health;
mod jobs;
mod keys;
mod nested;
pub mod parameters;
mod routes;
mod secrets;
mod topics;

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};

pub use self::routes::nothing;
use self::routes::{Place, Routes};
use crate::ops::{Crons, Messages, Queues, Resource};

/// Registers every route.
pub fn configure(config: &mut ServiceConfig) {
    register(config);
    config.default_service(web::to(nothing));
}

/// Registers every route, and tells which.
fn register(config: &mut ServiceConfig) -> Vec<(Method, String)> {
    let mut routes = Routes::new(config);
    routes.add(Place::at("/healthz").get(health::alive));
    routes.add(Place::at("/readyz").get(health::ready));
    routes.add(Place::at("/metrics").get(health::metrics));
    routes.add(Place::at("/stats").get(actions::stats));
    routes.add(Place::at("/queues/{id}/stats").get(actions::queue_stats));
    routes.add(Place::at("/queues/{id}/pause").post(actions::pause));
    routes.add(Place::at("/queues/{id}/resume").post(actions::resume));
    routes.add(Place::at("/queues/{id}/test").post(actions::test));
    routes.add(Place::at("/messages/batch").post(batch::create));
    routes.add(Place::at("/messages/{id}/cancel").post(actions::cancel));
    routes.add(Place::at("/messages/{id}/attempts").get(actions::attempts));
    secrets::register(&mut routes);
    jobs::register(&mut routes);
    topics::register(&mut routes);
    crons::register(&mut routes);
    keys::register(&mut routes);
    audit::register(&mut routes);
    nested::register(&mut routes);
    entity::<Queues>(&mut routes, "/queues");
    entity::<Messages>(&mut routes, "/messages");
    entity::<Crons>(&mut routes, "/crons");
    entity::<Crons>(&mut routes, "/cron");
    routes.done()
}

/// Every route there is.
#[cfg(test)]
pub fn registered() -> Vec<(Method, String)> {
    let mut registered = Vec::new();
    let _ = actix_web::App::new().configure(|config| registered = register(config));
    registered
}

fn entity<R: Resource>(routes: &mut Routes, path: &str) {
    let all = Place::at(path).get(entities::list::<R>).post(entities::create::<R>).put(entities::update_all::<R>);
    let one = Place::at(&format!("{path}/{{id}}"));
    let one = one.get(entities::get::<R>).put(entities::update::<R>).delete(entities::delete::<R>);
    routes.add(all);
    routes.add(one);
}
