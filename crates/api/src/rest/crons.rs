//! `/crons`, also known as `/cron`.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::FutureExt;
use posthaste_core::entity::CronField;
use posthaste_core::ids::CronId;
use posthaste_core::schedule::Schedule;
use posthaste_store::connect::Connection;
use posthaste_store::cron::{self, Created, NewCron};
use posthaste_store::error::StoreError;
use posthaste_store::partition::ensure_partitions;

use super::parameters::{Paging, PathId, Plain};
use crate::app::App;
use crate::error::ApiError;
use crate::json::{self, Json};
use crate::wire::cron::{CronInput, CronView};
use crate::wire::value::invalid;

pub async fn create(app: Data<App>, _: Plain, Json(input): Json<CronInput>) -> Result<HttpResponse, ApiError> {
    let queue = input.queue_id;
    match app.database.write(move |conn| store(conn, input).boxed()).await? {
        Some(Created::Stored { cron, shard }) => {
            app.waker.pending([shard]);
            app.waker.crons();
            json::created(format!("/crons/{}", cron.id), &CronView::from(&cron))
        }
        Some(Created::UnknownQueue) => Err(ApiError::UnknownQueue { field: "queueId", id: queue.0 }),
        None => Err(invalid("schedule", "the schedule never fires again")),
    }
}

pub async fn list(app: Data<App>, Paging(listing): Paging<CronField>) -> Result<HttpResponse, ApiError> {
    let crons = app.database.read(move |conn| async move { cron::find(conn, &listing).await }.boxed()).await?;
    json::ok(&crons.iter().map(CronView::from).collect::<Vec<_>>())
}

pub async fn get(app: Data<App>, request: HttpRequest, id: PathId, _: Plain) -> Result<HttpResponse, ApiError> {
    let cron = app.database.read(move |conn| cron::get(conn, CronId(id.0)).boxed()).await?;
    json::ok(&CronView::from(&cron.ok_or_else(|| ApiError::not_found(&request))?))
}

pub async fn delete(app: Data<App>, request: HttpRequest, id: PathId, _: Plain) -> Result<HttpResponse, ApiError> {
    let deleted = app.database.write(move |conn| cron::delete(conn, CronId(id.0)).boxed()).await?;
    let deleted = deleted.ok_or_else(|| ApiError::not_found(&request))?;
    app.waker.pending(deleted.shard);
    app.waker.crons();
    json::ok(&CronView::from(&deleted.cron))
}

/// Stores a cron with its first tick after now, by the database's clock; `None` if there is none.
async fn store(conn: &mut Connection, input: CronInput) -> Result<Option<Created>, StoreError> {
    let Some(first) = input.schedule.next_after(cron::clock(conn).await?) else {
        return Ok(None);
    };
    let new = NewCron {
        queue_id: input.queue_id,
        schedule: input.expression,
        time_zone: Schedule::DEFAULT_TIME_ZONE.to_owned(),
        body: input.body,
        headers: input.headers,
        first,
    };
    match cron::insert(conn, &new).await {
        Err(StoreError::MissingPartition) => {
            ensure_partitions(conn).await?;
            cron::insert(conn, &new).await.map(Some)
        }
        result => result.map(Some),
    }
}
