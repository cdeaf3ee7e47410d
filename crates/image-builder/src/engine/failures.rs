//! Reading the engine's errors.
//!
//! The engine tells most failures in prose only, inside a stream that began well. What is known of
//! the step that failed is used first, and its words only where there is nothing else.

use bollard::errors::Error;
use slipway_domain::ImageBuild;

use crate::error::BuildError;

/// A step that failed, as the engine's progress showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedStep {
    /// Its name, such as `[2/3] RUN make`.
    pub(crate) name: String,
    /// What the engine said of it.
    pub(crate) error: String,
    /// Whether its command is for another processor.
    pub(crate) is_foreign: bool,
}

/// The error of a call that has nothing to do with a Dockerfile.
pub(crate) fn engine_error(error: Error) -> BuildError {
    let detail = error.to_string();
    if is_disk_full(&detail) {
        return BuildError::DiskFull;
    }
    BuildError::EngineUnavailable {
        detail: shorten(&detail),
    }
}

/// The error that ended a build.
pub(crate) fn build_error(
    error: Error,
    step: Option<&FailedStep>,
    spec: &ImageBuild,
) -> BuildError {
    let message = match error {
        Error::DockerStreamError { error } => error,
        Error::DockerResponseServerError {
            status_code,
            message,
        } if status_code < 500 || step.is_some() || is_about_dockerfile(&message) => message,
        // The connection broke, or the engine is at fault.
        other => return engine_error(other),
    };
    explain(&message, step, spec)
}

fn explain(message: &str, step: Option<&FailedStep>, spec: &ImageBuild) -> BuildError {
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
    let detail = shorten(last_cause(message));
    if let Some(error) = wants_secret(message, step).or_else(|| platform_error(message, step, spec))
    {
        return error;
    }
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

/// The error of a step that wants a secret or an agent which is not given.
fn wants_secret(message: &str, step: Option<&FailedStep>) -> Option<BuildError> {
    let step = step?;
    if !step.name.contains("--mount=") {
        return None;
    }
    let said = |words: &str| message.contains(words) || step.error.contains(words);
    let of_agent = [
        "no ssh forwarded",
        "no SSH forwarded",
        "unset ssh forward key",
        "no SSH key",
    ];
    let (wanted, advice) = if of_agent.into_iter().any(said) {
        let advice = "name the variable with the private key under ssh";
        ("an SSH agent".to_owned(), advice)
    } else {
        let secret = [message, &step.error].into_iter().find_map(secret_in)?;
        (
            format!("the secret {secret}"),
            "name its variable under secrets",
        )
    };
    Some(BuildError::SecretNotGiven {
        step: step.name.clone(),
        wanted,
        advice,
    })
}

/// The secret that is said not to be there, as in `secret npm: not found`.
fn secret_in(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("secret ")?;
    let id = rest.split([' ', ':']).next().filter(|id| !id.is_empty())?;
    rest[id.len()..]
        .contains("not found")
        .then(|| id.to_owned())
}

/// The error of an image that cannot be had, or run, for the platform.
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
    let detail = shorten(last_cause(message));
    if MISSING.iter().any(|words| message.contains(words)) {
        let image = step.and_then(|step| base_image(&step.name));
        return Some(BuildError::PlatformMissing {
            image: image.unwrap_or_else(|| "of the Dockerfile".to_owned()),
            platform,
        });
    }
    let is_foreign = message.contains("exec format error")
        || step.is_some_and(|step| step.is_foreign || step.error.contains("exec format error"));
    is_foreign.then(|| BuildError::PlatformUnsupported {
        platform,
        step: step.map(|step| step.name.clone()),
        detail,
    })
}

/// The image that a step wants to have, when that is all the step does.
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

/// Whether the words are those with which the engine refuses a Dockerfile before any step runs.
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

/// The exit code of the command that failed, as either builder tells it.
fn exit_code(message: &str) -> Option<i64> {
    ["exit code: ", "non-zero code: "].iter().find_map(|words| {
        let (_, rest) = message.rsplit_once(words)?;
        let end = rest.find(|c: char| !c.is_ascii_digit());
        rest[..end.unwrap_or(rest.len())].parse().ok()
    })
}

/// The message without the names of the layers of the engine that passed it on.
fn last_cause(message: &str) -> &str {
    const LAYERS: &[&str] = &[
        "failed to solve with frontend dockerfile.v0: ",
        "failed to solve with frontend gateway.v0: ",
        "failed to solve: ",
        "failed to create LLB definition: ",
        "rpc error: code = Unknown desc = ",
        "executor failed running ",
    ];
    let mut rest = message;
    while let Some(shorter) = LAYERS.iter().find_map(|layer| rest.strip_prefix(layer)) {
        rest = shorter;
    }
    rest
}

/// One line of bounded length.
pub(crate) fn shorten(message: &str) -> String {
    const MAX: usize = 500;
    let line: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX) {
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

    fn explained(message: &str, step: &FailedStep) -> BuildError {
        explain(message, Some(step), &ImageBuild::default())
    }

    #[test]
    fn the_step_tells_more_than_the_words() {
        let message = "failed to solve: docker.io/library/x:1: not found";
        let error = explained(
            message,
            &step("[internal] load metadata for docker.io/library/x:1"),
        );
        assert!(
            matches!(&error, BuildError::BaseImageUnavailable { image, detail }
                if image == "docker.io/library/x:1" && detail == "docker.io/library/x:1: not found"),
            "{error}"
        );
        let error = explained(
            "executor failed running [/bin/sh -c exit 7]: exit code: 7",
            &step("[2/3] RUN exit 7"),
        );
        assert!(
            matches!(&error, BuildError::BuildFailed { step, code: Some(7), .. } if step == "[2/3] RUN exit 7"),
            "{error}"
        );
        let error = explained("write /x: no space left on device", &step("[2/3] RUN dd"));
        assert!(matches!(error, BuildError::DiskFull));
    }

    #[test]
    fn base_images_are_read_from_either_builder() {
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
    fn messages_are_kept_short() {
        let long = shorten(&"ä \n".repeat(1000));
        assert!(long.chars().count() <= 501 && !long.contains('\n'));
    }
}
