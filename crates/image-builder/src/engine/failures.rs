//! Turns the engine's errors into [`BuildError`]s.
//!
//! The engine reports most failures as prose, at the end of an answer that began with 200. One rule
//! decides who is at fault: a command that ended by itself failed by itself. Everything else that
//! happens inside a step is the build host's fault, unless its Dockerfile asks for something that
//! cannot work. The words are in `words`, the parts of a message in `message`.

mod images;
mod message;
mod secrets;
mod words;

use bollard::errors::Error;
use slipway_domain::ImageBuild;

use self::images::{base_image, frontend, platform_error};
use self::message::{Exit, Message, last_cause};
use self::secrets::missing_secret;
use crate::error::BuildError;

pub(crate) use self::images::pulled_image;

/// How a runtime begins the only line of output of a command that it could not start. BuildKit
/// reports such a command as one that exited with 1.
const RUNTIME_ERRORS: &[&str] = &[
    "runc run failed: ",
    "runc create failed: ",
    "container_linux.go:",
    "crun: ",
    "error running container: ",
    "OCI runtime error: ",
];

/// A failed step, as the engine's progress shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FailedStep {
    /// Such as `[2/3] RUN make`.
    pub(crate) name: String,
    /// The engine's message about it.
    pub(crate) error: String,
    /// Whether its command is for another architecture than the engine's.
    pub(crate) is_foreign: bool,
    /// The output of the runtime, if the runtime could not start the command.
    pub(crate) runtime_error: Option<String>,
}

/// The error of a call to the engine other than a build.
pub fn engine_error(error: Error) -> BuildError {
    match error {
        Error::DockerResponseServerError { message, .. }
        | Error::DockerStreamError { error: message } => {
            host_fault(&message).unwrap_or_else(|| host_failed(None, &message))
        }
        other => {
            let detail = transport_error(&other);
            if words::is_disk_full(&detail) {
                return BuildError::DiskFull;
            }
            BuildError::EngineUnavailable {
                detail: shorten(&detail),
            }
        }
    }
}

/// The error that this message of the engine means, if it means that the build host failed.
pub fn host_fault(message: &str) -> Option<BuildError> {
    if words::is_disk_full(message) {
        return Some(BuildError::DiskFull);
    }
    let has_failed = words::has_host_failed(message) && !words::is_program_wrong(message);
    has_failed.then(|| host_failed(None, message))
}

/// Whether this message of the engine means that an image lacks a program, or may not run it.
pub fn is_program_missing(message: &str) -> bool {
    words::is_program_wrong(message)
}

