//! `where`, `orderBy`, `limit` and `offset`: their types, and what they ask for.

use async_graphql::Value;
use async_graphql::dynamic::{Enum, InputObject, InputValue, ObjectAccessor, TypeRef};
use posthaste_core::entity::{Field, Kind};
use posthaste_core::filter::{Clause, Comparison, Condition, Direction, Filter, Test, Value as Operand};
use posthaste_core::listing::{Listing, Order};

use super::entities::Shown;
use super::{scalars, type_name};
use crate::error::ApiError;
use crate::rest::parameters::{DEFAULT_LIMIT, LARGEST_LIMIT};
use crate::wire::time;

/// Values of one `in` or `nin`.
const LARGEST_SET: usize = 1_000;
/// Conditions of one list, after alternatives of several conditions are taken apart.
const MOST_CONDITIONS: usize = 100;

const DIRECTION: &str = "OrderByDirection";

/// The fields that lists can be filtered and ordered by.
fn comparable<F: Field>() -> impl Iterator<Item = F> {
    F::ALL.iter().copied().filter(|field| field.is_comparable())
}

/// Up or down.
pub fn direction() -> Enum {
    Enum::new(DIRECTION).item("ASC").item("DESC")
}

/// The names of the fields that an entity's lists can be ordered by.
pub fn order_field<R: Shown>() -> Enum {
    comparable::<R::Field>()
        .fold(Enum::new(format!("{}OrderByField", type_name::<R>())), |names, field| names.item(field.name()))
}

/// The types of an entity's conditions and orders.
pub fn objects<R: Shown>() -> Vec<InputObject> {
    let name = type_name::<R>();
    let conditions = |name: String| {
        comparable::<R::Field>().fold(InputObject::new(name), |object, field| {
            object.field(InputValue::new(field.name(), TypeRef::named(condition_type::<R>(field))))
        })
    };
    let or = format!("{name}WhereArgumentsOr");
    let order = InputObject::new(format!("{name}OrderByArguments"))
        .field(InputValue::new("field", TypeRef::named(format!("{name}OrderByField"))))
        .field(InputValue::new("direction", TypeRef::named_nn(DIRECTION)));
    let filter = conditions(format!("{name}WhereArguments"))
        .field(InputValue::new("or", TypeRef::named_list(or.clone())).description("One of these must hold."));
    let operators = comparable::<R::Field>().map(|field| {
        let ty = scalars::of(field.kind());
        let object = ["eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike"]
            .into_iter()
            .fold(InputObject::new(condition_type::<R>(field)), |object, operator| {
                object.field(InputValue::new(operator, TypeRef::named(ty)))
            });
        ["in", "nin"]
            .into_iter()
            .fold(object, |object, operator| object.field(InputValue::new(operator, TypeRef::named_list(ty))))
            .field(InputValue::new("isNull", TypeRef::named(TypeRef::BOOLEAN)))
    });
    operators.chain([order, filter, conditions(or)]).collect()
}

fn condition_type<R: Shown>(field: R::Field) -> String {
    format!("{}WhereArguments{}", type_name::<R>(), field.name())
}

/// The argument `where` of a field.
pub fn where_argument<R: Shown>() -> InputValue {
    InputValue::new("where", TypeRef::named(format!("{}WhereArguments", type_name::<R>())))
}

/// The arguments of a list.
pub fn list_arguments<R: Shown>() -> [InputValue; 4] {
    [
        InputValue::new("limit", TypeRef::named(scalars::LIMIT)),
        InputValue::new("offset", TypeRef::named(TypeRef::INT)),
        InputValue::new("orderBy", TypeRef::named_list(format!("{}OrderByArguments", type_name::<R>()))),
        where_argument::<R>(),
    ]
}

