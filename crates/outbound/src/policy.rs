//! Which servers may be connected to: the operator's settings on top of the built-in table.
//!
//! The most specific entry decides. A name is more specific than any network, a network with a longer
//! prefix than one with a shorter prefix, and an entry with a port than the same one without. The
//! built-in entries count as well, so that allowing `0.0.0.0/0` does not allow loopback. If two
//! entries are equally specific, a denial wins over a permission, and both over the built-in table.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

use crate::address::{self, Kind};

/// An entry of the operator's lists: a network, an address or a host name, optionally with a port.
///
/// Examples: `10.20.0.0/16`, `127.0.0.1:5000`, `[::1]:5000`, `git.internal`, `*.internal:443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRule {
    place: Place,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Network(IpNet),
    /// A name in lower case.
    Host(String),
    /// The part after `*`, with its dot.
    Below(String),
}

/// An entry that is neither a network nor a name.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is neither a network such as 10.20.0.0/16, nor an address or a host name, optionally with \
     a port"
)]
pub struct InvalidRule(String);

/// How specific an entry is; the largest decides.
type Specificity = (u16, bool);

/// Names are more specific than the longest prefix.
const NAME: u16 = 1000;
/// A pattern of names.
const NAMES: u16 = 999;

impl NetworkRule {
    /// How specific the entry is for this server, if it matches.
    fn matches(&self, host: &str, address: SocketAddr) -> Option<Specificity> {
        if self.port.is_some_and(|port| port != address.port()) {
            return None;
        }
        let specificity = match &self.place {
            Place::Network(network) => network
                .contains(&address.ip())
                .then(|| u16::from(length_in_v6(network)))?,
            Place::Host(name) => (name == host).then_some(NAME)?,
            Place::Below(suffix) => {
                let below = host.strip_suffix(suffix.as_str());
                below
                    .is_some_and(|label| !label.is_empty())
                    .then_some(NAMES)?
            }
        };
        Some((specificity, self.port.is_some()))
    }
}

/// The length of a prefix, with that of IPv4 counted as in a mapped address.
fn length_in_v6(network: &IpNet) -> u8 {
    match network {
        IpNet::V4(network) => network.prefix_len() + 96,
        IpNet::V6(network) => network.prefix_len(),
    }
}

impl FromStr for NetworkRule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let invalid = || InvalidRule(text.to_owned());
        let text_of_rule = text.trim();
        let without_port = network(text_of_rule).or_else(|| literal(text_of_rule).map(IpNet::from));
        if let Some(network) = without_port {
            return Ok(Self {
                place: Place::Network(network),
                port: None,
            });
        }
        let (host, port) = match text_of_rule.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| invalid())?)),
            None => (text_of_rule, None),
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if let Some(network) = network(bare.unwrap_or(host)) {
            return Ok(Self {
                place: Place::Network(network),
                port,
            });
        }
        let name = normal(host);
        let suffix = name.strip_prefix('*').filter(|rest| rest.starts_with('.'));
        let labels = suffix.unwrap_or(&name).trim_start_matches('.');
        let is_name = !labels.is_empty()
            && labels
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            // The last label of a name is never a number; of a misspelt address it is.
            && labels.rsplit('.').next().is_some_and(|label| {
                label.bytes().any(|b| b.is_ascii_alphabetic())
            });
        if !is_name {
            return Err(invalid());
        }
        Ok(Self {
            place: match suffix {
                Some(suffix) => Place::Below(suffix.to_owned()),
                None => Place::Host(name),
            },
            port,
        })
    }
}

/// Parses a network or an address. A mapped IPv4 network becomes the IPv4 network.
fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    let mapped = match (network.addr(), network.prefix_len()) {
        (IpAddr::V6(first), length @ 96..) => first
            .to_ipv4_mapped()
            .and_then(|first| IpNet::new(first.into(), length - 96).ok()),
        _ => None,
    };
    Some(mapped.unwrap_or(network).trunc())
}

