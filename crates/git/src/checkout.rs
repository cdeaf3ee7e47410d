//! Checks out one commit with as little transfer as the server allows.

use std::path::Path;

use slipway_domain::{CommitSha, GitRef, Submodules};

use crate::command::{Git, Output};
use crate::error::{GitError, GitFailure, fetch_error};
use crate::remote::RemoteUrl;

/// How much history of a ref is fetched before the whole history.
const REF_DEPTH: &str = "--depth=50";

/// What to check out.
#[derive(Clone, Debug)]
pub struct Source {
    pub url: RemoteUrl,
    /// The branch or tag of the commit. It is needed for servers that only serve refs.
    pub git_ref: Option<GitRef>,
    pub sha: CommitSha,
    pub submodules: Submodules,
}

/// What is known of a commit that was checked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedOut {
    /// The time of the commit, in seconds since the Unix epoch.
    pub time: i64,
}

impl Git {
    /// Checks out `source.sha` into `dir`, which is created, with its submodules and its files in Git
    /// LFS. `log` gets a line for each step.
    ///
    /// Git is never run in `dir` again: the files that are put there afterwards may include a
    /// configuration that makes git run commands.
    ///
    /// First only the commit is fetched. If the server refuses that, the ref is fetched with some
    /// history, and finally all refs with their whole history.
    ///
    /// # Errors
    /// See [`GitError`]. The content of `dir` is then undefined.
    pub async fn checkout(
        &self,
        source: &Source,
        dir: &Path,
        log: &mut (dyn FnMut(&str) + Send),
    ) -> Result<CheckedOut, GitError> {
        self.check_out_one(source, dir, log).await?;
        let commit = self.commit_in(dir, &source.sha).await?;
        let commit = commit.ok_or_else(|| source.error(GitFailure::Missing))?;
        self.check_out_submodules(source, dir, log).await?;
        Ok(CheckedOut {
            time: commit.committer.at.timestamp(),
        })
    }

    /// Checks out a commit without its submodules.
    pub(crate) async fn check_out_one(
        &self,
        source: &Source,
        dir: &Path,
        log: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), GitError> {
        tokio::fs::create_dir_all(dir).await?;
        // A repository that somebody else created could make git run commands.
        if tokio::fs::symlink_metadata(dir.join(".git")).await.is_ok() {
            return Err(GitError::Io(std::io::ErrorKind::AlreadyExists.into()));
        }
        // git cannot fetch between object formats, so the repository must use that of the commit.
        let format = match source.sha.as_str().len() {
            64 => "--object-format=sha256",
            _ => "--object-format=sha1",
        };
        self.local(dir, source, &["init", "--quiet", "--template=", format])
            .await?;
        log(&format!(
            "Fetching {} at {}",
            source.url,
            source.sha.as_str()
        ));
        self.fetch_commit(source, dir, log).await?;
        let sha = source.sha.as_str();
        self.local(
            dir,
            source,
            // A detached head: no branch of the repository is created or changed.
            &["checkout", "--quiet", "--force", "--detach", sha],
        )
        .await?;
        self.fetch_large_files(source, dir, log).await
    }

    async fn fetch_commit(
        &self,
        source: &Source,
        dir: &Path,
        log: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), GitError> {
        let sha = source.sha.as_str();
        match self.fetch(source, dir, &["--depth=1"], &[sha]).await? {
            Ok(_) => return Ok(()),
            Err(GitFailure::Unadvertised) => {}
            Err(failure) => return Err(source.error(failure)),
        }
        if let Some(git_ref) = &source.git_ref {
            log(&format!("The server only serves refs; fetching {git_ref}"));
            // The name may be that of a branch or of a tag.
            for kind in ["heads", "tags"] {
                let spec = format!("refs/{kind}/{git_ref}");
                match self.fetch(source, dir, &[REF_DEPTH], &[&spec]).await? {
                    Ok(_) if self.has(dir, sha).await? => return Ok(()),
                    Ok(_) | Err(GitFailure::Missing | GitFailure::Unadvertised) => {}
                    Err(failure) => return Err(source.error(failure)),
                }
            }
        }
        log("The commit is older; fetching the whole history");
        // git refuses `--unshallow` for a repository that is not shallow.
        let unshallow: &[&str] = if dir.join(".git/shallow").exists() {
            &["--unshallow"]
        } else {
            &[]
        };
        match self
            // All refs, because the commit may only be on a merge request or in a tag.
            .fetch(source, dir, unshallow, &["+refs/*:refs/slipway/*"])
            .await?
        {
            Ok(_) if self.has(dir, sha).await? => Ok(()),
            Ok(_) => Err(source.error(GitFailure::Missing)),
            Err(failure) => Err(source.error(failure)),
        }
    }

    async fn fetch(
        &self,
        source: &Source,
        dir: &Path,
        options: &[&str],
        wanted: &[&str],
    ) -> Result<Output, GitError> {
        let fixed = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"];
        let remote = ["--", source.url.as_str()];
        let args = fixed.iter().chain(options).chain(&remote).chain(wanted);
        self.call(Some(dir), Some(&source.url), self.limits.fetch, args)
            .await
    }

    /// Whether the commit is in the repository in `dir`.
    pub(crate) async fn has(&self, dir: &Path, sha: &str) -> Result<bool, GitError> {
        let object = format!("{sha}^{{commit}}");
        let args = ["cat-file", "-e", &object];
        let answer = self.call(Some(dir), None, self.limits.resolve, args);
        Ok(answer.await?.is_ok())
    }

    pub(crate) async fn local(
        &self,
        dir: &Path,
        source: &Source,
        args: &[&str],
    ) -> Result<(), GitError> {
        let answer = self.call(Some(dir), None, self.limits.fetch, args).await?;
        answer.map(drop).map_err(|failure| source.error(failure))
    }
}

impl Source {
    /// The error of fetching this commit.
    pub(crate) fn error(&self, failure: GitFailure) -> GitError {
        fetch_error(&self.url, &self.sha, failure)
    }
}
