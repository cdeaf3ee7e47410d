//! Scripts: what the coordinator says of one, for the container it runs in.

use slipway_domain::spec::Script;
use slipway_domain::{FailureReason, Phase};
use slipway_image_builder::{Builder, BuiltImage, Progress as _};
use slipway_script_runner::{ScriptError, ScriptRequest, WORK_DIR, collect, keep, run};

use super::{checkout, logins};
use crate::executor::{Archive, ArchiveKind, Failure, Job};

/// Runs the commands of a script, and keeps its container as an image where it says so;
/// `usual_image` is for one that names no image.
pub(super) async fn run_script(
    builder: &Builder,
    usual_image: Option<&str>,
    job: &Job,
    script: &Script,
) -> Result<Option<BuiltImage>, Failure> {
    if let (Some(of), None) = (&script.image_of, &script.image) {
        return Err(Failure {
            reason: FailureReason::BaseImageUnavailable,
            message: format!("there is no image of {of} to run in; it must push one and succeed"),
        });
    }
    let Some(image) = script.image.as_deref().or(usual_image) else {
        return Err(Failure {
            reason: FailureReason::Unsupported,
            message: "the script names no image, and this runner has none for such scripts; \
                      name one in the pipeline, or start the runner with --script-image"
                .to_owned(),
        });
    };
    let request = ScriptRequest {
        job: job.payload.id.to_string(),
        image: image.to_owned(),
        is_made: script.image_of.is_some(),
        checkout: checkout::dir(job),
        commands: script.commands.clone(),
        environment: environment(job),
        logins: logins(job),
        keep: script.snapshot_target().map_err(|error| Failure {
            reason: FailureReason::JobFailed,
            message: error.to_string(),
        })?,
    };
    let ran = run(builder, &request, &job.output, job.stop.token()).await;
    let code = match &ran {
        Ok(()) => Some(0),
        Err(error) => error.exit_code(),
    };
    if let Some(code) = code.and_then(|code| code.try_into().ok()) {
        // A job has one script.
        let _ = job.exit_code.set(code);
    }
    ran.map_err(|error| failure(&error))?;
    let kept = keep(builder, &request, &job.output, job.stop.token()).await;
    kept.map_err(|error| failure(&error))
}

/// Packs what a script that ended so leaves.
pub(super) async fn collect_files(
    builder: &Builder,
    job: &Job,
    script: &Script,
    succeeded: bool,
) -> Result<Option<Archive>, Failure> {
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
    if collected.entries == 0 {
        job.output
            .line("Warning: there are no artifacts, so none are uploaded");
        return Ok(None);
    }
    let name = rules.name.as_deref().unwrap_or("artifacts");
    Ok(Some(Archive {
        kind: ArchiveKind::Files,
        path,
        name: format!("{name}.zip"),
        expire_in: rules.expire_in.clone(),
    }))
}

/// What the commands see: what a stock runner adds to every job, then what the coordinator says.
fn environment(job: &Job) -> Vec<(String, String)> {
    let ours = [("CI_SERVER", "yes"), ("CI_PROJECT_DIR", WORK_DIR)];
    let ours = ours.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let told = job.payload.variables.iter();
    let told = told.map(|variable| (variable.key.clone(), variable.value.clone()));
    ours.into_iter().chain(told).collect()
}

fn failure(error: &ScriptError) -> Failure {
    Failure {
        reason: error.reason(),
        message: error.to_string(),
    }
}
