//! `/queues/{id}/purge`, `/replay` and `/redrive`, `/messages/{id}/replay`, `/jobs`.

use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use posthaste_core::entity::{MessageField, QueueField};
use posthaste_store::job::{Kind, Order};

use super::conditions::integer;
use super::entities::{shown, view};
use super::parameters::{Parameters, path_id};
use super::routes::{Place, Routes};
use crate::app::App;
use crate::auth::{Caller, Operation};
use crate::error::ApiError;
use crate::json;
use crate::ops::{Messages, jobs, messages};
use crate::wire::fields::Fields;
use crate::wire::job::{JobInput, JobView, PreviewView};

/// Registers the routes.
pub fn register(routes: &mut Routes) {
    routes.add(Place::at("/queues/{id}/purge").post(purge));
    routes.add(Place::at("/queues/{id}/replay").post(replay));
    routes.add(Place::at("/queues/{id}/redrive").post(redrive));
    routes.add(Place::at("/messages/{id}/replay").post(replay_one));
    routes.add(Place::at("/jobs").get(list));
    routes.add(Place::at("/jobs/{id}").get(get));
    routes.add(Place::at("/jobs/{id}/pause").post(pause));
    routes.add(Place::at("/jobs/{id}/resume").post(resume));
    routes.add(Place::at("/jobs/{id}/cancel").post(cancel));
}

async fn purge(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, ApiError> {
    begin(&app, &caller, &request, body, Kind::Purge).await
}

async fn replay(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, ApiError> {
    begin(&app, &caller, &request, body, Kind::Replay).await
}

async fn redrive(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, ApiError> {
    begin(&app, &caller, &request, body, Kind::Redrive).await
}

async fn begin(
    app: &App,
    caller: &Caller,
    request: &HttpRequest,
    payload: web::Payload,
    kind: Kind,
) -> Result<HttpResponse, ApiError> {
    caller.grant::<QueueField>(Operation::Save)?;
    caller.grant::<MessageField>(Operation::Save)?;
    let queue = path_id(request)?;
    let mut parameters = Parameters::of(request)?;
    let filter = parameters.filter()?.unwrap_or_default();
    parameters.finish()?;
    let body = json::optional_text(app, request, payload).await?;
    let JobInput { mut asked, preview } = JobInput::read(body.as_deref().map(Fields::parse).transpose()?)?;
    asked.filter = filter;
    let missing = || ApiError::not_found(request);
    if preview {
        let preview = jobs::preview(app, caller, queue, kind, asked).await?.ok_or_else(missing)?;
        return json::ok(&PreviewView::from(&preview));
    }
    let job = jobs::begin(app, caller, queue, kind, asked).await?.ok_or_else(missing)?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header(("location", format!("/jobs/{}", job.id)));
    json::answer(answer, &JobView::from(&job))
}

async fn replay_one(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.grant::<MessageField>(Operation::Save)?;
    let id = path_id(&request)?;
    Parameters::of(&request)?.finish()?;
    let message = messages::replay(&app, &caller, id).await?.ok_or_else(|| ApiError::not_found(&request))?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header(("location", format!("/messages/{}", message.id)));
    json::answer(answer, &view::<Messages>(&app, &message, &shown::<Messages>(&caller, None)))
}

async fn list(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.grant::<QueueField>(Operation::Find)?;
    let mut parameters = Parameters::of(&request)?;
    let queue = parameters.one("queueId").map(|value| integer("queueId", &value)).transpose()?;
    parameters.finish()?;
    let found = jobs::list(&app, &caller, queue).await?;
    json::ok(&found.iter().map(JobView::from).collect::<Vec<_>>())
}

async fn get(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.grant::<QueueField>(Operation::Find)?;
    let id = path_id(&request)?;
    Parameters::of(&request)?.finish()?;
    let job = jobs::get(&app, &caller, id).await?.ok_or_else(|| ApiError::not_found(&request))?;
    json::ok(&JobView::from(&job))
}

async fn pause(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    tell(&app, &caller, &request, Order::Pause).await
}

async fn resume(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    tell(&app, &caller, &request, Order::Resume).await
}

async fn cancel(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    tell(&app, &caller, &request, Order::Cancel).await
}

async fn tell(app: &App, caller: &Caller, request: &HttpRequest, order: Order) -> Result<HttpResponse, ApiError> {
    caller.grant::<QueueField>(Operation::Save)?;
    let id = path_id(request)?;
    Parameters::of(request)?.finish()?;
    let job = jobs::tell(app, caller, id, order).await?.ok_or_else(|| ApiError::not_found(request))?;
    json::ok(&JobView::from(&job))
}
