//! Pulls the image that a script runs in.

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt as _;
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
    if image.contains('@') && !is_local {
        // The engine does not ask the registry about an image of this digest that it has.
        let report = |line: String| progress.output(format!("{line}\n").as_bytes());
        let checked = builder.check_pull_right(image, login, report).await;
        checked.map_err(|error| pull_error(image, error))?;
        if is_present(builder, image).await? {
            return Ok(image.clone());
        }
    }
    let options = CreateImageOptions {
        from_image: Some(with_tag(image)),
        ..CreateImageOptions::default()
    };
    let credentials = login.map(|login| DockerCredentials {
        username: Some(login.username.clone()),
        password: Some(login.password.clone()),
        serveraddress: Some(login.registry.clone()),
        ..DockerCredentials::default()
    });
    let engine = builder.engine();
    let mut answer = std::pin::pin!(engine.create_image(Some(options), None, credentials));
    while let Some(message) = answer.next().await {
        if let Err(error) = message {
            return Err(pull_error(image, error));
        }
    }
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

/// The image with the default tag if it names none. Without a tag the engine would pull all tags.
fn with_tag(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains([':', '@']) {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_registry_or_tag_gets_the_defaults() {
        for (image, host, whole) in [
            ("busybox", "docker.io", "busybox:latest"),
            ("acme/tools:1", "docker.io", "acme/tools:1"),
            (
                "r.example:5000/a/b",
                "r.example:5000",
                "r.example:5000/a/b:latest",
            ),
            (
                "localhost/a@sha256:12",
                "localhost",
                "localhost/a@sha256:12",
            ),
        ] {
            assert_eq!(
                (registry_of(image), with_tag(image).as_str()),
                (host, whole)
            );
        }
    }
}
