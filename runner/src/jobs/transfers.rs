//! The files around a job's work: the archives that it needs and the upload that it builds are
//! fetched before it, and its own archive is sent after it.

use slipway_domain::package::PackageSource;
use slipway_domain::{FailureReason, JobToken, Phase};
use slipway_image_builder::Progress as _;
use slipway_protocol::{Dependency, ImageResult};

use crate::backoff::Backoff;
use crate::client::{Coordinator, Fetched, Retry, Uploaded};
use crate::executor::disk_full;
use crate::executor::{Archive, ArchiveKind, Executor, Failure, Job, Upload};

/// Fetches the archives of the jobs that `job` needs to where [`Job::needs`] says.
///
/// # Errors
/// The job's failure, when one cannot be had or the job is stopped.
pub(crate) async fn fetch(coordinator: &Coordinator, job: &Job) -> Result<(), Failure> {
    for (need, place) in job.needs() {
        job.output.phase(Phase::Fetching);
        let what = format!("the artifacts of {}", need.name);
        job.output.line(&format!("Fetching {what}"));
        let token = JobToken::presented(need.token.clone());
        let mut backoff = Backoff::new();
        loop {
            let fetching = coordinator.fetch_archive(&token, need.id, &place);
            match unless_stopped(job, fetching).await? {
                Fetched::Done { .. } => break,
                Fetched::Gone => return Err(gone(need)),
                Fetched::Unwritable(error) => return Err(unwritable(&error)),
                Fetched::Retry(retry) => pause(job, &what, &retry, &mut backoff).await?,
            }
        }
    }
    Ok(())
}

/// Fetches the uploaded file that `job` builds, if it builds one, to where its `upload` says then.
///
/// # Errors
/// The job's failure, when the file cannot be had or the job is stopped.
pub(crate) async fn fetch_upload(coordinator: &Coordinator, job: &Job) -> Result<(), Failure> {
    let package = job.own.spec.package().map(|package| &package.source);
    let Some(PackageSource::Upload(_)) = package else {
        return Ok(());
    };
    job.output.phase(Phase::Fetching);
    job.output.line("Fetching the uploaded package");
    let path = job.dir.join("upload");
    let token = JobToken::presented(job.payload.token.clone());
    let mut backoff = Backoff::new();
    let content_type = loop {
        let fetching = coordinator.fetch_package(&token, job.payload.id, &path);
        match unless_stopped(job, fetching).await? {
            Fetched::Done { content_type } => break content_type,
            Fetched::Gone => {
                return Err(Failure {
                    reason: FailureReason::PackageUnavailable,
                    message: "the uploaded package is not there any more".to_owned(),
                });
            }
            Fetched::Unwritable(error) => return Err(unwritable(&error)),
            Fetched::Retry(retry) => {
                pause(job, "the uploaded package", &retry, &mut backoff).await?;
            }
        }
    };
    // A job is prepared once.
    let _ = job.upload.set(Upload { path, content_type });
    Ok(())
}

/// Fetches the sources that the farm was handed for `job`, if it was, to where
/// [`Job::source_of_farm`] says.
///
/// # Errors
/// The job's failure, when they cannot be had or the job is stopped.
pub(crate) async fn fetch_source(coordinator: &Coordinator, job: &Job) -> Result<(), Failure> {
    let source = job.own.source.as_ref();
    let source = source.and_then(|source| Some((&source.url, source.token.as_ref()?)));
    let (Some((url, token)), Some(place)) = (source, job.source_of_farm()) else {
        return Ok(());
    };
    job.output.phase(Phase::Fetching);
    job.output.line("Fetching the sources that were handed in");
    let mut backoff = Backoff::new();
    loop {
        let fetching = coordinator.fetch_source(url, token, &place);
        match unless_stopped(job, fetching).await? {
            Fetched::Done { .. } => return Ok(()),
            Fetched::Gone => {
                return Err(Failure {
                    reason: FailureReason::SourceUnavailable,
                    message: "the sources that were handed in are not there any more".to_owned(),
                });
            }
            Fetched::Unwritable(error) => return Err(unwritable(&error)),
            Fetched::Retry(retry) => pause(job, "its sources", &retry, &mut backoff).await?,
        }
    }
}

