//! Addresses of repositories: which are accepted, and how a login is kept apart from them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use crate::error::GitError;

/// The address of a repository that git may be sent to.
///
/// `http`, `https`, `ssh` and `git` URLs are accepted, and the short form `user@host:path` for
/// ssh. A login in an http URL is taken out of it: what is displayed, logged and given to git as
/// an argument is the address without it.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    address: String,
    /// `scheme://host[:port]/` and the value of an `Authorization` header for it.
    login: Option<(String, String)>,
}

impl RemoteUrl {
    /// The address without any login.
    pub fn as_str(&self) -> &str {
        &self.address
    }

    /// The setting that gives git the login, for this server and no other.
    pub(crate) fn login_setting(&self) -> Option<(String, String)> {
        let (server, authorization) = self.login.as_ref()?;
        Some((
            format!("http.{server}.extraHeader"),
            format!("Authorization: {authorization}"),
        ))
    }
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
        return Ok(RemoteUrl {
            address: url.into(),
            login: None,
        });
    }
    let user = decode(url.username());
    let password = decode(url.password().unwrap_or_default());
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    if cleared.is_err() {
        return Err(GitError::RefusedUrl("it cannot carry a login"));
    }
    let login = (!user.is_empty() || !password.is_empty()).then(|| {
        let plain = [user.as_slice(), b":", password.as_slice()].concat();
        let server = format!("{}/", url.origin().ascii_serialization());
        (server, format!("Basic {}", STANDARD.encode(plain)))
    });
    Ok(RemoteUrl {
        address: url.into(),
        login,
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
        login: None,
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
mod tests {
    use super::*;

    #[test]
    fn only_network_addresses_are_accepted() {
        for good in [
            "https://example.org/a/b.git",
            "http://127.0.0.1:8080/a",
            "ssh://git@example.org:22/a/b",
            "git://example.org/a",
            "git@example.org:a/b.git",
        ] {
            assert!(good.parse::<RemoteUrl>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-uhttps://x/y",
            "--upload-pack=x",
            "/etc",
            "../a",
            "file:///etc",
            "ext::sh -c x",
            "ext::sh",
            "https://",
            "ssh://-oProxyCommand=x/a",
            "ssh://-o@host/a",
            "ssh://a:b@host/x",
            "-x@host:path",
            "git@-oProxyCommand:path",
            "git@host:-path",
            "https://example.org/a#main:sub",
            "https://example.org/a b",
        ] {
            assert!(bad.parse::<RemoteUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_login_is_taken_out_of_the_address() {
        let url: RemoteUrl = "https://me:s%2Fcret@example.org:8443/a.git"
            .parse()
            .unwrap();
        assert_eq!(url.as_str(), "https://example.org:8443/a.git");
        assert!(!format!("{url:?} {url}").contains("cret"));
        let (key, value) = url.login_setting().unwrap();
        assert_eq!(key, "http.https://example.org:8443/.extraHeader");
        assert_eq!(
            value,
            format!("Authorization: Basic {}", STANDARD.encode("me:s/cret"))
        );
        let plain: RemoteUrl = "https://example.org/a.git".parse().unwrap();
        assert!(plain.login_setting().is_none());
    }
}
