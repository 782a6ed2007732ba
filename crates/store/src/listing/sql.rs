//! Statements that are put together at run time.
//!
//! Text comes from this crate's source alone, which its type says (`&'static str`); every value is a bind. Such a
//! statement is not kept prepared: there are more of them than a connection should remember.

use std::marker::PhantomData;

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::pg::data_types::PgTimestamp;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Text, Timestamptz};
use posthaste_core::filter::Value;
use posthaste_core::time::Timestamp;

use crate::reading::to_postgres;

/// The first moment that Postgres can store, in 4714 BC, in microseconds since 1970. Its last is beyond 64 bits of them.
const FIRST: Timestamp = Timestamp(-210_866_803_200_000_000);

/// A part of a statement.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Sql {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(&'static str),
    Bind(Bind),
}

/// A value, or several as an array.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bind {
    Number(i64),
    Text(String),
    Boolean(bool),
    Time(PgTimestamp),
    Numbers(Vec<i64>),
    Texts(Vec<String>),
    Booleans(Vec<bool>),
    Times(Vec<PgTimestamp>),
}

impl Sql {
    pub(crate) fn new(text: &'static str) -> Sql {
        Sql { pieces: vec![Piece::Text(text)] }
    }

    #[must_use]
    pub(crate) fn text(mut self, text: &'static str) -> Sql {
        self.pieces.push(Piece::Text(text));
        self
    }

    #[must_use]
    pub(crate) fn bind(mut self, bind: Bind) -> Sql {
        self.pieces.push(Piece::Bind(bind));
        self
    }

    #[must_use]
    pub(crate) fn sql(mut self, other: Sql) -> Sql {
        self.pieces.extend(other.pieces);
        self
    }

    /// All of them, with `separator` between.
    #[must_use]
    pub(crate) fn join(parts: impl IntoIterator<Item = Sql>, separator: &'static str) -> Sql {
        let mut joined = Sql::default();
        for (index, part) in parts.into_iter().enumerate() {
            joined = if index > 0 { joined.text(separator) } else { joined }.sql(part);
        }
        joined
    }
}

impl From<Value> for Bind {
    fn from(value: Value) -> Bind {
        match value {
            Value::Number(number) => Bind::Number(number),
            Value::Text(text) => Bind::Text(text),
            Value::Boolean(boolean) => Bind::Boolean(boolean),
            Value::Time(time) => Bind::Time(bounded(time)),
        }
    }
}

impl Bind {
    /// An array of values, which are all of one kind. `None` for no value.
    pub(crate) fn array(values: &[Value]) -> Option<Bind> {
        Some(match values.first()? {
            Value::Number(_) => Bind::Numbers(only(values, |value| match value {
                Value::Number(number) => Some(*number),
                _ => None,
            })),
            Value::Text(_) => Bind::Texts(only(values, |value| match value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            })),
            Value::Boolean(_) => Bind::Booleans(only(values, |value| match value {
                Value::Boolean(boolean) => Some(*boolean),
                _ => None,
            })),
            Value::Time(_) => Bind::Times(only(values, |value| match value {
                Value::Time(time) => Some(bounded(*time)),
                _ => None,
            })),
        })
    }
}

fn only<T>(values: &[Value], of: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    values.iter().filter_map(of).collect()
}

/// A time as Postgres takes it. What is too early to be stored compares with every stored time as -infinity does.
fn bounded(time: Timestamp) -> PgTimestamp {
    if time < FIRST { PgTimestamp(i64::MIN) } else { to_postgres(time) }
}

/// A whole statement whose rows are of the SQL type `T`.
#[derive(Debug, Clone)]
pub(crate) struct Statement<T> {
    sql: Sql,
    rows: PhantomData<T>,
}

impl<T> Statement<T> {
    pub(crate) fn new(sql: Sql) -> Statement<T> {
        Statement { sql, rows: PhantomData }
    }
}

impl<T> Query for Statement<T> {
    type SqlType = T;
}

impl<T> QueryId for Statement<T> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<T> QueryFragment<Pg> for Statement<T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        for piece in &self.sql.pieces {
            match piece {
                Piece::Text(text) => out.push_sql(text),
                Piece::Bind(bind) => match bind {
                    Bind::Number(number) => out.push_bind_param::<BigInt, _>(number)?,
                    Bind::Text(text) => out.push_bind_param::<Text, _>(text)?,
                    Bind::Boolean(boolean) => out.push_bind_param::<Bool, _>(boolean)?,
                    Bind::Time(time) => out.push_bind_param::<Timestamptz, _>(time)?,
                    Bind::Numbers(numbers) => out.push_bind_param::<Array<BigInt>, _>(numbers)?,
                    Bind::Texts(texts) => out.push_bind_param::<Array<Text>, _>(texts)?,
                    Bind::Booleans(booleans) => out.push_bind_param::<Array<Bool>, _>(booleans)?,
                    Bind::Times(times) => out.push_bind_param::<Array<Timestamptz>, _>(times)?,
                },
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl std::fmt::Display for Sql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Bind(bind) => write!(f, "{bind:?}"),
        })
    }
}
