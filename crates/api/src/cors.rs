//! Which pages of other origins a browser lets use the API.
//!
//! None, unless `CORS_ORIGINS` names them. Whoever may is told so by actix-cors; what it says in other words than ours is
//! put right here. Cookies play no part: credentials travel in headers, which a page sets itself.

use actix_cors::Cors;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode, Uri, header};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError};

use crate::error::ApiError;

/// The headers of answers that a page may read, beside those that every page may.
const EXPOSED: [&str; 6] =
    ["x-total-count", "x-start-after", "x-end-before", "location", "idempotency-replayed", "retry-after"];

/// How long a browser may remember what a preflight told it, in seconds.
const MAX_AGE: usize = 600;

/// The origins whose pages may use the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    Any,
    /// Perhaps none.
    Some(Vec<String>),
}

impl Origins {
    /// `*`, or a comma-separated list of origins, each as browsers send it.
    ///
    /// # Errors
    /// What it takes.
    pub fn parse(value: &str) -> Result<Origins, String> {
        if value.trim() == "*" {
            return Ok(Origins::Any);
        }
        posthaste_service::parse::list(origin)(value).map(Origins::Some)
    }

    /// Whether there is any.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Origins::Some(Vec::new())
    }

    /// What tells browsers so.
    pub fn middleware(&self) -> Cors {
        let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
        let cors = Cors::default().allowed_methods(methods).allow_any_header().expose_headers(EXPOSED).max_age(MAX_AGE);
        match self {
            Origins::Any => cors.allow_any_origin().send_wildcard(),
            Origins::Some(origins) => origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin)),
        }
    }
}

fn origin(text: &str) -> Result<String, String> {
    let wrong = || format!("takes origins such as https://app.example.com, comma-separated, or * alone, not {text:?}");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let (scheme, host) = (uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |at| at.as_str()));
    let as_sent = matches!(scheme, "http" | "https") && text == format!("{scheme}://{}", host.to_ascii_lowercase());
    if as_sent && !host.contains(['@', '*']) { Ok(text.to_owned()) } else { Err(wrong()) }
}

/// Answers of preflights as they should be: 204, and errors in JSON.
///
/// # Errors
/// Those of the service behind it.
pub async fn tidy<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = next.call(request).await?;
    if !preflight {
        return Ok(response.map_into_left_body());
    }
    match response.status() {
        StatusCode::OK => {
            *response.response_mut().status_mut() = StatusCode::NO_CONTENT;
            Ok(response.map_into_left_body())
        }
        StatusCode::BAD_REQUEST => {
            let problem = "a page of this origin may not make this request; see CORS_ORIGINS";
            let error = ApiError::CorsRefused(problem.to_owned());
            Ok(response.into_response(error.error_response()).map_into_right_body())
        }
        _ => Ok(response.map_into_left_body()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_send_them() {
        assert_eq!(Origins::parse("*"), Ok(Origins::Any));
        assert!(Origins::parse("").unwrap().is_none());
        let some = ["https://app.example.com", "http://localhost:3000", "http://[::1]:8080"];
        assert_eq!(Origins::parse(&some.join(", ")), Ok(Origins::Some(some.map(str::to_owned).to_vec())));
        for wrong in [
            "app.example.com",
            "https://app.example.com/",
            "https://app.example.com/x",
            "https://App.example.com",
            "ftp://app.example.com",
            "https://*.example.com",
            "https://me@app.example.com",
            "https://a.example,*",
            "null",
            "https://",
            "https://a b",
        ] {
            let error = Origins::parse(wrong).unwrap_err();
            assert!(error.starts_with("takes origins such as"), "{wrong}: {error}");
        }
    }
}
