//! `/audit-log`: for administrators only.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::FutureExt;
use posthaste_core::time::Timestamp;
use posthaste_store::audit::{self, Period};
use posthaste_store::page::Page;

use super::conditions;
use super::parameters::Parameters;
use super::routes::{Place, Routes};
use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::json;
use crate::wire::audit::EntryView;

/// Registers the route.
pub fn register(routes: &mut Routes) {
    routes.add(Place::at("/audit-log").get(list));
}

/// The newest entries first.
async fn list(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.administer()?;
    let (period, page) = question(request.query_string())?;
    let entries = app.database.read(move |conn| audit::list(conn, period, page).boxed()).await?;
    json::ok(&entries.iter().map(EntryView::from).collect::<Vec<_>>())
}

/// `limit`, `offset`, and the bounds `where.at.gt`, `gte`, `lt` and `lte`, of which all that are given must hold.
fn question(query: &str) -> Result<(Period, Page), ApiError> {
    let mut parameters = Parameters::parse(query)?;
    let (limit, offset) = parameters.page()?;
    let mut bounds = |operator: &str| -> Result<Vec<Timestamp>, ApiError> {
        let name = format!("where.at.{operator}");
        parameters.all(&name).iter().map(|value| conditions::moment(&name, value)).collect()
    };
    let from = bounds("gte")?.into_iter().chain(bounds("gt")?.into_iter().map(next)).max();
    let until = bounds("lt")?.into_iter().chain(bounds("lte")?.into_iter().map(next)).min();
    parameters.finish()?;
    Ok((Period { from, until }, Page { limit, offset }))
}

/// The first moment after one.
fn next(at: Timestamp) -> Timestamp {
    Timestamp(at.0.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_what_all_bounds_allow() {
        let of = |query| question(query).map(|(period, page)| (period.from, period.until, page.limit, page.offset));
        let at = |micros| Some(Timestamp(micros));
        assert_eq!(of(""), Ok((None, None, 10, 0)));
        assert_eq!(of("limit=5&offset=2"), Ok((None, None, 5, 2)));
        let (one, two) = ("1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z");
        let query = format!("where.at.gte={one}&where.at.lt={two}");
        assert_eq!(of(&query), Ok((at(1_000_000), at(2_000_000), 10, 0)));
        let query = format!("where.at.gt={two}&where.at.gte={one}&where.at.lte={one}&where.at.lt={two}");
        assert_eq!(of(&query), Ok((at(2_000_001), at(1_000_001), 10, 0)));
        for wrong in ["where.at.eq=x", "gte=x", "where.at.limit=1", "where.actor.eq=admin", "orderby.at=asc"] {
            assert!(matches!(of(wrong), Err(ApiError::UnknownParameter(_))), "{wrong}");
        }
        for wrong in ["limit=x", "where.at.gte=yesterday", "offset=%2B1"] {
            assert!(matches!(of(wrong), Err(ApiError::Validation(_))), "{wrong}");
        }
        assert_eq!(of("limit=101"), Err(ApiError::LimitTooLarge(101)));
        assert_eq!(of("limit=-1"), Err(ApiError::LimitNegative(-1)));
        assert_eq!(of("offset=-1"), Err(ApiError::OffsetNegative(-1)));
    }
}
