//! Runners, the queue and artifacts.

use anyhow::Result;
use slipway_client::{Artifact, QueueLine, Runner};

use crate::args::Target;
use crate::commands::{Done, Session, all_pages};
use crate::output::{age, now, size, table};

/// Lists the runners.
pub(crate) async fn runners(session: &Session) -> Result<Done> {
    let read = async |page| session.client.runners(&page).await;
    let runners = all_pages(read).await?;
    session.output.value(&runners, |runners| {
        let row = |runner: &Runner| {
            let seen = runner.contact_at.map(|at| age(at, now()));
            [
                runner.id.to_string(),
                runner.description.clone(),
                state(runner).to_owned(),
                if runner.shared { "shared" } else { "projects" }.to_owned(),
                runner.tags.join(","),
                runner.version.clone().unwrap_or_default(),
                seen.unwrap_or_else(|| "never".to_owned()),
            ]
        };
        let heading = ["ID", "RUNNER", "STATE", "SERVES", "TAGS", "VERSION", "SEEN"];
        table(heading, runners.iter().map(row).collect())
    })?;
    Ok(Done::Well)
}

fn state(runner: &Runner) -> &'static str {
    match (runner.paused, runner.online) {
        (true, _) => "paused",
        (false, true) => "online",
        (false, false) => "offline",
    }
}

/// Shows what waits, and why.
pub(crate) async fn queue(session: &Session) -> Result<Done> {
    let lines = session.client.queue().await?.items;
    session.output.value(&lines, |lines| {
        if lines.is_empty() {
            return "Nothing waits.".to_owned();
        }
        let row = |line: &QueueLine| {
            let oldest = line.oldest.map(|at| age(at, now()));
            [
                line.project.clone(),
                line.tags.join(","),
                line.count.to_string(),
                oldest.unwrap_or_default(),
                line.reason.message.clone(),
            ]
        };
        let heading = ["PROJECT", "TAGS", "JOBS", "OLDEST", "WHY"];
        table(heading, lines.iter().map(row).collect())
    })?;
    Ok(Done::Well)
}

/// Lists the artifacts of a job, or of all jobs of a build.
pub(crate) async fn artifacts(session: &Session, target: Target) -> Result<Done> {
    let jobs = match target {
        Target::Job(id) => vec![id],
        Target::Build(id) => {
            let build = session.client.build(id).await?;
            build.jobs.iter().map(|job| job.id).collect()
        }
    };
    let mut artifacts = Vec::new();
    for job in jobs {
        artifacts.extend(session.client.artifacts(job).await?.items);
    }
    session.output.value(&artifacts, |artifacts| {
        let row = |artifact: &Artifact| {
            [
                artifact.id.to_string(),
                artifact.job.to_string(),
                artifact.kind.clone(),
                size(artifact.size_bytes),
                word(artifact, &["reference", "filename"]),
                word(artifact, &["digest", "sha256"]),
            ]
        };
        let heading = ["ID", "JOB", "KIND", "SIZE", "NAME", "DIGEST"];
        table(heading, artifacts.iter().map(row).collect())
    })?;
    Ok(Done::Well)
}

/// The first of these that the artifact has.
pub(crate) fn word(artifact: &Artifact, names: &[&str]) -> String {
    let found = names.iter().find_map(|name| artifact.about.get(*name));
    let text = found.and_then(|value| value.as_str());
    text.unwrap_or_default().to_owned()
}
