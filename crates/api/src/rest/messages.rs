//! `/messages`.

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::FutureExt;
use posthaste_core::ids::MessageId;
use posthaste_store::message::{self, NewMessage};

use super::parameters::{Paging, PathId, Plain};
use crate::app::App;
use crate::batcher::Stored;
use crate::error::ApiError;
use crate::json::{self, Json};
use crate::wire::idempotency;
use crate::wire::message::MessageView;

pub async fn create(
    app: Data<App>,
    request: HttpRequest,
    _: Plain,
    Json(mut new): Json<NewMessage>,
) -> Result<HttpResponse, ApiError> {
    idempotency::apply(&mut new, idempotency::header(request.headers())?)?;
    let Stored { message, accepted, replayed } = app.batcher.store(new).await?;
    let view = MessageView::accepted(&message, &accepted);
    let mut response = json::created(format!("/messages/{}", accepted.id), &view)?;
    if replayed {
        let (name, value) = (HeaderName::from_static(idempotency::REPLAYED), HeaderValue::from_static("true"));
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

pub async fn list(app: Data<App>, Paging(page): Paging) -> Result<HttpResponse, ApiError> {
    let messages = app.database.read(move |conn| message::list(conn, page).boxed()).await?;
    json::ok(&messages.iter().map(MessageView::from).collect::<Vec<_>>())
}

pub async fn get(app: Data<App>, request: HttpRequest, id: PathId, _: Plain) -> Result<HttpResponse, ApiError> {
    let message = app.database.read(move |conn| message::get(conn, MessageId(id.0)).boxed()).await?;
    json::ok(&MessageView::from(&message.ok_or_else(|| ApiError::not_found(&request))?))
}

pub async fn delete(app: Data<App>, request: HttpRequest, id: PathId, _: Plain) -> Result<HttpResponse, ApiError> {
    let deleted = app.database.write(move |conn| message::delete(conn, MessageId(id.0)).boxed()).await?;
    let deleted = deleted.ok_or_else(|| ApiError::not_found(&request))?;
    app.waker.pending(deleted.shard);
    json::ok(&MessageView::from(&deleted.message))
}
