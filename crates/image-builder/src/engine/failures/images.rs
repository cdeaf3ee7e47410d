//! Steps that pull an image, and images that do not fit the platform.

use slipway_domain::ImageBuild;

use super::{FailedStep, last_cause, shorten};
use crate::error::BuildError;

/// How BuildKit names a step that pulls a base image.
const BASE_IMAGE: &[&str] = &["[internal] load metadata for "];
/// How BuildKit names a step that pulls the frontend, which reads the Dockerfile.
const FRONTEND: &[&str] = &[
    "resolve image config for docker-image://",
    "resolve image config for ",
    "docker-image://",
];
/// How engines report that an image does not exist for a platform.
const PLATFORM_MISSING: &[&str] = &["no match for platform", "no matching manifest for"];
/// The kernel's error for a program of another architecture.
const FOREIGN: &str = "exec format error";

/// The image that a step pulls, if the step does nothing else.
pub(crate) fn pulled_image(step: &str) -> Option<String> {
    base_image(step).or_else(|| frontend(step))
}

/// The base image that a step pulls, if the step does nothing else.
pub(super) fn base_image(step: &str) -> Option<String> {
    let image = BASE_IMAGE
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
    first_name(image)
}

/// The frontend that a step pulls.
pub(super) fn frontend(step: &str) -> Option<String> {
    let image = FRONTEND
        .iter()
        .find_map(|prefix| step.strip_prefix(prefix))?;
    first_name(image)
}

fn first_name(image: &str) -> Option<String> {
    let image = image
        .split_whitespace()
        .find(|word| !word.starts_with("--"))?;
    Some(image.to_owned())
}

/// The error of an image that does not exist for the platform, or cannot run on this host.
pub(super) fn platform_error(
    message: &str,
    step: Option<&FailedStep>,
    spec: &ImageBuild,
) -> Option<BuildError> {
    let platform = match spec.platforms.first() {
        Some(platform) => platform.to_string(),
        None => "the platform of its base image".to_owned(),
    };
    if PLATFORM_MISSING.iter().any(|words| message.contains(words)) {
        let image = step.and_then(|step| base_image(&step.name));
        return Some(BuildError::PlatformMissing {
            image: image.unwrap_or_else(|| "of the Dockerfile".to_owned()),
            platform,
        });
    }
    // The kernel's error is in the engine's message, in the error of the step, or only in its
    // output.
    let is_foreign = message.contains(FOREIGN)
        || step.is_some_and(|step| {
            let runtime = step.runtime_error.as_deref().unwrap_or_default();
            step.is_foreign || step.error.contains(FOREIGN) || runtime.contains(FOREIGN)
        });
    is_foreign.then(|| BuildError::PlatformUnsupported {
        platform,
        step: step.map(|step| step.name.clone()),
        detail: shorten(last_cause(message)),
    })
}
