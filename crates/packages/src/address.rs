//! Which addresses a package may be fetched from.
//!
//! Of IPv4 all is public that the registries of special addresses do not list. Of IPv6 only the
//! global unicast range is, without its own special blocks; an address that stands for one of IPv4
//! is judged as that, or refused where the mechanism is out of use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses in CIDR notation, such as `10.20.0.0/16`.
pub type Network = ipnet::IpNet;

/// First address and prefix length of what is not public in IPv4.
const SPECIAL_V4: &[([u8; 4], u8)] = &[
    ([0, 0, 0, 0], 8),        // this network, and the unspecified address
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // shared by a carrier's customers
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // the metadata of a cloud that put them at a public address
    ([169, 254, 0, 0], 16),   // link-local, and the metadata of most clouds
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 88, 99, 0], 24),   // relays from IPv6, out of use
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarks
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 4),      // multicast
    ([240, 0, 0, 0], 4),      // reserved, and broadcast
];

/// First address and prefix length of what is not public within 2000::/3.
const SPECIAL_V6: &[([u16; 8], u8)] = &[
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), // protocol assignments, Teredo among them
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), // 6to4, out of use
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), // documentation
];

/// Who may be connected to: the public, and what the operator allows beyond.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    allowed: Vec<Network>,
}

impl Guard {
    pub(crate) fn new(allowed: Vec<Network>) -> Self {
        Self { allowed }
    }

    /// Whether a connection to this address may be made.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        // A socket treats a mapped address as the one of IPv4, and so does this.
        let address = address.to_canonical();
        is_public(address)
            || self
                .allowed
                .iter()
                .any(|network| network.contains(&address))
    }
}

/// Whether an address is one of the public network.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped().or_else(|| translated(address)) {
            Some(address) => is_public_v4(address),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !SPECIAL_V4.iter().any(|&(first, length)| {
        let differing = address.to_bits() ^ Ipv4Addr::from(first).to_bits();
        u32::from(length) <= differing.leading_zeros()
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    address.segments()[0] >> 13 == 1
        && !SPECIAL_V6.iter().any(|&(first, length)| {
            let differing = address.to_bits() ^ Ipv6Addr::from(first).to_bits();
            u32::from(length) <= differing.leading_zeros()
        })
}

/// The IPv4 address behind one of the well-known prefix of NAT64, `64:ff9b::/96`.
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x64, 0xff9b, 0, 0, 0, 0, _, _] = address.segments() else {
        return None;
    };
    let [.., a, b, c, d] = address.octets();
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(allowed: &[&str], address: &str) -> bool {
        let allowed = allowed.iter().map(|text| text.parse().unwrap()).collect();
        Guard::new(allowed).admits(address.parse().unwrap())
    }

    #[test]
    fn only_public_addresses_are_admitted() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(admits(&[], public), "{public}");
        }
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::808:808",
            "100::1",
            "2001::1",
            "2001:0:7f00:1::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!admits(&[], special), "{special}");
        }
    }

    #[test]
    fn an_allowed_network_is_allowed_and_its_neighbours_are_not() {
        assert!(admits(&["10.20.0.0/16"], "10.20.255.255"));
        assert!(admits(&["10.20.0.0/16"], "::ffff:10.20.0.1"));
        assert!(!admits(&["10.20.0.0/16"], "10.21.0.0"));
        assert!(!admits(&["10.20.0.0/16"], "64:ff9b::a14:1"));
        assert!(admits(&["fd00::/8"], "fd12::1"));
        assert!(!admits(&["fd00::/8"], "fe80::1"));
        assert!(!admits(&["fd00::/8"], "127.0.0.1"));
    }
}
