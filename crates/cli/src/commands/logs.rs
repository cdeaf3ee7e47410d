//! Traces: printed as they are stored, or followed until the end.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use futures_util::TryStreamExt;
use serde::Serialize;
use slipway_client::{Build, Job, TraceEvent};
use uuid::Uuid;

use crate::args::Target;
use crate::commands::{Done, Session};

/// How often a build is looked at while none of its jobs can be followed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A piece of a trace, as JSON.
#[derive(Serialize)]
struct Piece<'a> {
    job: i64,
    offset: u64,
    text: &'a str,
}

/// The end of something that was followed, as JSON.
#[derive(Serialize)]
struct End<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build: Option<Uuid>,
    state: &'a str,
}

/// Prints the trace of a job, or of the latest attempts of all jobs of a build.
pub(crate) async fn logs(session: &Session, target: Target, follow: bool) -> Result<Done> {
    match (target, follow) {
        (Target::Build(id), true) => follow_build(session, id).await,
        (Target::Job(id), true) => {
            let state = follow_job(session, id).await?;
            Ok(Done::of_state(&state))
        }
        (Target::Job(id), false) => print(session, id).await,
        (Target::Build(id), false) => {
            let build = session.client.build(id).await?;
            for job in build.jobs.iter().filter(|job| !job.superseded) {
                head(session, &build, job)?;
                print(session, job.id).await?;
            }
            Ok(Done::Well)
        }
    }
}

/// Follows a build, one job after another, those that are made meanwhile included.
pub(crate) async fn follow_build(session: &Session, id: Uuid) -> Result<Done> {
    let mut followed = BTreeSet::new();
    loop {
        let build = session.client.build(id).await?;
        let mut left = build.jobs.iter().filter(|job| !followed.contains(&job.id));
        // A job that waits for others is left for later.
        let next = left.find(|job| !job.superseded && job.state != "waiting");
        match next {
            Some(job) => {
                head(session, &build, job)?;
                followed.insert(job.id);
                follow_job(session, job.id).await?;
            }
            None if build.is_done() => {
                end(session, &build)?;
                return Ok(Done::of_state(&build.state));
            }
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Tells whose trace comes next, when a build has more than one.
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
        .find_map(|job| job.failure_message.as_ref());
    let why = why.filter(|_| build.state == "failed");
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    session
        .output
        .note(&format!("Build {} is {}{why}", build.id, build.state))?;
    Ok(())
}

/// Prints a job's trace until the job is over, and returns its state.
async fn follow_job(session: &Session, id: i64) -> Result<String> {
    let mut events = pin!(session.client.follow_trace(id, 0));
    let mut text = Text::new(id);
    while let Some(event) = events.try_next().await? {
        match event {
            TraceEvent::Chunk { bytes, .. } => text.print(session, &bytes)?,
            TraceEvent::End { state } => {
                text.finish(session)?;
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
    anyhow::bail!("the trace of job {id} broke off")
}

/// Prints what is stored of a job's trace.
async fn print(session: &Session, id: i64) -> Result<Done> {
    let mut bytes = pin!(session.client.trace(id).await?);
    let mut text = Text::new(id);
    while let Some(bytes) = bytes.try_next().await? {
        text.print(session, &bytes)?;
    }
    text.finish(session)?;
    Ok(Done::Well)
}

/// A trace on its way out: as it is, or as lines of JSON in which no character is cut in two.
struct Text {
    job: i64,
    offset: u64,
    held: Vec<u8>,
}

impl Text {
    fn new(job: i64) -> Self {
        Self {
            job,
            offset: 0,
            held: Vec::new(),
        }
    }

    fn print(&mut self, session: &Session, bytes: &[u8]) -> Result<()> {
        if !session.output.is_json() {
            session.output.bytes(bytes)?;
            return Ok(());
        }
        self.held.extend_from_slice(bytes);
        let whole = whole_characters(&self.held);
        self.send(session, whole)
    }

    /// Prints what was held back.
    fn finish(&mut self, session: &Session) -> Result<()> {
        self.send(session, self.held.len())
    }

    fn send(&mut self, session: &Session, length: usize) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        let sent: Vec<u8> = self.held.drain(..length).collect();
        session.output.json_line(&Piece {
            job: self.job,
            offset: self.offset,
            text: &String::from_utf8_lossy(&sent),
        })?;
        self.offset += length as u64;
        Ok(())
    }
}

/// How many of `bytes` there are before a character that may not have come whole.
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
    fn a_character_is_held_back_until_it_is_whole() {
        let text = "aü".as_bytes();
        assert_eq!(whole_characters(text), 3);
        assert_eq!(whole_characters(&text[..2]), 1);
        assert_eq!(whole_characters(b"a\xffb"), 3);
    }
}
