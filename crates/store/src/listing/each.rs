//! Lists of the rows that belong to each of several parents, all in one statement.

use std::collections::HashMap;

use diesel::sql_types::BigInt;
use diesel_async::AsyncPgConnection;
use posthaste_core::filter::{Condition, Filter, Test, Value};
use posthaste_core::listing::Listing;

use super::{Bind, Branch, Expression, LIST_SETTINGS, Listed, Logic, Page, Sql, Statement, limited};
use crate::error::StoreError;

/// The same rows, but only those whose field `by` is the id of a row of `parents`, which a page of them is then asked of.
pub(crate) fn of_parents<F: Listed>(branches: Vec<Branch<F>>, by: F) -> Vec<Branch<F>> {
    branches
        .into_iter()
        .map(|branch| {
            let belongs = match (branch.fields)(by) {
                Expression::Column { text, .. } => Logic::Sometimes(Sql::new(text).text(" = parents.id")),
                Expression::Constant { .. } | Expression::Named { .. } => Logic::Never,
            };
            Branch { rows: branch.rows.and(belongs), ..branch }
        })
        .collect()
}

/// The ids in the page of each parent, in its order, each with the parent's.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`].
pub(crate) async fn pairs(
    conn: &mut AsyncPgConnection,
    page: Option<Page>,
    parents: &[i64],
) -> Result<Vec<(i64, i64)>, StoreError> {
    let Some(page) = page else { return Ok(Vec::new()) };
    let sql = Sql::new("SELECT parents.id, page.id, row_number() OVER (PARTITION BY parents.id ORDER BY ")
        .sql(page.order)
        .text(") FROM unnest(")
        .bind(Bind::Numbers(parents.to_vec()))
        .text(") AS parents(id) CROSS JOIN LATERAL (")
        .sql(page.sql)
        .text(") AS page ORDER BY 1, 3");
    let statement = Statement::<(BigInt, BigInt, BigInt)>::new(sql);
    let rows: Vec<(i64, i64, i64)> = limited(conn, LIST_SETTINGS, statement).await?;
    Ok(rows.into_iter().map(|(parent, id, _)| (parent, id)).collect())
}

/// The list of the rows in pairs.
pub(crate) fn these<F: Listed>(pairs: &[(i64, i64)]) -> Listing<F> {
    let ids = pairs.iter().map(|(_, id)| Value::Number(*id)).collect();
    let filter = Filter::default().and(Condition { field: F::ID, test: Test::In(ids) });
    Listing::first(i64::try_from(pairs.len()).unwrap_or(i64::MAX), filter)
}

/// The rows of pairs in their order, each with its parent's id; without those that are gone meanwhile.
pub(crate) fn paired<R>(pairs: Vec<(i64, i64)>, rows: Vec<R>, id: impl Fn(&R) -> i64) -> Vec<(i64, R)> {
    let mut rows: HashMap<i64, R> = rows.into_iter().map(|row| (id(&row), row)).collect();
    pairs.into_iter().filter_map(|(parent, id)| Some((parent, rows.remove(&id)?))).collect()
}
