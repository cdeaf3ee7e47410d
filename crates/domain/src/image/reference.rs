//! Image references: repositories and tags.

use crate::names::{Invalid, Name};

/// The maximum length of a tag, from the OCI distribution specification.
pub(crate) const MAX_TAG: usize = 128;

/// An image repository including its registry: `registry.example:5000/acme/api`.
///
/// The syntax is the reference grammar of the distribution project, except that the registry is
/// required: otherwise an image could be pushed to the default registry by mistake.
///
/// Parsing a text checks the whole grammar. Deserialization is more lenient, because stored specs may
/// have names that an earlier version accepted; [`Repository::check`] tells whether Docker accepts one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository(String);

impl Repository {
    /// The form of a repository as an ECMA 262 regular expression, for API descriptions.
    pub const PATTERN: &'static str = concat!(
        r"^(?=[^/]*[.:]|localhost/)",
        r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*",
        r"(?::0*(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)+$",
    );
    /// The form of its first part, the registry.
    pub const REGISTRY_PATTERN: &'static str = concat!(
        r"^(?=.*[.:]|localhost$)",
        r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*",
        r"(?::0*(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$",
    );
    /// The maximum length of a repository, in characters.
    pub const MAX_LENGTH: usize = 255;

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A repository from a stored value, which an earlier version may have accepted.
    ///
    /// # Errors
    /// `Invalid` if the text does not even have the form of a repository.
    pub fn stored(text: &str) -> Result<Self, Invalid> {
        Self::with(text, is_stored_path_part)
    }

    /// Checks that Docker accepts the repository.
    ///
    /// # Errors
    /// `Invalid` if it does not.
    pub fn check(&self) -> Result<(), Invalid> {
        self.0.parse().map(|_: Self| ())
    }

    /// The registry's host, with its port if there is one.
    pub fn registry(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// The repository `name` below this one.
    ///
    /// # Errors
    /// `Invalid` if the resulting repository is malformed.
    pub fn child(&self, name: &str) -> Result<Self, Invalid> {
        format!("{}/{name}", self.0).parse()
    }

    /// Whether this repository is `other` or below it.
    pub fn is_in(&self, other: &Self) -> bool {
        let rest = self.0.strip_prefix(&other.0);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Splits `REPOSITORY:TAG`. Returns `None` if one of the two is missing or malformed.
    pub fn split_tagged(image: &str) -> Option<(Self, &str)> {
        let (repository, tag) = image.rsplit_once(':')?;
        is_tag(tag).then_some((repository.parse().ok()?, tag))
    }

    /// The full reference of a tag in this repository.
    pub fn tagged(&self, tag: &str) -> String {
        format!("{}:{tag}", self.0)
    }
}

impl Repository {
    /// The repository `text`, if each part of its path has the property `is_part`.
    fn with(text: &str, is_part: impl Fn(&str) -> bool) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid::new(
                "image repository",
                text,
                "HOST[:PORT]/PATH in lower case without a tag, such as registry.example:5000/acme/api, \
                 where the parts of the path are a-z 0-9 with single separators . _ __ or -",
            )
        };
        let (host, path) = text.split_once('/').ok_or_else(invalid)?;
        // Docker's rule to distinguish `acme/api` on Docker Hub from `registry.example/api`.
        let looks_like_host = host.contains(['.', ':']) || host == "localhost";
        if text.len() > Self::MAX_LENGTH
            || !looks_like_host
            || !is_host(host)
            || !path.split('/').all(is_part)
        {
            return Err(invalid());
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::str::FromStr for Repository {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::with(text, is_path_part)
    }
}

impl TryFrom<String> for Repository {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::stored(&text)
    }
}

impl From<Repository> for String {
    fn from(repository: Repository) -> String {
        repository.0
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // The parser of numbers would take a sign.
    let is_port =
        |port: &str| port.starts_with(|c: char| c.is_ascii_digit()) && port.parse::<u16>().is_ok();
    name.split('.').all(label) && port.is_none_or(is_port)
}

/// Whether `part` is one part of the path of a repository: words of `a-z` and `0-9`, and between two
/// words one dot, one or two underscores, or dashes.
fn is_path_part(part: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator =
        |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|b| b == b'-');
    // Between two characters of one word, the separator is empty.
    part.starts_with(is_word) && part.ends_with(is_word) && part.split(is_word).all(is_separator)
}

/// Whether `part` may be stored as a part of a path: earlier versions accepted any mix of separators.
fn is_stored_path_part(part: &str) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}

/// The form of a name that [`check_image_path`] accepts, as an ECMA 262 regular expression, for API
/// descriptions.
pub const IMAGE_PATH_PATTERN: &str = r"^(?!.*\.git$)[A-Za-z0-9]+(?:(?:[._]|__|-+)[A-Za-z0-9]+)*$";

/// Checks that a namespace or project can have the name `name`, which in lower case becomes a part of
/// the repository of its images.
///
/// # Errors
/// `Invalid` if Docker refuses such a repository.
pub fn check_image_path(what: &'static str, name: &Name) -> Result<(), Invalid> {
    if is_path_part(&name.as_str().to_ascii_lowercase()) {
        return Ok(());
    }
    Err(Invalid::new(
        what,
        name.as_str(),
        "a name that Docker accepts in an image repository: letters and digits, and between them one \
         dot, one or two underscores, or dashes",
    ))
}

