//! Which addresses, ports and schemes a callback may reach.
//!
//! Promise: unless the operator allows it, no callback reaches an address that is not on the public internet: not the
//! machine itself, not its network, not a cloud's metadata service, under whatever spelling. The caller checks the address
//! that it is about to connect to, after name resolution, so that a name cannot change its meaning between check and use.
//!
//! Precedence: the operator's deny list, then the operator's allow list, then the special-purpose ranges below.

mod callback;
mod reading;
mod special;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

pub use reading::{EgressError, EgressSetting, EgressSettings};

/// The operator's rules; the default permits every port and scheme, and has no exceptions from the special-purpose ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    /// Empty: all.
    ports: Vec<RangeInclusive<u16>>,
    /// Empty: all.
    schemes: Vec<Scheme>,
}

/// How a callback is made, as URLs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn from_name(name: &str) -> Option<Scheme> {
        match name.to_ascii_lowercase().as_str() {
            "http" => Some(Scheme::Http),
            "https" => Some(Scheme::Https),
            _ => None,
        }
    }
}

/// Why an address may not be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// The operator's deny list has it.
    #[error("the operator of this service denies this address")]
    Denied,
    /// It is not a public address, and the operator's allow list does not have it.
    #[error("the address is not public: {purpose} ({range})")]
    NotPublic {
        /// The range it lies in.
        range: IpNet,
        /// What that range is for.
        purpose: &'static str,
    },
    /// The operator's list of ports does not have it.
    #[error("the operator of this service does not permit port {port}")]
    Port {
        /// The port.
        port: u16,
    },
    /// The operator permits the other scheme alone.
    #[error("the operator of this service permits only {permitted}")]
    Scheme {
        /// Which is permitted.
        permitted: &'static str,
    },
}

impl Blocked {
    /// What the operator would have to do, for whoever may not call.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Blocked::Denied => "EGRESS_DENY would have to leave it out",
            Blocked::NotPublic { .. } => "EGRESS_ALLOW would have to name it",
            Blocked::Port { .. } => "EGRESS_PORTS would have to name it",
            Blocked::Scheme { .. } => "EGRESS_SCHEMES would have to name the other",
        }
    }
}

impl Egress {
    /// Whether a callback may reach `ip`.
    ///
    /// # Errors
    ///
    /// Why it may not.
    pub fn permits(&self, ip: IpAddr) -> Result<(), Blocked> {
        let ip = canonical(ip);
        if contains(&self.deny, ip) {
            return Err(Blocked::Denied);
        }
        if !contains(&self.allow, ip) {
            special::check(ip)?;
        }
        // An allowed gateway must not become a way to the addresses behind it.
        embedded(ip).into_iter().try_for_each(|target| self.permits(IpAddr::V4(target)))
    }

    /// Whether a callback may go to this port.
    ///
    /// # Errors
    ///
    /// [`Blocked::Port`].
    pub fn permits_port(&self, port: u16) -> Result<(), Blocked> {
        let permitted = self.ports.is_empty() || self.ports.iter().any(|ports| ports.contains(&port));
        if permitted { Ok(()) } else { Err(Blocked::Port { port }) }
    }

    /// Whether a callback may be made with this scheme.
    ///
    /// # Errors
    ///
    /// [`Blocked::Scheme`].
    pub fn permits_scheme(&self, scheme: &str) -> Result<(), Blocked> {
        let permits = |scheme| self.schemes.is_empty() || self.schemes.contains(&scheme);
        match Scheme::from_name(scheme) {
            Some(scheme) if permits(scheme) => Ok(()),
            Some(_) | None => Err(Blocked::Scheme {
                permitted: match (permits(Scheme::Http), permits(Scheme::Https)) {
                    (true, false) => "http",
                    (false, true) => "https",
                    (true, true) | (false, false) => "http and https",
                },
            }),
        }
    }
}

fn contains(nets: &[IpNet], ip: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&ip))
}

/// The IPv4 address where an IPv6 address is only another way to write one (RFC 4291 §2.5.5): `::ffff:a.b.c.d` and
/// `::a.b.c.d`. The kernel connects to that IPv4 address, so only it counts. `::` and `::1` have meanings of their own.
fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) if !v6.is_unspecified() && !v6.is_loopback() => v6.to_ipv4().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) | IpAddr::V6(_) => ip,
    }
}

/// The same for an entry of a list: one that is written as IPv4-mapped would otherwise never match.
fn canonical_net(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let mapped = v6.network().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    match mapped.map(|(address, prefix)| Ipv4Net::new(address, prefix)) {
        Some(Ok(v4)) => IpNet::V4(v4),
        Some(Err(_)) | None => net,
    }
}

/// The IPv4 addresses where packets for this address may come out: at a NAT64 gateway (RFC 6052 §2.2), a 6to4 relay (RFC 3056 §2) or
/// a Teredo relay or server (RFC 4380 §4).
fn embedded(ip: IpAddr) -> Vec<Ipv4Addr> {
    const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
    const LOCAL_NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48);
    const TEREDO: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32);
    const SIX_TO_FOUR: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);
    let IpAddr::V6(v6) = ip else { return Vec::new() };
    let octets = v6.octets();
    let [_, _, b2, b3, b4, b5, b6, b7, _, b9, b10, b11, b12, b13, b14, b15] = octets;
    if NAT64.contains(&v6) {
        vec![Ipv4Addr::new(b12, b13, b14, b15)]
    } else if LOCAL_NAT64.contains(&v6) {
        // The operator of the gateway has chosen the length of its prefix: 48, 56, 64 or 96. Where another length is meant, bits that
        // are not the address's make one of 0.0.0.0/8, which is nowhere.
        let forms = [[b6, b7, b9, b10], [b7, b9, b10, b11], [b9, b10, b11, b12], [b12, b13, b14, b15]];
        let all = forms.into_iter().filter(|[first, ..]| *first != 0).map(Ipv4Addr::from);
        all.collect()
    } else if TEREDO.contains(&v6) {
        // The client's is written with all bits inverted.
        vec![Ipv4Addr::new(b4, b5, b6, b7), Ipv4Addr::new(!b12, !b13, !b14, !b15)]
    } else if SIX_TO_FOUR.contains(&v6) {
        vec![Ipv4Addr::new(b2, b3, b4, b5)]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