/// Why there was no answer, without the names of libraries.
fn transport_error(error: &Error) -> String {
    if let Error::RequestTimeoutError = error {
        return "it did not answer in time".to_owned();
    }
    // The innermost cause is the system's: the others only repeat it.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn host_failed(step: Option<&FailedStep>, cause: &str) -> BuildError {
    BuildError::HostFailed {
        step: step.map(|step| step.name.clone()),
        detail: shorten(last_cause(cause)),
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
    match error {
        Error::DockerStreamError { error } => classify(&error, step, spec),
        // Some errors in the Dockerfile are answered with 500; any other 5xx is the engine's fault.
        Error::DockerResponseServerError {
            status_code,
            message,
        } if status_code < 500 || step.is_some() || words::is_dockerfile_wrong(&message) => {
            classify(&message, step, spec)
        }
        other => engine_error(other),
    }
}

fn classify(message: &str, step: Option<&FailedStep>, spec: &ImageBuild) -> BuildError {
    if let Some(error) = missing_dockerfile(message, spec) {
        return error;
    }
    let Some(step) = step else {
        return without_step(message, spec);
    };
    // Both are failures of a step too, but their cause is known more precisely.
    if let Some(error) =
        missing_secret(message, Some(step)).or_else(|| platform_error(message, Some(step), spec))
    {
        return error;
    }
    let name = Some(step.name.as_str());
    let [whole, own] = [message, &step.error].map(|text| Message::parse(text, name));
    let exit = whole.exit.or(own.exit);
    if let Some(runtime_error) = &step.runtime_error
        && exit.is_none_or(|exit| exit == Exit::Code(1))
    {
        return of_cause(step, runtime_error);
    }
    match exit {
        Some(exit) => BuildError::BuildFailed {
            step: step.name.clone(),
            code: Some(exit.code()),
            detail: match exit {
                Exit::Code(_) => shorten(whole.cause),
                Exit::OutOfMemory => "it was killed because memory ran out".to_owned(),
            },
        },
        // The message at the end may be about a step that was only canceled.
        None if own.cause.is_empty() || whole.cause.contains(own.cause) => {
            of_cause(step, whole.cause)
        }
        None => of_cause(step, own.cause),
    }
}

/// The error of a step that failed for `cause`, not because its command ended.
fn of_cause(step: &FailedStep, cause: &str) -> BuildError {
    let detail = shorten(last_cause(cause));
    if words::is_disk_full(cause) {
        return BuildError::DiskFull;
    }
    if let Some(image) = frontend(&step.name) {
        return match host_fault(cause) {
            Some(error) => error,
            None => BuildError::FrontendUnavailable { image, detail },
        };
    }
    if let Some(image) = base_image(&step.name) {
        return match host_fault(cause) {
            Some(error) => error,
            None => BuildError::BaseImageUnavailable { image, detail },
        };
    }
    if words::is_instruction_invalid(cause) {
        return BuildError::DockerfileInvalid {
            detail: format!("{}: {detail}", step.name),
        };
    }
    let is_wrong = words::is_program_wrong(cause);
    let has_host_failed = words::has_host_failed(cause);
    let is_unexplained = is_done_by_engine(&step.name) && !words::is_reference_wrong(cause);
    if !is_wrong && (has_host_failed || is_unexplained) {
        host_failed(Some(step), cause)
    } else {
        BuildError::BuildFailed {
            step: step.name.clone(),
            code: None,
            detail,
        }
    }
}

/// Whether a failure of this step, other than the end of its command, is the engine's: it runs a
/// command or handles the image. The other instructions read what a user wrote or named.
fn is_done_by_engine(step: &str) -> bool {
    let instruction = match step.strip_prefix('[') {
        Some(rest) => rest.split_once("] ").map_or(step, |(_, rest)| rest),
        None => step.split_once(" : ").map_or(step, |(_, rest)| rest),
    };
    instruction.starts_with("RUN ")
        || step.starts_with("[internal] ")
        || step.starts_with("exporting ")
        || step.starts_with("writing image")
}

/// The error of a build for which the engine found no Dockerfile.
fn missing_dockerfile(message: &str, spec: &ImageBuild) -> Option<BuildError> {
    const WORDS: [&str; 2] = [
        "cannot locate specified dockerfile",
        "failed to read dockerfile",
    ];
    let lower = message.to_lowercase();
    let is_missing = WORDS.iter().any(|words| lower.contains(words));
    // The engine also fails to read it if its own disk is full or broken.
    (is_missing && host_fault(message).is_none()).then(|| BuildError::DockerfileMissing {
        path: spec.dockerfile.clone(),
    })
}

/// The error of a build that failed outside of its steps: the frontend has refused the Dockerfile,
/// or the engine failed.
fn without_step(message: &str, spec: &ImageBuild) -> BuildError {
    if let Some(error) = host_fault(message) {
        return error;
    }
    if let Some(error) = platform_error(message, None, spec) {
        return error;
    }
    BuildError::DockerfileInvalid {
        detail: shorten(last_cause(message)),
    }
}

/// Whether this line, the first one that a command wrote, comes from a runtime that could not start
/// the command.
pub(crate) fn is_runtime_error(line: &str) -> bool {
    RUNTIME_ERRORS.iter().any(|prefix| line.starts_with(prefix))
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
mod tests;