/// A host name as names are compared: in lower case, without the dot at the end.
pub(crate) fn normal(host: &str) -> String {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.to_ascii_lowercase()
}

/// Which servers may be connected to.
///
/// Without entries these are public addresses and those in private networks, but not loopback,
/// link-local, metadata and other special addresses.
#[derive(Clone, Debug)]
pub struct NetworkPolicy {
    allowed: Vec<NetworkRule>,
    denied: Vec<NetworkRule>,
    /// Whether private networks are allowed without an entry.
    allows_private: bool,
}

impl NetworkPolicy {
    /// The built-in policy with the operator's entries.
    pub fn new(allowed: Vec<NetworkRule>, denied: Vec<NetworkRule>) -> Self {
        Self {
            allowed,
            denied,
            allows_private: true,
        }
    }

    /// The same entries, but private networks only if an entry allows them, and with `networks`
    /// allowed in addition.
    #[must_use]
    pub fn public_only(&self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        let networks = networks.into_iter().map(|network| NetworkRule {
            place: Place::Network(network),
            port: None,
        });
        Self {
            allowed: self.allowed.iter().cloned().chain(networks).collect(),
            denied: self.denied.clone(),
            allows_private: false,
        }
    }

    /// Whether a server may be connected to at `address`. `host` is its name, or its address as text.
    pub fn allows(&self, host: &str, address: SocketAddr) -> bool {
        let host = normal(host);
        // Sockets connect to the IPv4 address behind a mapped address, so that one is checked.
        let ip = address.ip().to_canonical();
        let address = SocketAddr::new(ip, address.port());
        if let Some(decision) = self.decision_of_rules(&host, address) {
            return decision;
        }
        if let IpAddr::V6(outer) = ip
            && let Some(inner) = address::translated(outer)
        {
            // A denied network is also denied through a translator.
            let inner = SocketAddr::new(inner.into(), address.port());
            let is_denied = self
                .denied
                .iter()
                .any(|rule| rule.matches(&host, inner).is_some());
            return !is_denied && address::special(inner.ip()).is_none();
        }
        match address::special(ip) {
            None => true,
            Some((Kind::Private, _)) => self.allows_private,
            Some((Kind::Special, _)) => false,
        }
    }

    /// What the operator's entries decide, unless the built-in table is more specific.
    fn decision_of_rules(&self, host: &str, address: SocketAddr) -> Option<bool> {
        let best = |rules: &[NetworkRule]| {
            let matching = rules.iter().filter_map(|rule| rule.matches(host, address));
            matching.max()
        };
        let (allowed, denied) = (best(&self.allowed), best(&self.denied));
        if denied.is_some() && denied >= allowed {
            return Some(false);
        }
        let built_in = address::special(address.ip()).map(|(_, length)| (length.into(), false));
        (allowed.is_some() && allowed >= built_in).then_some(true)
    }
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self::new(Vec::new(), Vec::new())
    }
}

impl fmt::Display for NetworkRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_v6 = |network: &IpNet| matches!(network.addr(), IpAddr::V6(_));
        match (&self.place, self.port) {
            (Place::Network(network), Some(port)) if is_v6(network) => {
                write!(f, "[{}]:{port}", network.addr())
            }
            (Place::Network(network), Some(port)) => write!(f, "{}:{port}", network.addr()),
            (Place::Network(network), None) => write!(f, "{network}"),
            (Place::Host(name), Some(port)) => write!(f, "{name}:{port}"),
            (Place::Host(name), None) => f.write_str(name),
            (Place::Below(suffix), Some(port)) => write!(f, "*{suffix}:{port}"),
            (Place::Below(suffix), None) => write!(f, "*{suffix}"),
        }
    }
}

/// Parses a host that is an address, with or without brackets.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let bare = bare.unwrap_or(host);
    // A zone, as in `fe80::1%eth0`, does not change what an address is.
    let without_zone = bare.split_once('%').map_or(bare, |(address, _)| address);
    match without_zone.parse() {
        Ok(address) => Some(address),
        Err(_) => without_zone.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
    }
}

#[cfg(test)]
mod tests;
