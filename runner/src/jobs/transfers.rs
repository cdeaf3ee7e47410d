//! Files that a job downloads before its work (artifacts of the jobs it needs, an uploaded package,
//! submitted sources) and the artifact that it uploads afterwards.

use slipway_domain::package::PackageSource;
use slipway_domain::{FailureReason, JobToken, Phase};
use slipway_image_builder::Progress as _;
use slipway_protocol::{Dependency, ImageResult};

use crate::backoff::RequestBackoff;
use crate::client::{CoordinatorClient, DownloadAnswer, Retry, UploadAnswer};
use crate::executor::{Artifact, ArtifactKind, Executor, Failure, Job, UploadedPackage, disk_full};
use crate::jobs::uploads::{Next, PiecewiseUpload};

/// Downloads the artifacts of the jobs that `job` needs to the paths in [`Job::needs`].
///
/// # Errors
/// Fails if artifacts cannot be downloaded, or if the job is stopped.
pub(crate) async fn fetch_artifacts(
    coordinator: &CoordinatorClient,
    job: &Job,
) -> Result<(), Failure> {
    for (need, path) in job.needs() {
        job.output.phase(Phase::Fetching);
        let what = format!("the artifacts of {}", need.name);
        job.output.line(&format!("Fetching {what}"));
        // Each needed job has its own token, which only opens its artifacts.
        let token = JobToken::presented(need.token.clone());
        download(job, &what, &gone_artifacts(need), || {
            coordinator.fetch_artifacts(&token, need.id, &path)
        })
        .await?;
    }
    Ok(())
}

/// Downloads the uploaded package that `job` builds, if it builds one, and sets [`Job::upload`].
///
/// # Errors
/// Fails if the package cannot be downloaded, or if the job is stopped.
pub(crate) async fn fetch_package(
    coordinator: &CoordinatorClient,
    job: &Job,
) -> Result<(), Failure> {
    let package = job.own.spec.package().map(|package| &package.source);
    let Some(PackageSource::Upload(_)) = package else {
        return Ok(());
    };
    job.output.phase(Phase::Fetching);
    job.output.line("Fetching the uploaded package");
    let path = job.dir.join("upload");
    let token = JobToken::presented(job.payload.token.clone());
    let gone = Failure {
        reason: FailureReason::PackageUnavailable,
        message: "the uploaded package no longer exists".to_owned(),
    };
    let content_type = download(job, "the uploaded package", &gone, || {
        coordinator.fetch_package(&token, job.payload.id, &path)
    })
    .await?;
    // It cannot be set already: this runs once per job.
    let _ = job.upload.set(UploadedPackage { path, content_type });
    Ok(())
}

/// Downloads the sources that were submitted for `job` to the farm, if there are any, to
/// [`Job::stored_source`].
///
/// # Errors
/// Fails if the sources cannot be downloaded, or if the job is stopped.
pub(crate) async fn fetch_source(
    coordinator: &CoordinatorClient,
    job: &Job,
) -> Result<(), Failure> {
    let source = job.own.source.as_ref();
    let source = source.and_then(|source| Some((&source.url, source.token.as_ref()?)));
    let (Some((url, token)), Some(path)) = (source, job.stored_source()) else {
        return Ok(());
    };
    job.output.phase(Phase::Fetching);
    job.output.line("Fetching the submitted sources");
    let gone = Failure {
        reason: FailureReason::SourceUnavailable,
        message: "the submitted sources no longer exist".to_owned(),
    };
    download(job, "the submitted sources", &gone, || {
        coordinator.fetch_source(url, token, &path)
    })
    .await
    .map(drop)
}

/// Downloads a file and retries until it is there. Returns its content type. `gone` is the failure
/// if the coordinator does not have it.
async fn download<F: Future<Output = DownloadAnswer>>(
    job: &Job,
    what: &str,
    gone: &Failure,
    mut fetch: impl FnMut() -> F,
) -> Result<Option<String>, Failure> {
    let mut backoff = RequestBackoff::new();
    loop {
        let answer = tokio::select! {
            () = job.stop.stopped() => return Err(stopped()),
            answer = fetch() => answer,
        };
        match answer {
            DownloadAnswer::Done { content_type } => return Ok(content_type),
            DownloadAnswer::Gone => return Err(gone.clone()),
            DownloadAnswer::Unwritable(error) => return Err(disk_failure(&error)),
            DownloadAnswer::Retry(retry) => {
                back_off(job, "Fetching", what, &retry, &mut backoff).await?;
            }
        }
    }
}

