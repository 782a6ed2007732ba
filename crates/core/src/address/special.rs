//! The ranges that are not the public internet: the IANA special-purpose address registries (RFC 6890) and multicast,
//! taken strictly. Where a registry opens a few addresses of a range for infrastructure, the whole range stays blocked: no
//! webhook receiver lives there. Of IPv6, only 2000::/3 is allocated at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Blocked;

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, d: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

const IPV4: [(Ipv4Net, &str); 16] = [
    (v4(0, 0, 0, 0, 8), "this network"),
    (v4(10, 0, 0, 0, 8), "a private network"),
    (v4(100, 64, 0, 0, 10), "carrier-grade NAT"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(169, 254, 0, 0, 16), "link-local, cloud metadata"),
    (v4(172, 16, 0, 0, 12), "a private network"),
    (v4(192, 0, 0, 0, 24), "protocol assignments"),
    (v4(192, 0, 2, 0, 24), "documentation"),
    (v4(192, 88, 99, 0, 24), "6to4 relays"),
    (v4(192, 168, 0, 0, 16), "a private network"),
    (v4(198, 18, 0, 0, 15), "benchmarking"),
    (v4(198, 51, 100, 0, 24), "documentation"),
    (v4(203, 0, 113, 0, 24), "documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(255, 255, 255, 255, 32), "broadcast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];

/// The first match names the range, so narrow ranges stand before the wide ones that hold them.
const IPV6: [(Ipv6Net, &str); 18] = [
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), "unspecified"),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "loopback"),
    (v6(0x64, 0xff9b, 0, 0, 96), "NAT64"),
    (v6(0x64, 0xff9b, 1, 0, 48), "local NAT64"),
    (v6(0x100, 0, 0, 0, 64), "discard"),
    (v6(0x2001, 0, 0, 0, 32), "Teredo"),
    (v6(0x2001, 0, 0, 0, 23), "protocol assignments"),
    (v6(0x2001, 0xdb8, 0, 0, 32), "documentation"),
    (v6(0x2002, 0, 0, 0, 16), "6to4"),
    (v6(0x3fff, 0, 0, 0, 20), "documentation"),
    (v6(0x5f00, 0, 0, 0, 16), "segment routing"),
    (v6(0xfc00, 0, 0, 0, 7), "a unique local network, cloud metadata"),
    (v6(0xfe80, 0, 0, 0, 10), "link-local"),
    (v6(0xfec0, 0, 0, 0, 10), "site-local"),
    (v6(0xff00, 0, 0, 0, 8), "multicast"),
    // All that is not 2000::/3.
    (v6(0, 0, 0, 0, 3), "not allocated"),
    (v6(0x4000, 0, 0, 0, 2), "not allocated"),
    (v6(0x8000, 0, 0, 0, 1), "not allocated"),
];

/// Takes an address in canonical form.
pub(super) fn check(ip: IpAddr) -> Result<(), Blocked> {
    let found = match ip {
        IpAddr::V4(ip) => {
            IPV4.iter().find(|(range, _)| range.contains(&ip)).map(|&(range, purpose)| (IpNet::V4(range), purpose))
        }
        IpAddr::V6(ip) => {
            IPV6.iter().find(|(range, _)| range.contains(&ip)).map(|&(range, purpose)| (IpNet::V6(range), purpose))
        }
    };
    match found {
        Some((range, purpose)) => Err(Blocked::NotPublic { range, purpose }),
        None => Ok(()),
    }
}
