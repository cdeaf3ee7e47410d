//! The tags of the image of a commit, and which of them refs must not take.

use crate::ids::BuildUuid;
use crate::image::reference::{MAX_TAG, is_tag, is_tag_byte};
use crate::names::{CommitSha, GitRef};

/// The tag that follows the default branch.
const LATEST: &str = "latest";

/// The image tag for a branch or git tag.
///
/// A name that is a valid tag is used unchanged, unless the farm uses that tag for something else.
/// Otherwise each invalid character becomes `-` and eight hex digits of a hash are appended, so that
/// `a/b` and `a-b` get different tags.
pub fn tag_for_ref(name: &GitRef) -> String {
    let name = name.as_str();
    if is_tag(name) && !is_reserved(name) {
        name.to_owned()
    } else {
        hashed_tag(name)
    }
}

/// Whether the farm gives the tag `name` a meaning that a ref of this name must not take: the image of
/// the default branch, of a commit, of submitted sources or of a step.
fn is_reserved(name: &str) -> bool {
    let is_of_build = || {
        let uuid = ["build-", "step-"]
            .iter()
            .find_map(|kind| name.strip_prefix(kind));
        // Tags of steps continue after the UUID.
        uuid.and_then(|text| text.get(..36))
            .is_some_and(|text| text.parse::<BuildUuid>().is_ok())
    };
    name == LATEST || name.parse::<CommitSha>().is_ok() || is_of_build()
}

/// A tag that is made from `name` and a hash of it.
fn hashed_tag(name: &str) -> String {
    use sha2::{Digest, Sha256};

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
///
/// The tag of the default branch belongs to that branch: a git tag of the same name gets another one.
pub fn tags_for(
    sha: &CommitSha,
    git_ref: Option<&GitRef>,
    ref_is_tag: bool,
    default_branch: &GitRef,
) -> Vec<String> {
    let mut tags = vec![sha.as_str().to_owned()];
    match git_ref {
        Some(name) if name == default_branch && ref_is_tag => tags.push(hashed_tag(name.as_str())),
        Some(name) if name == default_branch => {
            tags.extend([tag_for_ref(name), LATEST.to_owned()]);
        }
        Some(name) => tags.push(tag_for_ref(name)),
        None => {}
    }
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
    fn only_the_default_branch_gets_the_latest_tag() {
        let sha: CommitSha = "a".repeat(40).parse().unwrap();
        let main: GitRef = "main".parse().unwrap();
        let side: GitRef = "side".parse().unwrap();
        assert_eq!(
            tags_for(&sha, Some(&main), false, &main),
            [sha.as_str(), "main", "latest"]
        );
        let tags = tags_for(&sha, Some(&side), false, &main);
        assert_eq!(tags, [sha.as_str(), "side"]);
        assert_eq!(tags_for(&sha, None, false, &main), [sha.as_str()]);
    }

    #[test]
    fn a_ref_does_not_take_a_tag_that_has_another_meaning() {
        let sha: CommitSha = "a".repeat(40).parse().unwrap();
        let main: GitRef = "main".parse().unwrap();
        let uuid = "0190a6d0-0000-7000-8000-000000000001";
        for reserved in [
            "latest".to_owned(),
            "b".repeat(40),
            "B".repeat(40),
            "c".repeat(64),
            sha.to_string(),
            format!("build-{uuid}"),
            format!("step-{uuid}-2"),
        ] {
            let name: GitRef = reserved.parse().unwrap();
            for is_tag_ref in [false, true] {
                let tags = tags_for(&sha, Some(&name), is_tag_ref, &main);
                assert_eq!(tags.len(), 2, "{reserved}");
                assert!(tags[1].starts_with(&format!("{reserved}-")), "{tags:?}");
                assert!(is_tag(&tags[1]));
            }
        }
        for free in ["Latest", "latest-1", "abcdef1", "build-7", "step-one"] {
            let name: GitRef = free.parse().unwrap();
            let tags = tags_for(&sha, Some(&name), false, &main);
            assert_eq!(tags, [sha.as_str(), free]);
        }
    }

    #[test]
    fn a_git_tag_does_not_take_the_tags_of_the_default_branch() {
        let sha: CommitSha = "a".repeat(40).parse().unwrap();
        let main: GitRef = "main".parse().unwrap();
        let tags = tags_for(&sha, Some(&main), true, &main);
        assert_eq!(tags.len(), 2);
        assert!(tags[1].starts_with("main-"), "{tags:?}");
        // A default branch of this name still gets the tag `latest` itself.
        let latest: GitRef = "latest".parse().unwrap();
        let tags = tags_for(&sha, Some(&latest), false, &latest);
        assert!(tags.iter().any(|tag| tag == "latest"));
    }
}
