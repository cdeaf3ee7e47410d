//! Options for connections that the coordinator makes to servers that users name.

use slipway_domain::ProjectPattern;
use slipway_outbound::{NetworkPolicy, NetworkRule};

/// Which servers the coordinator connects to on behalf of users.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Network {
    /// Networks, addresses and host names, optionally with a port, that may be connected to although
    /// they are special, such as 127.0.0.1:5000. Separated by commas [default: none].
    #[arg(long, env = "SLIPWAY_ALLOW_NET", value_delimiter = ',')]
    pub allow_net: Vec<NetworkRule>,
    /// Networks, addresses and host names, optionally with a port, that must not be connected to, such
    /// as 10.0.0.0/8. Separated by commas [default: none].
    #[arg(long, env = "SLIPWAY_DENY_NET", value_delimiter = ',')]
    pub deny_net: Vec<NetworkRule>,
    /// Projects without a deploy key whose ssh repositories are read with the ssh keys of this host:
    /// patterns of owner/name with *, separated by commas [default: none].
    #[arg(long, env = "SLIPWAY_HOST_SSH_KEYS", value_delimiter = ',')]
    pub host_ssh_keys: Vec<ProjectPattern>,
}

impl Network {
    /// The policy.
    pub(crate) fn policy(&self) -> NetworkPolicy {
        NetworkPolicy::new(self.allow_net.clone(), self.deny_net.clone())
    }
}
