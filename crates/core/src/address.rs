//! Which addresses a callback may reach.
//!
//! Promise: unless the operator allows it, no callback reaches an address that is not on the public internet: not the
//! machine itself, not its network, not a cloud's metadata service, under whatever spelling. The caller checks the address
//! that it is about to connect to, after name resolution, so that a name cannot change its meaning between check and use.
//!
//! Precedence: the operator's deny list, then the operator's allow list, then the special-purpose ranges below.

mod special;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The operator's rules; the default has no exceptions from the special-purpose ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
}

/// Which of the two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EgressList {
    /// Addresses that may be called although they are not public.
    Allow,
    /// Addresses that may not be called, whatever else holds.
    Deny,
}

/// An entry of a list that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is neither an IP address nor a CIDR such as 10.1.0.0/16 or fd00::/8", entry.escape_debug())]
pub struct EgressError {
    /// Where it stands.
    pub list: EgressList,
    /// The entry as it was given.
    pub entry: String,
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
}

impl Egress {
    /// Reads two comma-separated lists of addresses and CIDRs. White space around entries and empty entries are ignored;
    /// bits of a CIDR beyond its prefix do not matter.
    ///
    /// # Errors
    ///
    /// The first entry that cannot be read.
    pub fn parse(allow: &str, deny: &str) -> Result<Egress, EgressError> {
        Ok(Egress { allow: parse_list(EgressList::Allow, allow)?, deny: parse_list(EgressList::Deny, deny)? })
    }

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
        // An allowed NAT64 gateway must not become a way to the addresses behind it.
        match nat64_target(ip) {
            Some(target) => self.permits(IpAddr::V4(target)),
            None => Ok(()),
        }
    }
}

fn parse_list(list: EgressList, text: &str) -> Result<Vec<IpNet>, EgressError> {
    text.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| parse_entry(entry).ok_or_else(|| EgressError { list, entry: entry.to_owned() }))
        .collect()
}

fn parse_entry(entry: &str) -> Option<IpNet> {
    let net = match entry.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => entry.parse::<IpNet>().ok()?,
    };
    Some(canonical_net(net))
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

/// Where a NAT64 gateway with the well-known prefix sends packets for this address (RFC 6052 §2.1).
fn nat64_target(ip: IpAddr) -> Option<Ipv4Addr> {
    const WELL_KNOWN: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
    match ip {
        IpAddr::V6(v6) if WELL_KNOWN.contains(&v6) => {
            let [.., a, b, c, d] = v6.octets();
            Some(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests;
