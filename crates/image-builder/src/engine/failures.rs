//! Turns the engine's errors into [`BuildError`]s.
//!
//! The engine reports most failures as prose, at the end of an answer that began with 200. What the
//! progress shows about the failed step is used first, and the prose only where nothing else is
//! known.

use bollard::errors::Error;
use slipway_domain::ImageBuild;

use crate::error::BuildError;

/// A failed step, as the engine's progress shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedStep {
    /// Such as `[2/3] RUN make`.
    pub(crate) name: String,
    /// The engine's message about it.
    pub(crate) error: String,
    /// Whether its command is for another architecture than the engine's.
    pub(crate) is_foreign: bool,
}

/// The error of a call to the engine other than a build.
pub fn engine_error(error: Error) -> BuildError {
    let detail = error.to_string();
    if is_disk_full(&detail) {
        return BuildError::DiskFull;
    }
    BuildError::EngineUnavailable {
        detail: shorten(&detail),
    }
}

/// The result of a deletion, which is no failure if something else has deleted the thing meanwhile.
/// What is still in use is left to the next sweep.
pub(crate) fn ignore_missing(removed: Result<(), Error>) -> Result<(), BuildError> {
    match removed {
        Ok(())
        | Err(Error::DockerResponseServerError {
            status_code: 404 | 409,
            ..
        }) => Ok(()),
        // The second of two calls that delete one image at the same time is answered with 500.
        Err(Error::DockerResponseServerError { message, .. })
            if message.starts_with("unrecognized image ID") =>
        {
            Ok(())
        }
        Err(error) => Err(engine_error(error)),
    }
}

/// The error of a build.
pub(crate) fn build_error(
    error: Error,
    step: Option<&FailedStep>,
    spec: &ImageBuild,
) -> BuildError {
    let message = match error {
        Error::DockerStreamError { error } => error,
        // Some errors in the Dockerfile are answered with 500; any other 5xx is the engine's fault.
        Error::DockerResponseServerError {
            status_code,
            message,
        } if status_code < 500 || step.is_some() || is_about_dockerfile(&message) => message,
        other => return engine_error(other),
    };
    classify(&message, step, spec)
}

fn classify(message: &str, step: Option<&FailedStep>, spec: &ImageBuild) -> BuildError {
    if is_disk_full(message) || step.is_some_and(|step| is_disk_full(&step.error)) {
        return BuildError::DiskFull;
    }
    let lower = message.to_lowercase();
    if lower.contains("cannot locate specified dockerfile")
        || lower.contains("failed to read dockerfile")
    {
        return BuildError::DockerfileMissing {
            path: spec.dockerfile.clone(),
        };
    }
    // Both are failures of a step too, but their cause is known more precisely.
    if let Some(error) =
        missing_secret(message, step).or_else(|| platform_error(message, step, spec))
    {
        return error;
    }
    let detail = shorten(last_cause(message));
    match step {
        Some(step) => match base_image(&step.name) {
            Some(image) => BuildError::BaseImageUnavailable { image, detail },
            None => BuildError::BuildFailed {
                step: step.name.clone(),
                code: exit_code(message).or_else(|| exit_code(&step.error)),
                detail,
            },
        },
        None if is_about_dockerfile(message) => BuildError::DockerfileInvalid { detail },
        None => BuildError::BuildFailed {
            step: "(unknown)".to_owned(),
            code: exit_code(message),
            detail,
        },
    }
}

/// The error of a step that requires a secret or an agent which the build does not provide.
fn missing_secret(message: &str, step: Option<&FailedStep>) -> Option<BuildError> {
    const NO_AGENT: [&str; 4] = [
        "no ssh forwarded",
        "no SSH forwarded",
        "unset ssh forward key",
        "no SSH key",
    ];
    let step = step?;
    // A command may print any of these messages; only a step with a mount can mean them.
    if !step.name.contains("--mount=") {
        return None;
    }
    let is_reported = |words: &str| message.contains(words) || step.error.contains(words);
    let (requirement, advice) = if NO_AGENT.into_iter().any(is_reported) {
        let advice = "name the variable with the private key under ssh";
        ("an SSH agent".to_owned(), advice)
    } else {
        let secret = [message, &step.error].into_iter().find_map(secret_in)?;
        let advice = "name its variable under secrets";
        (format!("the secret {secret}"), advice)
    };
    Some(BuildError::SecretNotProvided {
        step: step.name.clone(),
        requirement,
        advice,
    })
}

/// The id in a message such as `secret npm: not found`.
fn secret_in(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("secret ")?;
    let id = rest.split([' ', ':']).next().filter(|id| !id.is_empty())?;
    rest[id.len()..]
        .contains("not found")
        .then(|| id.to_owned())
}

/// The error of an image that does not exist for the platform, or cannot run on this host.
fn platform_error(
    message: &str,
    step: Option<&FailedStep>,
    spec: &ImageBuild,
) -> Option<BuildError> {
    const MISSING: &[&str] = &["no match for platform", "no matching manifest for"];
    let platform = match spec.platforms.first() {
        Some(platform) => platform.to_string(),
        None => "the platform of its base image".to_owned(),
    };
    if MISSING.iter().any(|words| message.contains(words)) {
        let image = step.and_then(|step| base_image(&step.name));
        return Some(BuildError::PlatformMissing {
            image: image.unwrap_or_else(|| "of the Dockerfile".to_owned()),
            platform,
        });
    }
    // The kernel's error is in the engine's message, in the error of the step, or only in its
    // output.
    let is_foreign = message.contains("exec format error")
        || step.is_some_and(|step| step.is_foreign || step.error.contains("exec format error"));
    is_foreign.then(|| BuildError::PlatformUnsupported {
        platform,
        step: step.map(|step| step.name.clone()),
        detail: shorten(last_cause(message)),
    })
}