/// What the arguments of a list ask for.
///
/// # Errors
/// A part that is out of bounds; as [`filter`].
pub fn listing<F: Field>(arguments: &ObjectAccessor<'_>) -> Result<Listing<F>, ApiError> {
    let limit = number(arguments, "limit")?.unwrap_or(DEFAULT_LIMIT);
    let offset = number(arguments, "offset")?.unwrap_or(0);
    if limit < 0 {
        return Err(ApiError::LimitNegative(limit));
    } else if limit > LARGEST_LIMIT {
        return Err(ApiError::LimitTooLarge(limit));
    } else if offset < 0 {
        return Err(ApiError::OffsetNegative(offset));
    }
    let order = arguments.get("orderBy").map_or(Ok(Vec::new()), |value| order(value.as_value()))?;
    let filter = filter(arguments)?.unwrap_or_default();
    Ok(Listing { filter, order, limit, offset, cursor: None, bodies: true })
}

fn number(arguments: &ObjectAccessor<'_>, name: &str) -> Result<Option<i64>, ApiError> {
    match arguments.get(name).map(|value| value.as_value().clone()) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) if number.is_i64() => Ok(number.as_i64()),
        Some(_) => Err(must_be(name, "integer")),
    }
}

fn order<F: Field>(value: &Value) -> Result<Vec<Order<F>>, ApiError> {
    let mut order: Vec<Order<F>> = Vec::new();
    for one in items(value) {
        let one = object("orderBy", one)?;
        let (field, direction) = (one.get("field").and_then(word), one.get("direction").and_then(word));
        let field = field.and_then(F::from_name).filter(|field| field.is_comparable());
        let field = field.ok_or_else(|| must_be("orderBy.field", "a field of the entity"))?;
        let direction = match direction {
            Some("ASC") => Direction::Ascending,
            Some("DESC") => Direction::Descending,
            _ => return Err(must_be("orderBy.direction", "ASC or DESC")),
        };
        // The first counts: those after it decide nothing.
        if order.iter().all(|earlier| earlier.field != field) {
            order.push(Order { field, direction });
        }
    }
    Ok(order)
}

/// The conditions of `where`; `None` where there is no `where`.
///
/// # Errors
/// A value of the wrong type; too many conditions.
pub fn filter<F: Field>(arguments: &ObjectAccessor<'_>) -> Result<Option<Filter<F>>, ApiError> {
    let Some(value) = arguments.get("where") else { return Ok(None) };
    if value.is_null() {
        return Ok(None);
    }
    let mut all = Vec::new();
    for (name, value) in object("where", value.as_value())? {
        if name == "or" {
            if !matches!(value, Value::Null) {
                any(items(value), &mut all)?;
            }
        } else {
            all.extend(conditions(name, value)?.into_iter().map(Clause::One));
        }
    }
    let filter = Filter { all };
    if filter.fields().count() > MOST_CONDITIONS {
        return Err(too_many());
    }
    Ok(Some(filter))
}

/// Adds clauses that together say: of these alternatives, each of which may be several conditions, one holds. `(a and b) or
/// c` is `(a or c) and (b or c)`.
fn any<F: Field>(alternatives: &[Value], all: &mut Vec<Clause<F>>) -> Result<(), ApiError> {
    let mut clauses: Vec<Vec<Condition<F>>> = vec![Vec::new()];
    for alternative in alternatives {
        let mut found = Vec::new();
        for (name, value) in object("where.or", alternative)? {
            found.extend(conditions::<F>(name, value)?);
        }
        let next = clauses.iter().flat_map(|clause| {
            found.iter().map(|condition| clause.iter().chain([condition]).cloned().collect::<Vec<_>>())
        });
        clauses = next.collect();
        if clauses.iter().map(Vec::len).sum::<usize>() > MOST_CONDITIONS {
            return Err(too_many());
        }
    }
    all.extend(clauses.into_iter().map(Clause::Any));
    Ok(())
}

/// The conditions on one field.
fn conditions<F: Field>(name: &str, value: &Value) -> Result<Vec<Condition<F>>, ApiError> {
    let field = F::from_name(name).filter(|field| field.is_comparable());
    let field = field.ok_or_else(|| must_be(&format!("where.{name}"), "a field of the entity"))?;
    let operators = object(&format!("where.{name}"), value)?;
    operators.iter().map(|(operator, value)| Ok(Condition { field, test: test(field, operator, value)? })).collect()
}

