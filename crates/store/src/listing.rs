//! Lists and counts: rows that a filter lets through, in an order, from a place on.
//!
//! A list is read in two steps of one statement. The inner one, the *page*, finds the ids and touches only what the filter
//! and the order ask for; the outer one reads the rows of these ids, at most `limit` of them. What an entity's fields are
//! in SQL, and where its rows are to be looked for, its own module says.
//!
//! What no index serves (text within bodies, far offsets, counts of everything) is bounded by time: every statement here
//! ends after [`TIME_LIMIT`], which its caller is told as [`StoreError::TooExpensive`]. What is large is bounded in bytes:
//! rows are taken as they come, and no further than [`LARGEST`], which is told as [`StoreError::TooLarge`].

mod condition;
mod sql;

use std::pin::pin;
use std::time::{Duration, Instant};

use diesel::QueryResult;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::BigInt;
use diesel_async::methods::LoadQuery;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::{Stream, TryStreamExt};
use posthaste_core::entity::{Field, Kind};
use posthaste_core::filter::{Direction, Filter};
use posthaste_core::listing::{Listing, Order, Side};
use serde_json::Value;

use crate::error::StoreError;
use condition::Key;
pub(crate) use condition::{Expression, Logic, filter as conditions};
pub(crate) use sql::{Bind, Sql, Statement};

/// How long a list or a count may take.
pub const TIME_LIMIT: Duration = Duration::from_secs(5);
/// How large several rows may be together, in bytes of their bodies and headers. One row is never too large.
pub const LARGEST: usize = 16 << 20;

/// A row of which something may be large.
pub trait Large {
    /// How large its body and headers are, in bytes.
    fn size(&self) -> usize;
}

/// A number, as ids and counts are read.
impl Large for (i64,) {
    fn size(&self) -> usize {
        0
    }
}

/// How large headers are, in bytes.
pub(crate) fn size_of(headers: Option<&Value>) -> usize {
    let Some(Value::Object(headers)) = headers else { return 0 };
    headers.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum()
}

/// Sets [`TIME_LIMIT`] for the transaction. A list has an index to go by, and a sequential scan is never better; a count
/// may be the whole table's, and the planner decides.
const LIST_SETTINGS: &str = "SET LOCAL statement_timeout = '5s'; SET LOCAL enable_seqscan = off; \
    SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";
const COUNT_SETTINGS: &str = "SET LOCAL statement_timeout = '5s'";

/// Names of the page's columns by which it is ordered; no order has more fields than an entity.
const KEYS: [(&str, &str); 24] = [
    (" AS k0", "k0"),
    (" AS k1", "k1"),
    (" AS k2", "k2"),
    (" AS k3", "k3"),
    (" AS k4", "k4"),
    (" AS k5", "k5"),
    (" AS k6", "k6"),
    (" AS k7", "k7"),
    (" AS k8", "k8"),
    (" AS k9", "k9"),
    (" AS k10", "k10"),
    (" AS k11", "k11"),
    (" AS k12", "k12"),
    (" AS k13", "k13"),
    (" AS k14", "k14"),
    (" AS k15", "k15"),
    (" AS k16", "k16"),
    (" AS k17", "k17"),
    (" AS k18", "k18"),
    (" AS k19", "k19"),
    (" AS k20", "k20"),
    (" AS k21", "k21"),
    (" AS k22", "k22"),
    (" AS k23", "k23"),
];

/// Fields of which one is the id.
pub(crate) trait Listed: Field {
    const ID: Self;
}

/// Rows that a list may consist of, and what their fields are. Several are disjoint.
pub(crate) struct Branch<F> {
    /// After `FROM`.
    pub(crate) from: Sql,
    pub(crate) fields: Box<dyn Fn(F) -> Expression + Send + Sync>,
    /// What its rows are selected by, besides the filter.
    pub(crate) rows: Logic,
    /// It need not go on beyond where the branches before it have filled the page. For a first key that is a time.
    pub(crate) ends_with_earlier: bool,
}

