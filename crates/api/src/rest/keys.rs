//! `/api-keys`: for administrators only.

use actix_web::http::header;
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::FutureExt;
use posthaste_core::ids::ApiKeyId;
use posthaste_store::api_key::{self, Created, NewApiKey};
use posthaste_store::page::Page;

use super::parameters::{Parameters, path_id};
use super::routes::{Place, Routes};
use crate::app::App;
use crate::auth::Caller;
use crate::auth::key::{generate, stored};
use crate::error::ApiError;
use crate::json;
use crate::wire::api_key::{ApiKeyInput, ApiKeyView};
use crate::wire::fields::Fields;
use crate::wire::value::invalid;

/// Registers the routes.
pub fn register(routes: &mut Routes) {
    routes.add(Place::at("/api-keys").get(list).post(create));
    routes.add(Place::at("/api-keys/{id}").get(get).delete(revoke));
}

async fn create(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    caller.administer()?;
    Parameters::of(&request)?.finish()?;
    let body = json::text(&app, &request, payload).await?;
    let input = ApiKeyInput::read(Fields::parse(&body)?)?;
    let key = generate();
    let (hash, prefix) = stored(&key);
    let ApiKeyInput { name, scopes, queue_ids, rate_limit, expires_at } = input;
    let new = NewApiKey { name, hash, prefix, scopes, queue_ids, rate_limit, expires_at };
    let actor = caller.actor().to_owned();
    let write = app.database.write(move |conn| async move { api_key::create(conn, &new, &actor).await }.boxed());
    match write.await? {
        Created::Stored(stored) => {
            let view = ApiKeyView::from(&stored).with_key(&key);
            let mut answer = HttpResponse::Ok();
            answer.insert_header((header::LOCATION, format!("/api-keys/{}", stored.id)));
            // It is shown this once, and nobody between us and the client is to keep it.
            answer.insert_header((header::CACHE_CONTROL, "no-store"));
            json::answer(answer, &view)
        }
        Created::UnknownQueue(id) => Err(ApiError::UnknownQueue { field: "queueIds", id: id.0 }),
        Created::AlreadyExpired => Err(invalid("expiresAt", "is in the past")),
    }
}

async fn list(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.administer()?;
    let mut parameters = Parameters::of(&request)?;
    let (limit, offset) = parameters.page()?;
    parameters.finish()?;
    let page = Page { limit, offset };
    let keys = app.database.read(move |conn| api_key::list(conn, page).boxed()).await?;
    json::ok(&keys.iter().map(ApiKeyView::from).collect::<Vec<_>>())
}

async fn get(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = named(&caller, &request)?;
    let key = app.database.read(move |conn| api_key::get(conn, id).boxed()).await?;
    json::ok(&ApiKeyView::from(&key.ok_or_else(|| ApiError::not_found(&request))?))
}

async fn revoke(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = named(&caller, &request)?;
    let actor = caller.actor().to_owned();
    let write = app.database.write(move |conn| async move { api_key::revoke(conn, id, &actor).await }.boxed());
    json::ok(&ApiKeyView::from(&write.await?.ok_or_else(|| ApiError::not_found(&request))?))
}

/// The key that the path names, for an administrator.
fn named(caller: &Caller, request: &HttpRequest) -> Result<ApiKeyId, ApiError> {
    caller.administer()?;
    Parameters::of(request)?.finish()?;
    path_id(request).map(ApiKeyId)
}
