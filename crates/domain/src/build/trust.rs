//! How far the farm can tell where the sources of a build come from.

use crate::names::GitRef;
use crate::text_enum::text_enum;

text_enum!(
    /// How far the farm can tell where the sources of a build come from. Builds of different levels
    /// share no cache, and a runner can be dedicated to some levels.
    TrustLevel, "trust level", "default_branch, ref or unverified" {
        /// The head of the default branch, as the repository or a signed webhook named it.
        DefaultBranch = "default_branch",
        /// The head of another branch or a tag, named in the same way.
        Ref = "ref",
        /// Anything else: a commit that the requester named, which may be from a fork or a merge
        /// request, and submitted sources.
        Unverified = "unverified",
    }
);

impl TrustLevel {
    /// The level of the head of a ref, which the repository or its forge named.
    pub fn of_head(git_ref: Option<&GitRef>, ref_is_tag: bool, default_branch: &GitRef) -> Self {
        match git_ref {
            Some(name) if name == default_branch && !ref_is_tag => Self::DefaultBranch,
            Some(_) => Self::Ref,
            None => Self::Unverified,
        }
    }

    /// Reads a list with commas.
    ///
    /// # Errors
    /// `Invalid` if a word is no level.
    pub fn from_list(list: &str) -> Result<Vec<Self>, crate::names::Invalid> {
        let words = list.split(',').map(str::trim);
        words
            .filter(|word| !word.is_empty())
            .map(str::parse)
            .collect()
    }

    /// Writes a list with commas.
    pub fn to_list(levels: &[Self]) -> String {
        let words: Vec<&str> = levels.iter().map(|level| level.as_str()).collect();
        words.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_branch_itself_has_the_level_of_the_default_branch() {
        let main: GitRef = "main".parse().unwrap();
        let side: GitRef = "side".parse().unwrap();
        for (git_ref, is_tag, level) in [
            (Some(&main), false, TrustLevel::DefaultBranch),
            (Some(&main), true, TrustLevel::Ref),
            (Some(&side), false, TrustLevel::Ref),
            (None, false, TrustLevel::Unverified),
        ] {
            assert_eq!(TrustLevel::of_head(git_ref, is_tag, &main), level);
        }
        let levels = TrustLevel::from_list("ref, unverified").unwrap();
        assert_eq!(TrustLevel::to_list(&levels), "ref,unverified");
        assert!(TrustLevel::from_list("main").is_err());
    }
}