/// The parents whose rows are listed. A branch refers to one as `parent.id`.
pub(crate) struct Relation {
    parents: Vec<i64>,
}

impl Relation {
    pub(crate) fn of(parents: impl Iterator<Item = i64>) -> Relation {
        Relation { parents: parents.collect() }
    }
}

/// A page: a query with the columns `id` and the keys, and how they are ordered.
pub(crate) struct Page {
    pub(crate) sql: Sql,
    pub(crate) order: Sql,
    /// Whether its rows come from the last to the first.
    reversed: bool,
}

/// The page that a list asks for; `None` where no row can be in it.
///
/// # Errors
/// [`StoreError::Other`] where the place has no value for a field of the order.
pub(crate) fn page<F: Listed>(listing: &Listing<F>, branches: &[Branch<F>]) -> Result<Option<Page>, StoreError> {
    let reversed = listing.cursor.as_ref().is_some_and(|cursor| cursor.side == Side::Before);
    let order = whole_order(&listing.order, reversed);
    if order.len() > KEYS.len() {
        return Err(StoreError::unexpected("an order by more fields than there are"));
    }
    // Each branch may have to give all of the page, and what is left out before it.
    let (limit, offset) = match branches.len() {
        1 => (listing.limit, listing.offset),
        _ => (listing.limit.saturating_add(listing.offset), 0),
    };
    let mut parts = Vec::new();
    for branch in branches {
        let place = match &listing.cursor {
            Some(cursor) => condition::after(&place(&order, &cursor.key, &branch.fields)?),
            None => Logic::Always,
        };
        let mut rows = condition::filter(&listing.filter, &branch.fields).and(place);
        if branch.ends_with_earlier && !parts.is_empty() {
            rows = rows.and(end(branch, &order, parts.clone(), limit));
        }
        parts.extend(part(branch, rows, &order, limit, offset));
    }
    let ordered_by = |table: &'static str| {
        let keys = order.iter().zip(KEYS);
        Sql::join(keys.map(|(order, (_, key))| Sql::new(table).text(key).text(arrow(order.direction))), ", ")
    };
    let sql = match (parts.len(), branches.len()) {
        (0, _) => return Ok(None),
        (1, 1) => Sql::join(parts, ""),
        _ => Sql::new("SELECT * FROM ((")
            .sql(Sql::join(parts, ") UNION ALL ("))
            .text(")) AS branches ORDER BY ")
            .sql(ordered_by("branches."))
            .sql(window(listing.limit, listing.offset)),
    };
    Ok(Some(Page { sql, order: ordered_by("page."), reversed }))
}

/// The query that counts what a filter lets through; `None` where there is none.
pub(crate) fn number<F: Listed>(filter: &Filter<F>, branches: &[Branch<F>]) -> Option<Sql> {
    let counts: Vec<Sql> = branches
        .iter()
        .filter_map(|branch| {
            let condition = selection(branch, condition::filter(filter, &branch.fields))?;
            Some(Sql::new("(SELECT count(*) FROM ").sql(branch.from.clone()).sql(condition).text(")"))
        })
        .collect();
    if counts.is_empty() { None } else { Some(Sql::new("SELECT ").sql(Sql::join(counts, " + "))) }
}

/// Ends with the id: what comes after it decides nothing.
fn whole_order<F: Listed>(asked: &[Order<F>], reversed: bool) -> Vec<Order<F>> {
    let mut order: Vec<Order<F>> = Vec::with_capacity(asked.len() + 1);
    for one in asked.iter().chain([&Order { field: F::ID, direction: Direction::Ascending }]) {
        if order.iter().all(|earlier| earlier.field != one.field && earlier.field != F::ID) {
            let direction = match (one.direction, reversed) {
                (direction, false) => direction,
                (Direction::Ascending, true) => Direction::Descending,
                (Direction::Descending, true) => Direction::Ascending,
            };
            order.push(Order { field: one.field, direction });
        }
    }
    order
}

