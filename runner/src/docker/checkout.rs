//! The work tree of a job: the commit, and the artifacts of the jobs it needs.

use std::fs::File;
use std::path::{Path, PathBuf};

use slipway_domain::{CommitSha, FailureReason, GitRef, ProjectPath, ProjectPattern, Submodules};
use slipway_git::{DeployKey, Git, GitError, RemoteUrl, Source};
use slipway_image_builder::{BuildError, FileModes};
use slipway_packages::{Archive, PackageError, RESTORE_LIMITS, restore};

use super::failure;
use crate::executor::{Failure, Job, disk_full};

/// The directory of a job's work tree.
pub(super) fn dir(job: &Job) -> PathBuf {
    job.dir.join("source")
}

/// Which permissions the files of the work tree get in an image. Those of a commit are the same on
/// each host; a submitted directory keeps its own, as with `docker build`.
pub(super) fn modes(job: &Job) -> FileModes {
    let package = job.own.spec.package();
    let is_directory = package.is_some_and(|package| package.is_directory);
    if is_directory || job.own.source.is_some() {
        FileModes::Kept
    } else {
        FileModes::Portable
    }
}

/// Checks out the commit.
pub(super) async fn prepare(
    git: &Git,
    host_ssh_keys: &[ProjectPattern],
    job: &Job,
) -> Result<(), Failure> {
    let source = source_of(job, host_ssh_keys)?;
    let dir = dir(job);
    let mut log = |line: &str| job.output.line(line);
    let checked_out = tokio::select! {
        // Stop wins: a job that is already stopped must not start git.
        biased;
        () = job.stop.stopped() => return Err(failure(&BuildError::Canceled)),
        fetched = git.checkout(&source, &dir, &mut log) => {
            fetched.map_err(|error| git_failure(&error))?
        }
    };
    // It cannot be set already: a job checks out once.
    let _ = job.commit_time.set(checked_out.time);
    Ok(())
}

/// The time of the commit, in seconds since the Unix epoch.
pub(super) fn commit_time(job: &Job) -> Result<u32, Failure> {
    // Git is not asked again: the artifacts of other jobs may have replaced its configuration.
    let time = job
        .commit_time
        .get()
        .and_then(|time| (*time).try_into().ok());
    time.ok_or_else(|| Failure {
        reason: FailureReason::Unsupported,
        message: "source_date is `commit`, but the image is not built from a commit; set it to a \
                  number of seconds"
            .to_owned(),
    })
}

/// Creates an empty work tree.
pub(super) fn create_empty(job: &Job) -> Result<(), Failure> {
    let created = std::fs::create_dir(dir(job));
    created.map_err(|error| failure(&error.into()))
}

/// Unpacks the artifacts of the needed jobs into the work tree.
pub(super) async fn unpack_artifacts(job: &Job) -> Result<(), Failure> {
    let dir = dir(job);
    for (need, archive) in job.needs() {
        job.output
            .line(&format!("Unpacking the artifacts of {}", need.name));
        let unpacked = tokio::select! {
            biased;
            () = job.stop.stopped() => return Err(failure(&BuildError::Canceled)),
            unpacked = unpack_archive(&archive, &dir) => unpacked,
        };
        unpacked.map_err(|error| unpack_failure(&need.name, &error))?;
    }
    Ok(())
}

async fn unpack_archive(archive: &Path, dir: &Path) -> Result<(), PackageError> {
    let file = File::open(archive)?;
    restore(file, Archive::Zip, dir, RESTORE_LIMITS).await?;
    // The disk need not hold the artifacts twice.
    Ok(std::fs::remove_file(archive)?)
}

fn source_of(job: &Job, host_ssh_keys: &[ProjectPattern]) -> Result<Source, Failure> {
    let payload = &job.payload;
    let url: RemoteUrl = payload
        .repo_url
        .parse()
        .map_err(|error| git_failure(&error))?;
    let sha: CommitSha = payload.sha.parse().map_err(|_| Failure {
        reason: FailureReason::SourceUnavailable,
        message: "the job has no full commit SHA".to_owned(),
    })?;
    // The ref only helps to find the commit, so an invalid one is ignored.
    let git_ref: Option<GitRef> = payload.git_ref.parse().ok();
    let own = job.own.checkout.as_ref();
    let url = match own.and_then(|own| own.deploy_key.as_ref()) {
        Some(key) => url.with_key(DeployKey {
            private: key.private_key.clone(),
            known_hosts: key.known_hosts.clone(),
        }),
        None if uses_host_keys(job, host_ssh_keys) => url.with_host_keys(),
        None => url,
    };
    Ok(Source {
        url,
        git_ref,
        sha,
        // An older coordinator does not send the setting, and expects no submodules.
        submodules: own.map_or(Submodules::None, |own| own.submodules),
    })
}

/// Whether the operator lets the job's project use the ssh keys of this host.
fn uses_host_keys(job: &Job, projects: &[ProjectPattern]) -> bool {
    let project = job.own.project.as_deref().map(str::parse::<ProjectPath>);
    // An older coordinator does not name the project.
    let Some(Ok(project)) = project else {
        return false;
    };
    projects.iter().any(|pattern| pattern.matches(&project))
}

fn git_failure(error: &GitError) -> Failure {
    Failure {
        reason: reason_of(error),
        message: error.to_string(),
    }
}

fn reason_of(error: &GitError) -> FailureReason {
    match error {
        GitError::RefusedUrl(_)
        | GitError::RefusedKey
        | GitError::RefusedSubmodules(_)
        | GitError::LargeFiles { .. }
        | GitError::RepositoryUnavailable { .. }
        | GitError::CommitMissing { .. }
        | GitError::TimedOut { .. } => FailureReason::SourceUnavailable,
        GitError::Submodule { error, .. } => reason_of(error),
        GitError::DiskFull => FailureReason::DiskFull,
        GitError::GitMissing(_) | GitError::SshMissing | GitError::Io(_) => {
            FailureReason::RunnerFault
        }
    }
}

fn unpack_failure(job: &str, error: &PackageError) -> Failure {
    let reason = match error.reason() {
        FailureReason::DiskFull => return disk_full(),
        FailureReason::RunnerFault => FailureReason::RunnerFault,
        // The needed job packed it, so retrying on another runner does not help.
        _ => FailureReason::JobFailed,
    };
    Failure {
        reason,
        message: format!("could not unpack the artifacts of {job}: {error}"),
    }
}
