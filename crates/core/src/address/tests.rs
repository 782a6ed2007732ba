use proptest::prelude::*;

use super::*;
use crate::queue::CallbackUrl;

fn parse(allow: &str, deny: &str) -> Result<Egress, Vec<EgressError>> {
    Egress::parse(&EgressSettings { allow, deny, ..EgressSettings::default() })
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn blocked(text: &str) -> bool {
    Egress::default().permits(ip(text)).is_err()
}

/// First address | last address | the address before, with its verdict | the address after, with its verdict
const RANGES: &str = "
    0.0.0.0 | 0.255.255.255 | - | 1.0.0.0 open
    10.0.0.0 | 10.255.255.255 | 9.255.255.255 open | 11.0.0.0 open
    100.64.0.0 | 100.127.255.255 | 100.63.255.255 open | 100.128.0.0 open
    127.0.0.0 | 127.255.255.255 | 126.255.255.255 open | 128.0.0.0 open
    169.254.0.0 | 169.254.255.255 | 169.253.255.255 open | 169.255.0.0 open
    172.16.0.0 | 172.31.255.255 | 172.15.255.255 open | 172.32.0.0 open
    192.0.0.0 | 192.0.0.255 | 191.255.255.255 open | 192.0.1.0 open
    192.0.2.0 | 192.0.2.255 | 192.0.1.255 open | 192.0.3.0 open
    192.88.99.0 | 192.88.99.255 | 192.88.98.255 open | 192.88.100.0 open
    192.168.0.0 | 192.168.255.255 | 192.167.255.255 open | 192.169.0.0 open
    198.18.0.0 | 198.19.255.255 | 198.17.255.255 open | 198.20.0.0 open
    198.51.100.0 | 198.51.100.255 | 198.51.99.255 open | 198.51.101.0 open
    203.0.113.0 | 203.0.113.255 | 203.0.112.255 open | 203.0.114.0 open
    224.0.0.0 | 239.255.255.255 | 223.255.255.255 open | 240.0.0.0 shut
    240.0.0.0 | 255.255.255.254 | 239.255.255.255 shut | 255.255.255.255 shut
    :: | ::1 | - | ::2 shut
    64:ff9b:: | 64:ff9b::ffff:ffff | 64:ff9a:ffff:ffff:: shut | 64:ff9b::1:0:0 shut
    64:ff9b:1:: | 64:ff9b:1:ffff:ffff:ffff:ffff:ffff | - | 64:ff9b:2:: shut
    100:: | 100::ffff:ffff:ffff:ffff | - | 100:0:0:1:: shut
    # Of IPv6, only 2000::/3 is allocated.
    ::2:0:0:0 | 1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff | - | 2000:: open
    2001:: | 2001:0:ffff:ffff:ffff:ffff:ffff:ffff | 2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff open | 2001:1:: shut
    2001:1:: | 2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff | - | 2001:200:: open
    2001:db8:: | 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff | 2001:db7:ffff:ffff:ffff:ffff:ffff:ffff open | 2001:db9:: open
    2002:: | 2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff | 2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff open | 2003:: open
    3fff:: | 3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff | 3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff open | 3fff:1000:: open
    4000:: | 7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff | 3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff open | 8000:: shut
    5f00:: | 5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff | - | -
    8000:: | fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff | - | fc00:: shut
    fc00:: | fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff | - | fe00:: shut
    fe80:: | febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff | - | fec0:: shut
    fec0:: | feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff | - | ff00:: shut
    ff00:: | ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff | - | -
";

#[test]
fn every_special_purpose_range_is_blocked_to_its_edges() {
    for row in RANGES.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#')) {
        let mut columns = row.split(" | ");
        for inside in columns.by_ref().take(2) {
            assert!(blocked(inside), "{inside}");
        }
        for (neighbour, verdict) in columns.filter_map(|column| column.split_once(' ')) {
            assert_eq!(if blocked(neighbour) { "shut" } else { "open" }, verdict, "{neighbour} beside {row}");
        }
    }
}

#[test]
fn the_public_internet_is_open() {
    for public in ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e"] {
        assert!(!blocked(public), "{public}");
    }
}

#[test]
fn metadata_services_are_blocked() {
    for service in ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "192.0.0.192"] {
        assert!(blocked(service), "{service}");
    }
}

