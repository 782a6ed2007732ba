//! Who may use the API.
//!
//! With an admin secret every route of the API asks for it, before anything else of the request is looked at; without
//! one everybody may do everything, which `Config` allows on loopback addresses only, unless told otherwise.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderMap;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, ResponseError};
use posthaste_service::environment::Secret;
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::error::ApiError;

const HEADER: &str = "x-platformatic-admin-secret";

/// Lets a request through that carries the admin secret.
///
/// # Errors
/// Those of the service behind it.
pub async fn require_secret<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let secret = request.app_data::<Data<App>>().and_then(|app| app.admin_secret.as_ref());
    match check(secret, request.headers()) {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        Err(error) => Ok(request.into_response(error.error_response()).map_into_right_body()),
    }
}

fn check(secret: Option<&Secret>, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(secret) = secret else { return Ok(()) };
    let given = headers.get(HEADER).ok_or(ApiError::Unauthorized)?;
    // Tells the length of the secret by its timing, and nothing else.
    if bool::from(given.as_bytes().ct_eq(secret.expose().as_bytes())) { Ok(()) } else { Err(ApiError::Forbidden) }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_the_secret_opens() {
        let secret = Secret::new("open sesame");
        let with = |value: &str| {
            let request = TestRequest::default().insert_header((HEADER, value)).to_http_request();
            check(Some(&secret), request.headers())
        };
        assert_eq!(with("open sesame"), Ok(()));
        for wrong in ["", "open sesam", "open sesame!", "Open Sesame"] {
            assert_eq!(with(wrong), Err(ApiError::Forbidden), "{wrong}");
        }
        assert_eq!(check(Some(&secret), &HeaderMap::new()), Err(ApiError::Unauthorized));
        assert_eq!(check(None, &HeaderMap::new()), Ok(()));
    }
}
