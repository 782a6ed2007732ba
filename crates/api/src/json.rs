//! JSON in and out.
//!
//! A body is read whole, bounded in size and time, and then field by field: what is wrong is named by its field, in the
//! words of the original. What was not asked for is an error and not ignored, so that a mistyped name never changes the
//! meaning of a request.

use std::ops::Deref;

use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::StreamExt;
use serde::Serialize;

use crate::app::App;
use crate::connection::is_late;
use crate::error::ApiError;
use crate::limits::check_nesting;
use crate::memory::{self, Reservation};
use crate::wire::fields::Fields;

/// The content type of every answer.
pub const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// The text of a request's body, with the memory that it takes.
#[derive(Debug)]
pub struct Received {
    text: String,
    _memory: Reservation,
}

impl Deref for Received {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

/// The body of a request, which must be JSON; whether it is an object is for its reader to say. To be called once it is known
/// that the caller may ask for what the request asks for.
///
/// # Errors
/// It is no JSON, larger than `MAX_BODY_BYTES`, or does not come in time; [`ApiError::Overloaded`].
pub async fn text(app: &App, request: &HttpRequest, payload: web::Payload) -> Result<Received, ApiError> {
    optional_text(app, request, payload).await?.ok_or(match Kind::of(request) {
        Kind::Json => ApiError::EmptyJson,
        Kind::Lines | Kind::Text | Kind::Other => Fields::not_an_object(),
    })
}

/// As [`text`], where there may be no body at all.
///
/// # Errors
/// As [`text`].
pub async fn optional_text(
    app: &App,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<Option<Received>, ApiError> {
    let kind = Kind::of(request);
    let received = receive_small(app, request, kind, payload).await?;
    match kind {
        _ if received.is_empty() => Ok(None),
        Kind::Json => Ok(Some(received)),
        Kind::Lines | Kind::Text | Kind::Other => Err(Fields::not_an_object()),
    }
}

/// The body of a request whose content type has been looked at already, and is a text.
///
/// # Errors
/// It is no text, larger than `MAX_BODY_BYTES`, or does not come in time; [`ApiError::Overloaded`].
pub async fn plain_text(app: &App, request: &HttpRequest, payload: web::Payload) -> Result<Received, ApiError> {
    receive_small(app, request, Kind::Text, payload).await
}

async fn receive_small(
    app: &App,
    request: &HttpRequest,
    kind: Kind,
    payload: web::Payload,
) -> Result<Received, ApiError> {
    if matches!(kind, Kind::Lines | Kind::Other) {
        return Err(ApiError::MediaType);
    }
    if announced_length(request).is_some_and(|length| length > app.max_body_bytes) {
        return Err(ApiError::BodyTooLarge);
    }
    let mut memory = app.memory.reservation();
    let bytes = receive(payload, app.max_body_bytes, &mut memory).await?;
    check_nesting(&bytes)?;
    Ok(Received { text: String::from_utf8(bytes).map_err(|_| ApiError::InvalidJson)?, _memory: memory })
}

/// A body, whole. What of it has come is in `memory`.
///
/// # Errors
/// It is larger than `limit` bytes, or does not come in time; [`ApiError::Overloaded`].
pub async fn receive(mut payload: web::Payload, limit: usize, memory: &mut Reservation) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(broken)?;
        if bytes.len() + chunk.len() > limit {
            return Err(ApiError::BodyTooLarge);
        }
        memory.grow(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A body is late, or its connection broke, so that nobody reads this answer, or its framing is wrong.
pub fn broken(error: PayloadError) -> ApiError {
    if is_late(&error.into()) { ApiError::RequestTimeout } else { ApiError::InvalidJson }
}

/// What a request says that its body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Json,
    /// JSON values, one a line.
    Lines,
    /// Plain text, or nothing said: a body that is no object.
    Text,
    Other,
}

impl Kind {
    /// By its content type.
    pub fn of(request: &HttpRequest) -> Kind {
        let Some(value) = request.headers().get(header::CONTENT_TYPE) else {
            return Kind::Text;
        };
        let value = value.to_str().unwrap_or("?");
        let essence = value.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Kind::Json
        } else if ["application/x-ndjson", "application/ndjson"].iter().any(|lines| essence.eq_ignore_ascii_case(lines))
        {
            Kind::Lines
        } else if essence.is_empty() || essence.eq_ignore_ascii_case("text/plain") {
            Kind::Text
        } else {
            Kind::Other
        }
    }
}

/// How long a body is going to be, where the request says it.
pub fn announced_length(request: &HttpRequest) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// 200 with `value` as JSON.
///
/// # Errors
/// [`ApiError::Internal`] if it is no JSON, which only a fault of ours makes it.
pub fn ok(value: &impl Serialize) -> Result<HttpResponse, ApiError> {
    with_status(StatusCode::OK, value)
}

/// As [`ok`], with another status.
///
/// # Errors
/// As [`ok`].
pub fn with_status(status: StatusCode, value: &impl Serialize) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::build(status).insert_header((header::CONTENT_TYPE, CONTENT_TYPE)).body(bytes(value)?))
}

/// An answer that has been begun, with `value` as JSON.
///
/// # Errors
/// As [`ok`].
pub fn answer(mut answer: HttpResponseBuilder, value: &impl Serialize) -> Result<HttpResponse, ApiError> {
    Ok(answer.insert_header((header::CONTENT_TYPE, CONTENT_TYPE)).body(bytes(value)?))
}

/// As [`answer`], with the memory that it takes until it is sent.
///
/// # Errors
/// As [`ok`].
pub fn large_answer(
    mut answer: HttpResponseBuilder,
    memory: memory::Answer,
    value: &impl Serialize,
) -> Result<HttpResponse, ApiError> {
    Ok(answer.insert_header((header::CONTENT_TYPE, CONTENT_TYPE)).body(memory.text(bytes(value)?)))
}

fn bytes(value: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        ApiError::Internal
    })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_json_is_read() {
        let kind =
            |value: &str| Kind::of(&TestRequest::default().insert_header(("content-type", value)).to_http_request());
        for json in ["application/json", "Application/JSON", "application/json; charset=utf-8", " application/json ;x"]
        {
            assert_eq!(kind(json), Kind::Json, "{json}");
        }
        for other in [
            "application/x-www-form-urlencoded",
            "application/xml",
            "application/vnd.api+json",
            "application/jsonp",
            "multipart/form-data; boundary=x",
            "text/html",
        ] {
            assert_eq!(kind(other), Kind::Other, "{other}");
        }
        assert_eq!(kind("application/x-ndjson; charset=utf-8"), Kind::Lines);
        assert_eq!(kind("Application/NDJSON"), Kind::Lines);
        assert_eq!(kind("text/plain;charset=UTF-8"), Kind::Text);
        assert_eq!(Kind::of(&TestRequest::default().to_http_request()), Kind::Text);
    }
}
