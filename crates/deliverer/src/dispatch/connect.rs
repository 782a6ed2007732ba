//! Connecting: every connection of the deliverer is made here, to an address that the egress rules permit.
//!
//! The rules judge the address that is connected to, after the name was resolved. A name that resolves to a public
//! address when it is checked and to a private one when it is used therefore gains nothing (DNS rebinding).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use actix_http::error::ParseError;
use actix_service::{Service, fn_service};
use actix_tls::connect::tcp::TcpConnectorService;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use awc::error::{ConnectError as AwcConnectError, SendRequestError};
use awc::http::Uri;
use posthaste_core::address::{Blocked, Egress};
use posthaste_core::transition::ErrorClass;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;

use super::{Failure, timed_out};

/// A connector that resolves names itself, and connects only to what `egress` permits.
pub(super) fn guarded(
    egress: Egress,
) -> impl Service<ConnectInfo<Uri>, Response = Connection<Uri, TcpStream>, Error = ConnectError> + Clone + 'static {
    let egress = Arc::new(egress);
    fn_service(move |info: ConnectInfo<Uri>| {
        let egress = Arc::clone(&egress);
        async move {
            let permitted = resolve(&egress, info.hostname(), info.port()).await?;
            TcpConnectorService::default().call(info.set_addrs(permitted)).await
        }
    })
}

/// The addresses of `host` that may be connected to.
async fn resolve(egress: &Egress, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    // A URL writes an IPv6 address in brackets.
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let found: Vec<SocketAddr> = match literal {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => {
            tokio::net::lookup_host((host, port)).await.map_err(|error| ConnectError::Resolver(error.into()))?.collect()
        }
    };
    let mut blocked = None;
    let mut permitted = Vec::with_capacity(found.len());
    for address in found {
        match egress.permits(address.ip()) {
            Ok(()) => permitted.push(address),
            Err(why) => blocked = Some(why),
        }
    }
    match blocked {
        Some(why) if permitted.is_empty() => Err(ConnectError::Resolver(Box::new(why))),
        _ if permitted.is_empty() => Err(ConnectError::NoRecords),
        _ => Ok(permitted),
    }
}

/// TLS as every public HTTPS endpoint expects it: the system's roots, TLS 1.2 and later.
pub(super) fn tls() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a root certificate of the system cannot be read");
    }
    let (_, ignored) = roots.add_parsable_certificates(found.certs);
    if ignored > 0 {
        tracing::warn!(ignored, "root certificates of the system that cannot be parsed");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = match ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions() {
        Ok(builder) => builder.with_root_certificates(roots).with_no_client_auth(),
        Err(error) => unreachable!("ring offers the default protocol versions: {error}"),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Which class of error a failed request belongs to.
pub(super) fn classify(error: SendRequestError) -> Failure {
    let text = error.to_string();
    match error {
        SendRequestError::Connect(error) => connecting(error),
        SendRequestError::Timeout => Failure(ErrorClass::TotalTimeout, timed_out()),
        SendRequestError::Send(error) => Failure(ErrorClass::Reset, format!("while sending: {error}")),
        SendRequestError::Url(_) | SendRequestError::Http(_) => Failure(ErrorClass::InvalidRequest, text),
        SendRequestError::Response(error) => match error {
            ParseError::Io(error) => Failure(ErrorClass::Reset, format!("while reading: {error}")),
            error => Failure(ErrorClass::Protocol, format!("not an HTTP answer: {error}")),
        },
        _ => Failure(ErrorClass::Protocol, text),
    }
}

fn connecting(error: AwcConnectError) -> Failure {
    let text = error.to_string();
    match error {
        AwcConnectError::Resolver(error) => match error.downcast_ref::<Blocked>() {
            Some(blocked) => Failure(ErrorClass::BlockedAddress, blocked.to_string()),
            None => Failure(ErrorClass::Dns, error.to_string()),
        },
        AwcConnectError::NoRecords | AwcConnectError::Unresolved => Failure(ErrorClass::Dns, text),
        AwcConnectError::Timeout => Failure(ErrorClass::ConnectTimeout, text),
        AwcConnectError::SslIsNotSupported => Failure(ErrorClass::Tls, text),
        // The connection was closed before an answer came.
        AwcConnectError::Disconnected => {
            Failure(ErrorClass::Reset, "the receiver closed the connection without an answer".to_owned())
        }
        AwcConnectError::Io(error) => connecting_io(&error),
        _ => Failure(ErrorClass::Protocol, text),
    }
}

fn connecting_io(error: &io::Error) -> Failure {
    let is_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    let class = match error.kind() {
        _ if is_tls => ErrorClass::Tls,
        io::ErrorKind::TimedOut => ErrorClass::ConnectTimeout,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => ErrorClass::Reset,
        // Nobody listens, or no way leads there: either way no connection came about.
        _ => ErrorClass::Refused,
    };
    Failure(class, error.to_string())
}
