//! Addresses of repositories: which are accepted, and how a login is kept apart from them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use crate::error::GitError;

/// The address of a repository that git may be sent to.
///
/// `http`, `https`, `ssh` and `git` URLs are accepted, and the short form `user@host:path` for
/// ssh. A login in an http URL is taken out of it: what is displayed, logged and given to git as
/// an argument is the address without it. A deploy key goes with the address in the same way.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    address: String,
    /// `scheme://host:port`.
    server: String,
    /// The value of an `Authorization` header for the server.
    login: Option<String>,
    /// Who goes there, when the way is ssh.
    identity: Option<Identity>,
}

/// Who knocks at a server behind ssh.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Whoever this host is.
    Host,
    /// The holder of a deploy key.
    Key(Arc<DeployKey>),
    /// Nobody: the server is none that we were given a key for.
    Nobody,
}

/// What opens one repository behind ssh. It cannot be printed.
#[derive(PartialEq, Eq)]
pub struct DeployKey {
    /// A private key in OpenSSH's form, without a passphrase.
    pub private: String,
    /// The only host keys that are right, as lines of a `known_hosts` file. Without any, the key
    /// that the server has when it is first met.
    pub known_hosts: Option<String>,
}

impl RemoteUrl {
    /// The address without any login.
    pub fn as_str(&self) -> &str {
        &self.address
    }

    /// The server that it is on, as `scheme://host:port` or, for http, with the port unless that is
    /// the usual one.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Whether it is one for logins by name and password.
    pub fn is_http(&self) -> bool {
        self.server.starts_with("http")
    }

    /// Whether it is one for deploy keys.
    pub fn is_ssh(&self) -> bool {
        self.identity.is_some()
    }

    /// The same with a login, in the place of one that the address had; of no effect but with http.
    #[must_use]
    pub fn with_login(mut self, user: &str, password: &str) -> Self {
        if self.is_http() {
            self.login = Some(basic(user.as_bytes(), password.as_bytes()));
        }
        self
    }

    /// The same with a deploy key; of no effect but with ssh.
    #[must_use]
    pub fn with_key(mut self, key: DeployKey) -> Self {
        if self.is_ssh() {
            self.identity = Some(Identity::Key(Arc::new(key)));
        }
        self
    }

    /// What a repository here means by `text` as the address of a submodule: an address of its own,
    /// or one beside it, which begins with `./` or `../`. Login and key go with it on the same
    /// server, and to no other.
    ///
    /// # Errors
    /// `RefusedUrl` for what is none, and for a way that leads beyond the server.
    pub(crate) fn join(&self, text: &str) -> Result<Self, GitError> {
        let is_relative = text.starts_with("./") || text.starts_with("../");
        let mut joined: Self = match is_relative {
            true => beside(&self.address, text)?.parse().map_err(|_| BEYOND)?,
            false => text.parse()?,
        };
        if joined.server == self.server {
            joined.login = joined.login.or_else(|| self.login.clone());
            joined.identity.clone_from(&self.identity);
        } else if is_relative {
            return Err(BEYOND);
        } else if joined.is_ssh() {
            joined.identity = Some(Identity::Nobody);
        }
        Ok(joined)
    }

    /// The address of a repository behind ssh as a URL, whichever form it was given in.
    pub(crate) fn as_ssh_url(&self) -> String {
        match self.address.split_once(':') {
            Some((place, path)) if !self.address.contains("://") => {
                format!("ssh://{place}/{}", path.trim_start_matches('/'))
            }
            _ => self.address.clone(),
        }
    }

    /// The setting that gives git the login, for this server and no other.
    pub(crate) fn login_setting(&self) -> Option<(String, String)> {
        let authorization = self.login.as_ref()?;
        Some((
            format!("http.{}/.extraHeader", self.server),
            format!("Authorization: {authorization}"),
        ))
    }

    /// Who goes there, when the way is ssh.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Whether this host's own keys are tried.
    pub(crate) fn is_opened_by_the_host(&self) -> bool {
        self.identity == Some(Identity::Host)
    }
}

const BEYOND: GitError = GitError::RefusedUrl("it leads beyond the server");

/// What the address `text` is from `address`, as git reckons.
fn beside(address: &str, text: &str) -> Result<String, GitError> {
    let mut base = address.trim_end_matches('/');
    let mut rest = text;
    let mut joint = "/";
    loop {
        if let Some(inner) = rest.strip_prefix("./") {
            rest = inner;
        } else if let Some(inner) = rest.strip_prefix("../") {
            rest = inner;
            match base.rsplit_once('/') {
                Some((outer, _)) => base = outer,
                // `user@host:name`
                None => {
                    base = base.rsplit_once(':').ok_or(BEYOND)?.0;
                    joint = ":";
                }
            }
        } else {
            return Ok(format!("{base}{joint}{rest}"));
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
        if text.is_empty() || text.len() > 2048 || text.starts_with('-') {
            return Err(GitError::RefusedUrl(
                "it is empty, too long, or begins with -",
            ));
        }
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(GitError::RefusedUrl("it contains blanks"));
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
            return Err(GitError::RefusedUrl("its host begins with -"));
        }
        Some(_) => {}
    }
    if url.fragment().is_some() {
        return Err(GitError::RefusedUrl(
            "it has a part after #; name a ref instead",
        ));
    }
    if url.username().starts_with('-') || url.username().starts_with("%2") {
        return Err(GitError::RefusedUrl("its user begins with an odd sign"));
    }
    if !matches!(url.scheme(), "http" | "https") {
        if url.password().is_some() {
            return Err(GitError::RefusedUrl(
                "a password is of use with http and https only",
            ));
        }
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let (scheme, usual) = match url.scheme() {
            "ssh" => ("ssh", 22),
            _ => ("git", 9418),
        };
        return Ok(RemoteUrl {
            server: format!("{scheme}://{host}:{}", url.port().unwrap_or(usual)),
            login: None,
            identity: (scheme == "ssh").then_some(Identity::Host),
            address: url.into(),
        });
    }
    let user = decode(url.username());
    let password = decode(url.password().unwrap_or_default());
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    if cleared.is_err() {
        return Err(GitError::RefusedUrl("it cannot carry a login"));
    }
    let login = (!user.is_empty() || !password.is_empty()).then(|| basic(&user, &password));
    Ok(RemoteUrl {
        server: url.origin().ascii_serialization(),
        address: url.into(),
        login,
        identity: None,
    })
}

fn parse_short_ssh(text: &str) -> Result<RemoteUrl, GitError> {
    const EXPECTED: GitError =
        GitError::RefusedUrl("expected a URL, or user@host:path for a repository behind ssh");
    let (user, rest) = text.split_once('@').ok_or(EXPECTED)?;
    let (host, path) = rest.split_once(':').ok_or(EXPECTED)?;
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if !plain(user) || !plain(host) || path.is_empty() || path.starts_with(['-', ':']) {
        return Err(EXPECTED);
    }
    Ok(RemoteUrl {
        address: text.to_owned(),
        server: format!("ssh://{}:22", host.to_ascii_lowercase()),
        login: None,
        identity: Some(Identity::Host),
    })
}

/// The bytes that percent-encoded text stands for.
fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = text.get(at + 1..at + 3).filter(|_| byte == b'%');
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                plain.push(value);
                at += 3;
            }
            None => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests;
