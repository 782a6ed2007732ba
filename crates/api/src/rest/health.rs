//! Whether this API lives, whether it can work, and how it does.

use std::time::Duration;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::FutureExt;
use posthaste_store::migrations::check_schema;
use serde_json::json;

use super::parameters::Parameters;
use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::json;

/// A probe that gets its answer later takes it for none.
const PATIENCE: Duration = Duration::from_secs(2);

/// 200 while the process lives.
pub async fn alive() -> Result<HttpResponse, ApiError> {
    json::ok(&json!({"status": "ok"}))
}

/// 200 if this API is to go on, and the database answers and has a schema that this program can work with; or else 503
/// with the reason.
pub async fn ready(app: Data<App>) -> Result<HttpResponse, ApiError> {
    let reason = if app.drain.has_begun() { Some("stopping".to_owned()) } else { problem(&app).await };
    let Some(reason) = reason else { return alive().await };
    let body = json!({"status": "unavailable", "reason": reason}).to_string();
    Ok(HttpResponse::ServiceUnavailable().insert_header((CONTENT_TYPE, json::CONTENT_TYPE)).body(body))
}

/// The metrics of the process, for administrators: they tell which queues there are and how busy each is.
pub async fn metrics(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.administer()?;
    Parameters::parse(request.query_string())?.finish()?;
    Ok(posthaste_service::metrics::answer(&app.metrics.all))
}

async fn problem(app: &App) -> Option<String> {
    let check = app.database.read(|conn| async { Ok(check_schema(conn).await) }.boxed());
    match tokio::time::timeout(PATIENCE, check).await {
        Ok(Ok(Ok(_))) => None,
        Ok(Ok(Err(error))) => Some(error.to_string()),
        Ok(Err(_)) | Err(_) => Some("the database is not available".to_owned()),
    }
}
