//! Reading one file of a commit, without a clone of it.

use std::path::Path;

use slipway_domain::{CommitSha, GitRef};

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

impl Git {
    /// What is at `path` of the commit `sha`, as far as it has at most `max_bytes`.
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
    ) -> Result<FileAt, GitError> {
        let failed = |refusal| failed(url, sha, refusal);
        let dir = self.temporary()?;
        let fetched = self.fetch_commit_into(dir.path(), url, sha, git_ref, Some(NO_CONTENT));
        if let Err(refusal) = fetched.await? {
            return Err(failed(refusal));
        }
        let args = ["ls-tree", "-z", sha.as_str(), "--", path];
        let listed = self.call(Some(dir.path()), None, self.limits.resolve, args);
        let listed = listed.await?.map_err(failed)?;
        let Some((about, _)) = listed.split_once('\t') else {
            return Ok(FileAt::Absent);
        };
        let mut about = about.split(' ');
        let (mode, object) = (about.next(), about.nth(1));
        let (Some("100644" | "100755"), Some(object)) = (mode, object) else {
            return Ok(FileAt::NotAFile);
        };
        if self.has_object(dir.path(), object).await? {
            return self.content(dir.path(), object, max_bytes).await;
        }
        let fixed = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"];
        let args = fixed.into_iter().chain(["--", url.as_str(), object]);
        let fetched = self.call(Some(dir.path()), Some(url), self.limits.resolve, args);
        if fetched.await?.is_ok() && self.has_object(dir.path(), object).await? {
            return self.content(dir.path(), object, max_bytes).await;
        }
        // The server hands out commits only.
        let whole = self.temporary()?;
        let fetched = self.fetch_commit_into(whole.path(), url, sha, git_ref, None);
        fetched.await?.map_err(failed)?;
        self.content(whole.path(), object, max_bytes).await
    }

    async fn has_object(&self, dir: &Path, object: &str) -> Result<bool, GitError> {
        let args = ["cat-file", "-e", object];
        let answer = self.call(Some(dir), None, self.limits.resolve, args);
        Ok(answer.await?.is_ok())
    }

    async fn content(&self, dir: &Path, object: &str, max: u64) -> Result<FileAt, GitError> {
        let unreadable = |_| GitError::Io(std::io::Error::other("git lost what it fetched"));
        let ask = |what: &'static str| {
            let args = ["cat-file", what, object];
            self.call(Some(dir), None, self.limits.resolve, args)
        };
        let size = ask("-s").await?.map_err(unreadable)?;
        match size.trim().parse() {
            Ok(size) if size <= max => {}
            Ok(size) => return Ok(FileAt::TooLarge(size)),
            Err(_) => return Err(unreadable(Refusal::NotThere)),
        }
        Ok(FileAt::Text(ask("blob").await?.map_err(unreadable)?))
    }
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
