//! Reading one file of a commit without cloning the repository.

use std::path::Path;

use slipway_domain::{Commit, CommitSha, GitRef};

use crate::command::Git;
use crate::error::{GitError, GitFailure, fetch_error};
use crate::remote::RemoteUrl;

/// Fetches the directories of a commit without the content of files.
const NO_BLOBS: &str = "--filter=blob:none";

/// The object at a path of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileAt {
    /// There is no object at the path.
    Absent,
    /// The text of a file. Invalid UTF-8 is replaced.
    Text(String),
    /// A directory, a link or a submodule.
    NotAFile,
    /// A file that exceeds the limit, with its size in bytes.
    TooLarge(u64),
}

/// A commit and the object at a path of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitFile {
    pub commit: Commit,
    pub file: FileAt,
}

impl Git {
    /// Reads the file at `path` of the commit `sha`, if it has at most `max_bytes`, and describes the
    /// commit.
    ///
    /// This fetches the commit without the content of its files, and then the one file. A server
    /// without support for filters sends the whole commit, but not its history, so that the call may
    /// take as long as [`Limits::file`](crate::Limits::file). For servers that only serve refs, see
    /// [`Git::describe`].
    ///
    /// # Errors
    /// Returns `CommitMissing` if the repository lacks the commit, `RepositoryUnavailable` if the
    /// remote cannot be read, and the general errors.
    pub async fn read_file(
        &self,
        url: &RemoteUrl,
        sha: &CommitSha,
        git_ref: Option<&GitRef>,
        path: &str,
        max_bytes: u64,
    ) -> Result<CommitFile, GitError> {
        let failed = |failure| fetch_error(url, sha, failure);
        let dir = self.temporary()?;
        let limit = self.limits.file;
        let fetched = self.fetch_commit_into(dir.path(), url, sha, git_ref, Some(NO_BLOBS), limit);
        if let Err(failure) = fetched.await? {
            return Err(failed(failure));
        }
        let args = ["ls-tree", "-z", sha.as_str(), "--", path];
        // Both only read what was fetched, so they can run at the same time.
        let listing = self.call(Some(dir.path()), None, self.limits.resolve, args);
        let (listed, commit) = tokio::join!(listing, self.commit_in(dir.path(), sha));
        let commit = commit?.ok_or_else(|| failed(GitFailure::Missing))?;
        let listed = listed?.map_err(failed)?;
        let read = |file| Ok(CommitFile { commit, file });
        // `ls-tree` prints `MODE TYPE OBJECT\tPATH`.
        let Some((entry, _)) = listed.split_once('\t') else {
            return read(FileAt::Absent);
        };
        let mut fields = entry.split(' ');
        let (mode, object) = (fields.next(), fields.nth(1));
        let (Some("100644" | "100755"), Some(object)) = (mode, object) else {
            return read(FileAt::NotAFile);
        };
        // A server without filters has sent the file already.
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
        // The server does not serve single objects, so fetch the commit with all its files.
        let whole = self.temporary()?;
        let fetched = self.fetch_commit_into(whole.path(), url, sha, git_ref, None, limit);
        fetched.await?.map_err(failed)?;
        let size = self.size_of(whole.path(), object).await?;
        let size = size.ok_or_else(|| unreadable(GitFailure::Missing))?;
        read(self.content(whole.path(), object, size, max_bytes).await?)
    }

    /// The size of an object in bytes, if it was fetched.
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
        // The size is checked before the content is read into memory.
        if size > max {
            return Ok(FileAt::TooLarge(size));
        }
        let args = ["cat-file", "blob", object];
        let text = self.call(Some(dir), None, self.limits.resolve, args);
        Ok(FileAt::Text(text.await?.map_err(unreadable)?))
    }
}

fn unreadable(_: GitFailure) -> GitError {
    GitError::Io(std::io::Error::other(
        "git cannot find an object that it fetched",
    ))
}
