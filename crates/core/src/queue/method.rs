//! The HTTP methods of a callback.

use std::fmt;

use crate::excerpt::excerpt;

/// How a callback is called. `TRACE` and `CONNECT` are not among them: they address intermediaries, not receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
}

impl Method {
    /// Every one there is.
    pub const ALL: [Method; 7] =
        [Method::Get, Method::Head, Method::Post, Method::Put, Method::Patch, Method::Delete, Method::Options];

    /// Methods are case-sensitive (RFC 9110 §9.1): `post` is not `POST`.
    ///
    /// # Errors
    ///
    /// It is none of [`Method::ALL`].
    pub fn parse(text: &str) -> Result<Method, MethodError> {
        Method::ALL
            .into_iter()
            .find(|method| method.as_str() == text)
            .ok_or_else(|| MethodError { given: excerpt(text) })
    }

    /// As it is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not a method that a callback can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the method must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS, in capitals; \"{given}\" is not")]
pub struct MethodError {
    /// What was given, escaped and cut.
    pub given: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_read_as_it_is_written() {
        for method in Method::ALL {
            assert_eq!(Method::parse(method.as_str()), Ok(method));
            assert_eq!(http::Method::from_bytes(method.as_str().as_bytes()).unwrap().as_str(), method.as_str());
        }
    }

    #[test]
    fn everything_else_is_refused_with_what_is_accepted() {
        for other in ["", "post", "Post", " POST", "POST ", "TRACE", "CONNECT", "QUERY", "PO\nST"] {
            let error = Method::parse(other).unwrap_err().to_string();
            for method in Method::ALL {
                assert!(error.contains(method.as_str()), "{error}");
            }
        }
        assert_eq!(
            Method::parse("post").unwrap_err().to_string(),
            "the method must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS, in capitals; \"post\" is not"
        );
    }
}
