//! Names that people type: parsed once, at the edge, and valid from then on.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How what a runner can do begins where it is stored beside its tags, so that no tag begins so.
pub(crate) const FEATURE_PREFIX: &str = "slipway:";

/// A value that does not have the form it should have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {got:?} is not valid: expected {expected}")]
pub struct Invalid {
    /// What the value was meant to be, for instance "project name".
    pub what: &'static str,
    /// The beginning of what was given.
    pub got: String,
    /// The form that would have been accepted.
    pub expected: &'static str,
}

impl Invalid {
    /// Says that `got` is not a `what`, of which `expected` tells the form.
    pub fn new(what: &'static str, got: &str, expected: &'static str) -> Self {
        Self {
            what,
            got: got.chars().take(80).collect(),
            expected,
        }
    }
}

/// The most bytes of a line of free text.
pub const MAX_LINE: usize = 1024;

/// Checks free text that is shown in one line, such as what a runner says of itself.
///
/// # Errors
/// A text that is too long, or has control characters, of which NUL could not even be stored.
pub fn check_line(what: &'static str, text: &str) -> Result<(), Invalid> {
    if text.len() > MAX_LINE || text.contains(char::is_control) {
        let expected = "at most 1024 bytes without control characters";
        return Err(Invalid::new(what, text, expected));
    }
    Ok(())
}

/// The most bytes that are kept of a message.
pub const MAX_MESSAGE: usize = 4096;

/// A message of several lines as it is kept: cut to [`MAX_MESSAGE`] bytes, and without control
/// characters but for line ends and tabs. What a job's end says of itself must never be the reason
/// to refuse that end.
pub fn clean_message(text: &str) -> String {
    let mut clean = String::new();
    let kept = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    for c in text.chars().filter(kept) {
        if clean.len() + c.len_utf8() > MAX_MESSAGE {
            break;
        }
        clean.push(c);
    }
    clean
}

macro_rules! text_value {
    ($name:ident) => {
        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    };
}

/// The name of a namespace, a project or a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);
text_value!(Name);

