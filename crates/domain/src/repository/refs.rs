//! Refs as callers give them: by a short name, or by a full name that also says what they are.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::names::{GitRef, Invalid};

const BRANCHES: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";

/// What a full ref name says about a ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefKind {
    Branch,
    Tag,
}

/// A branch or tag as a caller gives it: `main`, or the full name `refs/heads/main` or
/// `refs/tags/v1`.
///
/// A repository may have a branch and a tag of the same name. Only the full name distinguishes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct RefName {
    /// Absent if the caller gave a short name.
    pub kind: Option<RefKind>,
    /// The short name.
    pub name: GitRef,
}

impl RefName {
    /// A branch, by its short name.
    pub fn branch(name: GitRef) -> Self {
        Self {
            kind: Some(RefKind::Branch),
            name,
        }
    }

    /// A ref that is a branch or a tag, by its short name.
    pub fn short(name: GitRef) -> Self {
        Self { kind: None, name }
    }

    /// Whether the name says that this is a tag.
    pub fn is_tag(&self) -> bool {
        self.kind == Some(RefKind::Tag)
    }

    /// Whether the ref is a tag, if the name says what it is.
    pub fn tag_if_known(&self) -> Option<bool> {
        self.kind.map(|kind| kind == RefKind::Tag)
    }

    /// Parses the name of a branch, where only branches make sense.
    ///
    /// # Errors
    /// `Invalid` for an invalid name, and for the full name of a tag.
    pub fn parse_branch(text: &str) -> Result<GitRef, Invalid> {
        text.parse::<Self>()?.into_branch()
    }

    /// The short name of a branch, where only branches make sense.
    ///
    /// # Errors
    /// `Invalid` for the full name of a tag.
    pub fn into_branch(self) -> Result<GitRef, Invalid> {
        if self.is_tag() {
            let expected = "a branch, not a tag";
            return Err(Invalid::new("branch", &self.to_string(), expected));
        }
        Ok(self.name)
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            None => "",
            Some(RefKind::Branch) => BRANCHES,
            Some(RefKind::Tag) => TAGS,
        })?;
        f.write_str(self.name.as_str())
    }
}

impl FromStr for RefName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (kind, name) = if let Some(name) = text.strip_prefix(BRANCHES) {
            (Some(RefKind::Branch), name)
        } else if let Some(name) = text.strip_prefix(TAGS) {
            (Some(RefKind::Tag), name)
        } else {
            (None, text)
        };
        let name = name.parse();
        // The error quotes what the caller gave.
        let name = name.map_err(|error: Invalid| Invalid::new(error.what, text, error.expected))?;
        Ok(Self { kind, name })
    }
}

impl TryFrom<String> for RefName {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_name_says_whether_it_is_a_branch_or_a_tag() {
        for (text, kind, name) in [
            ("main", None, "main"),
            ("feature/x", None, "feature/x"),
            ("refs/heads/main", Some(RefKind::Branch), "main"),
            ("refs/heads/feature/x", Some(RefKind::Branch), "feature/x"),
            ("refs/tags/v1", Some(RefKind::Tag), "v1"),
            // Not a full name: a branch may be called this.
            ("tags/v1", None, "tags/v1"),
            ("refs/heads", None, "refs/heads"),
        ] {
            let parsed: RefName = text.parse().unwrap();
            assert_eq!((parsed.kind, parsed.name.as_str()), (kind, name), "{text}");
            assert_eq!(parsed.to_string(), text);
        }
        for bad in [
            "",
            "refs/heads/",
            "refs/tags/",
            "refs/tags/a..b",
            "-x",
            "a b",
        ] {
            assert!(bad.parse::<RefName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_a_branch_can_be_a_default_branch() {
        let branch = RefName::parse_branch;
        assert_eq!(branch("refs/heads/main").unwrap().as_str(), "main");
        assert_eq!(branch("main").unwrap().as_str(), "main");
        assert!(branch("refs/tags/v1").is_err());
    }
}
