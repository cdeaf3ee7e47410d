//! What came of a build, for people: its images, and the steps that took longest.

use slipway_client::{Artifact, Build, BuildStep, Job};

use crate::commands::others::word;
use crate::output::{size, table};

/// How many steps are told of.
const SLOWEST: usize = 5;

/// The images among what the jobs of a build made.
pub(crate) fn images(made: &[(&Job, Artifact)]) -> String {
    let images = made.iter().filter(|(_, artifact)| artifact.kind == "image");
    let row = |(job, image): &(&Job, Artifact)| {
        [
            job.name.clone(),
            word(image, &["reference"]),
            word(image, &["platform"]),
            size(image.size_bytes),
            word(image, &["digest"]),
        ]
    };
    let rows: Vec<_> = images.map(row).collect();
    under(
        ["IMAGE OF", "REFERENCE", "PLATFORM", "SIZE", "DIGEST"],
        rows,
    )
}

/// The steps of all image builds that took longest.
pub(crate) fn steps(build: &Build) -> String {
    let latest = build.jobs.iter().filter(|job| !job.superseded);
    let mut steps: Vec<(&Job, &BuildStep)> = latest
        .flat_map(|job| job.build_steps.iter().map(move |step| (job, step)))
        .filter(|(_, step)| !step.cached)
        .collect();
    steps.sort_by_key(|(_, step)| std::cmp::Reverse(step.duration_ms));
    let row = |(job, step): &(&Job, &BuildStep)| {
        let name = match step.failed {
            true => format!("{} (failed)", step.name),
            false => step.name.clone(),
        };
        [job.name.clone(), seconds(step.duration_ms), name]
    };
    let rows = steps.iter().take(SLOWEST).map(row).collect();
    under(["SLOWEST STEPS OF", "TIME", "STEP"], rows)
}

/// A table with an empty line before it, unless it has no rows.
fn under<const N: usize>(heading: [&str; N], rows: Vec<[String; N]>) -> String {
    match rows.is_empty() {
        true => String::new(),
        false => format!("\n{}", table(heading, rows)),
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}s", ms / 1000, ms % 1000)
}
