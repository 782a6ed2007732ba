//! JSON in and out.
//!
//! A body is read whole, bounded in size and time, and then field by field: what is wrong is named by its field, in the
//! words of the original. What was not asked for is an error and not ignored, so that a mistyped name never changes the
//! meaning of a request.

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, Bytes, Data};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde::Serialize;

use crate::app::App;
use crate::connection::is_late;
use crate::error::ApiError;
use crate::limits::check_nesting;
use crate::wire::fields::Fields;

/// The content type of every answer.
pub const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// What can be read from the fields of a request's body.
pub trait Input: Sized + 'static {
    /// Reads and validates it.
    ///
    /// # Errors
    /// The first fault.
    fn read(fields: Fields<'_>) -> Result<Self, ApiError>;
}

/// The body of a request, read and validated.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: Input> FromRequest for Json<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Json<T>, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let kind = Kind::of(request);
        let limit = request.app_data::<Data<App>>().map_or(0, |app| app.max_body_bytes);
        let announced = announced_length(request);
        let payload = web::Payload::from_request(request, payload);
        async move {
            if kind == Kind::Other {
                return Err(ApiError::MediaType);
            }
            if announced.is_some_and(|length| length > limit) {
                return Err(ApiError::BodyTooLarge);
            }
            let payload = payload.await.map_err(|_| ApiError::Internal)?;
            let bytes = match payload.to_bytes_limited(limit).await {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(error)) if is_late(&error) => return Err(ApiError::RequestTimeout),
                // The connection broke, so nobody reads this answer, or the framing was wrong.
                Ok(Err(_)) => return Err(ApiError::InvalidJson),
                Err(_) => return Err(ApiError::BodyTooLarge),
            };
            read(kind, &bytes).map(Json)
        }
        .boxed_local()
    }
}

fn read<T: Input>(kind: Kind, bytes: &Bytes) -> Result<T, ApiError> {
    check_nesting(bytes)?;
    match kind {
        Kind::Json if bytes.is_empty() => Err(ApiError::EmptyJson),
        Kind::Json => T::read(Fields::parse(std::str::from_utf8(bytes).map_err(|_| ApiError::InvalidJson)?)?),
        Kind::Text | Kind::Other => Err(Fields::not_an_object()),
    }
}

/// What a request says that its body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    /// Plain text, or nothing said: a body that is no object.
    Text,
    Other,
}

impl Kind {
    fn of(request: &HttpRequest) -> Kind {
        let Some(value) = request.headers().get(header::CONTENT_TYPE) else {
            return Kind::Text;
        };
        let value = value.to_str().unwrap_or("?");
        let essence = value.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Kind::Json
        } else if essence.is_empty() || essence.eq_ignore_ascii_case("text/plain") {
            Kind::Text
        } else {
            Kind::Other
        }
    }
}

fn announced_length(request: &HttpRequest) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// 200 with `value` as JSON.
///
/// # Errors
/// [`ApiError::Internal`] if it is no JSON, which only a fault of ours makes it.
pub fn ok(value: &impl Serialize) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, CONTENT_TYPE)).body(bytes(value)?))
}

/// As [`ok`], with the path of what was created.
///
/// # Errors
/// As [`ok`].
pub fn created(location: String, value: &impl Serialize) -> Result<HttpResponse, ApiError> {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_TYPE, CONTENT_TYPE)).insert_header((header::LOCATION, location));
    Ok(response.body(bytes(value)?))
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
        assert_eq!(kind("text/plain;charset=UTF-8"), Kind::Text);
        assert_eq!(Kind::of(&TestRequest::default().to_http_request()), Kind::Text);
    }
}
