//! The sources of a job that builds a package, and where the Dockerfile and context are in them.

use std::fs::File;

use slipway_domain::ImageBuild;
use slipway_domain::package::{BuildPackage, PackageSource};
use slipway_image_builder::BuildError;
use slipway_packages::{Archive, PackageError, PackageUrl, Packages, locate, restore};

use super::{checkout, failure, submitted_source};
use crate::executor::{Failure, Job};

/// Fetches the package and unpacks it.
pub(super) async fn prepare(
    packages: &Packages,
    job: &Job,
    package: &BuildPackage,
) -> Result<(), Failure> {
    let loaded = tokio::select! {
        biased;
        () = job.stop.stopped() => return Err(failure(&BuildError::Canceled)),
        loaded = load(packages, job, package) => loaded,
    };
    loaded.map_err(|error| package_failure(&error))
}

async fn load(packages: &Packages, job: &Job, package: &BuildPackage) -> Result<(), PackageError> {
    let dir = checkout::dir(job);
    let mut log = |line: &str| job.output.line(line);
    match (&package.source, job.upload.get()) {
        (PackageSource::Url(url), _) => {
            let url: PackageUrl = url.parse()?;
            packages.load(&url, &dir, &mut log).await
        }
        (PackageSource::Upload(_), Some(upload)) => {
            let file = File::open(&upload.path)?;
            // The open file is enough; the disk need not hold the package twice.
            std::fs::remove_file(&upload.path)?;
            if package.is_directory {
                log("Unpacking the directory");
                let limits = submitted_source::limits();
                restore(file, Archive::TarGz, &dir, limits).await?;
                return Ok(());
            }
            let content_type = upload.content_type.as_deref();
            packages.load_file(file, content_type, &dir, &mut log).await
        }
        // It was downloaded before `prepare`; this cannot happen.
        (PackageSource::Upload(_), None) => {
            Err(std::io::Error::from(std::io::ErrorKind::NotFound).into())
        }
    }
}

/// The spec with the paths of context and Dockerfile in the unpacked package.
pub(super) fn located(job: &Job, spec: &ImageBuild) -> Result<ImageBuild, Failure> {
    let Some(package) = &spec.package else {
        return Ok(spec.clone());
    };
    let found = locate(&checkout::dir(job), &package.location);
    let found = found.map_err(|error| package_failure(&error))?;
    Ok(ImageBuild {
        dockerfile: found.dockerfile_in_package(),
        context: match found.context.as_str() {
            "" => ".".to_owned(),
            context => context.to_owned(),
        },
        ..spec.clone()
    })
}

fn package_failure(error: &PackageError) -> Failure {
    Failure {
        reason: error.reason(),
        message: error.to_string(),
    }
}
