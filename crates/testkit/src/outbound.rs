//! Connections to the servers of tests, which are on loopback.

use slipway_outbound::{NetworkPolicy, NetworkRule, Outbound};

/// The setting that allows connections to loopback, as in `SLIPWAY_ALLOW_NET`.
pub const LOOPBACK: &str = "127.0.0.0/8,::1";

/// Connects to loopback, as far as `allowed` names it with commas between the entries, and to public
/// and private addresses.
#[must_use]
pub fn outbound(allowed: &str) -> Outbound {
    let policy = NetworkPolicy::new(rules(allowed), Vec::new());
    Outbound::start(policy).expect("a local proxy")
}

/// The entries that allow connections to loopback.
pub(crate) fn loopback() -> Vec<NetworkRule> {
    rules(LOOPBACK)
}

fn rules(allowed: &str) -> Vec<NetworkRule> {
    let entries = allowed.split(',').filter(|entry| !entry.is_empty());
    entries
        .map(|entry| entry.parse().expect("a network"))
        .collect()
}
