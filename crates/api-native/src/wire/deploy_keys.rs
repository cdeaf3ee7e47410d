//! Deploy keys of projects.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The credentials with which the repository of a project is fetched, without their secret half.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeployKey {
    /// The server for which the credentials are valid. They are not used if the repository moves
    /// to another server.
    #[schema(example = "ssh://git.example:22")]
    pub(crate) server: String,
    /// The public half of the key in the form that servers accept, or null for a user name and a
    /// password.
    pub(crate) public_key: Option<String>,
    /// The fingerprint of the public half, or null for a user name and a password.
    pub(crate) fingerprint: Option<String>,
    /// The accepted host keys of the server. If null, the first key that the server shows is
    /// accepted from then on.
    pub(crate) known_hosts: Option<String>,
    /// The user name, or null for a key.
    pub(crate) username: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
}

/// The credentials to set: `private_key`, `generate`, or `username` with `password`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDeployKey {
    /// A private key in the OpenSSH format, without a passphrase.
    pub(crate) private_key: Option<String>,
    /// Whether the farm creates a new key.
    #[serde(default)]
    pub(crate) generate: bool,
    /// The accepted host keys of the server, in the format of a `known_hosts` file. Only for ssh.
    pub(crate) known_hosts: Option<String>,
    pub(crate) username: Option<String>,
    /// The password, or a token that is used as one.
    pub(crate) password: Option<String>,
}
