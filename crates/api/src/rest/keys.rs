//! `/api-keys`: for administrators only.

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use futures_util::FutureExt;
use posthaste_core::ids::ApiKeyId;
use posthaste_store::api_key::{self, Created, NewApiKey};

use super::parameters::{Paging, PathId, Plain};
use super::{get as reading, open};
use crate::app::App;
use crate::auth::Caller;
use crate::auth::key::{generate, stored};
use crate::error::ApiError;
use crate::json::{self, Json};
use crate::wire::api_key::{ApiKeyInput, ApiKeyView};
use crate::wire::value::invalid;

/// Registers the routes.
pub fn configure(config: &mut ServiceConfig) {
    config.service(open("/api-keys").route(reading().to(list)).route(web::post().to(create)));
    config.service(open("/api-keys/{id}").route(reading().to(get)).route(web::delete().to(revoke)));
}

async fn create(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    caller.administer()?;
    Plain::extract(&request).await?;
    let Json(input) = Json::<ApiKeyInput>::from_request(&request, &mut payload.into_inner()).await?;
    let key = generate();
    let (hash, prefix) = stored(&key);
    let ApiKeyInput { name, scopes, queue_ids, rate_limit, expires_at } = input;
    let new = NewApiKey { name, hash, prefix, scopes, queue_ids, rate_limit, expires_at };
    let actor = caller.actor().to_owned();
    let write = app.database.write(move |conn| async move { api_key::create(conn, &new, &actor).await }.boxed());
    match write.await? {
        Created::Stored(stored) => {
            let view = ApiKeyView::from(&stored).with_key(&key);
            let mut response = json::created(format!("/api-keys/{}", stored.id), &view)?;
            // It is shown this once, and nobody between us and the client is to keep it.
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(response)
        }
        Created::UnknownQueue(id) => Err(ApiError::UnknownQueue { field: "queueIds", id: id.0 }),
        Created::AlreadyExpired => Err(invalid("expiresAt", "is in the past")),
    }
}

async fn list(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.administer()?;
    let Paging(page) = Paging::extract(&request).await?;
    let keys = app.database.read(move |conn| api_key::list(conn, page).boxed()).await?;
    json::ok(&keys.iter().map(ApiKeyView::from).collect::<Vec<_>>())
}

async fn get(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = named(&caller, &request).await?;
    let key = app.database.read(move |conn| api_key::get(conn, id).boxed()).await?;
    json::ok(&ApiKeyView::from(&key.ok_or_else(|| ApiError::not_found(&request))?))
}

async fn revoke(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = named(&caller, &request).await?;
    let actor = caller.actor().to_owned();
    let write = app.database.write(move |conn| async move { api_key::revoke(conn, id, &actor).await }.boxed());
    json::ok(&ApiKeyView::from(&write.await?.ok_or_else(|| ApiError::not_found(&request))?))
}

/// The key that the path names, for an administrator.
async fn named(caller: &Caller, request: &HttpRequest) -> Result<ApiKeyId, ApiError> {
    caller.administer()?;
    Plain::extract(request).await?;
    Ok(ApiKeyId(PathId::extract(request).await?.0))
}
