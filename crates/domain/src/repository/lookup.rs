//! Looking builds up by repository and commit: `owner/name@sha`, `owner/*`.

use std::fmt;
use std::str::FromStr;

use crate::names::{Invalid, Name};

/// The minimum number of digits to look up a commit.
const MIN_DIGITS: usize = 7;
/// The length of a SHA-256 name.
const MAX_DIGITS: usize = 64;

/// The path of a project, `owner/name`. Case is kept but does not distinguish projects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectPath {
    pub namespace: Name,
    pub name: Name,
}

impl fmt::Display for ProjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for ProjectPath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("repository", text, "owner/name");
        let (namespace, name) = text.split_once('/').ok_or_else(invalid)?;
        Ok(Self {
            namespace: namespace.parse().map_err(|_| invalid())?,
            name: name.parse().map_err(|_| invalid())?,
        })
    }
}

/// A prefix of a commit sha in lower case, or the full sha.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShaPrefix(String);

impl ShaPrefix {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ShaPrefix {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // Shorter prefixes would match too many commits.
        let fits = (MIN_DIGITS..=MAX_DIGITS).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !fits {
            return Err(Invalid::new("sha", text, "7 to 64 hex digits"));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// A commit of a project, by a prefix of its sha.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitName {
    pub project: ProjectPath,
    pub sha: ShaPrefix,
}

impl FromStr for CommitName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("commit", text, "owner/name@sha");
        let (project, sha) = text.split_once('@').ok_or_else(invalid)?;
        Ok(Self {
            project: project.parse()?,
            sha: sha.parse()?,
        })
    }
}

/// A pattern of project paths: `acme/*`, `*/docker-*`. `*` matches any characters except `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectPattern(String);

impl ProjectPattern {
    /// Returns true if `path` matches the pattern, ignoring case.
    pub fn matches(&self, path: &ProjectPath) -> bool {
        // Patterns are stored in lower case.
        let path = path.to_string().to_ascii_lowercase();
        match (self.0.split_once('/'), path.split_once('/')) {
            (Some((own_owner, own_name)), Some((owner, name))) => {
                fits(own_owner, owner) && fits(own_name, name)
            }
            _ => false,
        }
    }
}

impl FromStr for ProjectPattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.*".contains(&b))
        };
        match text.split_once('/') {
            Some((owner, name)) if part(owner) && part(name) => Ok(Self(text.to_ascii_lowercase())),
            _ => {
                let expected = "owner/name, where * matches any characters except /";
                Err(Invalid::new("project pattern", text, expected))
            }
        }
    }
}

/// Returns true if `text` matches `pattern`.
///
/// The parts before the first `*` and after the last one are anchored. The parts in between are
/// matched from left to right, each at its earliest position, which never misses a match.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut left) = text.strip_prefix(head) else {
        return false;
    };
    // The tail is matched at the end, so it must not be consumed by the parts in between.
    let (between, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in between.split('*') {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_name_is_a_project_path_and_a_sha_prefix() {
        let name: CommitName = "Acme/my.app@ABCDEF0".parse().unwrap();
        assert_eq!(name.project.to_string(), "Acme/my.app");
        assert_eq!(name.sha.as_str(), "abcdef0");
        for bad in [
            "acme/api",
            "api@abcdef0",
            "acme/api@abcdef",
            "acme/api@abcdefg",
            "a/b/c@abcdef0",
            "acme/@abcdef0",
            "@abcdef0",
        ] {
            assert!(bad.parse::<CommitName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_star_matches_within_owner_or_name_only() {
        let fits = |pattern: &str, path: &str| {
            let pattern: ProjectPattern = pattern.parse().unwrap();
            pattern.matches(&path.parse().unwrap())
        };
        for (pattern, path) in [
            ("acme/api", "Acme/API"),
            ("acme/*", "acme/anything"),
            ("*/*", "a/b"),
            ("*/docker-*", "acme/docker-base"),
            ("acme/a*b*c", "acme/axbyc"),
            ("acme/a*a", "acme/aa"),
        ] {
            assert!(fits(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("acme/api", "acme/api2"),
            ("acme/*", "acme2/api"),
            ("*/docker-*", "docker-x/api"),
            ("acme/a*b*c", "acme/acb"),
            ("acme/a*a", "acme/a"),
        ] {
            assert!(!fits(pattern, path), "{pattern} {path}");
        }
        for bad in ["", "*", "acme", "acme/", "/x", "a/b/c", "a b/c"] {
            assert!(bad.parse::<ProjectPattern>().is_err(), "{bad}");
        }
    }
}