async fn unless_stopped(
    job: &Job,
    fetching: impl Future<Output = Fetched>,
) -> Result<Fetched, Failure> {
    tokio::select! {
        () = job.stop.stopped() => Err(stopped()),
        fetched = fetching => Ok(fetched),
    }
}

/// Sends the archive that a job leaves after this end, if it leaves one, and returns its end: a job
/// whose archive cannot be kept does not succeed.
pub(crate) async fn keep(
    coordinator: &Coordinator,
    executor: &dyn Executor,
    job: &Job,
    outcome: Result<Option<ImageResult>, Failure>,
) -> Result<Option<ImageResult>, Failure> {
    if job.stop.cause().is_some() {
        return outcome;
    }
    let kept = match executor.collect(job, &outcome).await {
        Ok(Some(archive)) => send(coordinator, job, &archive).await,
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    match (outcome, kept) {
        (Ok(image), Ok(())) => Ok(image),
        (Ok(_), Err(failure)) => Err(failure),
        // Why the job failed is what matters; the rest is in the trace.
        (Err(failure), Err(other)) => {
            job.output.line(&format!("Warning: {}", other.message));
            Err(failure)
        }
        (Err(failure), Ok(())) => Err(failure),
    }
}

async fn send(coordinator: &Coordinator, job: &Job, archive: &Archive) -> Result<(), Failure> {
    job.output.phase(Phase::Uploading);
    let name = &archive.name;
    job.output.line(&format!("Uploading {name}"));
    let token = JobToken::presented(job.payload.token.clone());
    let mut backoff = Backoff::new();
    loop {
        let sending = coordinator.send_archive(&token, job.payload.id, archive);
        let uploaded = tokio::select! {
            () = job.stop.stopped() => return Err(stopped()),
            uploaded = sending => uploaded,
        };
        let message = match uploaded {
            Uploaded::Done => return Ok(()),
            Uploaded::TooLarge => {
                let less = match archive.kind {
                    ArchiveKind::Files => "leave fewer files",
                    ArchiveKind::Image => "make the image smaller",
                };
                format!(
                    "{name} is larger than the farm takes; {less}, or ask its operator to raise the limit"
                )
            }
            Uploaded::Gone => format!("{name} was not taken: the job is over"),
            Uploaded::Refused(status) => {
                format!("{name} was not taken: the farm answered {status}")
            }
            Uploaded::Unreadable(error) => return Err(unwritable(&error)),
            Uploaded::Retry(retry) => {
                pause(job, name, &retry, &mut backoff).await?;
                continue;
            }
        };
        return Err(Failure {
            reason: FailureReason::JobFailed,
            message,
        });
    }
}

async fn pause(job: &Job, what: &str, retry: &Retry, backoff: &mut Backoff) -> Result<(), Failure> {
    let id = job.payload.id;
    tracing::warn!(job.id = id, "Job {id} waits for {what}: {}", retry.why);
    tokio::select! {
        () = job.stop.stopped() => Err(stopped()),
        () = tokio::time::sleep(backoff.after_failure(retry.after)) => Ok(()),
    }
}

fn gone(need: &Dependency) -> Failure {
    Failure {
        reason: FailureReason::JobFailed,
        message: format!(
            "the artifacts of {} are not there any more; run that job again",
            need.name
        ),
    }
}

/// Whoever stopped the job knows its word.
fn stopped() -> Failure {
    Failure {
        reason: FailureReason::JobFailed,
        message: "the job was stopped".to_owned(),
    }
}

fn unwritable(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::StorageFull => disk_full(),
        _ => Failure {
            reason: FailureReason::RunnerFault,
            message: "the runner could not keep an archive in the job's directory".to_owned(),
        },
    }
}
