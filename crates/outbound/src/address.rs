//! What is known of an address without any setting: whether it is public, private or special.
//!
//! The tables follow the IANA registries of special addresses, plus the metadata services of clouds.
//! An IPv6 address that embeds an IPv4 address is judged by the IPv4 address, or is special if the
//! mechanism is obsolete.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of an address that is not public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In a private network: RFC 1918, shared addresses (RFC 6598) and unique local addresses.
    Private,
    /// Loopback, link-local, a metadata service, multicast, reserved, or a documentation address.
    Special,
}

use Kind::{Private, Special};

/// IPv4 blocks that are not public: first address, prefix length, kind.
const V4: &[([u8; 4], u8, Kind)] = &[
    ([0, 0, 0, 0], 8, Special), // "this network"; Linux connects to itself
    ([10, 0, 0, 0], 8, Private),
    ([100, 64, 0, 0], 10, Private),
    ([100, 100, 100, 200], 32, Special), // metadata service
    ([127, 0, 0, 0], 8, Special),        // loopback
    ([168, 63, 129, 16], 32, Special),   // metadata service at a public address
    ([169, 254, 0, 0], 16, Special),     // link-local
    ([169, 254, 169, 254], 32, Special), // metadata service
    ([169, 254, 170, 2], 32, Special),   // credentials of containers
    ([172, 16, 0, 0], 12, Private),
    ([192, 0, 0, 0], 24, Special),   // protocol assignments
    ([192, 0, 0, 192], 32, Special), // metadata service
    ([192, 0, 2, 0], 24, Special),   // documentation
    ([192, 88, 99, 0], 24, Special), // 6to4 relays, obsolete
    ([192, 168, 0, 0], 16, Private),
    ([198, 18, 0, 0], 15, Special),   // benchmarks
    ([198, 51, 100, 0], 24, Special), // documentation
    ([203, 0, 113, 0], 24, Special),  // documentation
    ([224, 0, 0, 0], 4, Special),     // multicast
    ([240, 0, 0, 0], 4, Special),     // reserved, and broadcast
];

/// IPv6 blocks that are not public: first address, prefix length, kind. All outside of 2000::/3 is
/// special unless listed here.
const V6: &[([u16; 8], u8, Kind)] = &[
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Special), // protocol assignments, including Teredo
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Special), // documentation
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Special), // 6to4, obsolete
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Special), // documentation
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Private),
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, Special), // metadata service
    ([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, Special),  // metadata service
];

/// The kind of an address, and the length of the prefix that decides it, counted as in IPv6. `None`
/// for a public address.
pub(crate) fn special(address: IpAddr) -> Option<(Kind, u8)> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<(Kind, u8)> {
    let matching = V4.iter().filter(|&&(first, length, _)| {
        let differing = address.to_bits() ^ Ipv4Addr::from(first).to_bits();
        u32::from(length) <= differing.leading_zeros()
    });
    let longest = matching.max_by_key(|(_, length, _)| *length)?;
    Some((longest.2, longest.1 + 96))
}

fn special_v6(address: Ipv6Addr) -> Option<(Kind, u8)> {
    let matching = V6.iter().filter(|&&(first, length, _)| {
        let differing = address.to_bits() ^ Ipv6Addr::from(first).to_bits();
        u32::from(length) <= differing.leading_zeros()
    });
    let longest = matching.max_by_key(|(_, length, _)| *length);
    match longest {
        Some((_, length, kind)) => Some((*kind, *length)),
        // Global unicast addresses are 2000::/3.
        None if address.segments()[0] >> 13 == 1 => None,
        None => match translated(address) {
            // A translator must not lead to private networks either.
            Some(inner) => special_v4(inner).map(|(_, length)| (Special, length)),
            // The length of a whole family: any narrower setting is more specific.
            None => Some((Special, shortest_prefix(address))),
        },
    }
}

/// How specific "not global unicast" is. A setting must name at least the block that an address is
/// in, so that allowing `::/0` does not allow loopback.
fn shortest_prefix(address: Ipv6Addr) -> u8 {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => 128,
        [0, ..] => 96,
        [first, ..] if first & 0xffc0 == 0xfe80 => 10,
        _ => 8,
    }
}

/// The IPv4 address in a NAT64 address of the well-known prefix, `64:ff9b::/96`.
pub(crate) fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x64, 0xff9b, 0, 0, 0, 0, _, _] = address.segments() else {
        return None;
    };
    let [.., a, b, c, d] = address.octets();
    Some(Ipv4Addr::new(a, b, c, d))
}
