//! Connecting: every connection of the deliverer is made here, to an address that the egress rules permit.
//!
//! The rules judge the address that is connected to, after the name was resolved. A name that resolves to a public
//! address when it is checked and to a private one when it is used therefore gains nothing (DNS rebinding).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use actix_service::{Service, fn_service};
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use awc::http::Uri;
use posthaste_core::address::{Blocked, Egress};
use tokio::net::TcpStream;

use super::call::Call;
use super::permit::NotSent;
use super::proxy::{Proxy, ProxyError};
use super::wire::Wire;

/// How long one of several addresses of a name is tried, before the next one is.
const ONE_OF_SEVERAL: Duration = Duration::from_secs(2);

/// What decides where a connection may go, and how.
#[derive(Debug)]
pub(super) struct Ways {
    pub(super) egress: Egress,
    pub(super) proxy: Option<Proxy>,
}

/// Why there is no connection, as far as the client has no error of its own for it.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error(transparent)]
    Blocked(#[from] Blocked),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    NotSent(#[from] NotSent),
    #[error("{0}")]
    Dns(io::Error),
}

impl From<DialError> for ConnectError {
    fn from(error: DialError) -> ConnectError {
        ConnectError::Resolver(Box::new(error))
    }
}

/// A connector that resolves names itself, and connects only to what the rules permit.
pub(super) fn guarded(
    ways: Rc<Ways>,
) -> impl Service<ConnectInfo<Uri>, Response = Connection<Uri, Wire>, Error = ConnectError> + Clone + 'static {
    fn_service(move |info: ConnectInfo<Uri>| {
        let ways = Rc::clone(&ways);
        async move {
            let call = Call::current();
            let scheme = info.request().scheme_str().unwrap_or_default();
            ways.egress.permits_scheme(scheme).map_err(DialError::from)?;
            let stream = dial(&ways, info.hostname(), info.port(), call.as_deref()).await?;
            let uri: Uri = info.request().clone();
            Ok(Connection::new(uri, Wire::new(stream, call)))
        }
    })
}

async fn dial(ways: &Ways, host: &str, port: u16, call: Option<&Call>) -> Result<TcpStream, ConnectError> {
    if let Some(call) = call {
        call.dialed();
    }
    ways.egress.permits_port(port).map_err(DialError::from)?;
    // A URL writes an IPv6 address in brackets.
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let stream = match &ways.proxy {
        Some(proxy) if proxy.resolves && literal.is_none() => {
            tell(call, |call| call.resolved(false));
            proxy.connect(&format!("{host}:{port}")).await.map_err(DialError::from)?
        }
        Some(proxy) => {
            let addresses = resolve(&ways.egress, host, literal, port).await?;
            tell(call, |call| call.resolved(literal.is_none()));
            let first = addresses.first().ok_or(ConnectError::NoRecords)?;
            proxy.connect(&first.to_string()).await.map_err(DialError::from)?
        }
        None => {
            let addresses = resolve(&ways.egress, host, literal, port).await?;
            tell(call, |call| call.resolved(literal.is_none()));
            connect(&addresses).await?
        }
    };
    tell(call, Call::connected);
    Ok(stream)
}

fn tell(call: Option<&Call>, what: impl FnOnce(&Call)) {
    if let Some(call) = call {
        what(call);
    }
}

/// Connects to the first address that answers, in the resolver's order. One that is silent does not use up all the time.
async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    let mut last = ConnectError::NoRecords;
    for (number, address) in addresses.iter().enumerate() {
        let is_last = number + 1 == addresses.len();
        let connecting = TcpStream::connect(address);
        let connected = match is_last {
            true => connecting.await,
            false => match tokio::time::timeout(ONE_OF_SEVERAL, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            },
        };
        match connected {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(ConnectError::Io)?;
                return Ok(stream);
            }
            Err(error) => last = ConnectError::Io(error),
        }
    }
    Err(last)
}

/// The addresses of `host` that may be connected to.
async fn resolve(
    egress: &Egress,
    host: &str,
    literal: Option<IpAddr>,
    port: u16,
) -> Result<Vec<SocketAddr>, ConnectError> {
    let found: Vec<SocketAddr> = match literal {
        Some(ip) => vec![SocketAddr::new(ip, port)],
        None => tokio::net::lookup_host((host, port)).await.map_err(DialError::Dns)?.collect(),
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
        Some(why) if permitted.is_empty() => Err(DialError::Blocked(why).into()),
        _ if permitted.is_empty() => Err(ConnectError::NoRecords),
        _ => Ok(permitted),
    }
}
