//! Parameters of paths, query strings and headers.

use posthaste_core::entity::{Field, Kind};
use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Required, Schema};

use super::schemas::{AnySchema, array, format, integer, of, words};
use crate::rest::conditions::OPERATORS;
use crate::rest::parameters::{DEFAULT_LIMIT, LARGEST_LIMIT};

/// `{id}`
pub fn id() -> Parameter {
    path("id")
}

/// Another id in a path.
pub fn path(name: &str) -> Parameter {
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
    parameter.schema(Some(integer().minimum(Some(0)))).example(Some(json!(1))).build()
}

/// The name of a topic.
pub fn topic() -> Parameter {
    let name = of(Type::String).pattern(Some("^[A-Za-z0-9._:-]{1,255}$"));
    let parameter = ParameterBuilder::new().name("name").parameter_in(ParameterIn::Path).required(Required::True);
    parameter.schema(Some(name)).example(Some(json!("orders"))).build()
}

/// One of the query string.
pub fn query(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query).required(Required::False);
    let parameter = if description.is_empty() { parameter } else { parameter.description(Some(description)) };
    parameter.schema(Some(schema.into())).build()
}

/// `limit` and `offset`.
pub fn page() -> [Parameter; 2] {
    let limit = integer().minimum(Some(0)).maximum(Some(LARGEST_LIMIT)).default(Some(json!(DEFAULT_LIMIT)));
    let offset = integer().minimum(Some(0)).default(Some(json!(0)));
    [query("limit", "How many, at most.", limit), query("offset", "How many to leave out before them.", offset)]
}

/// `fields`
pub fn fields<F: Field>() -> Parameter {
    let names = array(words(F::ALL.iter().map(|field| field.name()))).min_items(Some(1));
    ParameterBuilder::new()
        .name("fields")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("What to show of each; everything if it is not given. Comma-separated or repeated."))
        .schema(Some(names))
        .style(Some(ParameterStyle::Form))
        .explode(Some(false))
        .build()
}

/// `where.<field>.<operator>` of every field, and `where.or`.
pub fn conditions<F: Field>() -> Vec<Parameter> {
    let comparable = F::ALL.iter().filter(|field| field.is_comparable());
    let mut all: Vec<Parameter> =
        comparable.flat_map(|field| OPERATORS.iter().map(|operator| condition(*field, operator))).collect();
    let description =
        "Alternatives of which one must hold, such as `(id.eq=1|id.eq=2)`; together with the other conditions.";
    let or = of(Type::String).pattern(Some("^\\(.+\\)$"));
    all.push(query("where.or", description, or));
    all
}

fn condition<F: Field>(field: F, operator: &str) -> Parameter {
    let description = match operator {
        "eq" | "neq" if field.is_nullable() => "`null` is no value.",
        "like" | "ilike" if field.kind() == Kind::Text => "`%` is any text, `_` any character.",
        "like" | "ilike" => "As eq.",
        "in" | "nin" => "Comma-separated.",
        _ => "",
    };
    let value = match operator {
        "isNull" => of(Type::Boolean).into(),
        "in" | "nin" => list(field),
        "eq" | "neq" if field.is_nullable() => nullable(field),
        _ => value(field),
    };
    query(&format!("where.{}.{operator}", field.name()), description, value)
}

/// Without an example, which Swagger UI would ask for.
pub fn moment() -> ObjectBuilder {
    of(Type::String).format(format(KnownFormat::DateTime))
}

fn value<F: Field>(field: F) -> AnySchema {
    match field.kind() {
        Kind::Id | Kind::Integer => integer().into(),
        Kind::Boolean => of(Type::Boolean).into(),
        Kind::Text | Kind::Json | Kind::AnyJson => of(Type::String).into(),
        Kind::Time => moment().into(),
    }
}

fn nullable<F: Field>(field: F) -> AnySchema {
    match field.kind() {
        Kind::Id | Kind::Integer => of(Type::String).pattern(Some("^(null|-?[0-9]{1,18})$")).into(),
        Kind::Time => of(Type::String).into(),
        _ => value(field),
    }
}

fn list<F: Field>(field: F) -> AnySchema {
    match field.kind() {
        Kind::Id | Kind::Integer => of(Type::String).pattern(Some("^(-?[0-9]{1,18}(,-?[0-9]{1,18})*)?$")).into(),
        Kind::Boolean => of(Type::String).pattern(Some("^((true|false)(,(true|false))*)?$")).into(),
        Kind::Text | Kind::Json | Kind::AnyJson | Kind::Time => of(Type::String).into(),
    }
}

/// Everything that a list takes.
pub fn list_of<F: Field>() -> Vec<Parameter> {
    let flag = || of(Type::Boolean).default(Some(json!(false)));
    let mut all = page().to_vec();
    all.push(fields::<F>());
    all.push(query("totalCount", "Whether to answer `x-total-count`.", flag()));
    all.push(query("cursor", "Whether to answer cursors; needs `orderby.id`.", flag()));
    all.push(query("startAfter", "The `x-start-after` of another answer: what follows it.", of(Type::String)));
    all.push(query("endBefore", "The `x-end-before` of another answer: what precedes it.", of(Type::String)));
    let comparable = F::ALL.iter().filter(|field| field.is_comparable());
    all.extend(comparable.map(|field| {
        let description = "Orders count as they follow each other in the URL.";
        query(&format!("orderby.{}", field.name()), description, words(["asc", "desc"]))
    }));
    all.extend(conditions::<F>());
    all
}

/// `Idempotency-Key`
pub fn idempotency_key() -> Parameter {
    let schema = of(Type::String).min_length(Some(1)).max_length(Some(255)).pattern(Some("^[ -~]+$"));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("The same as `idempotencyKey` in the body."))
        .schema(Some(schema))
        .build()
}
