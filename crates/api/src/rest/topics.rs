//! `/topics/{name}`: publishing to all queues that subscribe, and the subscriptions.

use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use posthaste_core::entity::{MessageField, QueueField};

use super::entities::{shown, view};
use super::parameters::{Parameters, path_number};
use super::routes::{Place, Routes};
use crate::app::App;
use crate::auth::{Caller, Operation};
use crate::error::ApiError;
use crate::json;
use crate::ops::{Messages, topics};
use crate::wire::fields::Fields;
use crate::wire::idempotency;
use crate::wire::message::read_published;
use crate::wire::topic::{self, SubscriptionView};
use crate::wire::trace::Trace;

/// Registers the routes.
pub fn register(routes: &mut Routes) {
    routes.add(Place::at("/topics/{name}/messages").post(publish));
    routes.add(Place::at("/topics/{name}/subscriptions").get(list));
    routes.add(Place::at("/topics/{name}/subscriptions/{queueId}").put(subscribe).delete(unsubscribe));
}

async fn publish(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    caller.grant::<MessageField>(Operation::Save)?;
    let name = named(&request)?;
    let body = json::text(&app, &request, payload).await?;
    let mut message = read_published(Fields::parse(&body)?, app.max_body_bytes)?;
    if let Some(trace) = Trace::of(request.headers()) {
        trace.apply(&mut message);
    }
    idempotency::apply(&mut message, idempotency::header(request.headers())?)?;
    let messages = topics::publish(&app, &caller, name, message).await?;
    let fields = shown::<Messages>(&caller, None);
    json::ok(&messages.iter().map(|message| view::<Messages>(&app, message, &fields)).collect::<Vec<_>>())
}

async fn list(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.grant::<QueueField>(Operation::Find)?;
    let found = topics::subscriptions(&app, &caller, named(&request)?).await?;
    json::ok(&found.iter().map(SubscriptionView::from).collect::<Vec<_>>())
}

async fn subscribe(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    caller.grant::<QueueField>(Operation::Save)?;
    let (name, queue) = (named(&request)?, path_number(&request, "queueId")?);
    let body = json::optional_text(&app, &request, payload).await?;
    let filter = topic::read(body.as_deref().map(Fields::parse).transpose()?)?;
    let stored = topics::subscribe(&app, &caller, name, queue, filter).await?;
    json::ok(&SubscriptionView::from(&stored.ok_or_else(|| ApiError::not_found(&request))?))
}

async fn unsubscribe(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.grant::<QueueField>(Operation::Save)?;
    let (name, queue) = (named(&request)?, path_number(&request, "queueId")?);
    let ended = topics::unsubscribe(&app, &caller, name, queue).await?;
    json::ok(&SubscriptionView::from(&ended.ok_or_else(|| ApiError::not_found(&request))?))
}

fn named(request: &HttpRequest) -> Result<String, ApiError> {
    Parameters::of(request)?.finish()?;
    topic::name(request.match_info().get("name").unwrap_or_default())
}