/// Uploads the artifact that a job leaves after this outcome, if it leaves one, and returns the
/// outcome of the job: if the artifact cannot be stored, the job fails.
pub(crate) async fn upload(
    coordinator: &CoordinatorClient,
    executor: &dyn Executor,
    job: &Job,
    outcome: Result<Option<ImageResult>, Failure>,
) -> Result<Option<ImageResult>, Failure> {
    // A stopped job leaves no artifact.
    if job.stop.cause().is_some() {
        return outcome;
    }
    let uploaded = match executor.collect(job, &outcome).await {
        Ok(Some(artifact)) => match send(coordinator, job, &artifact).await {
            // What could be kept is uploaded first: people can look at it.
            Ok(()) => artifact.incomplete.map_or(Ok(()), Err),
            failed => failed,
        },
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    match (outcome, uploaded) {
        (Ok(image), Ok(())) => Ok(image),
        (Ok(_), Err(failure)) => Err(failure),
        // The first failure explains the result; the second one is in the trace.
        (Err(failure), Err(other)) => {
            job.output.line(&format!("Warning: {}", other.message));
            Err(failure)
        }
        (Err(failure), Ok(())) => Err(failure),
    }
}

async fn send(
    coordinator: &CoordinatorClient,
    job: &Job,
    artifact: &Artifact,
) -> Result<(), Failure> {
    job.output.phase(Phase::Uploading);
    let name = &artifact.name;
    job.output.line(&format!("Uploading {name}"));
    // The job token only allows uploads for this job.
    let token = JobToken::presented(job.payload.token.clone());
    // What the farm reports if the job is stopped before the upload has ended.
    let _ = job.uploading.set(name.clone());
    let mut in_pieces = if job.own.uploads_in_pieces {
        let opened = PiecewiseUpload::open(coordinator, &token, job.payload.id, artifact).await;
        Some(opened.map_err(|error| unreadable(name, &error))?)
    } else {
        None
    };
    let mut backoff = RequestBackoff::new();
    loop {
        let sending = async {
            match &mut in_pieces {
                Some(upload) => upload.step(&mut backoff).await,
                None => {
                    let sent = coordinator.send_artifact(&token, job.payload.id, artifact);
                    Next::End(sent.await)
                }
            }
        };
        let next = tokio::select! {
            () = job.stop.stopped() => return Err(stopped()),
            next = sending => next,
        };
        let Next::End(answer) = next else {
            continue;
        };
        let message = match answer {
            UploadAnswer::Done => return Ok(()),
            UploadAnswer::TooLarge => {
                let advice = match artifact.kind {
                    ArtifactKind::Files => "keep fewer files",
                    ArtifactKind::Image => "make the image smaller",
                };
                format!(
                    "{name} exceeds the size limit of the farm, or the space that the project has \
                     left; {advice}, delete old artifacts, or ask the farm's operator to raise the \
                     limit"
                )
            }
            UploadAnswer::Gone => format!("{name} could not be uploaded: the job has ended"),
            UploadAnswer::Refused(status) => {
                format!("{name} could not be uploaded: the farm answered {status}")
            }
            UploadAnswer::Corrupted => format!(
                "{name} could not be uploaded: it arrived with a wrong checksum several times"
            ),
            UploadAnswer::Unreadable(error) => return Err(unreadable(name, &error)),
            UploadAnswer::Retry(retry) => {
                back_off(job, "Uploading", name, &retry, &mut backoff).await?;
                continue;
            }
        };
        return Err(Failure {
            reason: FailureReason::JobFailed,
            message,
        });
    }
}

/// Waits before a transfer is retried. There is no limit on retries: the job's time limit ends it.
async fn back_off(
    job: &Job,
    action: &str,
    what: &str,
    retry: &Retry,
    backoff: &mut RequestBackoff,
) -> Result<(), Failure> {
    let id = job.payload.id;
    tracing::warn!(
        "{action} {what} for job {id} failed and is retried: {}",
        retry.why
    );
    tokio::select! {
        () = job.stop.stopped() => Err(stopped()),
        () = tokio::time::sleep(backoff.after_failure(retry.after)) => Ok(()),
    }
}

fn gone_artifacts(need: &Dependency) -> Failure {
    Failure {
        reason: FailureReason::JobFailed,
        message: format!(
            "the artifacts of {} no longer exist; retry that job",
            need.name
        ),
    }
}

/// A placeholder: the cause of the stop replaces it.
fn stopped() -> Failure {
    Failure {
        reason: FailureReason::JobFailed,
        message: "the job was stopped".to_owned(),
    }
}

fn disk_failure(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::StorageFull => disk_full(),
        _ => Failure {
            reason: FailureReason::RunnerFault,
            message: "the runner could not read or write a file in the job's work directory"
                .to_owned(),
        },
    }
}

/// The failure of an artifact that cannot be read back for its upload.
fn unreadable(name: &str, error: &std::io::Error) -> Failure {
    Failure {
        reason: FailureReason::RunnerFault,
        message: format!("{name} could not be uploaded: the runner could not read it: {error}"),
    }
}
