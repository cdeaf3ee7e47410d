//! The URL of a package: which URLs are accepted, and how they are shown.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::error::PackageError;

/// The maximum length of a URL, in bytes.
const MAX_URL: usize = 8192;
/// The maximum number of characters of a URL that are shown.
const MAX_SHOWN: usize = 200;

/// The URL of a package, with scheme `http` or `https`.
///
/// `Display` and `Debug` leave out the login, query and fragment, which may contain secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct PackageUrl(Url);

impl PackageUrl {
    /// The complete URL, for the request.
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    /// The host, for messages.
    pub(crate) fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        host.chars().take(MAX_SHOWN).collect()
    }

    /// The target of a redirect from this URL.
    pub(crate) fn join(&self, location: &str) -> Result<Self, PackageError> {
        let url = self
            .0
            .join(location)
            .map_err(|_| PackageError::RefusedUrl("it redirects to an invalid URL"))?;
        Self::check(url)
    }

    fn check(url: Url) -> Result<Self, PackageError> {
        // A redirect can produce a URL that never went through `from_str`.
        if url.as_str().len() > MAX_URL {
            return Err(PackageError::RefusedUrl("it is longer than 8192 bytes"));
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(PackageError::RefusedUrl("only http and https are allowed"));
        }
        match url.host_str() {
            None | Some("") => Err(PackageError::RefusedUrl("it has no host")),
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
        Self::check(
            Url::parse(text).map_err(|_| PackageError::RefusedUrl("it is not a valid URL"))?,
        )
    }
}

impl fmt::Display for PackageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        // These calls only fail for URLs without a host, and an HTTP URL has one.
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
    fn only_http_urls_are_accepted() {
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
    fn login_query_and_fragment_are_not_shown() {
        let url: PackageUrl = "https://me:word@h.example:81/a.zip?token=abc#frag"
            .parse()
            .unwrap();
        assert_eq!(url.to_string(), "https://h.example:81/a.zip");
        assert_eq!(format!("{url:?}"), "PackageUrl(https://h.example:81/a.zip)");
        let long: PackageUrl = format!("http://h/{}", "x".repeat(1000)).parse().unwrap();
        assert_eq!(long.to_string().chars().count(), MAX_SHOWN + 1);
    }

    #[test]
    fn a_redirect_can_be_relative_and_must_be_http() {
        let url: PackageUrl = "http://a.example/x/y?z".parse().unwrap();
        let next = |to: &str| url.join(to).map(|url| url.url().to_string());
        assert_eq!(next("w?q").unwrap(), "http://a.example/x/w?q");
        assert_eq!(next("//b.example/w").unwrap(), "http://b.example/w");
        assert!(next("file:///etc/passwd").is_err());
        assert!(next("ftp://a.example/").is_err());
    }
}
