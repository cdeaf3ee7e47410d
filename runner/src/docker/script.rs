//! Script jobs: translates the job into a request for the script runner.

use slipway_domain::spec::Script;
use slipway_domain::{FailureReason, Phase};
use slipway_image_builder::{Builder, BuiltImage, Progress as _};
use slipway_script_runner::{ScriptError, ScriptRequest, WORK_DIR, collect, run, save_container};

use super::{checkout, isolation, logins};
use crate::executor::{Artifact, ArtifactKind, Failure, Job};

/// Runs the commands of a script, and saves its container as an image if the script asks for it.
/// Scripts without an image run in `default_image`.
pub(super) async fn run_script(
    builder: &Builder,
    default_image: Option<&str>,
    job: &Job,
    script: &Script,
) -> Result<Option<BuiltImage>, Failure> {
    if let (Some(of), None) = (&script.image_of, &script.image) {
        return Err(Failure {
            reason: FailureReason::BaseImageUnavailable,
            message: format!(
                "there is no image of {of} to run in; that job must succeed and push an image"
            ),
        });
    }
    let Some(image) = script.image.as_deref().or(default_image) else {
        return Err(Failure {
            reason: FailureReason::Unsupported,
            message:
                "the script has no image, and this runner has no default image; add an image to \
                      the pipeline, or start the runner with --script-image"
                    .to_owned(),
        });
    };
    let request = ScriptRequest {
        job: job.payload.id.to_string(),
        image: image.to_owned(),
        is_built_by_job: script.image_of.is_some(),
        checkout: checkout::dir(job),
        commands: script.commands.clone(),
        environment: environment(job),
        logins: logins(job),
        save_as: script.snapshot_target().map_err(|error| Failure {
            reason: FailureReason::JobFailed,
            message: error.to_string(),
        })?,
    };
    let ran = run(builder, &request, &job.output, job.stop.token()).await;
    let code = match &ran {
        Ok(()) => Some(0),
        Err(error) => error.exit_code(),
    };
    // The exit code is reported even if the script failed.
    if let Some(code) = code.and_then(|code| code.try_into().ok()) {
        // It cannot be set already: a job has one script.
        let _ = job.exit_code.set(code);
    }
    if let Err(ScriptError::DiskLimitExceeded { .. }) = &ran {
        // It may be set already; that changes nothing.
        let _ = job.exceeded_limit.set(());
    }
    ran.map_err(|error| failure(&error))?;
    let saved = save_container(builder, &request, &job.output, job.stop.token()).await;
    saved.map_err(|error| failure(&error))
}

/// Packs the files that the script's artifact rules name for this outcome.
pub(super) async fn collect_files(
    builder: &Builder,
    job: &Job,
    script: &Script,
    succeeded: bool,
) -> Result<Option<Artifact>, Failure> {
    let Some(rules) = &script.artifacts else {
        return Ok(None);
    };
    if !rules.when.collects(succeeded) {
        return Ok(None);
    }
    job.output.phase(Phase::Uploading);
    let path = job.dir.join("artifacts.zip");
    let id = job.payload.id.to_string();
    let collected = tokio::select! {
        biased;
        () = job.stop.stopped() => return Ok(None),
        collected = collect(builder, &id, rules, &path) => collected,
    };
    let collected = collected.map_err(|error| failure(&error))?;
    for warning in &collected.warnings {
        job.output.line(&format!("Warning: artifacts: {warning}"));
    }
    for problem in &collected.problems {
        job.output.line(&format!("Artifacts: {problem}"));
    }
    // After a failure, the script may not have reached the command that makes the file. What there is
    // helps to find out why.
    let incomplete = collected.problems.first().filter(|_| succeeded);
    let incomplete = incomplete.map(|problem| Failure {
        reason: FailureReason::JobFailed,
        message: format!("the artifacts are incomplete: {problem}"),
    });
    // An empty archive would look like artifacts to later jobs.
    if collected.entries == 0 {
        if let Some(failure) = incomplete {
            return Err(failure);
        }
        job.output
            .line("Warning: no artifacts were found, so none are uploaded");
        return Ok(None);
    }
    let name = rules.name.as_deref().unwrap_or("artifacts");
    Ok(Some(Artifact {
        kind: ArtifactKind::Files,
        path,
        name: format!("{name}.zip"),
        expire_in: rules.expire_in.clone(),
        incomplete,
    }))
}

/// The environment of the commands: the variables that a stock runner adds to every job, then the
/// variables of the job, which may override them.
fn environment(job: &Job) -> Vec<(String, String)> {
    let predefined = [("CI_SERVER", "yes"), ("CI_PROJECT_DIR", WORK_DIR)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let variables = isolation::variables(job);
    let variables = variables.map(|variable| (variable.key.clone(), variable.value.clone()));
    predefined.into_iter().chain(variables).collect()
}

fn failure(error: &ScriptError) -> Failure {
    Failure {
        reason: error.reason(),
        message: error.to_string(),
    }
}
