//! The operator's rules as they are written in a deployment's settings.

use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::{Egress, Scheme, canonical_net};

/// The settings of [`Egress`], each a comma-separated list. White space around entries and empty entries are ignored.
#[derive(Debug, Clone, Copy, Default)]
pub struct EgressSettings<'a> {
    /// Addresses and CIDRs that may be called although they are not public. Bits beyond a prefix do not matter.
    pub allow: &'a str,
    /// Addresses and CIDRs that may not be called, whatever else holds.
    pub deny: &'a str,
    /// The ports that may be called, such as `80,443,8000-8999`; all where there is none.
    pub ports: &'a str,
    /// `http`, `https` or both; both where there is none.
    pub schemes: &'a str,
}

/// Which of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EgressSetting {
    /// [`EgressSettings::allow`].
    Allow,
    /// [`EgressSettings::deny`].
    Deny,
    /// [`EgressSettings::ports`].
    Ports,
    /// [`EgressSettings::schemes`].
    Schemes,
}

impl EgressSetting {
    /// The variable that holds it.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            EgressSetting::Allow => "EGRESS_ALLOW",
            EgressSetting::Deny => "EGRESS_DENY",
            EgressSetting::Ports => "EGRESS_PORTS",
            EgressSetting::Schemes => "EGRESS_SCHEMES",
        }
    }

    const fn takes(self) -> &'static str {
        match self {
            EgressSetting::Allow | EgressSetting::Deny => "an IP address nor a CIDR such as 10.1.0.0/16 or fd00::/8",
            EgressSetting::Ports => "a port from 1 to 65535 nor a range such as 8000-8999",
            EgressSetting::Schemes => "http nor https",
        }
    }
}

/// An entry of a setting that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is neither {}", entry.escape_debug(), setting.takes())]
pub struct EgressError {
    /// Where it stands.
    pub setting: EgressSetting,
    /// The entry as it was given.
    pub entry: String,
}

impl Egress {
    /// Reads the operator's rules.
    ///
    /// # Errors
    ///
    /// The first entry of each setting that cannot be read.
    pub fn parse(settings: &EgressSettings<'_>) -> Result<Egress, Vec<EgressError>> {
        let mut errors = Vec::new();
        let egress = Egress {
            allow: list(EgressSetting::Allow, settings.allow, net, &mut errors),
            deny: list(EgressSetting::Deny, settings.deny, net, &mut errors),
            ports: list(EgressSetting::Ports, settings.ports, ports, &mut errors),
            schemes: list(EgressSetting::Schemes, settings.schemes, Scheme::from_name, &mut errors),
        };
        if errors.is_empty() { Ok(egress) } else { Err(errors) }
    }
}

fn list<T>(
    setting: EgressSetting,
    text: &str,
    read: impl Fn(&str) -> Option<T>,
    errors: &mut Vec<EgressError>,
) -> Vec<T> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let read = entries.map(|entry| read(entry).ok_or_else(|| EgressError { setting, entry: entry.to_owned() }));
    match read.collect() {
        Ok(list) => list,
        Err(error) => {
            errors.push(error);
            Vec::new()
        }
    }
}

fn net(entry: &str) -> Option<IpNet> {
    let net = match entry.parse::<std::net::IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => entry.parse::<IpNet>().ok()?,
    };
    Some(canonical_net(net))
}

fn ports(entry: &str) -> Option<RangeInclusive<u16>> {
    let port = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|port| digits && *port > 0)
    };
    let (first, last) = match entry.split_once('-') {
        Some((first, last)) => (port(first.trim())?, port(last.trim())?),
        None => (port(entry)?, port(entry)?),
    };
    (first <= last).then_some(first..=last)
}
