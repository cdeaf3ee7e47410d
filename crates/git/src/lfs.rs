//! Files in Git LFS: the commit contains pointers to them.
//!
//! The program git-lfs is not used: it connects past any proxy to the addresses that a server names,
//! if they are loopback. Here the batch API of LFS is spoken directly, with its basic transfers.

mod api;
mod pointer;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::checkout::Source;
use crate::command::Git;
use crate::error::GitError;
use crate::lfs::api::{Api, Download};
use crate::lfs::pointer::{MAX_POINTER, Pointer};

/// How many files one request asks for.
const BATCH: usize = 100;

/// The files of a checkout, by the pointer that they have.
type Files = BTreeMap<Pointer, Vec<PathBuf>>;

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
        let args = ["ls-files", "-z", "--", ":(attr:filter=lfs)"];
        let listed = self.call(Some(dir), None, self.limits.fetch, args).await?;
        let listed = listed.map_err(|failure| source.error(failure))?;
        let paths: Vec<&str> = listed.split('\0').filter(|path| !path.is_empty()).collect();
        let files = pointers(dir, &paths).await?;
        if files.is_empty() {
            return Ok(());
        }
        let count: usize = files.values().map(Vec::len).sum();
        log(&format!("Fetching files from Git LFS ({count})"));
        let fetched =
            tokio::time::timeout(self.limits.fetch, self.fetch_files(source, dir, &files));
        fetched.await.map_err(|_| GitError::TimedOut {
            seconds: self.limits.fetch.as_secs(),
        })??;
        // The index has the pointers. Without this, git in a build would call the files modified.
        for paths in paths.chunks(BATCH) {
            let fixed = ["update-index", "--assume-unchanged", "--"];
            let args = fixed.iter().chain(paths);
            let marked = self.call(Some(dir), None, self.limits.fetch, args).await?;
            marked.map_err(|failure| source.error(failure))?;
        }
        Ok(())
    }

    async fn fetch_files(
        &self,
        source: &Source,
        dir: &Path,
        files: &Files,
    ) -> Result<(), GitError> {
        let failed = |reason: String| GitError::LargeFiles {
            url: source.url.to_string(),
            reason,
        };
        let session = self.outbound.session();
        // The session knows why there was no connection; the client does not.
        let why =
            |reason: String| failed(session.failure().map_or(reason, |error| error.to_string()));
        let api = match self.ssh_ticket(&source.url).await? {
            Ok(ticket) => Api::new(&session, &source.url, ticket).map_err(failed)?,
            Err(reason) => return Err(failed(reason)),
        };
        let pointers: Vec<&Pointer> = files.keys().collect();
        for batch in pointers.chunks(BATCH) {
            let downloads = api.batch(batch).await.map_err(why)?;
            for download in downloads {
                let paths = files.get(&download.pointer).map_or(&[][..], Vec::as_slice);
                if let Some(reason) = store(&api, &download, dir, paths).await? {
                    return Err(why(reason));
                }
            }
        }
        Ok(())
    }
}

/// The pointers among these files. Other files stay as they are.
async fn pointers(dir: &Path, paths: &[&str]) -> Result<Files, GitError> {
    let mut files = Files::new();
    for path in paths {
        let path = dir.join(path);
        // Not through a link, which could lead out of the checkout.
        let metadata = match tokio::fs::symlink_metadata(&path).await {
            Ok(metadata) => metadata,
            // A sparse index or a submodule; there is nothing to replace.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        if !metadata.is_file() || metadata.len() > MAX_POINTER {
            continue;
        }
        let text = tokio::fs::read(&path).await?;
        if let Some(pointer) = Pointer::parse(&text) {
            files.entry(pointer).or_default().push(path);
        }
    }
    Ok(files)
}

/// Downloads a file, checks it, and moves it to its places. Returns why the server did not send it.
async fn store(
    api: &Api,
    download: &Download,
    dir: &Path,
    paths: &[PathBuf],
) -> Result<Option<String>, GitError> {
    let Pointer { oid, size } = &download.pointer;
    let response = match api.get(download).await {
        Ok(response) => response,
        Err(reason) => return Ok(Some(reason)),
    };
    // On the same file system as the checkout, so that it can be moved.
    let draft = tempfile::NamedTempFile::new_in(dir.join(".git"))?;
    let mut file = tokio::fs::File::from_std(draft.reopen()?);
    let mut body = response.bytes_stream();
    let (mut received, mut digest) = (0_u64, Sha256::new());
    while let Some(chunk) = body.next().await {
        let Ok(chunk) = chunk else {
            return Ok(Some("the connection was interrupted".to_owned()));
        };
        received += chunk.len() as u64;
        if received > *size {
            return Ok(Some(format!(
                "the server sent more than the {size} bytes of {oid}"
            )));
        }
        digest.update(&chunk);
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    if received < *size || hex::encode(digest.finalize()) != *oid {
        return Ok(Some(format!("the server sent another file than {oid}")));
    }
    let Some((last, others)) = paths.split_last() else {
        return Ok(None);
    };
    for path in others {
        let copy = draft.path().with_extension("copy");
        tokio::fs::copy(draft.path(), &copy).await?;
        replace(path, &copy).await?;
    }
    replace(last, draft.path()).await?;
    // It was moved, so there is nothing left to delete.
    let _ = draft.keep();
    Ok(None)
}

/// Replaces the file at `path` by `new`, which gets its permissions.
async fn replace(path: &Path, new: &Path) -> Result<(), GitError> {
    let mode = tokio::fs::metadata(path).await?.permissions().mode();
    tokio::fs::set_permissions(new, std::fs::Permissions::from_mode(mode)).await?;
    Ok(tokio::fs::rename(new, path).await?)
}