/// Returns true if `text` is an image reference as in `FROM`: `alpine`, `r.example:5000/a/b:v1`,
/// `a@sha256:…`.
pub fn is_reference(text: &str) -> bool {
    let (text, digest) = match text.split_once('@') {
        Some((text, digest)) => (text, Some(digest)),
        None => (text, None),
    };
    // A colon followed by a slash belongs to the registry's port.
    let (name, tag) = match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    };
    let path = match name.split_once('/') {
        // IPv6 addresses are in brackets.
        Some((host, path)) if host.starts_with('[') || looks_like_host(host) && is_host(host) => {
            path
        }
        _ => name,
    };
    name.len() <= 255
        && path.split('/').all(is_path_part)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
}

/// Returns true if `text` is an image reference with a tag and without a digest: `alpine:3.20`.
pub fn is_tagged(text: &str) -> bool {
    let tag = text.rsplit_once(':').map(|(_, tag)| tag);
    is_reference(text) && !text.contains('@') && tag.is_some_and(is_tag)
}

fn looks_like_host(text: &str) -> bool {
    text.contains(['.', ':']) || text == "localhost" || text.contains(char::is_uppercase)
}

/// The registry an image is pulled from; `docker.io` if the name has none.
pub fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if looks_like_host(host) => host,
        _ => "docker.io",
    }
}

/// Returns true if `text` has the form `ALGORITHM:HEX`.
fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty() && hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Returns true if `tag` is a valid image tag.
pub fn is_tag(tag: &str) -> bool {
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= MAX_TAG && tag.starts_with(first) && tag.bytes().all(is_tag_byte)
}

pub(crate) fn is_tag_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_references_follow_the_reference_grammar() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for good in [
            "scratch",
            "alpine:3.20",
            "library/alpine",
            "localhost/a",
            "localhost:5000/a/b-c:V_1.2",
            "r.example/a.b/c__d",
            "[::1]:5000/a",
            "Host/a",
            &format!("a@{digest}"),
            &format!("r.example:5000/a:v1@{digest}"),
        ] {
            assert!(is_reference(good), "{good}");
        }
        for bad in [
            "",
            " ",
            "A",
            "a b",
            "a:",
            ":a",
            "a:b:c",
            "a/",
            "/a",
            "a//b",
            "a/B",
            "a@sha256:12",
            "a@",
            "a:-x",
            "-a",
            "https://r.example/a",
            "a..b",
            "$a",
        ] {
            assert!(!is_reference(bad), "{bad}");
        }
    }

    #[test]
    fn a_tagged_image_has_a_tag_and_no_digest() {
        for good in ["alpine:3.20", "localhost:5000/a/b:v1", "acme/api:latest"] {
            assert!(is_tagged(good), "{good}");
        }
        let pinned = format!("a:v1@sha256:{}", "0a".repeat(32));
        for bad in ["alpine", "localhost:5000/a", "a:", "A:v1", &pinned] {
            assert!(!is_tagged(bad), "{bad}");
        }
    }

    #[test]
    fn the_parts_of_a_path_have_single_separators() {
        for good in [
            "a", "a.b", "a_b", "a__b", "a-b", "a--b", "a---b", "0", "a1.b2_c3",
        ] {
            assert!(is_path_part(good), "{good}");
        }
        for bad in [
            "", "a.", ".a", "_a", "a_", "-a", "a-", "a..b", "a___b", "a.-b", "a-.b", "a._b",
            "a_-b", "a-_b", "A", "a b",
        ] {
            assert!(!is_path_part(bad), "{bad}");
        }
    }

    #[test]
    fn names_that_docker_refuses_are_refused_and_stored_ones_stay_readable() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        for good in ["acme", "Acme", "my.app", "A-b_c.d"] {
            assert!(
                check_image_path("project name", &name(good)).is_ok(),
                "{good}"
            );
        }
        for bad in ["a.-b", "_x", "a._b", "a..b", "a___b", "a-"] {
            assert!(
                check_image_path("project name", &name(bad)).is_err(),
                "{bad}"
            );
        }
        let stored = Repository::stored("localhost:5000/acme/a._b").unwrap();
        assert!(stored.check().is_err());
        let json = serde_json::to_string(&stored).unwrap();
        assert_eq!(serde_json::from_str::<Repository>(&json).unwrap(), stored);
        assert!("localhost:5000/acme/a._b".parse::<Repository>().is_err());
    }

    #[test]
    fn a_repository_requires_a_registry() {
        for good in [
            "localhost/a",
            "localhost:5000/acme/api",
            "r.example/a.b/c__d/e-f",
        ] {
            assert!(good.parse::<Repository>().is_ok(), "{good}");
        }
        for bad in [
            "acme/api",
            "localhost:5000",
            "r.example/A",
            "r.example/a:tag",
            "r.example//a",
            "r.example:99999/a",
            "r.example:+80/a",
            "r.example/-a",
        ] {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
        let repository: Repository = "localhost:5000/acme/api".parse().unwrap();
        assert_eq!(repository.registry(), "localhost:5000");
        assert_eq!(repository.tagged("v1"), "localhost:5000/acme/api:v1");
    }
}