impl FromStr for Name {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fits = (1..=100).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && !text.ends_with(".git")
            && !text.ends_with('.');
        if !fits {
            return Err(Invalid::new(
                "name",
                text,
                "1 to 100 of A-Z a-z 0-9 - _ . that begin with a letter, a digit or _ and do not end in . or .git",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The short name of a pipeline, unique in its project.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);
text_value!(Slug);

impl Slug {
    /// The slug of the pipeline that every project has.
    pub fn default_pipeline() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for Slug {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fits = (1..=60).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if !fits {
            return Err(Invalid::new(
                "slug",
                text,
                "1 to 60 of a-z 0-9 - that neither begin nor end with -",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The full SHA-1 or SHA-256 name of a commit, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitSha(String);
text_value!(CommitSha);

impl CommitSha {
    /// What stands where there is no commit: forty zeros, as in git.
    pub fn none() -> Self {
        Self("0".repeat(40))
    }

    /// Whether this stands for no commit.
    pub fn is_none(&self) -> bool {
        self.0.bytes().all(|digit| digit == b'0')
    }
}

impl FromStr for CommitSha {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fits = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !fits {
            return Err(Invalid::new(
                "sha",
                text,
                "the 40 or 64 hex digits of a full commit sha",
            ));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// A branch or a tag, by its short name (`main`, `feature/x`, `v1.2`).
///
/// The rules are those of `git check-ref-format`, as far as a short name goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GitRef(String);
text_value!(GitRef);

impl FromStr for GitRef {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad_char = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
        let bad_part =
            |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
        let fits = text.len() <= 255
            && !text.starts_with('-')
            && !text.ends_with('.')
            && text != "@"
            && !text.contains("..")
            && !text.contains("@{")
            && !text.contains(bad_char)
            && !text.split('/').any(bad_part);
        if !fits {
            return Err(Invalid::new(
                "ref",
                text,
                "the short name of a git branch or tag",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// What a name becomes where only `a-z`, `0-9` and `-` may be: runs of other characters are one
/// dash, and none is at an edge. Empty when nothing is left.
pub fn slugified(name: &str) -> String {
    let lower = name.to_lowercase();
    let parts = lower.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit());
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

/// A set of tags: what a job asks of a runner, or what a runner offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct TagSet(BTreeSet<String>);

/// How many tags a set may have.
pub const MAX_TAGS: usize = 50;

impl TagSet {
    /// Collects tags; blanks around each are dropped, and so are empty ones.
    ///
    /// # Errors
    /// A tag that is too long, has a comma or a control character, or is the farm's own; or too
    /// many tags.
    pub fn new<T: AsRef<str>>(tags: impl IntoIterator<Item = T>) -> Result<Self, Invalid> {
        let mut set = BTreeSet::new();
        for tag in tags {
            let tag = tag.as_ref().trim();
            if tag.is_empty() {
                continue;
            }
            if tag.len() > 255 || tag.contains(|c: char| c == ',' || c.is_control()) {
                return Err(Invalid::new(
                    "tag",
                    tag,
                    "at most 255 bytes without commas or control characters",
                ));
            }
            if tag.starts_with(FEATURE_PREFIX) {
                return Err(Invalid::new(
                    "tag",
                    tag,
                    "a tag that does not begin with slipway:",
                ));
            }
            set.insert(tag.to_owned());
        }
        if set.len() > MAX_TAGS {
            return Err(Invalid::new("tag list", "", "at most 50 tags"));
        }
        Ok(Self(set))
    }

    /// Reads tags that are separated by commas.
    ///
    /// # Errors
    /// As [`TagSet::new`].
    pub fn from_list(text: &str) -> Result<Self, Invalid> {
        Self::new(text.split(','))
    }

    /// The tags in order, separated by commas: the one stored form of a set.
    pub fn to_list(&self) -> String {
        let tags: Vec<&str> = self.iter().collect();
        tags.join(",")
    }

    /// The tags in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there is no tag.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tags of this set that `other` lacks.
    pub fn missing_from<'a>(&'a self, other: &'a TagSet) -> impl Iterator<Item = &'a str> {
        self.0.difference(&other.0).map(String::as_str)
    }

    /// Whether `other` has every tag of this set.
    pub fn is_subset(&self, other: &TagSet) -> bool {
        self.0.is_subset(&other.0)
    }
}

impl TryFrom<Vec<String>> for TagSet {
    type Error = Invalid;

    fn try_from(tags: Vec<String>) -> Result<Self, Invalid> {
        Self::new(tags)
    }
}

impl From<TagSet> for Vec<String> {
    fn from(set: TagSet) -> Vec<String> {
        set.0.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_what_a_path_or_a_repository_could_not_carry() {
        for good in ["acme", "api.v2", "_x", "A-b_c.d"] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-a", "a/b", "a b", "a.git", "a.", "é"] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_of_text_is_short_and_shows_all_it_has() {
        for good in ["", "box-7", "ein Läufer", &"x".repeat(MAX_LINE)] {
            assert!(check_line("description", good).is_ok(), "{good}");
        }
        for bad in ["a\0b", "a\nb", "\u{1b}[31m", &"x".repeat(MAX_LINE + 1)] {
            assert!(check_line("description", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_message_is_cut_between_characters_and_keeps_its_lines() {
        assert_eq!(clean_message("a\0b\n\tc\u{1b}[1m\r\n"), "ab\n\tc[1m\n");
        let long = clean_message(&format!("x{}", "ä".repeat(MAX_MESSAGE)));
        assert_eq!(long.len(), MAX_MESSAGE - 1);
        assert!(long.ends_with('ä'));
    }

    #[test]
    fn refs_follow_git() {
        for good in ["main", "feature/x", "v1.2", "a@b", "ü"] {
            assert!(good.parse::<GitRef>().is_ok(), "{good}");
        }
        for bad in [
            "", "-x", "a..b", "a b", "a/", "/a", "a//b", ".a", "a.lock", "a~1", "a@{1}", "@", "a\n",
        ] {
            assert!(bad.parse::<GitRef>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_sha_is_full_and_in_lower_case() {
        let sha: CommitSha = "ABCDEF0123456789abcdef0123456789abcdef01".parse().unwrap();
        assert_eq!(sha.as_str(), "abcdef0123456789abcdef0123456789abcdef01");
        assert!("abcdef01".parse::<CommitSha>().is_err());
        assert!("g".repeat(40).parse::<CommitSha>().is_err());
    }

    #[test]
    fn tag_lists_are_sorted_and_trimmed() {
        let tags = TagSet::from_list(" y, x,,x ").unwrap();
        assert_eq!(tags.to_list(), "x,y");
        assert!(TagSet::from_list("").unwrap().is_empty());
        assert!(TagSet::new(["a\nb"]).is_err());
        assert!(TagSet::new(["x", "slipway:packages"]).is_err());
    }
}
