use super::*;

fn rules(texts: &[&str]) -> Vec<NetworkRule> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn policy(allowed: &[&str], denied: &[&str]) -> NetworkPolicy {
    NetworkPolicy::new(rules(allowed), rules(denied))
}

fn allows(policy: &NetworkPolicy, address: &str) -> bool {
    let ip: IpAddr = address.parse().unwrap();
    policy.allows(address, SocketAddr::new(ip, 443))
}

const PUBLIC: &[&str] = &[
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
];

const PRIVATE: &[&str] = &[
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.168.255.255",
    "::ffff:10.1.2.3",
    "fc00::1",
    "fd12:3456::1",
];

const SPECIAL: &[&str] = &[
    "0.0.0.0",
    "0.1.2.3",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
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
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    // A translator must not lead into a private network.
    "64:ff9b::a14:1",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
];

#[test]
fn without_entries_public_and_private_addresses_are_allowed_and_special_ones_are_not() {
    let default = NetworkPolicy::default();
    let public_only = default.public_only([]);
    for address in PUBLIC {
        assert!(allows(&default, address), "{address}");
        assert!(allows(&public_only, address), "{address}");
    }
    for address in PRIVATE {
        assert!(allows(&default, address), "{address}");
        assert!(!allows(&public_only, address), "{address}");
    }
    for address in SPECIAL {
        assert!(!allows(&default, address), "{address}");
        assert!(!allows(&public_only, address), "{address}");
    }
}

#[test]
fn the_most_specific_entry_decides() {
    // Everything is denied but one network and one address of another.
    let strict = policy(&["10.20.0.0/16", "10.30.0.1"], &["0.0.0.0/0", "::/0"]);
    for (address, expected) in [
        ("10.20.255.255", true),
        ("::ffff:10.20.0.1", true),
        ("10.30.0.1", true),
        ("10.30.0.2", false),
        ("8.8.8.8", false),
        ("2606:4700::1", false),
        ("64:ff9b::808:808", false),
    ] {
        assert_eq!(allows(&strict, address), expected, "{address}");
    }
    let except = policy(&["10.0.0.0/8"], &["10.0.0.5"]);
    assert!(allows(&except, "10.0.0.4") && !allows(&except, "10.0.0.5"));
    // Of two equal entries, the denial wins.
    let equal = policy(&["8.8.8.8"], &["8.8.8.8"]);
    assert!(!allows(&equal, "8.8.8.8"));
}

#[test]
fn allowing_a_large_network_does_not_allow_special_addresses_in_it() {
    let open = policy(&["0.0.0.0/0", "::/0", "fc00::/7", "169.254.0.0/16"], &[]);
    for address in [
        "127.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "fd00:ec2::254",
        "fe80::1",
        "224.0.0.1",
    ] {
        assert!(!allows(&open, address), "{address}");
    }
    assert!(allows(&open, "169.254.1.1"));
    for (rule, address) in [
        ("127.0.0.0/8", "127.0.0.1"),
        ("127.0.0.0/8", "::ffff:127.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("169.254.169.254", "169.254.169.254"),
        ("fe80::/10", "fe80::1"),
    ] {
        assert!(allows(&policy(&[rule], &[]), address), "{rule} {address}");
    }
}

#[test]
fn a_denied_network_is_also_denied_through_a_translator() {
    let denied = policy(&[], &["8.8.8.0/24"]);
    assert!(!allows(&denied, "64:ff9b::808:808") && allows(&denied, "64:ff9b::101:101"));
}

#[test]
fn an_entry_with_a_port_is_for_that_port_only() {
    let registry = policy(&["127.0.0.1:5000", "[::1]:5000"], &["git.example:22"]);
    let to = |host: &str, address: &str| registry.allows(host, address.parse().unwrap());
    assert!(to("127.0.0.1", "127.0.0.1:5000") && to("::1", "[::1]:5000"));
    assert!(!to("127.0.0.1", "127.0.0.1:2375") && !to("127.0.0.2", "127.0.0.2:5000"));
    assert!(!to("git.example", "8.8.8.8:22") && to("git.example", "8.8.8.8:443"));
}

#[test]
fn a_name_is_more_specific_than_its_addresses() {
    let named = policy(
        &["Git.Internal", "*.corp.example"],
        &["10.0.0.0/8", "bad.corp.example"],
    );
    let to = |host: &str, address: &str| named.allows(host, address.parse().unwrap());
    assert!(to("git.internal", "10.0.0.1:443") && to("GIT.internal.", "127.0.0.1:443"));
    assert!(to("a.b.corp.example", "10.0.0.1:443") && !to("bad.corp.example", "8.8.8.8:443"));
    for other in ["corp.example", "xcorp.example", "git.internal.evil.example"] {
        assert!(!to(other, "10.0.0.1:443"), "{other}");
    }
}

#[test]
fn an_entry_must_be_a_network_an_address_or_a_name() {
    for (text, shown) in [
        ("10.20.0.1/16", "10.20.0.0/16"),
        (" 127.0.0.1 ", "127.0.0.1/32"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("[::1]", "::1/128"),
        ("fd00::/8", "fd00::/8"),
        ("Git.Internal.:22", "git.internal:22"),
        ("*.internal", "*.internal"),
    ] {
        let rule: NetworkRule = text.parse().unwrap();
        assert_eq!(rule.to_string(), shown);
    }
    for bad in [
        "",
        "*",
        "*.",
        "10.0.0",
        "10.0.0.300",
        "10.0.0.0/33",
        "git.internal:x",
        "git:1:2",
        "a b",
        "http://x",
        "256",
        "git.internal/24",
    ] {
        assert!(bad.parse::<NetworkRule>().is_err(), "{bad}");
    }
}
