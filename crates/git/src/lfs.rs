//! Files that a repository keeps with Git LFS: in the commit there are pointers to them.

use std::path::Path;

use crate::checkout::Source;
use crate::command::Git;
use crate::error::{GitError, Refusal};

/// What makes a pointer a file, and more of it than a repository may say.
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
    /// Puts the files in the place of the pointers in a checkout, if it has any.
    ///
    /// They come from the server of the repository, whatever is written in the repository.
    pub(crate) async fn fetch_large_files(
        &self,
        source: &Source,
        dir: &Path,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), GitError> {
        let args = ["ls-files", "-z", "--", ":(attr:filter=lfs)"];
        let listed = self.call(Some(dir), None, self.limits.fetch, args).await?;
        let listed = listed.map_err(|refusal| source.failed(refusal))?;
        let count = listed.matches('\0').count();
        if count == 0 {
            return Ok(());
        }
        if !self.has_lfs().await? {
            say(&format!(
                "Warning: {count} of the files are kept with Git LFS, and git-lfs is not installed \
                 on this runner: they stay pointers"
            ));
            return Ok(());
        }
        say(&format!("Fetching {count} of the files from Git LFS"));
        let url = source.url.as_str();
        // An address over ssh is asked there for the place of the files.
        let place = match source.url.is_http() {
            true => format!("{}/info/lfs", with_suffix(url)),
            false => source.url.as_ssh_url(),
        };
        let mut settings = SETTINGS.to_vec();
        settings.extend([("remote.origin.url", url), ("lfs.url", place.as_str())]);
        let args = ["lfs", "pull", "origin"];
        let limit = self.limits.fetch;
        let pulled = self.call_with(Some(dir), Some(&source.url), limit, &settings, args);
        match pulled.await? {
            Ok(_) => Ok(()),
            Err(Refusal::DiskFull) => Err(GitError::DiskFull),
            Err(refusal) => Err(GitError::LargeFiles {
                url: source.url.to_string(),
                reason: refusal.into_reason(),
            }),
        }
    }

    /// Whether git-lfs is installed here; looked up once.
    async fn has_lfs(&self) -> Result<bool, GitError> {
        let look = async || {
            let args = ["lfs", "version"];
            let answer = self.call(None, None, self.limits.resolve, args).await?;
            Ok(answer.is_ok())
        };
        self.has_lfs.get_or_try_init(look).await.copied()
    }
}

/// The address with the `.git` that servers of LFS expect at its end.
fn with_suffix(url: &str) -> String {
    let url = url.trim_end_matches('/');
    match url.ends_with(".git") {
        true => url.to_owned(),
        false => format!("{url}.git"),
    }
}
