//! The pages for people: an index, the documentation of the REST interface, and an editor for GraphQL.
//!
//! Promise: they work without internet access, as everything they load is part of this program, and their
//! content security policy lets them load nothing else. They ask for no credentials; what a page calls does.

mod documentation;
mod file;

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource, Route, guard};
use serde_json::json;

use self::file::File;
use crate::error::ApiError;
use crate::json;

static INDEX: File = File::html(include_bytes!("../../assets/pages/index.html"));
static GRAPHIQL: File = File::html(include_bytes!("../../assets/pages/graphiql.html"));

macro_rules! asset {
    ($kind:ident $path:literal) => {
        File::$kind(include_bytes!(concat!("../../assets/", $path)))
    };
}

/// Under `/assets/`.
static ASSETS: [(&str, File); 8] = [
    ("pages.css", asset!(css "pages/pages.css")),
    ("posthaste.svg", asset!(svg "pages/posthaste.svg")),
    ("graphiql.js", asset!(script "pages/graphiql.js")),
    ("graphiql.min.js", asset!(script "graphiql/graphiql.min.js")),
    ("graphiql.min.css", asset!(css "graphiql/graphiql.min.css")),
    ("react.production.min.js", asset!(script "graphiql/react.production.min.js")),
    ("react-dom.production.min.js", asset!(script "graphiql/react-dom.production.min.js")),
    ("graphql-ws.min.js", asset!(script "graphiql/graphql-ws.min.js")),
];

/// Registers their routes.
pub fn configure(config: &mut ServiceConfig) {
    let page = |paths: &[&str], route: Route| resource(paths).route(route);
    config
        .service(page(&["/", "/index.html"], get().to(index)))
        .service(page(&["/graphiql", "/graphiql/"], get().to(graphiql)))
        .service(page(&["/assets/{name}"], get().to(asset)))
        .configure(documentation::configure);
}

fn resource(paths: &[&str]) -> Resource {
    web::resource(paths.to_vec()).default_service(web::to(nothing))
}

fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn nothing(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(ApiError::not_found(&request))
}

/// A page for browsers, JSON for programs.
async fn index(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let accepted = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut response = if request.path() == "/index.html" || accepted.contains("text/html") {
        INDEX.answer(&request)
    } else {
        let message = "Welcome to Posthaste! Queues are at /queues, messages at /messages, crons at /crons.";
        json::ok(&json!({ "message": message }))?
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

async fn graphiql(request: HttpRequest) -> HttpResponse {
    GRAPHIQL.answer(&request)
}

async fn asset(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let name = request.match_info().get("name").unwrap_or_default();
    let found = ASSETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, file)| file.answer(&request)).ok_or_else(|| ApiError::not_found(&request))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only addresses of other places in what we write ourselves are names of things, not of files to load.
    #[test]
    fn pages_load_nothing_from_elsewhere() {
        for page in [&INDEX, &GRAPHIQL, &documentation::PAGE] {
            let html = std::str::from_utf8(page.bytes()).unwrap();
            for attribute in ["src=\"", "href=\""] {
                for rest in html.split(attribute).skip(1) {
                    assert!(rest.starts_with('/') && !rest.starts_with("//"), "{rest}");
                }
            }
            assert!(!html.contains("style=") && !html.contains("<style"), "{html}");
            assert!(html.split("<script").skip(1).all(|rest| rest.starts_with(" src=")), "{html}");
        }
        for (name, file) in ASSETS.iter().filter(|(name, _)| name.ends_with(".css")) {
            let css = std::str::from_utf8(file.bytes()).unwrap();
            assert!(css.split("url(").skip(1).all(|rest| rest.starts_with("data:")), "{name}");
            assert!(!css.contains("@import"), "{name}");
        }
    }

    #[test]
    fn pages_name_assets_that_exist() {
        for page in [&INDEX, &GRAPHIQL, &documentation::PAGE] {
            let html = std::str::from_utf8(page.bytes()).unwrap();
            for rest in html.split("\"/assets/").skip(1) {
                let name = rest.split('"').next().unwrap();
                assert!(ASSETS.iter().any(|(known, _)| *known == name), "{name}");
            }
        }
    }
}
