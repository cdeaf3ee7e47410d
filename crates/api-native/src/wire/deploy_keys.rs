//! What opens the repositories of projects.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What opens a project's repository. Its secret half is never shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeployKey {
    /// The server that it is for. After a move of the source to another it opens nothing.
    #[schema(example = "ssh://git.example:22")]
    pub(crate) server: String,
    /// The public half of a key, as a server takes it; null for a user name and a password.
    pub(crate) public_key: Option<String>,
    /// The fingerprint of the public half.
    pub(crate) fingerprint: Option<String>,
    /// The only host keys that are right; when null, the one that was met first.
    pub(crate) known_hosts: Option<String>,
    /// Who logs in; null for a key.
    pub(crate) username: Option<String>,
    /// When it was set.
    pub(crate) created_at: DateTime<Utc>,
}

/// What is to open a project's repository: `private_key`, `generate`, or `username` with
/// `password`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDeployKey {
    /// A private key in OpenSSH's form, without a passphrase.
    pub(crate) private_key: Option<String>,
    /// Whether the farm makes a fresh key.
    #[serde(default)]
    pub(crate) generate: bool,
    /// The host keys of the server, as lines of a `known_hosts` file, for a key.
    pub(crate) known_hosts: Option<String>,
    /// Who logs in.
    pub(crate) username: Option<String>,
    /// The password, or a token that stands for one.
    pub(crate) password: Option<String>,
}
