//! Text that people type: parsed once, at the edge, and always valid from then on.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The prefix of stored features. Tags and features share one stored list, so no tag may have it.
pub(crate) const FEATURE_PREFIX: &str = "slipway:";

/// A value that does not have the expected form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {got:?} is not valid: expected {expected}")]
pub struct Invalid {
    /// What the value should be, for instance "project name".
    pub what: &'static str,
    /// The first characters of the given value.
    pub got: String,
    pub expected: &'static str,
}

impl Invalid {
    /// Creates the error for `got`, which is not a valid `what`; `expected` describes the valid form.
    pub fn new(what: &'static str, got: &str, expected: &'static str) -> Self {
        Self {
            what,
            got: got.chars().take(80).collect(),
            expected,
        }
    }
}

/// The maximum length of a line of free text, in bytes.
pub const MAX_LINE: usize = 1024;

/// The form of a line of free text as an ECMA 262 regular expression, for API descriptions.
pub const LINE_PATTERN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

/// Checks free text that is shown on one line, such as a runner's description.
///
/// # Errors
/// `Invalid` if the text is too long or has control characters. NUL could not be stored either.
pub fn check_line(what: &'static str, text: &str) -> Result<(), Invalid> {
    if text.len() > MAX_LINE || text.contains(char::is_control) {
        let expected = "at most 1024 bytes without control characters";
        return Err(Invalid::new(what, text, expected));
    }
    Ok(())
}

/// The maximum stored length of a message, in bytes.
pub const MAX_MESSAGE: usize = 4096;

