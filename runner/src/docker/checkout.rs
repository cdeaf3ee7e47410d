//! What a job works on: the commit, and the files of the jobs it needs.

use std::path::{Path, PathBuf};

use slipway_domain::{CommitSha, FailureReason, GitRef};
use slipway_git::{Git, GitError, Source};
use slipway_image_builder::BuildError;
use slipway_script_runner::{UnpackError, unpack};

use super::failure;
use crate::executor::{Failure, Job};
use crate::job::disk_full;

/// Where the checkout of a job is.
pub(super) fn dir(job: &Job) -> PathBuf {
    job.dir.join("source")
}

/// Checks the commit out, and unpacks the archives of the jobs before it into it.
pub(super) async fn prepare(git: &Git, job: &Job) -> Result<(), Failure> {
    let source = source_of(job)?;
    let dir = dir(job);
    let mut say = |line: &str| job.output.line(line);
    tokio::select! {
        biased;
        () = job.stop.stopped() => return Err(failure(&BuildError::Canceled)),
        fetched = git.checkout(&source, &dir, &mut say) => {
            fetched.map_err(|error| git_failure(&error))?;
        }
    }
    for (need, archive) in job.needs() {
        job.output
            .line(&format!("Unpacking the artifacts of {}", need.name));
        let unpacked = unpack_apart(&archive, &dir).await;
        unpacked.map_err(|error| unpack_failure(&need.name, &error))?;
    }
    Ok(())
}

async fn unpack_apart(archive: &Path, dir: &Path) -> Result<(), UnpackError> {
    let (from, into) = (archive.to_owned(), dir.to_owned());
    let unpacking = tokio::task::spawn_blocking(move || {
        unpack(&from, &into)?;
        // Once is enough to have on disk.
        Ok(std::fs::remove_file(&from)?)
    });
    unpacking.await.map_err(std::io::Error::other)?
}

fn source_of(job: &Job) -> Result<Source, Failure> {
    let payload = &job.payload;
    let url = payload
        .repo_url
        .parse()
        .map_err(|error| git_failure(&error))?;
    let sha: CommitSha = payload.sha.parse().map_err(|_| Failure {
        reason: FailureReason::SourceUnavailable,
        message: "the job does not name a full commit sha".to_owned(),
    })?;
    let git_ref: Option<GitRef> = payload.git_ref.parse().ok();
    Ok(Source { url, git_ref, sha })
}

fn git_failure(error: &GitError) -> Failure {
    let reason = match error {
        GitError::RefusedUrl(_)
        | GitError::RepositoryUnavailable { .. }
        | GitError::CommitMissing { .. }
        | GitError::TimedOut { .. } => FailureReason::SourceUnavailable,
        GitError::DiskFull => FailureReason::DiskFull,
        GitError::GitMissing(_) | GitError::Io(_) => FailureReason::RunnerFault,
    };
    Failure {
        reason,
        message: error.to_string(),
    }
}

fn unpack_failure(job: &str, error: &UnpackError) -> Failure {
    let reason = match error {
        UnpackError::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            return disk_full();
        }
        UnpackError::Io(_) => FailureReason::RunnerFault,
        UnpackError::Unreadable(_) | UnpackError::Refused { .. } | UnpackError::TooLarge => {
            FailureReason::JobFailed
        }
    };
    Failure {
        reason,
        message: format!("the artifacts of {job} cannot be unpacked: {error}"),
    }
}
