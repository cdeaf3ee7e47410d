//! Flags for connections that the runner makes to servers that jobs name.

use clap::Args;
use slipway_domain::ProjectPattern;
use slipway_outbound::{NetworkPolicy, NetworkRule};

/// A network in CIDR notation.
type Network = ipnet::IpNet;

/// Which servers the runner connects to for jobs.
#[derive(Debug, Default, Args)]
pub struct NetworkFlags {
    /// A network, an address or a host name, optionally with a port, that may be connected to although
    /// it is special, such as `127.0.0.1:5000`. Repeat the flag or separate entries with commas.
    #[arg(
        long,
        env = "SLIPWAY_ALLOW_NET",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    pub allow_net: Vec<NetworkRule>,
    /// A network, an address or a host name, optionally with a port, that must not be connected to,
    /// such as `10.0.0.0/8`. Repeat the flag or separate entries with commas.
    #[arg(
        long,
        env = "SLIPWAY_DENY_NET",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    pub deny_net: Vec<NetworkRule>,
    /// A private network, such as `10.20.0.0/16`, that packages may be fetched from. Repeat the flag
    /// or separate networks with commas.
    #[arg(
        long,
        env = "SLIPWAY_ALLOW_PACKAGE_NET",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub allow_package_net: Vec<Network>,
    /// Projects without a deploy key whose ssh repositories are fetched with the ssh keys of this host:
    /// patterns of owner/name with `*`. Repeat the flag or separate patterns with commas.
    #[arg(
        long,
        env = "SLIPWAY_HOST_SSH_KEYS",
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    pub host_ssh_keys: Vec<ProjectPattern>,
}

impl NetworkFlags {
    /// The policy for git servers and registries.
    pub(crate) fn policy(&self) -> NetworkPolicy {
        NetworkPolicy::new(self.allow_net.clone(), self.deny_net.clone())
    }

    /// The policy for packages.
    pub(crate) fn package_policy(&self) -> NetworkPolicy {
        self.policy().public_only(self.allow_package_net.clone())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        network: NetworkFlags,
    }

    #[test]
    fn networks_are_lists_and_flags_can_be_repeated() {
        let line = "x --allow-package-net 10.0.0.0/8,fd00::/8 --allow-package-net 127.0.0.1/32 \
                    --allow-net 127.0.0.1:5000,git.internal --deny-net 10.1.0.0/16 \
                    --host-ssh-keys acme/*";
        let flags = Flags::try_parse_from(line.split_whitespace())
            .unwrap()
            .network;
        let networks = flags.allow_package_net.iter().map(Network::to_string);
        let networks: Vec<String> = networks.collect();
        assert_eq!(networks, ["10.0.0.0/8", "fd00::/8", "127.0.0.1/32"]);
        let allows = |policy: &NetworkPolicy, host: &str, address: &str| {
            policy.allows(host, address.parse().unwrap())
        };
        let policy = flags.policy();
        assert!(allows(&policy, "127.0.0.1", "127.0.0.1:5000"));
        assert!(allows(&policy, "git.internal", "10.1.0.1:443"));
        assert!(allows(&policy, "h", "192.168.0.1:443") && !allows(&policy, "h", "10.1.0.1:443"));
        let packages = flags.package_policy();
        assert!(
            allows(&packages, "h", "127.0.0.1:80") && !allows(&packages, "h", "192.168.0.1:80")
        );
        assert!(!allows(&packages, "h", "10.1.0.1:80") && allows(&packages, "h", "10.2.0.1:80"));
        for bad in [
            "--allow-package-net 10.0.0.1",
            "--allow-net 10.0.0",
            "--host-ssh-keys x",
        ] {
            let line = format!("x {bad}");
            assert!(Flags::try_parse_from(line.split(' ')).is_err(), "{bad}");
        }
    }
}