#[test]
fn reasons_name_the_narrowest_range() {
    for (address, range, purpose) in [
        ("10.1.2.3", "10.0.0.0/8", "a private network"),
        ("255.255.255.255", "255.255.255.255/32", "broadcast"),
        ("::1", "::1/128", "loopback"),
        ("::ffff:127.0.0.1", "127.0.0.0/8", "loopback"),
        ("2001::1", "2001::/32", "Teredo"),
        ("2001:20::1", "2001::/23", "protocol assignments"),
        ("100::1", "100::/64", "discard"),
        ("9000::1", "8000::/1", "not allocated"),
    ] {
        let reason = Egress::default().permits(ip(address));
        assert_eq!(reason, Err(Blocked::NotPublic { range: range.parse().unwrap(), purpose }), "{address}");
    }
    let reason = Egress::default().permits(ip("10.1.2.3")).unwrap_err();
    assert_eq!(reason.to_string(), "the address is not public: a private network (10.0.0.0/8)");
}

#[test]
fn precedence_is_deny_then_allow_then_built_in() {
    let egress = parse("10.0.0.0/8, 127.0.0.1, ::1, fd00::/8", "10.9.0.0/16,8.8.8.8, fd00:ec2::254").unwrap();
    for (address, verdict) in [
        ("10.1.2.3", Ok(())),
        ("10.9.2.3", Err("denied")),
        ("8.8.8.8", Err("denied")),
        ("8.8.4.4", Ok(())),
        ("127.0.0.1", Ok(())),
        ("127.0.0.2", Err("not public")),
        ("::1", Ok(())),
        ("::", Err("not public")),
        ("fd00::1", Ok(())),
        ("fd00:ec2::254", Err("denied")),
        // The same addresses as IPv4-mapped and as IPv4-compatible.
        ("::ffff:10.1.2.3", Ok(())),
        ("::ffff:10.9.2.3", Err("denied")),
        ("::ffff:8.8.8.8", Err("denied")),
        ("::8.8.8.8", Err("denied")),
        ("::8.8.4.4", Ok(())),
        ("::ffff:192.168.0.1", Err("not public")),
        ("::192.168.0.1", Err("not public")),
        ("::ffff:0.0.0.1", Err("not public")),
    ] {
        let given = egress.permits(ip(address)).map_err(|reason| match reason {
            Blocked::Denied => "denied",
            Blocked::NotPublic { .. } => "not public",
            Blocked::Port { .. } | Blocked::Scheme { .. } => "neither port nor scheme",
        });
        assert_eq!(given, verdict, "{address}");
    }
}

#[test]
fn entries_written_as_ipv4_mapped_mean_the_ipv4_addresses() {
    let egress = parse("::ffff:10.0.0.0/104, ::ffff:127.0.0.1", "::ffff:10.9.0.0/112").unwrap();
    assert_eq!(egress.permits(ip("10.1.2.3")), Ok(()));
    assert_eq!(egress.permits(ip("127.0.0.1")), Ok(()));
    assert_eq!(egress.permits(ip("10.9.2.3")), Err(Blocked::Denied));
    assert!(egress.permits(ip("11.0.0.1")).is_ok());
    assert!(egress.permits(ip("192.168.0.1")).is_err());
}

#[test]
fn an_allowed_nat64_gateway_leads_only_to_what_may_be_called() {
    let egress = parse("64:ff9b::/96", "8.8.8.8").unwrap();
    assert_eq!(egress.permits(ip("64:ff9b::1.1.1.1")), Ok(()));
    assert_eq!(egress.permits(ip("64:ff9b::8.8.8.8")), Err(Blocked::Denied));
    for hidden in ["64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::127.0.0.1"] {
        assert!(egress.permits(ip(hidden)).is_err(), "{hidden}");
    }
}

#[test]
fn everything_can_be_denied_or_allowed() {
    let none = parse("", "0.0.0.0/0,::/0").unwrap();
    let all = parse("0.0.0.0/0,::/0", "").unwrap();
    for address in ["1.1.1.1", "10.0.0.1", "2606:4700::1", "::ffff:1.1.1.1", "::1"] {
        assert_eq!(none.permits(ip(address)), Err(Blocked::Denied), "{address}");
        assert_eq!(all.permits(ip(address)), Ok(()), "{address}");
    }
}

