//! Reading one file of a commit, without a clone of it.

use std::path::Path;

use slipway_domain::{Commit, CommitSha, GitRef};

use crate::command::Git;
use crate::error::{GitError, Refusal};
use crate::remote::RemoteUrl;

/// The directories of a commit, without the files in them.
const NO_CONTENT: &str = "--filter=blob:none";

/// What is at a path of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileAt {
    /// Nothing.
    Absent,
    /// A file with this text. Bytes that are no UTF-8 are replaced.
    Text(String),
    /// A directory, a link or a submodule.
    NotAFile,
    /// A file of so many bytes, which are more than were asked for.
    TooLarge(u64),
}

/// A commit, and what is at a path of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitFile {
    /// The commit.
    pub commit: Commit,
    /// What is at the path.
    pub file: FileAt,
}

impl Git {
    /// What is at `path` of the commit `sha`, as far as it has at most `max_bytes`, and what is to be
    /// known of the commit.
    ///
    /// The commit is asked for without the contents of its files, then the one file. A server that
    /// can leave nothing out sends all of the commit, but nothing of what was before it, unless it
    /// hands out refs only: see [`Git::describe`].
    ///
    /// # Errors
    /// `CommitMissing` when the repository lacks the commit, `RepositoryUnavailable` when the
    /// remote does not answer, and the general ones.
    pub async fn read_file(
        &self,
        url: &RemoteUrl,
        sha: &CommitSha,
        git_ref: Option<&GitRef>,
        path: &str,
        max_bytes: u64,
    ) -> Result<CommitFile, GitError> {
        let failed = |refusal| failed(url, sha, refusal);
        let dir = self.temporary()?;
        let fetched = self.fetch_commit_into(dir.path(), url, sha, git_ref, Some(NO_CONTENT));
        if let Err(refusal) = fetched.await? {
            return Err(failed(refusal));
        }
        let args = ["ls-tree", "-z", sha.as_str(), "--", path];
        let listing = self.call(Some(dir.path()), None, self.limits.resolve, args);
        let (listed, commit) = tokio::join!(listing, self.commit_in(dir.path(), sha));
        let commit = commit?.ok_or_else(|| failed(Refusal::NotThere))?;
        let listed = listed?.map_err(failed)?;
        let read = |file| Ok(CommitFile { commit, file });
        let Some((about, _)) = listed.split_once('\t') else {
            return read(FileAt::Absent);
        };
        let mut about = about.split(' ');
        let (mode, object) = (about.next(), about.nth(1));
        let (Some("100644" | "100755"), Some(object)) = (mode, object) else {
            return read(FileAt::NotAFile);
        };
        if let Some(size) = self.size_of(dir.path(), object).await? {
            return read(self.content(dir.path(), object, size, max_bytes).await?);
        }
        let fixed = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"];
        let args = fixed.into_iter().chain(["--", url.as_str(), object]);
        let fetched = self.call(Some(dir.path()), Some(url), self.limits.resolve, args);
        if fetched.await?.is_ok()
            && let Some(size) = self.size_of(dir.path(), object).await?
        {
            return read(self.content(dir.path(), object, size, max_bytes).await?);
        }
        // The server hands out commits only.
        let whole = self.temporary()?;
        let fetched = self.fetch_commit_into(whole.path(), url, sha, git_ref, None);
        fetched.await?.map_err(failed)?;
        let size = self.size_of(whole.path(), object).await?;
        let size = size.ok_or_else(|| unreadable(Refusal::NotThere))?;
        read(self.content(whole.path(), object, size, max_bytes).await?)
    }

    /// How many bytes an object has, if it is here.
    async fn size_of(&self, dir: &Path, object: &str) -> Result<Option<u64>, GitError> {
        let args = ["cat-file", "-s", object];
        let answer = self.call(Some(dir), None, self.limits.resolve, args);
        Ok(answer.await?.ok().and_then(|size| size.trim().parse().ok()))
    }

    async fn content(
        &self,
        dir: &Path,
        object: &str,
        size: u64,
        max: u64,
    ) -> Result<FileAt, GitError> {
        if size > max {
            return Ok(FileAt::TooLarge(size));
        }
        let args = ["cat-file", "blob", object];
        let text = self.call(Some(dir), None, self.limits.resolve, args);
        Ok(FileAt::Text(text.await?.map_err(unreadable)?))
    }
}

fn unreadable(_: Refusal) -> GitError {
    GitError::Io(std::io::Error::other("git lost what it fetched"))
}

fn failed(url: &RemoteUrl, sha: &CommitSha, refusal: Refusal) -> GitError {
    match refusal {
        Refusal::DiskFull => GitError::DiskFull,
        Refusal::NotThere | Refusal::Unadvertised => GitError::CommitMissing { sha: sha.clone() },
        Refusal::Other(reason) => GitError::RepositoryUnavailable {
            url: url.to_string(),
            reason,
        },
    }
}
