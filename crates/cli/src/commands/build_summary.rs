//! A summary of a build for people: its images, its slowest steps, and what its traces lack.

use slipway_client::{Artifact, Build, BuildStep, Job};

use crate::commands::artifacts::field;
use crate::output::{size, table};

/// The number of steps that are shown.
const SLOWEST: usize = 5;

/// The images among the artifacts of a build.
pub(super) fn images(artifacts: &[(&Job, Artifact)]) -> String {
    let images = artifacts
        .iter()
        .filter(|(_, artifact)| artifact.kind == "image");
    let row = |(job, image): &(&Job, Artifact)| {
        [
            job.name.clone(),
            field(image, &["reference"]),
            field(image, &["platform"]),
            size(image.size_bytes),
            field(image, &["digest"]),
        ]
    };
    let rows: Vec<_> = images.map(row).collect();
    section(
        ["IMAGE OF", "REFERENCE", "PLATFORM", "SIZE", "DIGEST"],
        rows,
    )
}

/// The slowest steps of all image builds.
pub(super) fn steps(build: &Build) -> String {
    let latest = build.jobs.iter().filter(|job| !job.superseded);
    let mut steps: Vec<(&Job, &BuildStep)> = latest
        .flat_map(|job| job.build_steps.iter().map(move |step| (job, step)))
        // Their time is that of another build.
        .filter(|(_, step)| !step.cached)
        .collect();
    steps.sort_by_key(|(_, step)| std::cmp::Reverse(step.duration_ms));
    let row = |(job, step): &(&Job, &BuildStep)| {
        let name = if step.failed {
            format!("{} (failed)", step.name)
        } else {
            step.name.clone()
        };
        [job.name.clone(), seconds(step.duration_ms), name]
    };
    let rows = steps.iter().take(SLOWEST).map(row).collect();
    section(["SLOWEST STEPS OF", "TIME", "STEP"], rows)
}

/// The traces that exceed the limit of the farm, and how many bytes each lacks.
pub(super) fn cut_traces(build: &Build) -> String {
    let latest = build.jobs.iter().filter(|job| !job.superseded);
    let cut = latest.filter(|job| job.trace_missing_bytes > 0);
    let rows = cut.map(|job| [job.name.clone(), job.trace_missing_bytes.to_string()]);
    section(["CUT TRACE OF", "MISSING BYTES"], rows.collect())
}

/// A table after an empty line, or nothing if it has no rows.
fn section<const N: usize>(heading: [&str; N], rows: Vec<[String; N]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", table(heading, rows))
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}s", ms / 1000, ms % 1000)
}