fn place<F: Field>(
    order: &[Order<F>],
    key: &[(F, Option<posthaste_core::filter::Value>)],
    fields: &impl Fn(F) -> Expression,
) -> Result<Vec<Key>, StoreError> {
    order
        .iter()
        .map(|order| {
            let (_, value) = key
                .iter()
                .find(|(field, _)| *field == order.field)
                .ok_or_else(|| StoreError::unexpected("a place without a value for a field of the order"))?;
            Ok(Key { expression: fields(order.field), direction: order.direction, value: value.clone() })
        })
        .collect()
}

/// Up to the last row of a page that `earlier` fills; everything, where it does not.
fn end<F: Listed>(branch: &Branch<F>, order: &[Order<F>], earlier: Vec<Sql>, limit: i64) -> Logic {
    let Some(first) = order.first() else { return Logic::Always };
    let (text, constant) = open(&(branch.fields)(first.field));
    if constant {
        return Logic::Always;
    }
    let (comparison, otherwise) = match first.direction {
        Direction::Ascending => (" <= coalesce((SELECT k0 FROM ((", " LIMIT 1), 'infinity')"),
        Direction::Descending => (" >= coalesce((SELECT k0 FROM ((", " LIMIT 1), '-infinity')"),
    };
    let earlier = Sql::new(text).text(comparison).sql(Sql::join(earlier, ") UNION ALL ("));
    let last = earlier.text(")) AS earlier ORDER BY k0").text(arrow(first.direction)).text(" OFFSET ");
    Logic::Sometimes(last.bind(Bind::Number((limit - 1).max(0))).text(otherwise))
}

/// `SELECT` of one branch; `None` where it has no row.
fn part<F: Listed>(branch: &Branch<F>, rows: Logic, order: &[Order<F>], limit: i64, offset: i64) -> Option<Sql> {
    let condition = selection(branch, rows)?;
    let (id, _) = open(&(branch.fields)(F::ID));
    let mut columns = vec![Sql::new(id).text(" AS id")];
    let mut keys = Vec::new();
    for (order, (name, _)) in order.iter().zip(KEYS) {
        let (text, constant) = open(&(branch.fields)(order.field));
        let by_bytes = if order.field.kind() == Kind::Text { " COLLATE \"C\"" } else { "" };
        columns.push(Sql::new(text).text(by_bytes).text(name));
        if !constant {
            keys.push(Sql::new(text).text(by_bytes).text(arrow(order.direction)));
        }
    }
    let sql = Sql::new("SELECT ").sql(Sql::join(columns, ", ")).text(" FROM ").sql(branch.from.clone()).sql(condition);
    Some(sql.text(" ORDER BY ").sql(Sql::join(keys, ", ")).sql(window(limit, offset)))
}

/// The text of an expression, and whether it is the same for every row.
fn open(expression: &Expression) -> (&'static str, bool) {
    match expression {
        Expression::Column { text, .. } => (text, false),
        Expression::Constant { text, .. } | Expression::Named { text, .. } => (text, true),
    }
}

fn selection<F>(branch: &Branch<F>, rows: Logic) -> Option<Sql> {
    match branch.rows.clone().and(rows) {
        Logic::Never => None,
        Logic::Always => Some(Sql::default()),
        Logic::Sometimes(condition) => Some(Sql::new(" WHERE ").sql(condition)),
    }
}

fn window(limit: i64, offset: i64) -> Sql {
    Sql::new(" LIMIT ").bind(Bind::Number(limit)).text(" OFFSET ").bind(Bind::Number(offset))
}

fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::Ascending => "",
        Direction::Descending => " DESC",
    }
}

