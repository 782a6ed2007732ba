//! How much a request may ask of the API before anybody looks at what it says.
//!
//! Each limit is far above what a client needs and far below what would hurt. What exceeds one is answered with
//! `PH_LIMIT_EXCEEDED`, the limit, and what was given; the size of the body has a code of the original's.

use actix_web::Error;
use actix_web::ResponseError;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Uri;
use actix_web::http::header::HeaderMap;
use actix_web::middleware::Next;

use crate::error::{ApiError, Limited};

/// The longest path and query string together, in bytes.
pub const LONGEST_TARGET: usize = 16 * 1024;
/// The most parameters of a query string.
pub const MOST_PARAMETERS: usize = 100;
/// The most that the headers may take, in bytes, with 4 for each one's `: ` and line end. The HTTP server itself takes at
/// most 96 headers, and 128 KiB before the body.
pub const LARGEST_HEAD: usize = 32 * 1024;
/// The most arrays and objects of a JSON body that lie within each other.
pub const DEEPEST: usize = 64;

/// Refuses a request whose target or headers exceed what is taken.
///
/// # Errors
/// Those of the service behind it.
pub async fn watch<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    match check_target(request.uri()).and_then(|()| check_head(request.headers())) {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        Err(error) => Ok(request.into_response(error.error_response()).map_into_right_body()),
    }
}

fn exceeded(of: Limited, problem: String) -> ApiError {
    ApiError::Limit { of, problem }
}

fn check_target(target: &Uri) -> Result<(), ApiError> {
    let length = target.path_and_query().map_or(0, |target| target.as_str().len());
    if length > LONGEST_TARGET {
        let problem = format!("path and query string may have at most {LONGEST_TARGET} bytes, not {length}");
        return Err(exceeded(Limited::Target, problem));
    }
    let count = target.query().map_or(0, |query| query.split('&').count());
    if count > MOST_PARAMETERS {
        let problem = format!("the query string may have at most {MOST_PARAMETERS} parameters, not {count}");
        return Err(exceeded(Limited::Target, problem));
    }
    Ok(())
}

fn check_head(headers: &HeaderMap) -> Result<(), ApiError> {
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if size > LARGEST_HEAD {
        let problem = format!("the headers may take at most {LARGEST_HEAD} bytes together, not {size}");
        return Err(exceeded(Limited::Head, problem));
    }
    Ok(())
}

/// Counts how deep the arrays and objects of a JSON text lie within each other, without recursion and before anybody
/// parses it. A text that is no JSON may pass; whoever parses it will say so.
///
/// # Errors
/// More than [`DEEPEST`].
pub fn check_nesting(json: &[u8]) -> Result<(), ApiError> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > DEEPEST {
                    let problem = format!("the body may have at most {DEEPEST} nested arrays and objects; it has more");
                    return Err(exceeded(Limited::Value, problem));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn nesting_is_bounded() {
        assert_eq!(check_nesting(nested(DEEPEST).as_bytes()), Ok(()));
        assert!(check_nesting(nested(DEEPEST + 1).as_bytes()).is_err());
        assert!(check_nesting("{\"a\":".repeat(DEEPEST + 1).as_bytes()).is_err(), "before it is known to be no JSON");
        assert!(check_nesting("[".repeat(10_000_000).as_bytes()).is_err());
        let beside_each_other = format!("[{}1]", "[{}],".repeat(1000));
        assert_eq!(check_nesting(beside_each_other.as_bytes()), Ok(()));
    }

    #[test]
    fn brackets_in_strings_do_not_count() {
        let brackets = "[{".repeat(1000);
        for text in [
            format!(r#"["{brackets}"]"#),
            format!(r#"["\"{brackets}"]"#),
            format!(r#"["\\", "{brackets}"]"#),
            format!(r#"{{"{brackets}\u0022{brackets}": 1}}"#),
        ] {
            assert_eq!(check_nesting(text.as_bytes()), Ok(()), "{text}");
        }
        assert!(check_nesting(format!(r#"["\\", {brackets}"#).as_bytes()).is_err(), "the string has ended");
        assert!(check_nesting(format!(r#""x" {brackets}"#).as_bytes()).is_err());
    }

    #[test]
    fn targets_are_bounded() {
        let check = |query: String| check_target(&format!("/queues?{query}").parse().unwrap());
        assert_eq!(check("x".repeat(LONGEST_TARGET - "/queues?".len())), Ok(()));
        let error = check("x".repeat(LONGEST_TARGET)).unwrap_err().to_string();
        assert_eq!(error, "path and query string may have at most 16384 bytes, not 16392");
        assert_eq!(check(["a=1"; MOST_PARAMETERS].join("&")), Ok(()));
        let error = check(["a=1"; MOST_PARAMETERS + 1].join("&")).unwrap_err().to_string();
        assert_eq!(error, "the query string may have at most 100 parameters, not 101");
    }

    #[test]
    fn heads_are_bounded() {
        let check = |length: usize| {
            let request = TestRequest::default().insert_header(("x", "y".repeat(length))).to_http_request();
            check_head(request.headers())
        };
        assert_eq!(check(LARGEST_HEAD - 5), Ok(()));
        let error = check(LARGEST_HEAD - 4).unwrap_err();
        assert_eq!(error.to_string(), "the headers may take at most 32768 bytes together, not 32769");
        assert_eq!(error.status_code().as_u16(), 431);
    }
}
