//! Getting one commit into a directory, with as little transfer as the server allows.

use std::path::Path;

use slipway_domain::{CommitSha, GitRef, Submodules};

use crate::command::Git;
use crate::error::{GitError, Refusal};
use crate::remote::RemoteUrl;

/// How many commits of a ref are fetched before everything is.
const SOME_DEPTH: &str = "--depth=50";

/// What is checked out.
#[derive(Clone, Debug)]
pub struct Source {
    /// The repository.
    pub url: RemoteUrl,
    /// The branch or tag that the commit was found on, which helps with servers that hand out
    /// refs only.
    pub git_ref: Option<GitRef>,
    /// The commit.
    pub sha: CommitSha,
    /// What comes with it.
    pub submodules: Submodules,
}

impl Git {
    /// Checks `source.sha` out into `dir`, which is made; `say` is told each step in a line.
    ///
    /// With it come the submodules that are wanted and, where git-lfs is installed, the files that
    /// are kept with Git LFS.
    ///
    /// The one commit is asked for first. A server that refuses this is asked for the ref, with
    /// some of its history, and at last for all its refs.
    ///
    /// # Errors
    /// See [`GitError`]. Whatever is in `dir` then is of no use.
    pub async fn checkout(
        &self,
        source: &Source,
        dir: &Path,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), GitError> {
        self.check_out_one(source, dir, say).await?;
        self.check_out_submodules(source, dir, say).await
    }

    /// Checks a commit out without its submodules.
    pub(crate) async fn check_out_one(
        &self,
        source: &Source,
        dir: &Path,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), GitError> {
        tokio::fs::create_dir_all(dir).await?;
        let format = match source.sha.as_str().len() {
            64 => "--object-format=sha256",
            _ => "--object-format=sha1",
        };
        self.local(dir, source, &["init", "--quiet", "--template=", format])
            .await?;
        say(&format!(
            "Fetching {} at {}",
            source.url,
            source.sha.as_str()
        ));
        self.fetch_commit(source, dir, say).await?;
        let sha = source.sha.as_str();
        self.local(
            dir,
            source,
            &["checkout", "--quiet", "--force", "--detach", sha],
        )
        .await?;
        self.fetch_large_files(source, dir, say).await
    }

    async fn fetch_commit(
        &self,
        source: &Source,
        dir: &Path,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), GitError> {
        let sha = source.sha.as_str();
        match self.fetch(source, dir, &["--depth=1"], &[sha]).await? {
            Ok(_) => return Ok(()),
            Err(Refusal::Unadvertised) => {}
            Err(refusal) => return Err(source.failed(refusal)),
        }
        if let Some(git_ref) = &source.git_ref {
            say(&format!(
                "The server hands out refs only; fetching {git_ref}"
            ));
            for kind in ["heads", "tags"] {
                let spec = format!("refs/{kind}/{git_ref}");
                match self.fetch(source, dir, &[SOME_DEPTH], &[&spec]).await? {
                    Ok(_) if self.has(dir, sha).await? => return Ok(()),
                    Ok(_) | Err(Refusal::NotThere | Refusal::Unadvertised) => {}
                    Err(refusal) => return Err(source.failed(refusal)),
                }
            }
        }
        say("The commit is further back; fetching the whole history");
        let whole: &[&str] = match dir.join(".git/shallow").exists() {
            true => &["--unshallow"],
            false => &[],
        };
        match self
            .fetch(source, dir, whole, &["+refs/*:refs/slipway/*"])
            .await?
        {
            Ok(_) if self.has(dir, sha).await? => Ok(()),
            Ok(_) => Err(source.failed(Refusal::NotThere)),
            Err(refusal) => Err(source.failed(refusal)),
        }
    }

    async fn fetch(
        &self,
        source: &Source,
        dir: &Path,
        options: &[&str],
        wanted: &[&str],
    ) -> Result<crate::command::Answer, GitError> {
        let fixed = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"];
        let remote = ["--", source.url.as_str()];
        let args = fixed.iter().chain(options).chain(&remote).chain(wanted);
        self.call(Some(dir), Some(&source.url), self.limits.fetch, args)
            .await
    }

    /// Whether the commit is in `dir` already.
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
        answer.map(drop).map_err(|refusal| source.failed(refusal))
    }
}

impl Source {
    pub(crate) fn failed(&self, refusal: Refusal) -> GitError {
        match refusal {
            Refusal::DiskFull => GitError::DiskFull,
            Refusal::NotThere | Refusal::Unadvertised => GitError::CommitMissing {
                sha: self.sha.clone(),
            },
            Refusal::Other(reason) => GitError::RepositoryUnavailable {
                url: self.url.to_string(),
                reason,
            },
        }
    }
}
