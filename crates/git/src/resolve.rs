//! Resolving a ref of a remote to its commit.

use slipway_domain::{CommitSha, RefKind, RefName};

use crate::command::Git;
use crate::error::{GitError, GitFailure};
use crate::remote::RemoteUrl;

/// The ref to resolve.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// The tip of the remote's default branch.
    Head,
    /// The branch or tag of this name. Of a short name, the branch, or else the tag.
    Ref(&'a RefName),
}

/// The commit that a ref points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub sha: CommitSha,
    /// Whether the ref is a tag.
    pub is_tag: bool,
}

impl Git {
    /// The commit that `wanted` points to. `None` if the repository has no such ref.
    ///
    /// For a short name, a branch takes precedence over a tag of the same name. An annotated tag resolves to its commit.
    ///
    /// # Errors
    /// Returns `RepositoryUnavailable` if the remote cannot be read, and the general errors.
    pub async fn resolve(
        &self,
        url: &RemoteUrl,
        wanted: Wanted<'_>,
    ) -> Result<Option<Resolved>, GitError> {
        // In order of precedence. `^{}` is the commit behind an annotated tag.
        let names = match wanted {
            Wanted::Head => vec!["HEAD".to_owned()],
            Wanted::Ref(RefName { kind, name }) => {
                let branch = format!("refs/heads/{name}");
                let tag = [
                    format!("refs/tags/{name}^{{}}"),
                    format!("refs/tags/{name}"),
                ];
                match kind {
                    Some(RefKind::Branch) => vec![branch],
                    Some(RefKind::Tag) => tag.to_vec(),
                    None => [branch].into_iter().chain(tag).collect(),
                }
            }
        };
        let fixed = ["ls-remote", "--quiet", "--", url.as_str()];
        let args = fixed.into_iter().chain(names.iter().map(String::as_str));
        let answer = self
            .call(None, Some(url), self.limits.resolve, args)
            .await?;
        match answer {
            Ok(listing) => Ok(pick(&listing, &names)),
            Err(GitFailure::DiskFull) => Err(GitError::DiskFull),
            Err(GitFailure::Missing | GitFailure::Unadvertised) => Ok(None),
            Err(failure) => Err(GitError::RepositoryUnavailable {
                url: url.to_string(),
                reason: failure.into_reason(),
            }),
        }
    }
}

/// The commit of the first of `names` in `listing`. `ls-remote` matches the end of names, so the
/// listing may contain others.
fn pick(listing: &str, names: &[String]) -> Option<Resolved> {
    names.iter().find_map(|name| {
        listing
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .find(|(_, listed)| listed == name)
            .and_then(|(sha, listed)| {
                let is_tag = listed.starts_with("refs/tags/");
                sha.parse().ok().map(|sha| Resolved { sha, is_tag })
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pick_compares_whole_names_and_prefers_branches() {
        let sha = |c: char| c.to_string().repeat(40);
        let found = |c, is_tag| {
            Some(Resolved {
                sha: sha(c).parse().unwrap(),
                is_tag,
            })
        };
        let names = ["refs/heads/x", "refs/tags/x^{}", "refs/tags/x"].map(str::to_owned);
        let listing = format!(
            "{}\trefs/tags/x\n{}\trefs/tags/x^{{}}\n{}\trefs/remotes/refs/heads/x\n",
            sha('a'),
            sha('b'),
            sha('c')
        );
        assert_eq!(pick(&listing, &names), found('b', true));
        let listing = format!("{listing}{}\trefs/heads/x\n", sha('d'));
        assert_eq!(pick(&listing, &names), found('d', false));
        assert_eq!(pick("", &names), None);
    }
}