#[test]
fn lists_tolerate_space_and_emptiness() {
    for text in ["", " ", ",", " , ,"] {
        assert_eq!(parse(text, text), Ok(Egress::default()), "{text:?}");
    }
    assert_eq!(parse(" 10.0.0.0/8 ,\n127.0.0.1, ", ""), parse("10.0.0.0/8,127.0.0.1/32", ""));
    // Bits beyond the prefix.
    assert_eq!(parse("10.1.2.3/8", "").map(|egress| egress.permits(ip("10.9.9.9"))), Ok(Ok(())));
}

#[test]
fn bad_entries_are_named() {
    for bad in ["10.0.0.0/33", "10.0.0", "localhost", "::1/129", "10.0.0.0/-1", "010.0.0.1", "10.0.0.0/8/8", "[::1]"] {
        let expected = |setting| Err(vec![EgressError { setting, entry: bad.to_owned() }]);
        assert_eq!(parse(&format!("127.0.0.1,{bad} ,::1"), ""), expected(EgressSetting::Allow));
        assert_eq!(parse("", bad), expected(EgressSetting::Deny));
    }
    for bad in ["0", "65536", "+80", "80-", "-80", "90-80", "80-90-100", "http", "8 0", "0-1"] {
        let ports = Egress::parse(&EgressSettings { ports: &format!("443,{bad}"), ..EgressSettings::default() });
        let expected = EgressError { setting: EgressSetting::Ports, entry: bad.to_owned() };
        assert_eq!(ports, Err(vec![expected]));
    }
    let all = EgressSettings { allow: "x,y", deny: "z", ports: "p", schemes: "http,ftp" };
    let errors = Egress::parse(&all).unwrap_err();
    let said: Vec<String> = errors.iter().map(|error| format!("{}: {error}", error.setting.variable())).collect();
    assert_eq!(
        said,
        [
            "EGRESS_ALLOW: \"x\" is neither an IP address nor a CIDR such as 10.1.0.0/16 or fd00::/8",
            "EGRESS_DENY: \"z\" is neither an IP address nor a CIDR such as 10.1.0.0/16 or fd00::/8",
            "EGRESS_PORTS: \"p\" is neither a port from 1 to 65535 nor a range such as 8000-8999",
            "EGRESS_SCHEMES: \"ftp\" is neither http nor https",
        ]
    );
}

#[test]
fn allowed_gateways_and_tunnels_lead_only_to_what_may_be_called() {
    let egress = parse("64:ff9b:1::/48,2002::/16,2001::/32,10.9.0.0/16", "8.8.8.8").unwrap();
    for open in [
        "64:ff9b:1::1.1.1.1",
        // 1.1.1.1 behind a prefix of 48, 56 and 64 bits.
        "64:ff9b:1:101:1:100::",
        "64:ff9b:1:1:1:101::",
        "64:ff9b:1:0:1:101:100:0",
        "64:ff9b:1::10.9.0.1",
        "2002:101:101::1",
        "2002:a09:1::1",
        "2001:0:4136:e378:8000:63bf:fefe:fefe",
    ] {
        assert_eq!(egress.permits(ip(open)), Ok(()), "{open}");
    }
    for shut in [
        "64:ff9b:1::10.0.0.1",
        "64:ff9b:1::8.8.8.8",
        "64:ff9b:1::127.0.0.1",
        // 10.0.0.1 and 169.254.169.254 behind a prefix of 48, 56 and 64 bits.
        "64:ff9b:1:a00:0:100::",
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:a:0:1::",
        "64:ff9b:1:a9:fe:a9fe::",
        "64:ff9b:1:0:a:0:100:0",
        "64:ff9b:1:0:a9:fea9:fe00:0",
        "2002:a00:1::1",
        "2002:7f00:1::1",
        "2002:808:808::1",
        "2002:a9fe:a9fe::1",
        // The client 10.0.0.1 of a public server, and a client of the server 10.0.0.1.
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
        "2001:0:a00:1:8000:63bf:fefe:fefe",
    ] {
        assert!(egress.permits(ip(shut)).is_err(), "{shut}");
    }
}

