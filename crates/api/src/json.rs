//! JSON in and out.
//!
//! A body is read whole, bounded in size and time, and then field by field: what is wrong is named by its field, in the
//! words of the original. What was not asked for is an error and not ignored, so that a mistyped name never changes the
//! meaning of a request.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::Serialize;

use crate::connection::is_late;
use crate::error::ApiError;
use crate::limits::check_nesting;
use crate::wire::fields::Fields;

/// The content type of every answer.
pub const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// The body of a request, which must be JSON; whether it is an object is for its reader to say. To be called once it is known
/// that the caller may ask for what the request asks for.
///
/// # Errors
/// It is no JSON, larger than `limit` bytes, or does not come in time.
pub async fn text(request: &HttpRequest, payload: web::Payload, limit: usize) -> Result<String, ApiError> {
    let kind = Kind::of(request);
    let bytes = bytes_of(request, kind, payload, limit).await?;
    match kind {
        Kind::Json if bytes.is_empty() => Err(ApiError::EmptyJson),
        Kind::Json => String::from_utf8(bytes.into()).map_err(|_| ApiError::InvalidJson),
        Kind::Lines | Kind::Text | Kind::Other => Err(Fields::not_an_object()),
    }
}

/// As [`text`], where there may be no body at all.
///
/// # Errors
/// As [`text`].
pub async fn optional_text(
    request: &HttpRequest,
    payload: web::Payload,
    limit: usize,
) -> Result<Option<String>, ApiError> {
    let kind = Kind::of(request);
    let bytes = bytes_of(request, kind, payload, limit).await?;
    match kind {
        _ if bytes.is_empty() => Ok(None),
        Kind::Json => String::from_utf8(bytes.into()).map(Some).map_err(|_| ApiError::InvalidJson),
        Kind::Lines | Kind::Text | Kind::Other => Err(Fields::not_an_object()),
    }
}

/// The body of a request whose content type has been looked at already, and is a text.
///
/// # Errors
/// It is no text, larger than `limit` bytes, or does not come in time.
pub async fn plain_text(request: &HttpRequest, payload: web::Payload, limit: usize) -> Result<String, ApiError> {
    String::from_utf8(bytes_of(request, Kind::Text, payload, limit).await?.into()).map_err(|_| ApiError::InvalidJson)
}

async fn bytes_of(request: &HttpRequest, kind: Kind, payload: web::Payload, limit: usize) -> Result<Bytes, ApiError> {
    if matches!(kind, Kind::Lines | Kind::Other) {
        return Err(ApiError::MediaType);
    }
    if announced_length(request).is_some_and(|length| length > limit) {
        return Err(ApiError::BodyTooLarge);
    }
    let bytes = match payload.to_bytes_limited(limit).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_late(&error) => return Err(ApiError::RequestTimeout),
        // The connection broke, so nobody reads this answer, or the framing was wrong.
        Ok(Err(_)) => return Err(ApiError::InvalidJson),
        Err(_) => return Err(ApiError::BodyTooLarge),
    };
    check_nesting(&bytes)?;
    Ok(bytes)
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
