//! `slipway artifacts`.

use anyhow::Result;
use slipway_client::Artifact;

use crate::args::Target;
use crate::commands::{Outcome, Session};
use crate::output::{size, table};

/// Lists the artifacts of a job, or of all jobs of a build.
pub(crate) async fn list(session: &Session, target: Target) -> Result<Outcome> {
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
                field(artifact, &["reference", "filename"]),
                field(artifact, &["digest", "sha256"]),
            ]
        };
        let heading = ["ID", "JOB", "KIND", "SIZE", "NAME", "DIGEST"];
        table(heading, artifacts.iter().map(row).collect())
    })?;
    Ok(Outcome::Succeeded)
}

/// The first of these fields that the artifact has, or an empty text.
pub(crate) fn field(artifact: &Artifact, names: &[&str]) -> String {
    let found = names.iter().find_map(|name| artifact.about.get(*name));
    let text = found.and_then(|value| value.as_str());
    text.unwrap_or_default().to_owned()
}
