//! Files in Git LFS: the commit contains pointers to them.

use std::path::Path;

use crate::checkout::Source;
use crate::command::Git;
use crate::error::{GitError, GitFailure};

/// The settings of git-lfs, including all that a repository could set in `.lfsconfig`.
const SETTINGS: &[(&str, &str)] = &[
    ("filter.lfs.smudge", "git-lfs smudge -- %f"),
    ("filter.lfs.clean", "git-lfs clean -- %f"),
    ("filter.lfs.process", "git-lfs filter-process"),
    ("filter.lfs.required", "true"),
    ("lfs.basicTransfersOnly", "true"),
    ("lfs.locksVerify", "false"),
    ("lfs.dialTimeout", "20"),
    ("lfs.activityTimeout", "60"),
    ("lfs.skipDownloadErrors", "false"),
];

impl Git {
    /// Replaces the LFS pointers in a checkout by the files, if there are any.
    ///
    /// The files always come from the repository's own server: `.lfsconfig` is not trusted.
    pub(crate) async fn fetch_large_files(
        &self,
        source: &Source,
        dir: &Path,
        log: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), GitError> {
        // Most repositories have none, and then git-lfs need not be installed.
        let args = ["ls-files", "-z", "--", ":(attr:filter=lfs)"];
        let listed = self.call(Some(dir), None, self.limits.fetch, args).await?;
        let listed = listed.map_err(|failure| source.error(failure))?;
        let count = listed.matches('\0').count();
        if count == 0 {
            return Ok(());
        }
        if !self.has_lfs().await? {
            // A build that does not need the files should not fail.
            log(&format!(
                "Warning: {count} files are in Git LFS, and git-lfs is not installed on this runner: \
                 the checkout has pointers instead"
            ));
            return Ok(());
        }
        log(&format!("Fetching files from Git LFS ({count})"));
        let url = source.url.as_str();
        // With an ssh URL, git-lfs asks the server over ssh for the HTTP URL of the files.
        let lfs_url = if source.url.is_http() {
            format!("{}/info/lfs", with_suffix(url))
        } else {
            source.url.as_ssh_url()
        };
        let mut settings = SETTINGS.to_vec();
        settings.extend([("remote.origin.url", url), ("lfs.url", lfs_url.as_str())]);
        let args = ["lfs", "pull", "origin"];
        let limit = self.limits.fetch;
        let pulled = self.call_with(Some(dir), Some(&source.url), limit, &settings, args);
        match pulled.await? {
            Ok(_) => Ok(()),
            Err(GitFailure::DiskFull) => Err(GitError::DiskFull),
            Err(failure) => Err(GitError::LargeFiles {
                url: source.url.to_string(),
                reason: failure.into_reason(),
            }),
        }
    }

    /// Whether git-lfs is installed. The answer is cached.
    async fn has_lfs(&self) -> Result<bool, GitError> {
        let check = async || {
            let args = ["lfs", "version"];
            let answer = self.call(None, None, self.limits.resolve, args).await?;
            Ok(answer.is_ok())
        };
        self.has_lfs.get_or_try_init(check).await.copied()
    }
}

/// The URL with the suffix `.git`, which LFS servers expect.
fn with_suffix(url: &str) -> String {
    let url = url.trim_end_matches('/');
    if url.ends_with(".git") {
        url.to_owned()
    } else {
        format!("{url}.git")
    }
}
