//! `/documentation`: the OpenAPI document, and Swagger UI, which shows it and calls what it describes.

use std::sync::{Arc, LazyLock};

use actix_web::http::header::LOCATION;
use actix_web::web::{Bytes, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use utoipa_swagger_ui::{Config, serve};

use super::file::{self, File};
use super::{get, resource};
use crate::app::App;
use crate::error::ApiError;
use crate::openapi;
use crate::wire::output::IdStyle;

pub static PAGE: File = File::html(include_bytes!("../../assets/pages/documentation.html"));

/// The files of Swagger UI that the page loads; there are others, such as for building it.
const PARTS: [&str; 4] =
    ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js", "swagger-initializer.js"];

/// The document and its tag.
type Written = Result<(Bytes, String), String>;

/// The document, written once, as the API writes ids.
static WITH_TEXT: LazyLock<Written> = LazyLock::new(|| write(IdStyle::Text));
static WITH_NUMBERS: LazyLock<Written> = LazyLock::new(|| write(IdStyle::Number));

fn write(ids: IdStyle) -> Written {
    let json = openapi::document(ids).to_json().map_err(|error| error.to_string())?;
    let tag = file::tag(json.as_bytes());
    Ok((Bytes::from(json), tag))
}

/// Nothing is looked up elsewhere: the validator would be.
static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::new(["/documentation/json"]).use_base_layout().validator_url("none");
    Arc::new(config.try_it_out_enabled(true).display_request_duration(true).doc_expansion("list"))
});

pub fn configure(config: &mut ServiceConfig) {
    let document = ["json", "openapi.json"].map(|name| format!("/documentation/{name}"));
    let document: Vec<String> = document.into_iter().flat_map(|path| [format!("{path}/"), path]).collect();
    let document: Vec<&str> = document.iter().map(String::as_str).collect();
    config
        .service(resource(&["/documentation"]).route(get().to(redirect)))
        .service(resource(&["/documentation/"]).route(get().to(page)))
        .service(resource(&document).route(get().to(json)))
        .service(resource(&["/documentation/{name}"]).route(get().to(part)));
}

async fn redirect() -> HttpResponse {
    HttpResponse::MovedPermanently().insert_header((LOCATION, "/documentation/")).finish()
}

async fn page(request: HttpRequest) -> HttpResponse {
    PAGE.answer(&request)
}

async fn json(app: Data<App>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let written = match app.ids {
        IdStyle::Text => &WITH_TEXT,
        IdStyle::Number => &WITH_NUMBERS,
    };
    let (json, tag) = written.as_ref().map_err(internal)?;
    let kind = "application/json; charset=utf-8";
    Ok(file::answer(&request, kind, tag, || json.clone()))
}

async fn part(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let name = request.match_info().get("name").unwrap_or_default();
    if !PARTS.contains(&name) {
        return Err(ApiError::not_found(&request));
    }
    let part = serve(name, CONFIG.clone()).map_err(internal)?.ok_or_else(|| internal(name))?;
    // They change with the program alone, and hashing a megabyte for each request is not worth it.
    let tag = format!("\"{}-{}\"", env!("CARGO_PKG_VERSION"), part.bytes.len());
    Ok(file::answer(&request, &part.content_type, &tag, || Bytes::from(part.bytes.into_owned())))
}

fn internal(error: impl std::fmt::Display) -> ApiError {
    tracing::error!(%error, "a part of the documentation is missing");
    ApiError::Internal
}
