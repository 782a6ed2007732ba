//! What went wrong with a request: its class, for programs, and a sentence for people.

use std::io;
use std::time::Duration;

use actix_http::error::ParseError;
use awc::error::{ConnectError, SendRequestError};
use posthaste_core::transition::ErrorClass;

use super::connect::DialError;

/// A failure before there was an answer: its class, and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) ErrorClass, pub(crate) String);

/// No answer in time.
pub(super) fn timed_out(limit: Duration) -> Failure {
    Failure(ErrorClass::TotalTimeout, format!("no answer within {} ms", limit.as_millis()))
}

/// No connection in time.
pub(super) fn not_connected(limit: Duration) -> Failure {
    Failure(ErrorClass::ConnectTimeout, format!("no connection within {} ms", limit.as_millis()))
}

/// Which class of error a failed request belongs to.
pub(super) fn classify(error: SendRequestError) -> Failure {
    let text = error.to_string();
    match error {
        SendRequestError::Connect(error) => connecting(error),
        // The client's own limits lie beyond ours.
        SendRequestError::Timeout => Failure(ErrorClass::TotalTimeout, text),
        SendRequestError::Send(error) => broken_off(&error, "sending"),
        SendRequestError::Url(_) | SendRequestError::Http(_) => Failure(ErrorClass::InvalidRequest, text),
        SendRequestError::Response(error) => match error {
            ParseError::Io(error) => broken_off(&error, "reading"),
            error => Failure(ErrorClass::Protocol, format!("not an HTTP answer: {error}")),
        },
        SendRequestError::H2(error) => http2(&error),
        _ => Failure(ErrorClass::Protocol, text),
    }
}

fn connecting(error: ConnectError) -> Failure {
    let text = error.to_string();
    match error {
        ConnectError::Resolver(error) => match error.downcast_ref::<DialError>() {
            Some(DialError::Blocked(blocked)) => Failure(ErrorClass::BlockedAddress, blocked.to_string()),
            Some(DialError::Proxy(proxy)) => Failure(ErrorClass::Proxy, proxy.to_string()),
            Some(DialError::Dns(_) | DialError::NotSent(_)) | None => Failure(ErrorClass::Dns, error.to_string()),
        },
        ConnectError::NoRecords | ConnectError::Unresolved => Failure(ErrorClass::Dns, text),
        ConnectError::Timeout => Failure(ErrorClass::ConnectTimeout, text),
        ConnectError::SslIsNotSupported => Failure(ErrorClass::Tls, text),
        // The connection was closed before an answer came.
        ConnectError::Disconnected => {
            Failure(ErrorClass::Reset, "the receiver closed the connection without an answer".to_owned())
        }
        ConnectError::Io(error) => connecting_io(&error),
        ConnectError::H2(error) => http2(&error),
        _ => Failure(ErrorClass::Protocol, text),
    }
}

fn connecting_io(error: &io::Error) -> Failure {
    let class = match error.kind() {
        _ if is_tls(error) => ErrorClass::Tls,
        io::ErrorKind::TimedOut => ErrorClass::ConnectTimeout,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => ErrorClass::Reset,
        // Nobody listens, or no way leads there: either way no connection came about.
        _ => ErrorClass::Refused,
    };
    Failure(class, error.to_string())
}

/// A receiver that refuses our certificate, or its lack, says so when the handshake is over for us already (TLS 1.3).
fn broken_off(error: &io::Error, doing: &str) -> Failure {
    let class = if is_tls(error) { ErrorClass::Tls } else { ErrorClass::Reset };
    Failure(class, format!("while {doing}: {error}"))
}

fn is_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

fn http2(error: &h2::Error) -> Failure {
    let is_end = error.is_reset() || error.is_go_away() || error.is_io();
    let class = if is_end && error.is_remote() || error.is_io() { ErrorClass::Reset } else { ErrorClass::Protocol };
    Failure(class, format!("HTTP/2: {error}"))
}
