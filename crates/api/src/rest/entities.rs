//! `/queues`, `/messages`, `/crons`: what they have in common.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use posthaste_core::entity::{Entity, Field};
use posthaste_core::filter::{Filter, Value};
use posthaste_core::listing::Order;

use super::cursor;
use super::parameters::{Asked, Parameters, path_id};
use crate::app::App;
use crate::auth::{Caller, Operation};
use crate::error::ApiError;
use crate::json;
use crate::memory::Answer;
use crate::ops::{self, Beside, Deletion, Resource};
use crate::wire::idempotency;
use crate::wire::output::View;
use crate::wire::trace::Trace;

pub async fn list<R: Resource>(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.grant::<R::Field>(Operation::Find)?;
    let asked = Parameters::of(&request)?.list()?;
    listed::<R>(&app, &caller, asked).await
}

/// The answer to a list.
///
/// # Errors
/// As [`ops::find`].
pub async fn listed<R: Resource>(app: &App, caller: &Caller, asked: Asked<R::Field>) -> Result<HttpResponse, ApiError> {
    let Asked { listing, fields, total_count, cursors } = asked;
    let fields = fields.as_deref().unwrap_or(R::Field::ALL);
    let mut answer = HttpResponse::Ok();
    if total_count {
        let count = ops::count::<R>(app, caller, listing.filter.clone()).await?;
        answer.insert_header(("x-total-count", count.to_string()));
    }
    let order = listing.order.clone();
    let memory = Answer::new(&app.memory);
    let rows = ops::find::<R>(app, caller, listing, fields, &memory).await?;
    if cursors {
        tell_places::<R>(&mut answer, &order, &rows);
    }
    let views: Vec<_> = rows.iter().map(|row| view::<R>(app, row, fields)).collect();
    json::large_answer(answer, memory, &views)
}

fn tell_places<R: Resource>(answer: &mut HttpResponseBuilder, order: &[Order<R::Field>], rows: &[R::Row]) {
    let place = |row| cursor::encode(order, |field| R::output(row, field).value());
    if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
        answer.insert_header(("x-start-after", place(last)));
        answer.insert_header(("x-end-before", place(first)));
    }
}

pub async fn get<R: Resource>(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.grant::<R::Field>(Operation::Find)?;
    let id = path_id(&request)?;
    let fields = only_fields(&request)?;
    let fields = fields.as_deref().unwrap_or(R::Field::ALL);
    let memory = Answer::new(&app.memory);
    let row = ops::get::<R>(&app, &caller, id, fields, &memory).await?.ok_or_else(|| ApiError::not_found(&request))?;
    json::large_answer(HttpResponse::Ok(), memory, &view::<R>(&app, &row, fields))
}

pub async fn create<R: Resource>(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    caller.grant::<R::Field>(Operation::Save)?;
    let fields = only_fields(&request)?;
    let body = json::text(&app, &request, payload).await?;
    let beside = match R::Field::ENTITY {
        Entity::Message => {
            Beside { idempotency_key: idempotency::header(request.headers())?, trace: Trace::of(request.headers()) }
        }
        Entity::Queue | Entity::Cron => Beside::default(),
    };
    let stored = ops::create::<R>(&app, &caller, &body, &beside).await?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header(("location", format!("/{}/{}", R::Field::ENTITY.plural(), R::id(&stored.row))));
    if stored.replayed {
        answer.insert_header((idempotency::REPLAYED, "true"));
    }
    json::answer(answer, &view::<R>(&app, &stored.row, &shown::<R>(&caller, fields)))
}

pub async fn update<R: Resource>(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    caller.grant::<R::Field>(Operation::Save)?;
    let id = path_id(&request)?;
    let fields = only_fields(&request)?;
    let body = json::text(&app, &request, payload).await?;
    let row = ops::update::<R>(&app, &caller, id, &body, true).await?.ok_or_else(|| ApiError::not_found(&request))?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header(("location", format!("/{}/{id}", R::Field::ENTITY.plural())));
    json::answer(answer, &view::<R>(&app, &row, &shown::<R>(&caller, fields)))
}

