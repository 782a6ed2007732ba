//! What operations answer: successes with their headers, and errors by status, each with the codes that can occur.

use std::collections::BTreeMap;

use actix_web::ResponseError;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ContentBuilder, Response, ResponseBuilder};

use super::schemas::{AnySchema, either, error_with, named, of, words};
use crate::error::{ApiError, ErrorCode, Limited};

pub const JSON: &str = "application/json";

/// The headers of answers.
const HEADERS: [(&str, &str); 7] = [
    ("location", "The path of what was created or changed."),
    ("x-total-count", "How many there are in all, with `totalCount=true`."),
    ("x-start-after", "With cursors: the place of the last row, for `startAfter`. Missing where there is no row."),
    ("x-end-before", "With cursors: the place of the first row, for `endBefore`. Missing where there is no row."),
    ("idempotency-replayed", "`true` if an earlier request with the same key had stored it."),
    ("cache-control", "`no-store`: nobody is to keep it."),
    ("retry-after", "When to try again, in seconds."),
];

fn header(name: &str) -> Header {
    let description = HEADERS.iter().find(|(known, _)| *known == name).map_or("", |(_, description)| *description);
    let schema = match name {
        "x-total-count" | "retry-after" => of(Type::Integer),
        "idempotency-replayed" => words(["true"]),
        _ => of(Type::String),
    };
    HeaderBuilder::new().schema(schema).description(Some(description)).build()
}

/// An answer of JSON with this schema.
pub fn success(description: &str, schema: AnySchema, headers: &[&str]) -> Response {
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let answer = ResponseBuilder::new().description(description).content(JSON, content);
    headers.iter().fold(answer, |answer, name| answer.header(*name, header(name))).build()
}

/// An answer of plain text.
pub fn text(description: &str, headers: &[&str]) -> Response {
    let content = ContentBuilder::new().schema(Some(of(Type::String))).build();
    let answer = ResponseBuilder::new().description(description).content("text/plain", content);
    headers.iter().fold(answer, |answer, name| answer.header(*name, header(name))).build()
}

/// What any request may be answered, whatever it is for.
pub fn of_any_request() -> Vec<ApiError> {
    let exceeded = |of, problem: &str| ApiError::Limit { of, problem: problem.to_owned() };
    vec![
        exceeded(Limited::Target, "path and query string may have at most 16384 bytes, not 20000"),
        exceeded(Limited::Head, "the headers may take at most 32768 bytes together, not 40000"),
    ]
}

/// What any operation that needs credentials and the database may answer.
pub fn of_everybody() -> Vec<ApiError> {
    vec![
        ApiError::UnknownParameter("limits".to_owned()),
        ApiError::Validation("params/id must be integer".to_owned()),
        ApiError::Unauthorized,
        ApiError::Forbidden,
        ApiError::FieldForbidden("callback_url"),
        ApiError::RateLimited { retry_after: 1 },
        ApiError::Internal,
        ApiError::Unavailable,
    ]
}

/// What any operation with a body may answer.
pub fn of_bodies() -> Vec<ApiError> {
    vec![
        ApiError::InvalidJson,
        ApiError::EmptyJson,
        ApiError::UnknownField("nam".to_owned()),
        ApiError::InvalidValue { field: "callbackUrl", problem: "takes a URL with http or https".to_owned() },
        ApiError::RequestTimeout,
        ApiError::BodyTooLarge,
        ApiError::MediaType,
        ApiError::Refused,
        ApiError::value_limit("body/reason may have at most 1000 characters".to_owned()),
        ApiError::OutcomeUnknown,
    ]
}

/// Nothing at the place that a path names.
pub fn not_found(path: &str) -> ApiError {
    ApiError::NotFound { method: "GET".to_owned(), target: path.replace("{id}", "99999") }
}

/// Errors by status.
pub fn errors(errors: &[ApiError]) -> BTreeMap<String, Response> {
    let mut by_status: BTreeMap<String, Vec<&ApiError>> = BTreeMap::new();
    for error in errors {
        by_status.entry(error.status_code().as_u16().to_string()).or_default().push(error);
    }
    by_status.into_iter().map(|(status, errors)| (status, answer(&errors))).collect()
}

fn answer(errors: &[&ApiError]) -> Response {
    let mut codes: Vec<ErrorCode> = Vec::new();
    for code in errors.iter().filter_map(|error| error.code()) {
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    let is_not_found = errors.iter().any(|error| error.code().is_none());
    let is_batch = codes.contains(&ErrorCode::BatchRefused);
    let schema = match (is_not_found, codes.is_empty()) {
        // It has the result of each message beside the error.
        _ if is_batch => {
            let others: Vec<ErrorCode> =
                codes.iter().copied().filter(|code| *code != ErrorCode::BatchRefused).collect();
            either(named("BatchRefusal"), error_with(&others))
        }
        (true, true) => named("NotFound"),
        (true, false) => either(named("NotFound"), error_with(&codes)),
        (false, _) => error_with(&codes),
    };
    let mut names: Vec<String> = codes.iter().map(|code| format!("`{}`", code.as_str())).collect();
    if is_not_found {
        names.push("there is no such row".to_owned());
    }
    let example = errors.first().and_then(|error| serde_json::from_slice(&error.json()).ok());
    let content = ContentBuilder::new().schema(Some(schema)).example(example).build();
    let answer = ResponseBuilder::new().description(names.join(", ")).content(JSON, content);
    let waits = |error: &&ApiError| {
        matches!(
            error,
            ApiError::Unavailable | ApiError::Overloaded | ApiError::RateLimited { .. } | ApiError::BacklogFull { .. }
        )
    };
    if errors.iter().any(waits) { answer.header("retry-after", header("retry-after")).build() } else { answer.build() }
}
