//! What can be done with a cron beyond reading and writing it, and what there is to know about it: `/crons/{id}/trigger`, `/pause`,
//! `/resume` and `/ticks`, and `/crons/preview`.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use posthaste_core::entity::CronField;

use super::conditions::integer;
use super::entities::{shown, view};
use super::parameters::{Parameters, path_id};
use super::routes::{Place, Routes};
use crate::app::App;
use crate::auth::{Caller, Operation};
use crate::error::ApiError;
use crate::json;
use crate::ops::{Crons, Messages, crons};
use crate::wire::tick::{self, PreviewView, TickView};

/// Registers the routes, under the name of the original's documentation, too.
pub fn register(routes: &mut Routes) {
    for path in ["/crons", "/cron"] {
        routes.add(Place::at(&format!("{path}/preview")).get(preview));
        routes.add(Place::at(&format!("{path}/{{id}}/trigger")).post(trigger));
        routes.add(Place::at(&format!("{path}/{{id}}/pause")).post(pause));
        routes.add(Place::at(&format!("{path}/{{id}}/resume")).post(resume));
        routes.add(Place::at(&format!("{path}/{{id}}/ticks")).get(ticks));
    }
}

async fn trigger(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.grant::<CronField>(Operation::Save)?;
    let id = path_id(&request)?;
    Parameters::of(&request)?.finish()?;
    let message = crons::trigger(&app, &caller, id).await?.ok_or_else(|| ApiError::not_found(&request))?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header(("location", format!("/messages/{}", message.id)));
    json::answer(answer, &view::<Messages>(&app, &message, &shown::<Messages>(&caller, None)))
}

async fn pause(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    set_paused(&app, &caller, &request, true).await
}

async fn resume(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    set_paused(&app, &caller, &request, false).await
}

async fn set_paused(app: &App, caller: &Caller, request: &HttpRequest, paused: bool) -> Result<HttpResponse, ApiError> {
    caller.grant::<CronField>(Operation::Save)?;
    let id = path_id(request)?;
    Parameters::of(request)?.finish()?;
    let cron = crons::set_paused(app, caller, id, paused).await?.ok_or_else(|| ApiError::not_found(request))?;
    json::ok(&view::<Crons>(app, &cron, &shown::<Crons>(caller, None)))
}

async fn ticks(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.grant::<CronField>(Operation::Find)?;
    let id = path_id(&request)?;
    let mut parameters = Parameters::of(&request)?;
    let (before, limit) = (parameters.one("before"), number("limit", &mut parameters)?);
    let before = tick::time_of("querystring/before", before.as_deref())?;
    parameters.finish()?;
    let limit = tick::count("querystring/limit", limit, tick::DEFAULT, tick::MOST)?;
    let ticks = crons::ticks(&app, &caller, id, before, limit).await?.ok_or_else(|| ApiError::not_found(&request))?;
    json::ok(&ticks.iter().map(TickView::from).collect::<Vec<_>>())
}

async fn preview(caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.grant::<CronField>(Operation::Find)?;
    let mut parameters = Parameters::of(&request)?;
    let (from, count) = (parameters.one("from"), number("count", &mut parameters)?);
    let from = tick::time_of("querystring/from", from.as_deref())?;
    let given: Vec<_> = tick::FIELDS.into_iter().filter_map(|name| Some((name, parameters.one(name)?))).collect();
    parameters.finish()?;
    let count = tick::count("querystring/count", count, tick::PREVIEWED, tick::MOST_PREVIEWED)?;
    let count = usize::try_from(count).unwrap_or_default();
    let preview = crons::preview(&caller, &tick::settings(given)?, from.unwrap_or_else(tick::now), count)?;
    json::ok(&PreviewView::from(&preview))
}

fn number(name: &'static str, parameters: &mut Parameters) -> Result<Option<i64>, ApiError> {
    parameters.one(name).map(|value| integer(name, &value)).transpose()
}
