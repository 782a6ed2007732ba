//! What comes in the path and the query string.
//!
//! A parameter that a route does not have is an error: ignored, a mistyped filter would return everything.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::web::Query;
use actix_web::{FromRequest, HttpRequest};
use posthaste_store::message::OnError;
use posthaste_store::page::Page;

use crate::error::ApiError;

/// The most rows of a list.
pub const LARGEST_LIMIT: i64 = 100;
const DEFAULT_LIMIT: i64 = 10;

/// The `{id}` of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathId(pub i64);

/// `limit` and `offset` of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging(pub Page);

/// `force` of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Force(pub bool);

/// `onError` of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchMode(pub OnError);

/// No parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain;

/// Something that is read from the query string.
trait Parameters: Sized {
    fn read(pairs: Vec<(String, String)>) -> Result<Self, ApiError>;
}

fn read<T: Parameters>(query: &str) -> Result<T, ApiError> {
    if query.is_empty() {
        return T::read(Vec::new());
    }
    let malformed = |_| ApiError::Validation("querystring must be name=value pairs".to_owned());
    T::read(Query::<Vec<(String, String)>>::from_query(query).map_err(malformed)?.into_inner())
}

fn integer(name: &str, value: &str) -> Result<i64, ApiError> {
    let number = if value.starts_with('+') { None } else { value.parse().ok() };
    number.ok_or_else(|| ApiError::Validation(format!("querystring/{name} must be integer")))
}

fn unknown(name: String) -> ApiError {
    ApiError::UnknownParameter(name.chars().take(100).collect())
}

impl Parameters for Paging {
    fn read(pairs: Vec<(String, String)>) -> Result<Paging, ApiError> {
        let mut page = Page { limit: DEFAULT_LIMIT, offset: 0 };
        for (name, value) in pairs {
            match name.as_str() {
                "limit" => page.limit = integer("limit", &value)?,
                "offset" => page.offset = integer("offset", &value)?,
                _ => return Err(unknown(name)),
            }
        }
        if page.limit < 0 {
            Err(ApiError::LimitNegative(page.limit))
        } else if page.limit > LARGEST_LIMIT {
            Err(ApiError::LimitTooLarge(page.limit))
        } else if page.offset < 0 {
            Err(ApiError::OffsetNegative(page.offset))
        } else {
            Ok(Paging(page))
        }
    }
}

impl Parameters for Force {
    fn read(pairs: Vec<(String, String)>) -> Result<Force, ApiError> {
        let mut force = false;
        for (name, value) in pairs {
            force = match (name.as_str(), value.as_str()) {
                ("force", "true") => true,
                ("force", "false") => false,
                ("force", _) => return Err(ApiError::Validation("querystring/force must be boolean".to_owned())),
                _ => return Err(unknown(name)),
            };
        }
        Ok(Force(force))
    }
}

impl Parameters for BatchMode {
    fn read(pairs: Vec<(String, String)>) -> Result<BatchMode, ApiError> {
        let mut mode = OnError::FailItem;
        for (name, value) in pairs {
            mode = match (name.as_str(), value.as_str()) {
                ("onError", "fail-item") => OnError::FailItem,
                ("onError", "fail-all") => OnError::FailAll,
                ("onError", _) => {
                    let problem = "querystring/onError must be equal to one of the allowed values: fail-item, fail-all";
                    return Err(ApiError::Validation(problem.to_owned()));
                }
                _ => return Err(unknown(name)),
            };
        }
        Ok(BatchMode(mode))
    }
}

impl Parameters for Plain {
    fn read(pairs: Vec<(String, String)>) -> Result<Plain, ApiError> {
        match pairs.into_iter().next() {
            None => Ok(Plain),
            Some((name, _)) => Err(unknown(name)),
        }
    }
}

macro_rules! from_query {
    ($($type:ty),*) => {$(
        impl FromRequest for $type {
            type Error = ApiError;
            type Future = Ready<Result<Self, ApiError>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                ready(read(request.query_string()))
            }
        }
    )*};
}
from_query!(Paging, Force, BatchMode, Plain);

impl FromRequest for PathId {
    type Error = ApiError;
    type Future = Ready<Result<PathId, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().get("id").unwrap_or_default();
        ready(path_id(id).map_err(|error| error.unwrap_or_else(|| ApiError::not_found(request))))
    }
}

/// An error, or `None` for a whole number that no id can be.
fn path_id(text: &str) -> Result<PathId, Option<ApiError>> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Some(ApiError::Validation("params/id must be integer".to_owned())));
    }
    text.parse().map(PathId).map_err(|_| None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem<T: Parameters + std::fmt::Debug>(query: &str) -> String {
        read::<T>(query).unwrap_err().to_string()
    }

    #[test]
    fn pages_are_bounded() {
        assert_eq!(read(""), Ok(Paging(Page { limit: 10, offset: 0 })));
        assert_eq!(read("limit=0&offset=7"), Ok(Paging(Page { limit: 0, offset: 7 })));
        assert_eq!(read("limit=100"), Ok(Paging(Page { limit: 100, offset: 0 })));
        assert_eq!(problem::<Paging>("limit=101"), "Param limit=101 not allowed. Max accepted value 100.");
        assert_eq!(problem::<Paging>("limit=-1"), "Param limit=-1 not allowed. It must not be negative.");
        assert_eq!(problem::<Paging>("offset=-1"), "Param offset=-1 not allowed. It must not be negative.");
        for query in ["limit=x", "limit=", "limit=1.5", "limit=%2B1", "limit"] {
            assert_eq!(problem::<Paging>(query), "querystring/limit must be integer", "{query}");
        }
    }

    #[test]
    fn unknown_parameters_are_named() {
        assert_eq!(problem::<Paging>("limits=5"), "querystring has no parameter 'limits' here");
        assert_eq!(problem::<Plain>("where.id.eq=5"), "querystring has no parameter 'where.id.eq' here");
        assert_eq!(problem::<Force>("forse=true"), "querystring has no parameter 'forse' here");
    }

    #[test]
    fn force_is_said_plainly() {
        assert_eq!(read(""), Ok(Force(false)));
        assert_eq!(read("force=true"), Ok(Force(true)));
        assert_eq!(problem::<Force>("force=1"), "querystring/force must be boolean");
    }

    #[test]
    fn batches_say_what_becomes_of_the_others() {
        assert_eq!(read(""), Ok(BatchMode(OnError::FailItem)));
        assert_eq!(read("onError=fail-item"), Ok(BatchMode(OnError::FailItem)));
        assert_eq!(read("onError=fail-all"), Ok(BatchMode(OnError::FailAll)));
        assert!(problem::<BatchMode>("onError=ignore").starts_with("querystring/onError must be equal to one of"));
        assert_eq!(problem::<BatchMode>("onerror=fail-all"), "querystring has no parameter 'onerror' here");
    }

    #[test]
    fn ids_are_whole_numbers() {
        assert_eq!(path_id("9223372036854775807"), Ok(PathId(i64::MAX)));
        assert_eq!(path_id("-1"), Ok(PathId(-1)));
        assert_eq!(path_id("9223372036854775808"), Err(None));
        for text in ["abc", "1.5", "", "-", "+1", "1x", "٣"] {
            assert!(matches!(path_id(text), Err(Some(_))), "{text}");
        }
    }
}
