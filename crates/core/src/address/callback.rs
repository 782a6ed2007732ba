//! What can be known of a callback URL before its name is resolved.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Blocked, Egress};
use crate::queue::CallbackUrl;

impl Egress {
    /// Whether a callback may go to this URL, as far as that can be known without resolving its name: its scheme, its port, an
    /// address in the place of a name, and the names that mean the machine itself (RFC 6761 §6.3). What a name resolves to is judged
    /// when it is called.
    ///
    /// # Errors
    ///
    /// Why it may not.
    pub fn check_url(&self, url: &CallbackUrl) -> Result<(), Blocked> {
        let uri = url.uri();
        let scheme = uri.scheme_str().unwrap_or_default();
        self.permits_scheme(scheme)?;
        let default = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
        self.permits_port(uri.port_u16().unwrap_or(default))?;
        let host = uri.host().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match literal {
            Ok(address) => self.permits(address),
            Err(_) if is_localhost(host) => {
                let either = self.permits(Ipv4Addr::LOCALHOST.into());
                either.or_else(|blocked| self.permits(Ipv6Addr::LOCALHOST.into()).map_err(|_| blocked))
            }
            Err(_) => Ok(()),
        }
    }
}

fn is_localhost(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}
