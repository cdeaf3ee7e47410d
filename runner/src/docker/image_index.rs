//! Image indexes: one name for the images that other jobs built, one for each platform.

use slipway_domain::spec::ImageIndex;
use slipway_domain::{FailureReason, ImageDetails, Phase};
use slipway_image_builder::Progress as _;
use slipway_outbound::Outbound;
use slipway_protocol::ImageResult;
use slipway_registry::{Registry, RegistryError};

use super::logins;
use crate::executor::{Failure, Job};

/// Pushes the index under its tags.
pub(super) async fn push(
    outbound: &Outbound,
    job: &Job,
    index: &ImageIndex,
) -> Result<ImageResult, Failure> {
    let Some(repository) = &index.repository else {
        let message = "the image index has no repository to push to".to_owned();
        return Err(failed(FailureReason::JobFailed, message));
    };
    let (found, wanted) = (index.images.len(), index.images_of.len());
    if found < wanted {
        let message = format!(
            "only {found} of the {wanted} images exist: the other jobs did not succeed, or their \
             runners did not report what they pushed"
        );
        return Err(failed(FailureReason::JobFailed, message));
    }
    job.output.phase(Phase::Pushing);
    // Wait until the coordinator has the phase: if the build was canceled, its answer stops the job
    // before anything is pushed.
    job.output.phase_reported().await;
    for image in &index.images {
        job.output
            .line(&format!("{} is {}", image.platform, image.digest));
    }
    let logins = logins(job);
    let login = logins
        .iter()
        .find(|login| login.registry == repository.registry())
        .map(|login| (login.username.as_str(), login.password.as_str()));
    let registry = Registry::new(outbound, repository, login)
        .map_err(|error| failed(reason(&error), error.to_string()))?;
    let log = |line: &str| job.output.line(line);
    let digest = tokio::select! {
        biased;
        () = job.stop.token().cancelled() => {
            return Err(failed(FailureReason::JobFailed, "the job was stopped".to_owned()));
        }
        pushed = registry.push_index(&index.images, &index.tags, &log) => {
            pushed.map_err(|error| failed(reason(&error), error.to_string()))?
        }
    };
    job.output.line(&format!("digest: {digest}"));
    Ok(ImageResult {
        reference: index.tags.first().map(|tag| repository.tagged(tag)),
        tags: index.tags.clone(),
        digest,
        size_bytes: index.images.iter().map(|image| image.size_bytes).sum(),
        details: ImageDetails::default(),
    })
}

fn reason(error: &RegistryError) -> FailureReason {
    match error {
        RegistryError::Refused { .. } | RegistryError::Unreadable { .. } => {
            FailureReason::PushRefused
        }
        RegistryError::SamePlatform(_) => FailureReason::PlatformUnsupported,
        RegistryError::Setup => FailureReason::RunnerFault,
    }
}

fn failed(reason: FailureReason, message: String) -> Failure {
    Failure { reason, message }
}