#[test]
fn ports_and_schemes() {
    let egress =
        |ports, schemes| Egress::parse(&EgressSettings { ports, schemes, ..EgressSettings::default() }).unwrap();
    let some = egress("80, 443,8000-8999", "HTTPS");
    let permitted: Vec<u16> = [1, 79, 80, 81, 443, 7999, 8000, 8500, 8999, 9000, 65535]
        .into_iter()
        .filter(|&port| some.permits_port(port).is_ok())
        .collect();
    assert_eq!(permitted, [80, 443, 8000, 8500, 8999]);
    assert_eq!(some.permits_port(22), Err(Blocked::Port { port: 22 }));
    assert_eq!((some.permits_scheme("https"), some.permits_scheme("HTTPS")), (Ok(()), Ok(())));
    assert_eq!(some.permits_scheme("http"), Err(Blocked::Scheme { permitted: "https" }));
    let all = egress("", "http,https");
    assert_eq!(
        (all.permits_port(1), all.permits_scheme("http"), all.permits_scheme("https")),
        (Ok(()), Ok(()), Ok(()))
    );
    assert_eq!(all.permits_scheme("ftp"), Err(Blocked::Scheme { permitted: "http and https" }));
}

#[test]
fn urls_are_judged_as_far_as_they_say_where_they_lead() {
    let strict =
        Egress::parse(&EgressSettings { ports: "80,443", schemes: "https", ..EgressSettings::default() }).unwrap();
    let local = parse("127.0.0.0/8", "93.184.216.34").unwrap();
    let v6 = parse("::1", "").unwrap();
    let open = Egress::default();
    let check = |egress: &Egress, url: &str| egress.check_url(&CallbackUrl::parse(url).unwrap()).is_ok();
    for (egress, url, expected) in [
        (&open, "http://example.com/", true),
        (&open, "http://93.184.216.34:8080/", true),
        (&open, "http://[2606:4700::1111]/", true),
        (&open, "http://127.0.0.1/", false),
        (&open, "http://10.0.0.1:9/x?y", false),
        (&open, "https://169.254.169.254/latest", false),
        (&open, "http://0.0.0.0/", false),
        (&open, "http://[::1]/", false),
        (&open, "http://[::ffff:10.0.0.1]/", false),
        (&open, "http://[::ffff:a00:1]/", false),
        (&open, "http://[64:ff9b::a00:1]:80/", false),
        (&open, "http://[fd00:ec2::254]/", false),
        (&open, "http://localhost/", false),
        (&open, "http://LocalHost:3000/", false),
        (&open, "http://localhost./", false),
        (&open, "http://a.b.localhost/", false),
        (&open, "http://notlocalhost/", true),
        (&open, "http://localhost.example/", true),
        (&local, "http://127.0.0.9/", true),
        (&local, "http://localhost/", true),
        (&local, "http://[::1]/", false),
        (&local, "http://93.184.216.34/", false),
        (&v6, "http://localhost/", true),
        (&v6, "http://127.0.0.1/", false),
        (&strict, "https://example.com/", true),
        (&strict, "https://example.com:80/", true),
        (&strict, "HTTPS://example.com/", true),
        (&strict, "https://example.com:8443/", false),
        (&strict, "http://example.com/", false),
    ] {
        assert_eq!(check(egress, url), expected, "{url}");
    }
}

proptest! {
    /// The standard library knows some of the ranges; none of those may slip through.
    #[test]
    fn never_looser_than_the_standard_library(bits: u32) {
        let v4 = Ipv4Addr::from(bits);
        let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_broadcast()
            || v4.is_documentation() || v4.is_multicast() || v4.is_unspecified();
        if special {
            prop_assert!(Egress::default().permits(IpAddr::V4(v4)).is_err());
        }
    }

    #[test]
    fn spelling_an_ipv4_address_as_ipv6_changes_nothing(bits: u32) {
        let v4 = Ipv4Addr::from(bits);
        let egress = parse("10.0.0.0/8", "1.0.0.0/8").unwrap();
        prop_assert_eq!(egress.permits(IpAddr::V4(v4)), egress.permits(IpAddr::V6(v4.to_ipv6_mapped())));
    }

    #[test]
    fn outside_2000_3_nothing_of_ipv6_is_open(
        top_three_bits in prop::sample::select(vec![0b000_u128, 0b010, 0b011, 0b100, 0b101, 0b110, 0b111]),
        rest: u128,
    ) {
        let v6 = Ipv6Addr::from((top_three_bits << 125) | (rest >> 3));
        prop_assert!(v6.to_ipv4().is_some() || Egress::default().permits(IpAddr::V6(v6)).is_err());
    }
}
