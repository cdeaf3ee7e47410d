//! Which IP addresses packages may be fetched from.
//!
//! An IPv4 address is public unless the IANA registry of special addresses lists it. An IPv6 address
//! is public if it is global unicast and not in one of the special blocks there. An IPv6 address that
//! embeds an IPv4 address is treated like the IPv4 address, or refused if the mechanism is obsolete.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses in CIDR notation, such as `10.20.0.0/16`.
pub type Network = ipnet::IpNet;

/// The blocks of IPv4 addresses that are not public: first address and prefix length.
const SPECIAL_V4: &[([u8; 4], u8)] = &[
    ([0, 0, 0, 0], 8),        // "this network", and the unspecified address
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // carrier-grade NAT
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // cloud metadata service at a public address
    ([169, 254, 0, 0], 16),   // link-local, and most cloud metadata services
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 88, 99, 0], 24),   // 6to4 relays, obsolete
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarks
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 4),      // multicast
    ([240, 0, 0, 0], 4),      // reserved, and broadcast
];

/// The blocks within 2000::/3 that are not public: first address and prefix length.
const SPECIAL_V6: &[([u16; 8], u8)] = &[
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), // protocol assignments, including Teredo
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), // 6to4, obsolete
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), // documentation
];

/// The addresses that may be connected to: public ones, and networks that the operator allows.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressFilter {
    allowed: Vec<Network>,
}

impl AddressFilter {
    pub(crate) fn new(allowed: Vec<Network>) -> Self {
        Self { allowed }
    }

    /// Returns true if connections to this address are allowed.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        // Sockets connect to the IPv4 address behind a mapped address, so that one has to be checked.
        let address = address.to_canonical();
        is_public(address)
            || self
                .allowed
                .iter()
                .any(|network| network.contains(&address))
    }
}

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

/// The IPv4 address in a NAT64 address of the well-known prefix, `64:ff9b::/96`.
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

    fn allows(allowed: &[&str], address: &str) -> bool {
        let allowed = allowed.iter().map(|text| text.parse().unwrap()).collect();
        AddressFilter::new(allowed).allows(address.parse().unwrap())
    }

    #[test]
    fn only_public_addresses_are_allowed() {
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
            assert!(allows(&[], public), "{public}");
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
            assert!(!allows(&[], special), "{special}");
        }
    }

    #[test]
    fn only_addresses_inside_an_allowed_network_are_allowed() {
        assert!(allows(&["10.20.0.0/16"], "10.20.255.255"));
        assert!(allows(&["10.20.0.0/16"], "::ffff:10.20.0.1"));
        assert!(!allows(&["10.20.0.0/16"], "10.21.0.0"));
        assert!(!allows(&["10.20.0.0/16"], "64:ff9b::a14:1"));
        assert!(allows(&["fd00::/8"], "fd12::1"));
        assert!(!allows(&["fd00::/8"], "fe80::1"));
        assert!(!allows(&["fd00::/8"], "127.0.0.1"));
    }
}
