//! `slipway logs`.

use std::pin::pin;

use anyhow::Result;
use futures_util::TryStreamExt;
use slipway_client::{Build, Job};

use crate::args::Target;
use crate::commands::trace_printer::TracePrinter;
use crate::commands::{Outcome, Session, follow};

/// Prints the trace of a job, or those of the latest attempts of all jobs of a build.
pub(crate) async fn logs(session: &Session, target: Target, follow: bool) -> Result<Outcome> {
    match (target, follow) {
        (Target::Build(id), true) => follow::follow_build(session, id).await,
        (Target::Job(id), true) => follow::follow_job(session, id).await,
        (Target::Job(id), false) => {
            print(session, id).await?;
            note_missing(session, &session.client.job(id).await?)?;
            Ok(Outcome::Succeeded)
        }
        (Target::Build(id), false) => {
            let build = session.client.build(id).await?;
            for job in build.jobs.iter().filter(|job| !job.superseded) {
                head(session, &build, job)?;
                print(session, job.id).await?;
                note_missing(session, job)?;
            }
            Ok(Outcome::Succeeded)
        }
    }
}

/// Prints which trace comes next, if the build has several jobs.
fn head(session: &Session, build: &Build, job: &Job) -> Result<()> {
    if build.jobs.len() > 1 && !session.output.is_json() {
        session.output.note(&title(job))?;
    }
    Ok(())
}

/// The line above the trace of a job.
pub(super) fn title(job: &Job) -> String {
    format!("==> {} (job {}, attempt {})", job.name, job.id, job.attempt)
}

/// Prints how much of a trace is missing, if that is so.
pub(super) fn note_missing(session: &Session, job: &Job) -> Result<()> {
    if job.trace_missing_bytes > 0 && !session.output.is_json() {
        session.output.note(&format!(
            "The trace of job {} ({}) exceeds the limit of the farm: {} bytes are missing",
            job.name, job.id, job.trace_missing_bytes
        ))?;
    }
    Ok(())
}

/// Prints the stored trace of a job.
async fn print(session: &Session, id: i64) -> Result<()> {
    let mut bytes = pin!(session.client.trace(id).await?);
    let mut printer = TracePrinter::new(id);
    while let Some(bytes) = bytes.try_next().await? {
        printer.print(session, &bytes)?;
    }
    printer.finish(session)
}
