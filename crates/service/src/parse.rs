//! Readers of single configuration values. Each says in its error what the value takes, and shows the value: not for
//! secrets.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Any text.
///
/// # Errors
/// Never.
pub fn text(value: &str) -> Result<String, String> {
    Ok(value.to_owned())
}

/// A TCP port; 0 lets the system choose a free one.
///
/// # Errors
/// What it takes.
pub fn port(value: &str) -> Result<u16, String> {
    value.parse().map_err(|_| format!("takes a port number from 0 (any free one) to 65535, not {value:?}"))
}

/// `true` or `false`.
///
/// # Errors
/// What it takes.
pub fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("takes true or false, not {value:?}")),
    }
}

/// An address to listen on: an IP address, or a name that the system resolves.
///
/// # Errors
/// What it takes.
pub fn host(value: &str) -> Result<String, String> {
    let name = |value: &str| value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if value.parse::<IpAddr>().is_ok() || name(value) {
        Ok(value.to_owned())
    } else {
        Err(format!("takes an IP address or a host name, not {value:?}"))
    }
}

/// A whole number within `range`.
pub fn integer<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String>
where
    T: FromStr + PartialOrd + fmt::Display,
{
    move |value| match value.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("takes a whole number from {} to {}, not {value:?}", range.start(), range.end())),
    }
}

/// Anything that can be parsed; `what` completes "takes …".
pub fn parsed<T: FromStr>(what: &str) -> impl Fn(&str) -> Result<T, String> {
    move |value| value.parse().map_err(|_| format!("takes {what}, not {value:?}"))
}

/// A comma-separated list, each item (without the blanks around it) read by `item`; empty items are left out.
pub fn list<T, E>(item: impl Fn(&str) -> Result<T, E>) -> impl Fn(&str) -> Result<Vec<T>, E> {
    move |value| value.split(',').map(str::trim).filter(|part| !part.is_empty()).map(&item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        assert_eq!(port("0"), Ok(0));
        assert_eq!(port("65535"), Ok(65535));
        assert!(port("65536").is_err() && port("-1").is_err() && port("http").is_err());
    }

    #[test]
    fn integers_keep_their_range() {
        let shards = integer(1..=1024_u16);
        assert_eq!(shards("1024"), Ok(1024));
        assert_eq!(shards("0").unwrap_err(), "takes a whole number from 1 to 1024, not \"0\"");
        assert!(shards("1025").is_err() && shards("99999999999").is_err() && shards("1.5").is_err());
    }

    #[test]
    fn lists_tell_of_the_bad_item() {
        let addresses = list(parsed::<IpAddr>("IP addresses"));
        assert_eq!(addresses("127.0.0.1, ::1,").map(|all| all.len()), Ok(2));
        assert_eq!(addresses("127.0.0.1,x").unwrap_err(), "takes IP addresses, not \"x\"");
    }

    #[test]
    fn hosts() {
        assert!(host("0.0.0.0").is_ok() && host("::").is_ok() && host("localhost").is_ok());
        assert!(host("http://x").is_err() && host("127.0.0.1:80").is_err());
    }
}