/// The image that a step pulls, if the step does nothing else.
pub(crate) fn base_image(step: &str) -> Option<String> {
    const INTERNAL: &[&str] = &[
        "[internal] load metadata for ",
        "resolve image config for docker-image://",
        "resolve image config for ",
        "docker-image://",
    ];
    let image = INTERNAL
        .iter()
        .find_map(|prefix| step.strip_prefix(prefix))
        .or_else(|| {
            // BuildKit writes `[2/3] FROM a`, the classic builder `Step 2/3 : FROM a`.
            let rest = match step.strip_prefix('[') {
                Some(rest) => rest.split_once("] ")?.1,
                None => step.split_once(" : ").map_or(step, |(_, rest)| rest),
            };
            rest.strip_prefix("FROM ")
        })?;
    let image = image
        .split_whitespace()
        .find(|word| !word.starts_with("--"))?;
    Some(image.to_owned())
}

fn is_disk_full(message: &str) -> bool {
    message.contains("no space left on device") || message.contains("disk quota exceeded")
}

/// Whether the engine refused the Dockerfile before any step ran.
fn is_about_dockerfile(message: &str) -> bool {
    const WORDS: &[&str] = &[
        "dockerfile parse error",
        "failed to create llb definition",
        "failed to parse dockerfile",
        "file with no instructions",
        "cannot be empty",
        "no build stage in current context",
        "failed to reach build target",
        "target stage",
        "unknown instruction",
        "syntax error",
        "invalid from flag",
        "invalid field",
        "base name",
        "circular dependency",
        "failed to process",
        "unsupported frontend",
    ];
    let lower = message.to_lowercase();
    WORDS.iter().any(|word| lower.contains(word))
}

/// The exit code of the failed command, in the form of either builder.
fn exit_code(message: &str) -> Option<i64> {
    ["exit code: ", "non-zero code: "].iter().find_map(|words| {
        let (_, rest) = message.rsplit_once(words)?;
        let end = rest.find(|c: char| !c.is_ascii_digit());
        rest[..end.unwrap_or(rest.len())].parse().ok()
    })
}

/// Strips the prefixes that the layers of the engine add to a message they pass on.
fn last_cause(message: &str) -> &str {
    const PREFIXES: &[&str] = &[
        "failed to solve with frontend dockerfile.v0: ",
        "failed to solve with frontend gateway.v0: ",
        "failed to solve: ",
        "failed to create LLB definition: ",
        "rpc error: code = Unknown desc = ",
        "executor failed running ",
    ];
    let mut rest = message;
    while let Some(shorter) = PREFIXES.iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        rest = shorter;
    }
    rest
}

/// The message in one line of at most 500 characters.
pub(crate) fn shorten(message: &str) -> String {
    const MAX_CHARS: usize = 500;
    let line: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str) -> FailedStep {
        FailedStep {
            name: name.to_owned(),
            error: String::new(),
            is_foreign: false,
        }
    }

    fn classified(message: &str, step: &FailedStep) -> BuildError {
        classify(message, Some(step), &ImageBuild::default())
    }

    #[test]
    fn the_failed_step_decides_the_error_before_the_message_does() {
        let message = "failed to solve: docker.io/library/x:1: not found";
        let error = classified(
            message,
            &step("[internal] load metadata for docker.io/library/x:1"),
        );
        assert!(
            matches!(&error, BuildError::BaseImageUnavailable { image, detail }
                if image == "docker.io/library/x:1" && detail == "docker.io/library/x:1: not found"),
            "{error}"
        );
        let error = classified(
            "executor failed running [/bin/sh -c exit 7]: exit code: 7",
            &step("[2/3] RUN exit 7"),
        );
        assert!(
            matches!(&error, BuildError::BuildFailed { step, code: Some(7), .. } if step == "[2/3] RUN exit 7"),
            "{error}"
        );
        let error = classified("write /x: no space left on device", &step("[2/3] RUN dd"));
        assert!(matches!(error, BuildError::DiskFull));
    }

    #[test]
    fn base_images_are_recognized_in_steps_of_both_builders() {
        for (name, image) in [
            (
                "[internal] load metadata for r:5000/a:1",
                Some("r:5000/a:1"),
            ),
            (
                "[build 1/4] FROM docker.io/library/rust@sha256:12",
                Some("docker.io/library/rust@sha256:12"),
            ),
            (
                "Step 1/3 : FROM --platform=linux/amd64 a:1 AS b",
                Some("a:1"),
            ),
            ("[2/3] RUN echo FROM x", None),
            ("[2/3] COPY --from=a /x /y", None),
            ("Step 2/3 : RUN FROM x", None),
        ] {
            assert_eq!(base_image(name).as_deref(), image, "{name}");
        }
    }

    #[test]
    fn long_messages_are_shortened_to_one_line() {
        let long = shorten(&"ä \n".repeat(1000));
        assert!(long.chars().count() <= 501 && !long.contains('\n'));
    }

    fn refused(status_code: u16, message: &str) -> Result<(), Error> {
        Err(Error::DockerResponseServerError {
            status_code,
            message: message.to_owned(),
        })
    }

    #[test]
    fn deleting_what_is_already_deleted_is_no_error() {
        // The answers of Docker 20.10 to the second of two calls that delete one image.
        for (status, message) in [
            (404, "No such image: a:1"),
            (409, "removal of container 12ab is already in progress"),
            (500, "unrecognized image ID sha256:24742aa09ec4"),
        ] {
            assert!(
                ignore_missing(refused(status, message)).is_ok(),
                "{message}"
            );
        }
        assert!(ignore_missing(refused(500, "input/output error")).is_err());
    }
}
