//! The trace that a message belongs to: W3C Trace Context, level 1.
//!
//! Promise: what is carried on to a receiver is a `traceparent` of version 00 that it can read, and a `tracestate` of the
//! specification's grammar, or nothing.

/// The longest `tracestate` that is kept, in bytes; as many as the specification (§3.3.1.5) asks to propagate at least.
pub const LONGEST_STATE: usize = 512;

/// The most members of a `tracestate` (§3.3.1.1).
const MOST_MEMBERS: usize = 32;

/// Why a value is no trace context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// No `traceparent`.
    #[error(
        "takes a traceparent of W3C Trace Context, such as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    )]
    Parent,
    /// No `tracestate`.
    #[error(
        "takes a tracestate of W3C Trace Context, such as vendor=value,other=value, with at most 32 members and {} characters",
        LONGEST_STATE
    )]
    State,
}

/// Reads a `traceparent` (§3.2). One of a later version is read by its first four parts, and comes out in version 00, as §3.2.4
/// asks.
///
/// # Errors
/// It is none, or one of version `ff`, or its trace or parent is all zeros.
pub fn parent(text: &str) -> Result<String, TraceError> {
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = text.splitn(5, '-');
    let mut part =
        |length: usize| parts.next().filter(|part| part.len() == length && is_hex(part)).ok_or(TraceError::Parent);
    let (version, trace, parent, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let rest = parts.next();
    let zeros = |part: &str| part.bytes().all(|byte| byte == b'0');
    if version == "ff" || (version == "00" && rest.is_some()) || zeros(trace) || zeros(parent) {
        return Err(TraceError::Parent);
    }
    if version == "00" {
        return Ok(text.to_owned());
    }
    // Of the flags, version 00 knows only the last bit: sampled.
    let sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
    Ok(format!("00-{trace}-{parent}-0{}", u8::from(sampled)))
}

/// The trace's own id within a `traceparent` that [`parent`] has read.
#[must_use]
pub fn id(parent: &str) -> Option<&str> {
    parent.split('-').nth(1)
}

/// Checks a `tracestate` (§3.3.1): members `key=value`, separated by commas, no key twice. Empty members are allowed.
///
/// # Errors
/// It is none, or longer than [`LONGEST_STATE`].
pub fn check_state(text: &str) -> Result<(), TraceError> {
    if text.len() > LONGEST_STATE {
        return Err(TraceError::State);
    }
    let mut keys: Vec<&str> = Vec::new();
    for member in text.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty()) {
        let (key, value) = member.split_once('=').ok_or(TraceError::State)?;
        if !is_key(key) || !is_value(value) || keys.contains(&key) || keys.len() == MOST_MEMBERS {
            return Err(TraceError::State);
        }
        keys.push(key);
    }
    if keys.is_empty() { Err(TraceError::State) } else { Ok(()) }
}

/// `simple-key`, or `tenant@system`.
fn is_key(key: &str) -> bool {
    let is_inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
    let is_part = |part: &str, longest: usize, digit_first: bool| {
        (1..=longest).contains(&part.len())
            && part.bytes().all(is_inner)
            && part.starts_with(|c: char| c.is_ascii_lowercase() || (digit_first && c.is_ascii_digit()))
    };
    match key.split_once('@') {
        None => is_part(key, 256, false),
        Some((tenant, system)) => is_part(tenant, 241, true) && is_part(system, 14, false),
    }
}

/// Printable ASCII without `,` and `=`, up to 256, the last no blank.
fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len())
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=')
        && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    #[test]
    fn parents() {
        for flags in ["00", "01", "ff"] {
            let text = format!("00-{TRACE}-{PARENT}-{flags}");
            assert_eq!(parent(&text).as_deref(), Ok(text.as_str()));
            assert_eq!(id(&text), Some(TRACE));
        }
        let known = |flags: &str| Ok(format!("00-{TRACE}-{PARENT}-{flags}"));
        for (later, flags) in [("-03", "01"), ("-02", "00"), ("-01-what-ever", "01"), ("-00-", "00")] {
            assert_eq!(parent(&format!("cc-{TRACE}-{PARENT}{later}")), known(flags), "{later}");
        }
        let zeros = "0".repeat(32);
        for text in [
            "",
            "00",
            &format!("ff-{TRACE}-{PARENT}-01"),
            &format!("00-{TRACE}-{PARENT}"),
            &format!("00-{TRACE}-{PARENT}-1"),
            &format!("00-{TRACE}-{PARENT}-01-"),
            &format!("00-{TRACE}-{PARENT}-01-x"),
            &format!("cc-{TRACE}-{PARENT}-01x"),
            &format!("0-{TRACE}-{PARENT}-01"),
            &format!("00-{zeros}-{PARENT}-01"),
            &format!("00-{TRACE}-{}-01", &zeros[..16]),
            &format!("00-{}-{PARENT}-01", TRACE.to_ascii_uppercase()),
            &format!("00-{TRACE}0-{PARENT}-01"),
            &format!("00-{TRACE}-{PARENT}-0g"),
            &format!(" 00-{TRACE}-{PARENT}-01"),
            &format!("00_{TRACE}_{PARENT}_01"),
        ] {
            assert_eq!(parent(text), Err(TraceError::Parent), "{text}");
        }
    }

    #[test]
    fn states() {
        let many = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        for text in [
            "a=b",
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
            "a=b , c=d\t,,",
            "1tenant@system=x y",
            "a_-*/9=!~",
            &format!("{}=v", "a".repeat(256)),
            &format!("a={}", "v".repeat(256)),
            &many(32),
        ] {
            assert_eq!(check_state(text), Ok(()), "{text}");
        }
        for text in [
            "",
            " ,",
            "a",
            "=b",
            "a=",
            "A=b",
            "1a=b",
            "a=b,a=c",
            "a=b=c",
            "a=ü",
            "a=b\n",
            "tenant@1=b",
            "@system=b",
            "t@abcdefghijklmno=b",
            &format!("{}=v", "a".repeat(257)),
            &format!("a={}", "v".repeat(257)),
            &format!("a={},b={}", "v".repeat(256), "v".repeat(256)),
            &many(33),
        ] {
            assert_eq!(check_state(text), Err(TraceError::State), "{text}");
        }
    }
}
