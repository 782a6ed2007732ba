//! `/queues/{id}/secrets` and `/queues/{id}/credentials`.

use actix_web::http::header;
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use posthaste_core::entity::QueueField;

use super::parameters::{Parameters, path_id, path_number};
use super::routes::{Place, Routes};
use crate::app::App;
use crate::auth::{Caller, Operation};
use crate::error::ApiError;
use crate::json;
use crate::ops::secrets;
use crate::wire::fields::Fields;
use crate::wire::secret::{CredentialsView, SecretInput, SecretView, credentials};

/// Registers the routes.
pub fn register(routes: &mut Routes) {
    routes.add(Place::at("/queues/{id}/secrets").get(list).post(create));
    routes.add(Place::at("/queues/{id}/secrets/{secretId}").delete(revoke));
    routes.add(Place::at("/queues/{id}/credentials").get(describe).put(set).delete(delete));
}

async fn create(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let queue = named(&caller, &request, Operation::Save)?;
    let body = json::optional_text(&app, &request, payload).await?;
    let SecretInput { scheme, grace } = SecretInput::read(body.as_deref().map(Fields::parse).transpose()?)?;
    let made = secrets::create(&app, &caller, queue, scheme, grace).await?;
    let made = made.ok_or_else(|| ApiError::not_found(&request))?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::LOCATION, format!("/queues/{queue}/secrets/{}", made.stored.id)));
    // It is shown this once, and nobody between us and the client is to keep it.
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    json::answer(answer, &SecretView::from(&made.stored).with_secret(&made.text))
}

async fn list(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let queue = named(&caller, &request, Operation::Find)?;
    let found = secrets::list(&app, &caller, queue).await?.ok_or_else(|| ApiError::not_found(&request))?;
    json::ok(&found.iter().map(SecretView::from).collect::<Vec<_>>())
}

async fn revoke(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let queue = named(&caller, &request, Operation::Save)?;
    let id = path_number(&request, "secretId")?;
    let revoked = secrets::revoke(&app, &caller, queue, id).await?;
    json::ok(&SecretView::from(&revoked.ok_or_else(|| ApiError::not_found(&request))?))
}

async fn set(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let queue = named(&caller, &request, Operation::Save)?;
    let body = json::text(&app, &request, payload).await?;
    let given = credentials(&body)?;
    let set = secrets::set_credentials(&app, &caller, queue, &given).await?;
    json::ok(&CredentialsView::from(&set.ok_or_else(|| ApiError::not_found(&request))?))
}

async fn describe(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let queue = named(&caller, &request, Operation::Find)?;
    let found = secrets::credentials(&app, &caller, queue).await?;
    json::ok(&CredentialsView::from(&found.ok_or_else(|| ApiError::not_found(&request))?))
}

async fn delete(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let queue = named(&caller, &request, Operation::Save)?;
    let deleted = secrets::delete_credentials(&app, &caller, queue).await?;
    json::ok(&CredentialsView::from(&deleted.ok_or_else(|| ApiError::not_found(&request))?))
}

/// The queue that the path names, for who may do this with some.
fn named(caller: &Caller, request: &HttpRequest, operation: Operation) -> Result<i64, ApiError> {
    caller.grant::<QueueField>(operation)?;
    Parameters::of(request)?.finish()?;
    path_id(request)
}
