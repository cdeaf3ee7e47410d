//! Reading the engine's errors.
//!
//! The engine tells most failures in prose only, inside a stream that began well. What is known of
//! the step that failed is used first, and its words only where there is nothing else.

use bollard::errors::Error;

use crate::error::BuildError;

/// A step that failed, as the engine's progress showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedStep {
    /// Its name, such as `[2/3] RUN make`.
    pub(crate) name: String,
    /// What the engine said of it.
    pub(crate) error: String,
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
pub(crate) fn build_error(error: Error, step: Option<&FailedStep>, dockerfile: &str) -> BuildError {
    let message = match error {
        Error::DockerStreamError { error } => error,
        Error::DockerResponseServerError {
            status_code,
            message,
        } if status_code < 500 || step.is_some() || is_about_dockerfile(&message) => message,
        // The connection broke, or the engine is at fault.
        other => return engine_error(other),
    };
    explain(&message, step, dockerfile)
}

fn explain(message: &str, step: Option<&FailedStep>, dockerfile: &str) -> BuildError {
    if is_disk_full(message) || step.is_some_and(|step| is_disk_full(&step.error)) {
        return BuildError::DiskFull;
    }
    let lower = message.to_lowercase();
    if lower.contains("cannot locate specified dockerfile")
        || lower.contains("failed to read dockerfile")
    {
        return BuildError::DockerfileMissing {
            path: dockerfile.to_owned(),
        };
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
        }
    }

    #[test]
    fn the_step_tells_more_than_the_words() {
        let message = "failed to solve: docker.io/library/x:1: not found";
        let error = explain(
            message,
            Some(&step("[internal] load metadata for docker.io/library/x:1")),
            "",
        );
        assert!(
            matches!(&error, BuildError::BaseImageUnavailable { image, detail }
                if image == "docker.io/library/x:1" && detail == "docker.io/library/x:1: not found"),
            "{error}"
        );
        let error = explain(
            "executor failed running [/bin/sh -c exit 7]: exit code: 7",
            Some(&step("[2/3] RUN exit 7")),
            "",
        );
        assert!(
            matches!(&error, BuildError::BuildFailed { step, code: Some(7), .. } if step == "[2/3] RUN exit 7"),
            "{error}"
        );
        let error = explain(
            "write /x: no space left on device",
            Some(&step("[2/3] RUN dd")),
            "",
        );
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
