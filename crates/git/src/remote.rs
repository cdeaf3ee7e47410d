//! URLs of repositories: which are accepted, and how credentials are separated from them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use crate::error::GitError;

/// The URL of a repository.
///
/// Accepted are `http`, `https`, `ssh` and `git` URLs, and the short form `user@host:path` for ssh.
/// Credentials in an HTTP URL are separated from it: the URL without them is displayed, logged and
/// passed to git. A deploy key is stored beside the URL in the same way.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    /// The URL without credentials.
    address: String,
    /// `scheme://host:port`.
    server: String,
    /// The host without brackets, in lower case.
    host: String,
    port: u16,
    /// The value of the `Authorization` header for the server.
    login: Option<String>,
    /// The key for the server, if the URL is an ssh URL.
    identity: Option<Identity>,
}

/// How git talks to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Ssh,
    Git,
}

/// The key with which ssh logs in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The keys of this host.
    Host,
    /// A deploy key.
    Key(Arc<DeployKey>),
    /// No key. This is also for servers that a repository names: the project's key is for another.
    None,
}

/// A key for one repository over ssh. It has no `Debug`, so it cannot be logged.
#[derive(PartialEq, Eq)]
pub struct DeployKey {
    /// A private key in OpenSSH format, without a passphrase.
    pub private: String,
    /// The only accepted host keys, as lines of a `known_hosts` file. `None` accepts the key that the
    /// server has when it is first seen.
    pub known_hosts: Option<String>,
}

impl RemoteUrl {
    /// The URL without credentials.
    pub fn as_str(&self) -> &str {
        &self.address
    }

    /// The server, as `scheme://host:port`. For HTTP, the default port is left out.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Whether credentials are a name and a password.
    pub fn is_http(&self) -> bool {
        self.server.starts_with("http")
    }

    /// Whether credentials are a deploy key.
    pub fn is_ssh(&self) -> bool {
        self.identity.is_some()
    }

    /// Sets the name and password, which replace those in the URL. Without effect unless the URL is
    /// an HTTP URL.
    #[must_use]
    pub fn with_login(mut self, user: &str, password: &str) -> Self {
        if self.is_http() {
            self.login = Some(basic(user.as_bytes(), password.as_bytes()));
        }
        self
    }

    /// Sets the deploy key. Without effect unless the URL is an ssh URL.
    #[must_use]
    pub fn with_key(mut self, key: DeployKey) -> Self {
        if self.is_ssh() {
            self.identity = Some(Identity::Key(Arc::new(key)));
        }
        self
    }

    /// Lets ssh log in with the keys of this host, unless there is a deploy key. Only for a project
    /// that the operator chose: anybody who can name a repository can otherwise read what the host can.
    /// Without effect unless the URL is an ssh URL.
    #[must_use]
    pub fn with_host_keys(mut self) -> Self {
        if self.identity == Some(Identity::None) {
            self.identity = Some(Identity::Host);
        }
        self
    }

    /// Resolves the URL `text` of a submodule of this repository: an absolute URL, or a relative one
    /// that starts with `./` or `../`. The credentials are only kept for the same server.
    ///
    /// # Errors
    /// Returns `RefusedUrl` if it is not a URL, or if a relative URL leads beyond the server.
    pub(crate) fn join(&self, text: &str) -> Result<Self, GitError> {
        let is_relative = text.starts_with("./") || text.starts_with("../");
        let mut joined: Self = if is_relative {
            let url = resolve_relative(&self.address, text)?;
            url.parse().map_err(|_| BEYOND_SERVER)?
        } else {
            text.parse()?
        };
        // Compared with the port: another service on the same host may belong to somebody else.
        if joined.server == self.server {
            joined.login = joined.login.or_else(|| self.login.clone());
            joined.identity.clone_from(&self.identity);
        } else if is_relative {
            return Err(BEYOND_SERVER);
        }
        Ok(joined)
    }

    /// How git talks to the server.
    pub(crate) fn protocol(&self) -> Protocol {
        if self.is_http() {
            Protocol::Http
        } else if self.is_ssh() {
            Protocol::Ssh
        } else {
            Protocol::Git
        }
    }

    /// The host, without brackets, and the port.
    pub(crate) fn endpoint(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// What stands between `//` and the path.
    pub(crate) fn authority(&self) -> &str {
        let rest = self.address.split_once("://").map_or("", |(_, rest)| rest);
        rest.split(['/', '?']).next().unwrap_or(rest)
    }

    /// The user, if the URL names one, and the path on an ssh server.
    pub(crate) fn ssh_login(&self) -> (Option<&str>, &str) {
        let (server, path) = match self.address.split_once("://") {
            Some((_, rest)) => match rest.find('/') {
                Some(slash) => rest.split_at(slash),
                None => (rest, ""),
            },
            None => self.address.split_once(':').unwrap_or_default(),
        };
        (server.rsplit_once('@').map(|(user, _)| user), path)
    }

    /// The value of the `Authorization` header for the server.
    pub(crate) fn authorization(&self) -> Option<&str> {
        self.login.as_deref()
    }

    /// The git setting with the credentials, limited to this server.
    pub(crate) fn login_setting(&self) -> Option<(String, String)> {
        let authorization = self.login.as_ref()?;
        Some((
            format!("http.{}/.extraHeader", self.server),
            format!("Authorization: {authorization}"),
        ))
    }

    /// The key for the server, if the URL is an ssh URL.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Whether ssh logs in with the keys of this host.
    pub(crate) fn uses_host_keys(&self) -> bool {
        self.identity == Some(Identity::Host)
    }
}

const BEYOND_SERVER: GitError = GitError::RefusedUrl("it leads beyond the server");

/// Resolves the relative URL `text` against `address`, with the rules of `git submodule`.
fn resolve_relative(address: &str, text: &str) -> Result<String, GitError> {
    let mut base = address.trim_end_matches('/');
    let mut rest = text;
    let mut separator = "/";
    loop {
        if let Some(inner) = rest.strip_prefix("./") {
            rest = inner;
        } else if let Some(inner) = rest.strip_prefix("../") {
            rest = inner;
            match base.rsplit_once('/') {
                Some((outer, _)) => base = outer,
                // `user@host:name`
                None => {
                    base = base.rsplit_once(':').ok_or(BEYOND_SERVER)?.0;
                    separator = ":";
                }
            }
        } else {
            return Ok(format!("{base}{separator}{rest}"));
        }
    }
}

fn basic(user: &[u8], password: &[u8]) -> String {
    let plain = [user, b":", password].concat();
    format!("Basic {}", STANDARD.encode(plain))
}

impl FromStr for RemoteUrl {
    type Err = GitError;

