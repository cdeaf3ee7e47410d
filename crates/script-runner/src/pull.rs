//! Pulls the image that a script runs in.

use bollard::errors::Error;
use slipway_domain::Phase;
use slipway_domain::image::registry_of;
use slipway_image_builder::{Builder, Progress, host_fault};

use crate::error::ScriptError;
use crate::request::ScriptRequest;

/// Makes sure that the job may use the image of `request` and that the engine has it. Returns the
/// image's name on this engine.
///
/// The engine offers an image that it pulled for one job to all of them. So the registry is asked with the
/// login of this job, unless the operator named the image as a local one.
pub(crate) async fn ensure_image(
    builder: &Builder,
    request: &ScriptRequest,
    progress: &dyn Progress,
) -> Result<String, ScriptError> {
    let (image, logins) = (&request.image, &request.logins);
    // An image of another job gets a name of this job, so that it is deleted with this job.
    if request.is_built_by_job {
        progress.phase(Phase::Pulling);
        progress.output(format!("Pulling {image}\n").as_bytes());
        let pulled = builder.ensure_job_image(image, &request.job, logins).await;
        return pulled.map_err(|error| pull_error(image, error));
    }
    let is_local = builder.local_images().contains(image);
    if is_local && is_present(builder, image).await? {
        return Ok(image.clone());
    }
    progress.phase(Phase::Pulling);
    progress.output(format!("Pulling {image}\n").as_bytes());
    let registry = registry_of(image);
    let login = logins.iter().find(|login| login.registry == registry);
    let report = |line: String| progress.output(format!("{line}\n").as_bytes());
    if image.contains('@') && !is_local {
        // The engine does not ask the registry about an image of this digest that it has.
        let checked = builder.check_pull_right(image, login, report).await;
        checked.map_err(|error| pull_error(image, error))?;
        if is_present(builder, image).await? {
            return Ok(image.clone());
        }
    }
    let pulled = builder.pull_image(image, login, report).await;
    pulled.map_err(|error| pull_error(image, error))?;
    Ok(image.clone())
}

/// Whether the engine has the image.
async fn is_present(builder: &Builder, image: &str) -> Result<bool, ScriptError> {
    match builder.engine().inspect_image(image).await {
        Ok(_) => Ok(true),
        Err(Error::DockerResponseServerError {
            status_code: 404, ..
        }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn pull_error(image: &str, error: Error) -> ScriptError {
    let detail = match &error {
        Error::DockerStreamError { error } => error.clone(),
        Error::DockerResponseServerError { message, .. } => message.clone(),
        _ => return error.into(),
    };
    match host_fault(&detail) {
        Some(fault) => fault.into(),
        None => ScriptError::ImageUnavailable {
            image: image.to_owned(),
            // The engine wraps registry errors over several lines.
            detail: detail.split_whitespace().collect::<Vec<_>>().join(" "),
        },
    }
}
