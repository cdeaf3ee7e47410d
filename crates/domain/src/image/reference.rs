//! Image references: repositories, tags, and the tag for a git ref.

use crate::names::{CommitSha, GitRef, Invalid};

/// The maximum length of a tag, from the OCI distribution specification.
pub(crate) const MAX_TAG: usize = 128;

/// An image repository including its registry: `registry.example:5000/acme/api`.
///
/// The syntax is the reference grammar of the distribution project, except that the registry is
/// required: otherwise an image could be pushed to the default registry by mistake.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository(String);

impl Repository {
    pub fn as_str(&self) -> &str {
        &self.0
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

impl std::str::FromStr for Repository {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid::new(
                "image repository",
                text,
                "HOST[:PORT]/PATH in lower case without a tag, such as registry.example:5000/acme/api",
            )
        };
        let (host, path) = text.split_once('/').ok_or_else(invalid)?;
        // Docker's rule to distinguish `acme/api` on Docker Hub from `registry.example/api`.
        let looks_like_host = host.contains(['.', ':']) || host == "localhost";
        if text.len() > 255
            || !looks_like_host
            || !is_host(host)
            || !path.split('/').all(is_path_part)
        {
            return Err(invalid());
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Repository {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
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
    name.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_path_part(part: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(edge)
        && part.ends_with(edge)
        && part
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        && !part.contains("..")
        && !part.contains("___")
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

fn is_tag_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)
}

/// The image tag for a branch or git tag.
///
/// A name that is a valid tag is used unchanged. Otherwise each invalid character becomes `-` and
/// eight hex digits of a hash are appended, so that `a/b` and `a-b` get different tags.
pub fn tag_for_ref(name: &GitRef) -> String {
    use sha2::{Digest, Sha256};

    let name = name.as_str();
    if is_tag(name) {
        return name.to_owned();
    }
    let mut tag: String = name
        .chars()
        .map(|c| {
            if c.is_ascii() && is_tag_byte(c as u8) {
                c
            } else {
                '-'
            }
        })
        .collect();
    // A tag must start with a letter, digit or underscore.
    if tag.starts_with(['-', '.']) {
        tag.insert(0, '_');
    }
    let hash = hex::encode(Sha256::digest(name));
    // Leaves room for a dash and eight digits.
    tag.truncate(MAX_TAG - 9);
    format!("{tag}-{}", &hash[..8])
}

/// The tags of an image built from `sha`: the sha, the tag of its ref, and `latest` if the ref is the
/// default branch.
pub fn tags_for(sha: &CommitSha, git_ref: Option<&GitRef>, default_branch: &GitRef) -> Vec<String> {
    let mut tags = vec![sha.as_str().to_owned()];
    if let Some(git_ref) = git_ref {
        tags.push(tag_for_ref(git_ref));
    }
    if git_ref == Some(default_branch) {
        tags.push("latest".to_owned());
    }
    // A build of a branch named `latest`, or of a ref that is the sha, has equal tags in a row.
    tags.dedup();
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_git_ref_gets_a_valid_and_distinct_tag() {
        let long = "x/".repeat(100) + "y";
        for name in [
            "main",
            "v1.2",
            "feature/x",
            "feature-x",
            ".odd",
            "ü",
            "a+b",
            &long,
        ] {
            let Ok(name) = name.parse::<GitRef>() else {
                continue;
            };
            assert!(is_tag(&tag_for_ref(&name)), "{name}");
        }
        let tag = |name: &str| tag_for_ref(&name.parse().unwrap());
        assert_eq!(tag("v1.2"), "v1.2");
        assert!(tag("feature/x").starts_with("feature-x-"));
        assert_ne!(tag("feature/x"), tag("feature-x"));
        assert_ne!(tag("feature/x"), tag("feature+x"));
    }

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
    fn only_the_default_branch_gets_the_latest_tag() {
        let sha: CommitSha = "a".repeat(40).parse().unwrap();
        let main: GitRef = "main".parse().unwrap();
        let side: GitRef = "side".parse().unwrap();
        assert_eq!(
            tags_for(&sha, Some(&main), &main),
            [sha.as_str(), "main", "latest"]
        );
        assert_eq!(tags_for(&sha, Some(&side), &main), [sha.as_str(), "side"]);
        assert_eq!(tags_for(&sha, None, &main), [sha.as_str()]);
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
            "r.example/-a",
        ] {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
        let repository: Repository = "localhost:5000/acme/api".parse().unwrap();
        assert_eq!(repository.registry(), "localhost:5000");
        assert_eq!(repository.tagged("v1"), "localhost:5000/acme/api:v1");
    }
}
