//! The REST routes.
//!
//! Every path may end with a slash. `HEAD` is `GET` without the body. A method that a path does not have is answered as
//! a path that does not exist, as the original does.

mod crons;
mod health;
mod messages;
pub mod parameters;
mod queues;

use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource, Route, guard};

use crate::auth::require_secret;
use crate::error::ApiError;

/// Registers every route.
pub fn configure(config: &mut ServiceConfig) {
    let to = web::to;
    config
        .service(open("/healthz").route(get().to(health::alive)))
        .service(open("/readyz").route(get().to(health::ready)))
        .default_service(to(nothing));
    list(config, "/queues", get().to(queues::list), web::post().to(queues::create));
    single(config, "/queues", get().to(queues::get), web::delete().to(queues::delete));
    list(config, "/messages", get().to(messages::list), web::post().to(messages::create));
    single(config, "/messages", get().to(messages::get), web::delete().to(messages::delete));
    for path in ["/crons", "/cron"] {
        list(config, path, get().to(crons::list), web::post().to(crons::create));
        single(config, path, get().to(crons::get), web::delete().to(crons::delete));
    }
}

/// A path that asks for no credentials.
fn open(path: &str) -> Resource {
    web::resource(with_slash(path)).default_service(web::to(nothing))
}

fn list(config: &mut ServiceConfig, path: &str, read: Route, create: Route) {
    let resource = open(path).route(read).route(create);
    config.service(resource.wrap(from_fn(require_secret)));
}

fn single(config: &mut ServiceConfig, path: &str, read: Route, delete: Route) {
    let resource = open(&format!("{path}/{{id}}")).route(read).route(delete);
    config.service(resource.wrap(from_fn(require_secret)));
}

fn with_slash(path: &str) -> Vec<String> {
    let path = path.trim_end_matches('/');
    vec![path.to_owned(), format!("{path}/")]
}

fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn nothing(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(ApiError::not_found(&request))
}
