//! How the containers of jobs are confined.

/// The capabilities that a container has by default: what installing packages and running services
/// as root needs. Of the engine's own default, those to send raw packets, to create devices, and to
/// write audit records are left out.
const CAPABILITIES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// How many processes a container may have by default.
const MAX_PROCESSES: u32 = 8192;

/// How the container of a job is confined, in addition to its [`Limits`](crate::Limits).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// Whether each job gets a network of its own, instead of the engine's default network.
    pub own_network: bool,
    /// How many processes and threads a container may have. `None` means unlimited.
    pub max_processes: Option<u32>,
    /// The capabilities, without the prefix `CAP_`. `None` means those that the engine gives.
    pub capabilities: Option<Vec<String>>,
    /// Whether programs may gain privileges, such as through `sudo`.
    pub new_privileges: bool,
}

impl Default for Confinement {
    fn default() -> Self {
        Self {
            own_network: true,
            max_processes: Some(MAX_PROCESSES),
            capabilities: Some(CAPABILITIES.iter().map(|name| (*name).to_owned()).collect()),
            new_privileges: false,
        }
    }
}
