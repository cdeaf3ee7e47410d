//! The address of a package: which are accepted, and what of it is ever shown.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::error::PackageError;

/// The longest address, in bytes.
const MAX_URL: usize = 8192;
/// The most characters of an address that are shown.
const MAX_SHOWN: usize = 200;

/// The address of a package: an `http` or `https` URL.
///
/// It is shown without its login, its query and its fragment, which may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct PackageUrl(Url);

impl PackageUrl {
    /// The whole address, for the request.
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    /// The host, for messages.
    pub(crate) fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        host.chars().take(MAX_SHOWN).collect()
    }

    /// The address that a redirect from this one leads to.
    pub(crate) fn join(&self, location: &str) -> Result<Self, PackageError> {
        let url = self
            .0
            .join(location)
            .map_err(|_| PackageError::RefusedUrl("it redirects to something that is no URL"))?;
        Self::check(url)
    }

    fn check(url: Url) -> Result<Self, PackageError> {
        if url.as_str().len() > MAX_URL {
            return Err(PackageError::RefusedUrl("it is longer than 8192 bytes"));
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(PackageError::RefusedUrl("only http and https are allowed"));
        }
        match url.host_str() {
            None | Some("") => Err(PackageError::RefusedUrl("it names no host")),
            Some(_) => Ok(Self(url)),
        }
    }
}

impl FromStr for PackageUrl {
    type Err = PackageError;

    fn from_str(text: &str) -> Result<Self, PackageError> {
        if text.len() > MAX_URL {
            return Err(PackageError::RefusedUrl("it is longer than 8192 bytes"));
        }
        Self::check(Url::parse(text).map_err(|_| PackageError::RefusedUrl("it is not a URL"))?)
    }
}

impl fmt::Display for PackageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        // An http URL has a host, and so neither call can fail.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        shown.set_query(None);
        shown.set_fragment(None);
        let text = shown.as_str();
        match text.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => write!(f, "{}…", &text[..end]),
            None => f.write_str(text),
        }
    }
}

impl fmt::Debug for PackageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackageUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_are_accepted() {
        for good in [
            "http://example.org",
            "HTTPS://example.org:8443/a?b#c",
            "http://10.0.0.1/",
        ] {
            assert!(good.parse::<PackageUrl>().is_ok(), "{good}");
        }
        let long = format!("http://h/{}", "x".repeat(MAX_URL));
        for bad in [
            "",
            "foobarbaz",
            "ftp://x/y",
            "file:///etc/passwd",
            "data:text/plain,FROM",
            "http://",
            "http://[::1",
            long.as_str(),
        ] {
            assert!(bad.parse::<PackageUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let url: PackageUrl = "https://me:word@h.example:81/a.zip?token=abc#frag"
            .parse()
            .unwrap();
        assert_eq!(url.to_string(), "https://h.example:81/a.zip");
        assert_eq!(format!("{url:?}"), "PackageUrl(https://h.example:81/a.zip)");
        let long: PackageUrl = format!("http://h/{}", "x".repeat(1000)).parse().unwrap();
        assert_eq!(long.to_string().chars().count(), MAX_SHOWN + 1);
    }

    #[test]
    fn a_redirect_may_be_relative_and_stays_on_the_web() {
        let url: PackageUrl = "http://a.example/x/y?z".parse().unwrap();
        let next = |to: &str| url.join(to).map(|url| url.url().to_string());
        assert_eq!(next("w?q").unwrap(), "http://a.example/x/w?q");
        assert_eq!(next("//b.example/w").unwrap(), "http://b.example/w");
        assert!(next("file:///etc/passwd").is_err());
        assert!(next("ftp://a.example/").is_err());
    }
}