pub async fn update_all<R: Resource>(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    caller.grant::<R::Field>(Operation::UpdateMany)?;
    let mut parameters = Parameters::of(&request)?;
    let (filter, fields) = (parameters.filter()?, parameters.fields()?);
    parameters.finish()?;
    let filter = filter.ok_or(ApiError::MissingWhere)?;
    let body = json::text(&app, &request, payload).await?;
    let rows = ops::update_all::<R>(&app, &caller, filter, &body).await?;
    let fields = shown::<R>(&caller, fields);
    let views: Vec<_> = rows.iter().map(|row| view::<R>(&app, row, &fields)).collect();
    let mut answer = HttpResponse::Ok();
    answer.insert_header(("location", format!("/{}", R::Field::ENTITY.plural())));
    json::answer(answer, &views)
}

pub async fn delete<R: Resource>(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    caller.grant::<R::Field>(Operation::Delete)?;
    let id = path_id(&request)?;
    let mut parameters = Parameters::of(&request)?;
    let fields = parameters.fields()?;
    // Only queues can be in use.
    let force = R::Field::ENTITY == Entity::Queue && parameters.flag("force")?;
    parameters.finish()?;
    let deletion = if force { Deletion::Force } else { Deletion::IfUnused };
    let row = ops::delete::<R>(&app, &caller, id, deletion).await?.ok_or_else(|| ApiError::not_found(&request))?;
    json::ok(&view::<R>(&app, &row, &shown::<R>(&caller, fields)))
}

/// Rows of `R` whose `field` is the id of a row of `P`, which must be there for the caller.
pub async fn children<P: Resource, R: Resource>(
    app: &App,
    caller: &Caller,
    request: &HttpRequest,
    field: R::Field,
) -> Result<HttpResponse, ApiError> {
    caller.grant::<P::Field>(Operation::Find)?;
    caller.grant::<R::Field>(Operation::Find)?;
    let id = path_id(request)?;
    let mut asked = Parameters::of(request)?.list()?;
    if !ops::is_there::<P>(app, caller, id, &[P::ID]).await? {
        return Err(ApiError::not_found(request));
    }
    asked.listing.filter = asked.listing.filter.intersect(Filter::equal(field, Value::Number(id)));
    listed::<R>(app, caller, asked).await
}

/// The row of `R` that `field` of a row of `P` names.
pub async fn parent<P: Resource, R: Resource>(
    app: &App,
    caller: &Caller,
    request: &HttpRequest,
    field: P::Field,
) -> Result<HttpResponse, ApiError> {
    caller.grant::<P::Field>(Operation::Find)?;
    caller.grant::<R::Field>(Operation::Find)?;
    let id = path_id(request)?;
    let fields = only_fields(request)?;
    let fields = fields.as_deref().unwrap_or(R::Field::ALL);
    let (nothing, memory) = (|| ApiError::not_found(request), Answer::new(&app.memory));
    let child = ops::get::<P>(app, caller, id, &[P::ID, field], &memory).await?.ok_or_else(nothing)?;
    let Some(Value::Number(target)) = P::output(&child, field).value() else { return Err(nothing()) };
    let row = ops::get::<R>(app, caller, target, fields, &memory).await?.ok_or_else(nothing)?;
    json::large_answer(HttpResponse::Ok(), memory, &view::<R>(app, &row, fields))
}

/// `fields`, and no other parameter.
fn only_fields<F: Field>(request: &HttpRequest) -> Result<Option<Vec<F>>, ApiError> {
    let mut parameters = Parameters::of(request)?;
    let fields = parameters.fields()?;
    parameters.finish()?;
    Ok(fields)
}

/// What an answer to a change shows: no field that the caller could not read otherwise.
pub fn shown<R: Resource>(caller: &Caller, fields: Option<Vec<R::Field>>) -> Vec<R::Field> {
    let mut fields = fields.unwrap_or_else(|| R::Field::ALL.to_vec());
    if let Ok(grant) = caller.grant::<R::Field>(Operation::Find)
        && let Some(readable) = grant.fields
    {
        fields.retain(|field| readable.contains(field));
    }
    fields
}

pub fn view<'a, R: Resource>(app: &App, row: &'a R::Row, fields: &'a [R::Field]) -> View<'a, R::Field, R::Row> {
    View { row, fields, ids: app.ids, output: R::output }
}