fn test<F: Field>(field: F, operator: &str, value: &Value) -> Result<Test, ApiError> {
    let name = format!("where.{}.{operator}", field.name());
    let compare = |comparison| Ok(Test::Compare(comparison, operand(field, &name, value)?));
    let set = || {
        let values = items(value);
        if values.len() > LARGEST_SET {
            return Err(ApiError::value_limit(format!("in and nin take at most {LARGEST_SET} values")));
        }
        values.iter().map(|value| operand(field, &name, value)).collect::<Result<Vec<_>, _>>()
    };
    match (operator, value) {
        ("eq", Value::Null) => Ok(Test::IsNull),
        ("neq", Value::Null) => Ok(Test::IsNotNull),
        ("eq", _) => compare(Comparison::Equal),
        ("neq", _) => compare(Comparison::NotEqual),
        ("gt", _) => compare(Comparison::Greater),
        ("gte", _) => compare(Comparison::GreaterOrEqual),
        ("lt", _) => compare(Comparison::Less),
        ("lte", _) => compare(Comparison::LessOrEqual),
        ("like", Value::String(pattern)) if field.kind() == Kind::Text => Ok(Test::Like(pattern.clone())),
        ("ilike", Value::String(pattern)) if field.kind() == Kind::Text => Ok(Test::Ilike(pattern.clone())),
        // Of anything but text, only the very value is like it.
        ("like" | "ilike", _) => compare(Comparison::Equal),
        ("in", _) => set().map(Test::In),
        ("nin", _) => set().map(Test::NotIn),
        ("isNull", Value::Boolean(true)) => Ok(Test::IsNull),
        ("isNull", Value::Boolean(false)) => Ok(Test::IsNotNull),
        ("isNull", _) => Err(must_be(&name, "boolean")),
        _ => Err(must_be(&name, "an operator")),
    }
}

fn operand<F: Field>(field: F, name: &str, value: &Value) -> Result<Operand, ApiError> {
    match (field.kind(), value) {
        (Kind::Id | Kind::Integer, _) => whole(value).map(Operand::Number).ok_or_else(|| must_be(name, "integer")),
        (Kind::Boolean, Value::Boolean(boolean)) => Ok(Operand::Boolean(*boolean)),
        (Kind::Boolean, _) => Err(must_be(name, "boolean")),
        (Kind::Time, Value::String(text)) => time::parse(text)
            .map(Operand::Time)
            .ok_or_else(|| ApiError::Validation(format!("{name} {}", time::EXPECTED))),
        (Kind::Text | Kind::Json | Kind::AnyJson, Value::String(text)) => Ok(Operand::Text(text.clone())),
        (Kind::Text | Kind::Json | Kind::AnyJson | Kind::Time, _) => Err(must_be(name, "string")),
    }
}

/// A whole number, or a string of one, as ids are.
pub fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) if !text.starts_with('+') => text.parse().ok(),
        _ => None,
    }
}

/// The items of a list; one value alone is a list of it, and null is none.
pub fn items(value: &Value) -> &[Value] {
    match value {
        Value::List(items) => items,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

/// The fields of an object. GraphQL's own validation lets other values through where it expects one.
///
/// # Errors
/// It is something else.
pub fn object<'a>(
    name: &str,
    value: &'a Value,
) -> Result<&'a async_graphql::indexmap::IndexMap<async_graphql::Name, Value>, ApiError> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(must_be(name, "object")),
    }
}

fn word(value: &Value) -> Option<&str> {
    match value {
        Value::Enum(name) => Some(name.as_str()),
        Value::String(name) => Some(name),
        _ => None,
    }
}

fn must_be(name: &str, what: &str) -> ApiError {
    ApiError::Validation(format!("{name} must be {what}"))
}

fn too_many() -> ApiError {
    ApiError::value_limit(format!("a list may have at most {MOST_CONDITIONS} conditions"))
}

#[cfg(test)]
mod tests;