/// Reads a list: the rows of `page`, or of one page for each parent, with the columns and joins that `rows` makes around
/// it.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`]; [`StoreError::TooLarge`] where two rows or more are larger than [`LARGEST`],
/// however many more there would be.
pub(crate) async fn load<T, Row, E>(
    conn: &mut AsyncPgConnection,
    page: Option<Page>,
    relation: Option<Relation>,
    rows: impl FnOnce(Sql) -> Sql,
) -> Result<Vec<E>, StoreError>
where
    Statement<T>: LoadQuery<'static, AsyncPgConnection, Row> + Send + 'static,
    Row: Send,
    E: From<Row> + Large + Send,
{
    let Some(page) = page else { return Ok(Vec::new()) };
    let (from, order) = match relation {
        None => (Sql::new("(").sql(page.sql).text(") AS page"), Sql::new(" ORDER BY ")),
        Some(Relation { parents }) => {
            let parents =
                Sql::new("unnest(").bind(Bind::Numbers(parents)).text(") WITH ORDINALITY AS parent(id, number)");
            let pages = parents.text(" CROSS JOIN LATERAL (").sql(page.sql).text(") AS page");
            (pages, Sql::new(" ORDER BY parent.number").text(if page.reversed { " DESC, " } else { ", " }))
        }
    };
    let statement = Statement::<T>::new(rows(from).sql(order).sql(page.order));
    let mut rows = limited(conn, LIST_SETTINGS, statement).await?;
    if page.reversed {
        rows.reverse();
    }
    Ok(rows)
}

/// Reads a count.
///
/// # Errors
/// As any statement; [`StoreError::TooExpensive`].
pub(crate) async fn count(conn: &mut AsyncPgConnection, number: Option<Sql>) -> Result<i64, StoreError> {
    let Some(number) = number else { return Ok(0) };
    let rows: Vec<(i64,)> = limited::<_, (i64,), _>(conn, COUNT_SETTINGS, Statement::<(BigInt,)>::new(number)).await?;
    rows.into_iter().next().map(|(number,)| number).ok_or_else(|| StoreError::unexpected("no count"))
}

async fn limited<T, Row, E>(
    conn: &mut AsyncPgConnection,
    settings: &'static str,
    statement: Statement<T>,
) -> Result<Vec<E>, StoreError>
where
    Statement<T>: LoadQuery<'static, AsyncPgConnection, Row> + Send + 'static,
    Row: Send,
    E: From<Row> + Large + Send,
{
    let mut began = None;
    let result = conn
        .transaction(async |conn| {
            conn.batch_execute(settings).await?;
            began = Some(Instant::now());
            gather(statement.load_stream::<Row>(conn).await?).await
        })
        .await;
    result.map_err(|ended| match ended {
        Ended::TooLarge => StoreError::TooLarge,
        Ended::Failed(error) => {
            let over = began.is_some_and(|began| began.elapsed() >= TIME_LIMIT);
            if is_timeout(&error, over) { StoreError::TooExpensive } else { error.into() }
        }
    })
}

/// Why a statement gave no list.
enum Ended {
    Failed(DieselError),
    TooLarge,
}

impl From<DieselError> for Ended {
    fn from(error: DieselError) -> Ended {
        Ended::Failed(error)
    }
}

/// Takes rows as they come, so that no more than the bound is ever held. One row is always taken.
async fn gather<Row, E: From<Row> + Large>(rows: impl Stream<Item = QueryResult<Row>>) -> Result<Vec<E>, Ended> {
    let mut rows = pin!(rows);
    let (mut gathered, mut total) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        let row = E::from(row);
        total += row.size();
        if total > LARGEST && !gathered.is_empty() {
            return Err(Ended::TooLarge);
        }
        gathered.push(row);
    }
    Ok(gathered)
}

/// Whether a statement was ended by its time limit. diesel keeps the SQLSTATE (57014) to itself, see `error`; of a server
/// that speaks another language, the clock tells.
fn is_timeout(error: &DieselError, over: bool) -> bool {
    match error {
        DieselError::DatabaseError(DatabaseErrorKind::Unknown, info) => {
            info.message() == "canceling statement due to statement timeout" || over
        }
        _ => false,
    }
}
