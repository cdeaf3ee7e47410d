//! Sources that were submitted with a build instead of a commit.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use slipway_domain::FailureReason;
use slipway_image_builder::BuildError;
use slipway_packages::{Archive, PackageError, PackageUrl, Packages, UnpackLimits, restore};
use slipway_protocol::JobSource;

use super::{checkout, failure};
use crate::backoff::RequestBackoff;
use crate::executor::{Failure, Job, disk_full};

/// How many times a download from an external URL is attempted.
const ATTEMPTS: u32 = 4;

/// The limits on sources that a user submitted as a directory. Names may be as long as the system allows, and directories may be as deep as
/// in a repository. Files of a context may compress extremely well.
pub(super) fn limits() -> UnpackLimits {
    UnpackLimits {
        ratio: u64::MAX,
        entries: 500_000,
        depth: 256,
        path: 4096,
        ..UnpackLimits::default()
    }
}

/// Fetches the sources, verifies their checksum, and unpacks them.
pub(super) async fn prepare(
    packages: &Packages,
    job: &Job,
    source: &JobSource,
) -> Result<(), Failure> {
    tokio::select! {
        biased;
        () = job.stop.stopped() => Err(failure(&BuildError::Canceled)),
        loaded = load(packages, job, source) => loaded,
    }
}

async fn load(packages: &Packages, job: &Job, source: &JobSource) -> Result<(), Failure> {
    let file = match job.stored_source() {
        Some(path) => open_and_delete(&path).map_err(|error| unusable(&error.into()))?,
        None => fetch(packages, job, source).await?,
    };
    // Hashing reads the whole file, which would block the other jobs on this thread.
    let (file, found) = tokio::task::spawn_blocking(move || sha256_of(file))
        .await
        .map_err(io::Error::other)
        .flatten()
        .map_err(|error| unusable(&error.into()))?;
    // The checksum is optional, and an empty text counts as none.
    let wanted = source.sha256.as_deref().filter(|text| !text.is_empty());
    if let Some(wanted) = wanted
        && !wanted.eq_ignore_ascii_case(&found)
    {
        return Err(Failure {
            reason: FailureReason::SourceUnavailable,
            message: format!("the submitted sources have the SHA-256 {found}, expected {wanted}"),
        });
    }
    job.output.line("Unpacking the sources");
    let dir = checkout::dir(job);
    let unpacked = restore(file, Archive::TarGz, &dir, limits()).await;
    unpacked.map(drop).map_err(|error| unusable(&error))
}

/// Opens a file that is read once, and deletes it.
fn open_and_delete(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    // The open file is enough; the disk need not hold the sources twice.
    std::fs::remove_file(path)?;
    Ok(file)
}

/// Downloads sources from a URL in the request. It is trusted as little as the URL of a package, so
/// the same limits on networks and sizes apply.
async fn fetch(packages: &Packages, job: &Job, source: &JobSource) -> Result<File, Failure> {
    let url: PackageUrl = source.url.parse().map_err(|error| unusable(&error))?;
    let mut log = |line: &str| job.output.line(line);
    let mut backoff = RequestBackoff::new();
    for _ in 1..ATTEMPTS {
        match packages.fetch(&url, &job.dir, &mut log).await {
            Ok(fetched) => return Ok(fetched.file),
            Err(error @ (PackageError::Unavailable { .. } | PackageError::Stalled { .. })) => {
                job.output.line(&format!("Retrying: {error}"));
            }
            Err(error) => return Err(unusable(&error)),
        }
        tokio::time::sleep(backoff.after_failure(None)).await;
    }
    let last = packages.fetch(&url, &job.dir, &mut log).await;
    last.map(|fetched| fetched.file)
        .map_err(|error| unusable(&error))
}

/// Returns the file, rewound, and the SHA-256 of its content.
fn sha256_of(mut file: File) -> io::Result<(File, String)> {
    let mut digest = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            count => digest.update(&piece[..count]),
        }
    }
    file.rewind()?;
    Ok((file, hex::encode(digest.finalize())))
}

fn unusable(error: &PackageError) -> Failure {
    // Other reasons name packages, which this is not.
    let reason = match error.reason() {
        FailureReason::DiskFull => return disk_full(),
        FailureReason::RunnerFault => FailureReason::RunnerFault,
        _ => FailureReason::SourceUnavailable,
    };
    Failure {
        reason,
        message: format!("the submitted sources cannot be used: {error}"),
    }
}
