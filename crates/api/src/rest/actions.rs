//! What can be done with a message or queue beyond reading and writing it, and what there is to know about it.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use posthaste_core::entity::{MessageField, QueueField};
use posthaste_core::gate::breaker::Position;
use serde_json::json;

use super::entities::{shown, view};
use super::parameters::{Parameters, path_id};
use crate::app::App;
use crate::auth::{Caller, Operation};
use crate::error::ApiError;
use crate::json;
use crate::ops::queues::Stats;
use crate::ops::testing::{self, Asked};
use crate::ops::{Messages, Queues, messages, queues};
use crate::wire::Date;
use crate::wire::attempt::AttemptView;
use crate::wire::fields::Fields;
use crate::wire::testing::TestView;
use crate::wire::value::reason;

/// `POST /messages/{id}/cancel`
pub async fn cancel(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.grant::<MessageField>(Operation::Save)?;
    let id = path_id(&request)?;
    Parameters::of(&request)?.finish()?;
    let message = messages::cancel(&app, &caller, id).await?.ok_or_else(|| ApiError::not_found(&request))?;
    json::ok(&view::<Messages>(&app, &message, &shown::<Messages>(&caller, None)))
}

/// `GET /messages/{id}/attempts`
pub async fn attempts(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.grant::<MessageField>(Operation::Find)?;
    let id = path_id(&request)?;
    Parameters::of(&request)?.finish()?;
    let attempts = messages::attempts(&app, &caller, id).await?.ok_or_else(|| ApiError::not_found(&request))?;
    json::ok(&attempts.iter().map(AttemptView::from).collect::<Vec<_>>())
}

/// `POST /queues/{id}/pause`, with nothing or `{"reason": "…"}`
pub async fn pause(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    caller.grant::<QueueField>(Operation::Save)?;
    let id = path_id(&request)?;
    Parameters::of(&request)?.finish()?;
    let reason = match json::optional_text(&app, &request, payload).await? {
        None => None,
        Some(body) => {
            let mut fields = Fields::parse(&body)?;
            let reason = reason(fields.take("reason"))?;
            fields.finish()?;
            reason
        }
    };
    set_paused(&app, &caller, &request, id, Some(reason)).await
}

/// `POST /queues/{id}/resume`
pub async fn resume(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.grant::<QueueField>(Operation::Save)?;
    let id = path_id(&request)?;
    Parameters::of(&request)?.finish()?;
    set_paused(&app, &caller, &request, id, None).await
}

/// `POST /queues/{id}/test`, with nothing or `{"body": …, "headers": {…}}`
pub async fn test(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    testing::check(&caller)?;
    let id = path_id(&request)?;
    Parameters::of(&request)?.finish()?;
    let body = json::optional_text(&app, &request, payload).await?;
    let asked = Asked::read(body.as_deref().map(Fields::parse).transpose()?)?;
    let attempt = testing::test(&app, &caller, id, asked).await?.ok_or_else(|| ApiError::not_found(&request))?;
    json::ok(&TestView::from(&attempt))
}

async fn set_paused(
    app: &App,
    caller: &Caller,
    request: &HttpRequest,
    id: i64,
    pause: Option<Option<String>>,
) -> Result<HttpResponse, ApiError> {
    let queue = queues::set_paused(app, caller, id, pause).await?.ok_or_else(|| ApiError::not_found(request))?;
    json::ok(&view::<Queues>(app, &queue, &shown::<Queues>(caller, None)))
}

/// `GET /queues/{id}/stats`
pub async fn queue_stats(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.grant::<QueueField>(Operation::Find)?;
    let id = path_id(&request)?;
    Parameters::of(&request)?.finish()?;
    let stats = queues::stats(&app, &caller, id).await?.ok_or_else(|| ApiError::not_found(&request))?;
    json::ok(&stats_json(&stats))
}

/// `GET /stats`
pub async fn stats(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.grant::<QueueField>(Operation::Find)?;
    Parameters::of(&request)?.finish()?;
    json::ok(&stats_json(&queues::all_stats(&app, &caller).await?))
}

/// Statistics as they are answered, over REST and GraphQL.
#[must_use]
pub fn stats_json(stats: &Stats) -> serde_json::Value {
    let Stats { backlog, totals, standing } = stats;
    json!({
        "pending": backlog.pending,
        "pendingIsCapped": backlog.is_capped,
        "oldestDueAt": backlog.oldest_due.map(Date),
        "delivered": totals.delivered,
        "failed": totals.failed,
        "retried": totals.retried,
        "cancelled": totals.cancelled,
        "expired": totals.expired,
        "deadLettered": totals.dead_lettered,
        "inFlight": standing.in_flight,
        "window": standing.window,
        "allowedConcurrency": standing.allowed,
        "breaker": standing.breaker.map(Position::as_str),
    })
}
