//! The address that a queue calls.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use http::Uri;
use url::{Host, ParseError, Url};

use crate::excerpt::excerpt;

/// An absolute `http` or `https` URL that the HTTP client can call exactly as it stands.
///
/// Two parsers must agree on it: the WHATWG one, which users know from their browser, and that of the HTTP client. Where
/// they would see different hosts the URL is refused, so that what was checked and shown is what is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackUrl {
    text: String,
    uri: Uri,
}

impl CallbackUrl {
    /// In characters.
    pub const LONGEST: usize = 2048;

    /// Takes the URL as it is given; nothing is trimmed or rewritten.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<CallbackUrl, UrlError> {
        check_text(text)?;
        let url = Url::parse(text).map_err(from_parse_error)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme { given: excerpt(url.scheme()) });
        }
        // Browsers forgive missing and extra slashes here; the HTTP client does not.
        let after_scheme = text.split_once("://").map(|(_, rest)| rest).ok_or(UrlError::NotAbsolute)?;
        if after_scheme.is_empty() || after_scheme.starts_with(['/', '?']) {
            return Err(UrlError::Host);
        }
        let uri: Uri = text.parse().map_err(|_| UrlError::NotEncoded)?;
        check_authority(&url, &uri)?;
        Ok(CallbackUrl { text: text.to_owned(), uri })
    }

    /// The URL as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The URL as the HTTP client takes it.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The URL as it was given.
    #[must_use]
    pub fn into_string(self) -> String {
        self.text
    }
}

impl fmt::Display for CallbackUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn check_text(text: &str) -> Result<(), UrlError> {
    if text.is_empty() {
        return Err(UrlError::Empty);
    }
    let length = text.chars().count();
    if length > CallbackUrl::LONGEST {
        return Err(UrlError::TooLong { length });
    }
    // A backslash is a slash to a browser, but not to the HTTP client.
    match text.chars().find(|&c| !c.is_ascii_graphic() || matches!(c, '\\' | '#')) {
        None => Ok(()),
        Some('#') => Err(UrlError::Fragment),
        Some(character) => Err(UrlError::Character { character }),
    }
}

fn from_parse_error(error: ParseError) -> UrlError {
    match error {
        ParseError::RelativeUrlWithoutBase => UrlError::NotAbsolute,
        ParseError::InvalidPort => UrlError::Port,
        // The others are about hosts; `ParseError` is open to more.
        _ => UrlError::Host,
    }
}

fn check_authority(url: &Url, uri: &Uri) -> Result<(), UrlError> {
    let authority = uri.authority().ok_or(UrlError::NotAbsolute)?;
    if authority.as_str().contains('@') {
        return Err(UrlError::UserInfo);
    }
    if authority.as_str().ends_with(':') || url.port() == Some(0) {
        return Err(UrlError::Port);
    }
    if url.host().is_some_and(|host| is_same_host(&host, authority.host())) { Ok(()) } else { Err(UrlError::Host) }
}

/// Whether the HTTP client would call the host that the URL means. `0x7f.1` and `2130706433`, say, are 127.0.0.1 to a
/// browser and names to the HTTP client.
fn is_same_host(meant: &Host<&str>, called: &str) -> bool {
    match meant {
        Host::Domain(name) => name.eq_ignore_ascii_case(called),
        Host::Ipv4(address) => called.parse::<Ipv4Addr>().is_ok_and(|called| called == *address),
        Host::Ipv6(address) => {
            let inner = called.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(called);
            inner.parse::<Ipv6Addr>().is_ok_and(|called| called == *address)
        }
    }
}

/// What is wrong with a callback URL. The URL itself is not repeated: it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is `""`.
    #[error("the callback URL must not be empty")]
    Empty,
    /// It has more than [`CallbackUrl::LONGEST`] characters.
    #[error("the callback URL may have at most {} characters, not {length}", CallbackUrl::LONGEST)]
    TooLong {
        /// Its length in characters.
        length: usize,
    },
    /// A character that no URL has: white space, a control character, a backslash, anything but ASCII.
    #[error(
        "the callback URL must not contain the character {character:?}: percent-encode it, or write an international \
         host name in its ASCII form (xn--…)"
    )]
    Character {
        /// The first such character.
        character: char,
    },
    /// It has a `#`.
    #[error("the callback URL must not have a fragment (the part from \"#\" on): it is never sent")]
    Fragment,
    /// It has no scheme, or no `//` after it.
    #[error("the callback URL must be absolute, such as https://example.com/hook")]
    NotAbsolute,
    /// Its scheme is another than `http` or `https`.
    #[error("the callback URL must begin with http:// or https://, not \"{given}:\"")]
    Scheme {
        /// Its scheme.
        given: String,
    },
    /// It has a user name or a password.
    #[error(
        "the callback URL must not hold a user name or password: put them in an \"authorization\" header of the queue"
    )]
    UserInfo,
    /// It has no host, or one that is neither a name nor an address in its usual form.
    #[error(
        "the callback URL must have a valid host: a name, an IPv4 address such as 192.0.2.1, or an IPv6 address such as \
         [2001:db8::1]"
    )]
    Host,
    /// Its port is no number from 1 to 65535.
    #[error("the port of the callback URL must be a number from 1 to 65535, or left out")]
    Port,
    /// A character stands where it would have to be percent-encoded.
    #[error("the callback URL contains a character that must be percent-encoded")]
    NotEncoded,
}

#[cfg(test)]
mod tests;
