//! What a job works on: the commit, and the files of the jobs it needs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use slipway_domain::{CommitSha, FailureReason, GitRef, Submodules};
use slipway_git::{DeployKey, Git, GitError, RemoteUrl, Source};
use slipway_image_builder::BuildError;
use slipway_packages::{Archive, PackageError, UnpackLimits, unpack};

use super::failure;
use crate::executor::disk_full;
use crate::executor::{Failure, Job};

/// What the archives of earlier jobs may become: more than a package, as they are the farm's own.
const LIMITS: UnpackLimits = UnpackLimits {
    compressed: u64::MAX,
    expanded: 16 << 30,
    // What a job writes may well be very regular.
    ratio: u64::MAX,
    ratio_from: 0,
    entries: 500_000,
    depth: 256,
    path: 4096,
    time: Duration::from_secs(3600),
};

/// Where the checkout of a job is.
pub(super) fn dir(job: &Job) -> PathBuf {
    job.dir.join("source")
}

/// Checks the commit out.
pub(super) async fn prepare(git: &Git, job: &Job) -> Result<(), Failure> {
    let source = source_of(job)?;
    let dir = dir(job);
    let mut say = |line: &str| job.output.line(line);
    tokio::select! {
        biased;
        () = job.stop.stopped() => Err(failure(&BuildError::Canceled)),
        fetched = git.checkout(&source, &dir, &mut say) => {
            fetched.map_err(|error| git_failure(&error))
        }
    }
}

/// When the commit was made, in seconds after the beginning of 1970.
pub(super) async fn time(git: &Git, job: &Job) -> Result<u32, Failure> {
    let unknown = || Failure {
        reason: FailureReason::Unsupported,
        message:
            "the image is to be dated by its commit, and what is built is none; name a number \
                  of seconds as source_date"
                .to_owned(),
    };
    if job.own.spec.package().is_some() || job.own.source.is_some() {
        return Err(unknown());
    }
    let time = git.commit_time(&dir(job)).await;
    let time = time.map_err(|error| git_failure(&error))?;
    time.and_then(|time| time.try_into().ok())
        .ok_or_else(unknown)
}

/// Makes an empty place in the place of a checkout.
pub(super) fn none(job: &Job) -> Result<(), Failure> {
    let made = std::fs::create_dir(dir(job));
    made.map_err(|error| failure(&error.into()))
}

/// Unpacks the archives of the jobs before it into the checkout.
pub(super) async fn unpack_needs(job: &Job) -> Result<(), Failure> {
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
    unpack(file, Archive::Zip, dir, LIMITS).await?;
    // Once is enough to have on disk.
    Ok(std::fs::remove_file(archive)?)
}

fn source_of(job: &Job) -> Result<Source, Failure> {
    let payload = &job.payload;
    let url: RemoteUrl = payload
        .repo_url
        .parse()
        .map_err(|error| git_failure(&error))?;
    let sha: CommitSha = payload.sha.parse().map_err(|_| Failure {
        reason: FailureReason::SourceUnavailable,
        message: "the job does not name a full commit sha".to_owned(),
    })?;
    let git_ref: Option<GitRef> = payload.git_ref.parse().ok();
    let own = job.own.checkout.as_ref();
    let url = match own.and_then(|own| own.deploy_key.as_ref()) {
        Some(key) => url.with_key(DeployKey {
            private: key.private_key.clone(),
            known_hosts: key.known_hosts.clone(),
        }),
        None => url,
    };
    Ok(Source {
        url,
        git_ref,
        sha,
        // A coordinator that says nothing of submodules knows none.
        submodules: own.map_or(Submodules::None, |own| own.submodules),
    })
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
        // Another job made it so.
        _ => FailureReason::JobFailed,
    };
    Failure {
        reason,
        message: format!("the artifacts of {job} cannot be unpacked: {error}"),
    }
}
