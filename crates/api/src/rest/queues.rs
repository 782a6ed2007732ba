//! `/queues`.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::FutureExt;
use posthaste_core::entity::QueueField;
use posthaste_core::ids::QueueId;
use posthaste_store::queue::{self, Created, Deleted, Deletion, NewQueue};

use super::parameters::{Force, Paging, PathId, Plain};
use crate::app::App;
use crate::error::ApiError;
use crate::json::{self, Json};
use crate::wire::queue::QueueView;

pub async fn create(app: Data<App>, _: Plain, Json(new): Json<NewQueue>) -> Result<HttpResponse, ApiError> {
    let dead_letter_queue = new.dead_letter_queue_id;
    match app.database.write(move |conn| async move { queue::insert(conn, &new).await }.boxed()).await? {
        Created::Stored(queue) => json::created(format!("/queues/{}", queue.id), &QueueView::from(&queue)),
        Created::UnknownDeadLetterQueue => {
            Err(ApiError::UnknownQueue { field: "deadLetterQueueId", id: dead_letter_queue.map_or(0, |id| id.0) })
        }
    }
}

pub async fn list(app: Data<App>, Paging(listing): Paging<QueueField>) -> Result<HttpResponse, ApiError> {
    let queues = app.database.read(move |conn| async move { queue::find(conn, &listing).await }.boxed()).await?;
    json::ok(&queues.iter().map(QueueView::from).collect::<Vec<_>>())
}

pub async fn get(app: Data<App>, request: HttpRequest, id: PathId, _: Plain) -> Result<HttpResponse, ApiError> {
    let queue = app.database.read(move |conn| queue::get(conn, QueueId(id.0)).boxed()).await?;
    json::ok(&QueueView::from(&queue.ok_or_else(|| ApiError::not_found(&request))?))
}

pub async fn delete(app: Data<App>, request: HttpRequest, id: PathId, force: Force) -> Result<HttpResponse, ApiError> {
    let id = QueueId(id.0);
    let deletion = if force.0 { Deletion::Force } else { Deletion::IfUnused };
    match app.database.write(move |conn| queue::delete(conn, id, deletion).boxed()).await? {
        Deleted::Deleted(queue) => {
            if force.0 {
                cancel(&app, id).await;
            }
            json::ok(&QueueView::from(&queue))
        }
        Deleted::InUse => Err(ApiError::InUse),
        Deleted::Missing => Err(ApiError::not_found(&request)),
    }
}

/// The queue is gone whatever becomes of this: what stays pending is dropped when it is due.
async fn cancel(app: &App, id: QueueId) {
    if let Ok(shards) = app.database.write(move |conn| queue::cancel_messages(conn, id).boxed()).await {
        app.waker.pending(shards);
    }
    app.waker.crons();
}