    fn from_str(text: &str) -> Result<Self, GitError> {
        // git would read a leading `-` as an option.
        if text.is_empty() || text.len() > 2048 || text.starts_with('-') {
            return Err(GitError::RefusedUrl(
                "it is empty, too long, or starts with -",
            ));
        }
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(GitError::RefusedUrl(
                "it contains white space or control characters",
            ));
        }
        if text.contains("://") {
            parse_url(text)
        } else {
            parse_short_ssh(text)
        }
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteUrl({})", self.address)
    }
}

fn parse_url(text: &str) -> Result<RemoteUrl, GitError> {
    let mut url = Url::parse(text).map_err(|_| GitError::RefusedUrl("it is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https" | "ssh" | "git") {
        return Err(GitError::RefusedUrl(
            "only http, https, ssh and git are allowed",
        ));
    }
    match url.host_str() {
        None | Some("") => return Err(GitError::RefusedUrl("it names no host")),
        Some(host) if host.starts_with('-') => {
            return Err(GitError::RefusedUrl("its host starts with -"));
        }
        Some(_) => {}
    }
    // Docker uses the fragment for a ref, so people may expect that here.
    if url.fragment().is_some() {
        return Err(GitError::RefusedUrl(
            "it has a part after #; name a ref instead",
        ));
    }
    // ssh would read a leading `-`, which can be percent-encoded as `%2D`, as an option.
    if url.username().starts_with('-') || url.username().starts_with("%2") {
        return Err(GitError::RefusedUrl("its user name starts with -"));
    }
    if !matches!(url.scheme(), "http" | "https") {
        if url.password().is_some() {
            return Err(GitError::RefusedUrl(
                "only http and https URLs can have a password",
            ));
        }
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        // The shell and ssh give other characters a meaning. A user is checked as well.
        if !is_plain(bare(&host)) || url.username().contains(|c| !is_plain_char(c)) {
            return Err(GitError::RefusedUrl(
                "its user or host has characters that are not allowed",
            ));
        }
        let (scheme, default_port) = match url.scheme() {
            "ssh" => ("ssh", 22),
            _ => ("git", 9418),
        };
        let port = url.port().unwrap_or(default_port);
        return Ok(RemoteUrl {
            server: format!("{scheme}://{host}:{port}"),
            host: bare(&host).to_owned(),
            port,
            login: None,
            identity: (scheme == "ssh").then_some(Identity::None),
            address: url.into(),
        });
    }
    // The header needs the name and password themselves, not their encoded form.
    let user = decode(url.username());
    let password = decode(url.password().unwrap_or_default());
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    if cleared.is_err() {
        return Err(GitError::RefusedUrl("it cannot contain credentials"));
    }
    // A token may be given as either the user or the password.
    let login = (!user.is_empty() || !password.is_empty()).then(|| basic(&user, &password));
    let host = bare(url.host_str().unwrap_or_default()).to_owned();
    Ok(RemoteUrl {
        server: url.origin().ascii_serialization(),
        host,
        port: url.port_or_known_default().unwrap_or(443),
        address: url.into(),
        login,
        identity: None,
    })
}

fn parse_short_ssh(text: &str) -> Result<RemoteUrl, GitError> {
    const EXPECTED: GitError = GitError::RefusedUrl("expected a URL, or user@host:path for ssh");
    let (user, rest) = text.split_once('@').ok_or(EXPECTED)?;
    let (host, path) = rest.split_once(':').ok_or(EXPECTED)?;
    if !is_plain(user) || !is_plain(host) || path.is_empty() || path.starts_with(['-', ':']) {
        return Err(EXPECTED);
    }
    Ok(RemoteUrl {
        address: text.to_owned(),
        server: format!("ssh://{}:22", host.to_ascii_lowercase()),
        host: host.to_ascii_lowercase(),
        port: 22,
        login: None,
        identity: Some(Identity::None),
    })
}

/// Whether ssh and the shell give no character of a user or host a meaning.
fn is_plain(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':')
        && part.chars().all(|c| is_plain_char(c) || c == ':')
}

fn is_plain_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-".contains(c)
}

/// A host without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Percent-decodes text. Malformed sequences stay as they are.
fn decode(text: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(text).collect()
}

#[cfg(test)]
mod tests;
