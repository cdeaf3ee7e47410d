//! Sources that somebody handed in with a build, in the place of a commit.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use slipway_domain::FailureReason;
use slipway_image_builder::BuildError;
use slipway_packages::{Archive, PackageError, PackageUrl, Packages, UnpackLimits, unpack};
use slipway_protocol::JobSource;

use super::{checkout, failure};
use crate::backoff::Backoff;
use crate::executor::disk_full;
use crate::executor::{Failure, Job};

/// How often sources at an address that somebody named are asked for.
const TRIES: u32 = 4;

/// Gets the sources, looks whether they are those that were meant, and unpacks them.
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
    let file = match job.source_of_farm() {
        Some(path) => here(&path).map_err(|error| unusable(&error.into()))?,
        None => fetch(packages, job, source).await?,
    };
    let (file, found) = tokio::task::spawn_blocking(move || sum(file))
        .await
        .map_err(io::Error::other)
        .flatten()
        .map_err(|error| unusable(&error.into()))?;
    let wanted = source.sha256.as_deref().filter(|text| !text.is_empty());
    if let Some(wanted) = wanted
        && !wanted.eq_ignore_ascii_case(&found)
    {
        return Err(Failure {
            reason: FailureReason::SourceUnavailable,
            message: format!(
                "the sources that were handed in have the SHA-256 {found}, and not {wanted}"
            ),
        });
    }
    job.output.line("Unpacking the sources");
    let dir = checkout::dir(job);
    let unpacked = unpack(file, Archive::TarGz, &dir, UnpackLimits::default()).await;
    unpacked.map(drop).map_err(|error| unusable(&error))
}

/// The sources that the farm has sent.
fn here(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    // Once is enough to have on disk.
    std::fs::remove_file(path)?;
    Ok(file)
}

/// Fetches sources from an address that somebody named, which is not trusted more than a package's.
async fn fetch(packages: &Packages, job: &Job, source: &JobSource) -> Result<File, Failure> {
    let url: PackageUrl = source.url.parse().map_err(|error| unusable(&error))?;
    let mut say = |line: &str| job.output.line(line);
    let mut backoff = Backoff::new();
    for _ in 1..TRIES {
        match packages.fetch(&url, &job.dir, &mut say).await {
            Ok(fetched) => return Ok(fetched.file),
            Err(error @ (PackageError::Unavailable { .. } | PackageError::Stalled { .. })) => {
                job.output.line(&format!("Once more: {error}"));
            }
            Err(error) => return Err(unusable(&error)),
        }
        tokio::time::sleep(backoff.after_failure(None)).await;
    }
    let last = packages.fetch(&url, &job.dir, &mut say).await;
    last.map(|fetched| fetched.file)
        .map_err(|error| unusable(&error))
}

/// The file from its beginning, and the SHA-256 of what is in it.
fn sum(mut file: File) -> io::Result<(File, String)> {
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
    let reason = match error.reason() {
        FailureReason::DiskFull => return disk_full(),
        FailureReason::RunnerFault => FailureReason::RunnerFault,
        _ => FailureReason::SourceUnavailable,
    };
    Failure {
        reason,
        message: format!("the sources that were handed in cannot be used: {error}"),
    }
}