/// Returns a multi-line message as it is stored: cut to [`MAX_MESSAGE`] bytes and without control
/// characters other than newlines and tabs.
///
/// Messages are cleaned rather than refused, because a job's final report must not fail over them.
pub fn clean_message(text: &str) -> String {
    let mut clean = String::new();
    let kept = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    for c in text.chars().filter(kept) {
        // Never cut inside a character: the text has to stay valid UTF-8.
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

impl Name {
    /// The form of a name as an ECMA 262 regular expression, for API descriptions.
    pub const PATTERN: &'static str = r"^(?!.*\.(?:git)?$)[A-Za-z0-9_][A-Za-z0-9_.-]*$";
    /// The maximum length of a name, in characters.
    pub const MAX_LENGTH: usize = 100;
}

impl FromStr for Name {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_valid = (1..=Self::MAX_LENGTH).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && !text.ends_with(".git")
            && !text.ends_with('.');
        if !is_valid {
            return Err(Invalid::new(
                "name",
                text,
                "1 to 100 characters of A-Z a-z 0-9 - _ ., starting with a letter, a digit or _ and not ending in . or .git",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The short name of a pipeline, unique within its project.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);
text_value!(Slug);

impl Slug {
    /// The form of a slug as an ECMA 262 regular expression, for API descriptions.
    pub const PATTERN: &'static str = "^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$";
    /// The maximum length of a slug, in characters.
    pub const MAX_LENGTH: usize = 60;

    /// The slug of the default pipeline, which every project has.
    pub fn default_pipeline() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for Slug {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // Slugs are part of URLs, so they are limited to characters that need no escaping.
        let is_valid = (1..=Self::MAX_LENGTH).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if !is_valid {
            return Err(Invalid::new(
                "slug",
                text,
                "1 to 60 characters of a-z 0-9 -, neither starting nor ending with -",
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
    /// The form of a full sha as an ECMA 262 regular expression, for API descriptions.
    pub const PATTERN: &'static str = "^(?:[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$";

    /// Git's null id, forty zeros, which stands for "no commit".
    pub fn none() -> Self {
        Self("0".repeat(40))
    }

    /// Returns true if this is git's null id.
    pub fn is_none(&self) -> bool {
        self.0.bytes().all(|digit| digit == b'0')
    }
}

impl FromStr for CommitSha {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // SHA-1 has 40 digits, SHA-256 has 64.
        let is_valid = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_valid {
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
/// The rules are those of `git check-ref-format` that apply to a short name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GitRef(String);
text_value!(GitRef);

impl GitRef {
    /// The form of a ref as an ECMA 262 regular expression, for API descriptions.
    pub const PATTERN: &'static str = concat!(
        r"^(?![-./])(?!@$)(?!.*(?:\.\.|@\{|//|/\.))(?!.*\.lock(?:/|$))(?!.*[./]$)",
        r"[^\u0000-\u0020\u007f-\u009f~^:?*\[\\]+$",
    );
    /// The maximum length of a ref, in bytes.
    pub const MAX_BYTES: usize = 255;
}

impl FromStr for GitRef {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // Some of these characters have a meaning in revisions, such as `~` and `^`.
        let bad_char = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
        let bad_part =
            |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
        let is_valid = text.len() <= Self::MAX_BYTES
            && !text.starts_with('-')
            && !text.ends_with('.')
            && text != "@"
            && !text.contains("..")
            && !text.contains("@{")
            && !text.contains(bad_char)
            && !text.split('/').any(bad_part);
        if !is_valid {
            return Err(Invalid::new(
                "ref",
                text,
                "the short name of a git branch or tag",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Reduces `name` to `a-z`, `0-9` and `-`: each run of other characters becomes one dash, and dashes
/// at the ends are dropped. The result can be empty.
pub fn slugify(name: &str) -> String {
    let lower = name.to_lowercase();
    let parts = lower.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit());
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

/// A set of tags that a job requires or a runner has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct TagSet(BTreeSet<String>);

/// The maximum number of tags in a set.
pub const MAX_TAGS: usize = 50;

impl TagSet {
    /// The form of a tag as an ECMA 262 regular expression, for API descriptions.
    pub const TAG_PATTERN: &'static str = r"^(?! *slipway:)[^,\u0000-\u001f\u007f-\u009f]*$";
    /// The maximum length of a tag, in bytes.
    pub const MAX_TAG_BYTES: usize = 255;

    /// Collects tags. Whitespace around each is trimmed, and empty tags are dropped.
    ///
    /// # Errors
    /// `Invalid` if a tag is too long, has a comma or control character, or starts with the reserved
    /// prefix `slipway:`, and if there are more than [`MAX_TAGS`] tags.
    pub fn new<T: AsRef<str>>(tags: impl IntoIterator<Item = T>) -> Result<Self, Invalid> {
        let mut set = BTreeSet::new();
        for tag in tags {
            let tag = tag.as_ref().trim();
            // `a,,b` and a trailing comma are common in hand-written lists.
            if tag.is_empty() {
                continue;
            }
            // A comma separates tags in the stored form.
            if tag.len() > Self::MAX_TAG_BYTES || tag.contains(|c: char| c == ',' || c.is_control())
            {
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
                    "a tag that does not start with the reserved prefix slipway:",
                ));
            }
            set.insert(tag.to_owned());
        }
        if set.len() > MAX_TAGS {
            return Err(Invalid::new("tag list", "", "at most 50 tags"));
        }
        Ok(Self(set))
    }

    /// Parses a comma-separated list.
    ///
    /// # Errors
    /// As [`TagSet::new`].
    pub fn from_list(text: &str) -> Result<Self, Invalid> {
        Self::new(text.split(','))
    }

    /// The stored form: the tags in order, separated by commas.
    pub fn to_list(&self) -> String {
        let tags: Vec<&str> = self.iter().collect();
        tags.join(",")
    }

    /// Iterates over the tags in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tags of this set that `other` lacks.
    pub fn missing_from<'a>(&'a self, other: &'a TagSet) -> impl Iterator<Item = &'a str> {
        self.0.difference(&other.0).map(String::as_str)
    }

    /// Returns true if `other` has every tag of this set.
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
    fn a_name_is_safe_in_paths_and_repositories() {
        for good in ["acme", "api.v2", "_x", "A-b_c.d"] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-a", "a/b", "a b", "a.git", "a.", "é"] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_of_text_is_short_and_has_no_control_characters() {
        for good in ["", "box-7", "ein Läufer", &"x".repeat(MAX_LINE)] {
            assert!(check_line("description", good).is_ok(), "{good}");
        }
        for bad in ["a\0b", "a\nb", "\u{1b}[31m", &"x".repeat(MAX_LINE + 1)] {
            assert!(check_line("description", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_message_is_cut_at_a_character_boundary_and_keeps_its_newlines() {
        assert_eq!(clean_message("a\0b\n\tc\u{1b}[1m\r\n"), "ab\n\tc[1m\n");
        let long = clean_message(&format!("x{}", "ä".repeat(MAX_MESSAGE)));
        assert_eq!(long.len(), MAX_MESSAGE - 1);
        assert!(long.ends_with('ä'));
    }

    #[test]
    fn refs_follow_git_check_ref_format() {
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
    fn a_commit_sha_is_complete_and_converted_to_lower_case() {
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
