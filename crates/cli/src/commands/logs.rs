//! `slipway logs`, and following builds.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use futures_util::TryStreamExt;
use serde::Serialize;
use slipway_client::{Build, Job, TraceEvent};
use uuid::Uuid;

use crate::args::Target;
use crate::commands::{Outcome, Session};

/// How often a build is polled while none of its jobs can be followed.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A part of a trace, as JSON.
#[derive(Serialize)]
struct TracePart<'a> {
    job: i64,
    offset: u64,
    text: &'a str,
}

/// The end of a followed job or build, as JSON.
#[derive(Serialize)]
struct End<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build: Option<Uuid>,
    state: &'a str,
}

/// Prints the trace of a job, or those of the latest attempts of all jobs of a build.
pub(crate) async fn logs(session: &Session, target: Target, follow: bool) -> Result<Outcome> {
    match (target, follow) {
        (Target::Build(id), true) => follow_build(session, id).await,
        (Target::Job(id), true) => {
            let state = follow_job(session, id).await?;
            Ok(Outcome::of_state(&state))
        }
        (Target::Job(id), false) => print(session, id).await,
        (Target::Build(id), false) => {
            let build = session.client.build(id).await?;
            for job in build.jobs.iter().filter(|job| !job.superseded) {
                head(session, &build, job)?;
                print(session, job.id).await?;
            }
            Ok(Outcome::Succeeded)
        }
    }
}

/// Follows a build, one job after another, including jobs that are created meanwhile.
pub(crate) async fn follow_build(session: &Session, id: Uuid) -> Result<Outcome> {
    let mut followed = BTreeSet::new();
    loop {
        let build = session.client.build(id).await?;
        let mut left = build.jobs.iter().filter(|job| !followed.contains(&job.id));
        // Following a waiting job would hide the output of the jobs that it needs.
        let next = left.find(|job| !job.superseded && job.state != "waiting");
        match next {
            Some(job) => {
                head(session, &build, job)?;
                followed.insert(job.id);
                follow_job(session, job.id).await?;
            }
            None if build.is_done() => {
                end(session, &build)?;
                return Ok(Outcome::of_state(&build.state));
            }
            None => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

/// Prints which trace comes next, if the build has several jobs.
fn head(session: &Session, build: &Build, job: &Job) -> Result<()> {
    if build.jobs.len() > 1 && !session.output.is_json() {
        let line = format!("==> {} (job {}, attempt {})", job.name, job.id, job.attempt);
        session.output.note(&line)?;
    }
    Ok(())
}

fn end(session: &Session, build: &Build) -> Result<()> {
    if session.output.is_json() {
        return session.output.json_line(&End {
            job: None,
            build: Some(build.id),
            state: &build.state,
        });
    }
    let why = build
        .jobs
        .iter()
        .rev()
        .filter(|job| job.state == "failed")
        .find_map(slipway_client::Job::why);
    let why = why.filter(|_| build.state == "failed");
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    session
        .output
        .note(&format!("Build {} is {}{why}", build.id, build.state))?;
    Ok(())
}

/// Prints the trace of a job until the job finishes, and returns its state.
async fn follow_job(session: &Session, id: i64) -> Result<String> {
    let mut events = pin!(session.client.follow_trace(id, 0));
    let mut printer = TracePrinter::new(id);
    while let Some(event) = events.try_next().await? {
        match event {
            TraceEvent::Chunk { bytes, .. } => printer.print(session, &bytes)?,
            TraceEvent::End { state } => {
                printer.finish(session)?;
                if session.output.is_json() {
                    session.output.json_line(&End {
                        job: Some(id),
                        build: None,
                        state: &state,
                    })?;
                }
                return Ok(state);
            }
        }
    }
    anyhow::bail!("the trace of job {id} ended early")
}

/// Prints the stored trace of a job.
async fn print(session: &Session, id: i64) -> Result<Outcome> {
    let mut bytes = pin!(session.client.trace(id).await?);
    let mut printer = TracePrinter::new(id);
    while let Some(bytes) = bytes.try_next().await? {
        printer.print(session, &bytes)?;
    }
    printer.finish(session)?;
    Ok(Outcome::Succeeded)
}

/// Prints a trace: unchanged, or as lines of JSON that never split a character.
struct TracePrinter {
    job: i64,
    offset: u64,
    /// The start of a character whose rest has not arrived.
    pending: Vec<u8>,
}

impl TracePrinter {
    fn new(job: i64) -> Self {
        Self {
            job,
            offset: 0,
            pending: Vec::new(),
        }
    }

    fn print(&mut self, session: &Session, bytes: &[u8]) -> Result<()> {
        if !session.output.is_json() {
            session.output.bytes(bytes)?;
            return Ok(());
        }
        self.pending.extend_from_slice(bytes);
        let whole = whole_characters(&self.pending);
        self.send(session, whole)
    }

    /// Prints the pending bytes.
    fn finish(&mut self, session: &Session) -> Result<()> {
        self.send(session, self.pending.len())
    }

    fn send(&mut self, session: &Session, length: usize) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        let sent: Vec<u8> = self.pending.drain(..length).collect();
        session.output.json_line(&TracePart {
            job: self.job,
            offset: self.offset,
            text: &String::from_utf8_lossy(&sent),
        })?;
        self.offset += length as u64;
        Ok(())
    }
}

/// The number of bytes before a character at the end that is incomplete.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_character_is_not_counted() {
        let text = "aü".as_bytes();
        assert_eq!(whole_characters(text), 3);
        assert_eq!(whole_characters(&text[..2]), 1);
        assert_eq!(whole_characters(b"a\xffb"), 3);
    }
}
