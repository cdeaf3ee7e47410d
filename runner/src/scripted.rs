//! An executor without Docker: it does what the variables of a job say. For tests.
//!
//! `SCRIPT_LINES=n` writes n numbered lines, the same in every job. `SCRIPT_WAIT_FILE=path` then
//! waits until that file exists. `SCRIPT_LINES_AFTER=n` writes n more lines. `SCRIPT_RESULT` is
//! `success` (the default) or `fail:REASON` with a failure reason of the farm.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use slipway_domain::{FailureReason, ImageDetails, JobSpec, Phase};
use slipway_image_builder::Progress as _;
use slipway_protocol::ImageResult;

use crate::executor::{Artifact, Executor, Failure, Job};

/// How often the file to wait for is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How many lines are written before other tasks may run.
const LINES_PER_TURN: u64 = 1000;

/// Does what the variables of a job say.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScriptedExecutor;

#[async_trait]
impl Executor for ScriptedExecutor {
    fn name(&self) -> &'static str {
        "scripted"
    }

    async fn remove_leftovers(&self) -> Result<(), String> {
        Ok(())
    }

    async fn prepare(&self, job: &Job) -> Result<(), Failure> {
        job.output.phase(Phase::Fetching);
        Ok(())
    }

    async fn run(&self, job: &Job) -> Result<Option<ImageResult>, Failure> {
        job.output.phase(Phase::Building);
        let before = number(job, "SCRIPT_LINES")?;
        write_lines(job, 1, before).await;
        if let Some(path) = variable(job, "SCRIPT_WAIT_FILE") {
            while !Path::new(path).exists() {
                tokio::select! {
                    () = tokio::time::sleep(POLL_INTERVAL) => {}
                    () = job.stop.stopped() => return Err(failure(FailureReason::JobFailed)),
                }
            }
        }
        let after = number(job, "SCRIPT_LINES_AFTER")?;
        write_lines(job, before + 1, after).await;
        match variable(job, "SCRIPT_RESULT") {
            None | Some("success") => Ok(image(job)),
            Some(result) => {
                let reason = result.strip_prefix("fail:").unwrap_or_default();
                Err(failure(
                    reason.parse().map_err(|_| invalid("SCRIPT_RESULT"))?,
                ))
            }
        }
    }

    async fn collect(
        &self,
        _job: &Job,
        _outcome: &Result<Option<ImageResult>, Failure>,
    ) -> Result<Option<Artifact>, Failure> {
        Ok(None)
    }

    async fn clean(&self, _job: &Job) -> Result<(), String> {
        Ok(())
    }
}

async fn write_lines(job: &Job, first: u64, count: u64) {
    for number in first..first + count {
        job.output.line(&format!("line {number:06}"));
        if number % LINES_PER_TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn variable<'a>(job: &'a Job, key: &str) -> Option<&'a str> {
    // As in a shell, the last value of a variable counts.
    let variables = job.payload.variables.iter().rev();
    let mut found = variables.filter(|variable| variable.key == key);
    found.next().map(|variable| variable.value.as_str())
}

fn number(job: &Job, key: &str) -> Result<u64, Failure> {
    match variable(job, key) {
        None => Ok(0),
        Some(text) => text.parse().map_err(|_| invalid(key)),
    }
}

fn invalid(key: &str) -> Failure {
    Failure {
        reason: FailureReason::JobFailed,
        message: format!("the variable {key} of the scripted job is invalid"),
    }
}

fn failure(reason: FailureReason) -> Failure {
    Failure {
        reason,
        message: format!("SCRIPT_RESULT asks for the failure {reason}"),
    }
}

/// The image that would have been pushed. Its digest is derived from the job's id.
fn image(job: &Job) -> Option<ImageResult> {
    // Tests can predict the digest.
    let digest = Sha256::digest(format!("slipway scripted job {}", job.payload.id));
    let (repository, tags, platform) = match &job.own.spec {
        JobSpec::ImageBuild(spec) => (&spec.repository, &spec.tags, spec.platforms.first()),
        JobSpec::ImageIndex(spec) => (&spec.repository, &spec.tags, None),
        JobSpec::Script(_) => return None,
    };
    let tags = match repository {
        Some(_) => tags.clone(),
        None => Vec::new(),
    };
    let first = repository.as_ref().zip(tags.first());
    Some(ImageResult {
        reference: first.map(|(repository, tag)| repository.tagged(tag)),
        digest: format!("sha256:{}", hex::encode(digest)),
        details: ImageDetails {
            platform: platform.cloned(),
            ..ImageDetails::default()
        },
        size_bytes: 1024,
        tags,
    })
}
