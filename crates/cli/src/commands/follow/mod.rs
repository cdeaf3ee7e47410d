//! Following a job or a build: the traces of its jobs as they grow, and why jobs are pending.

mod pending;
mod traces;

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use slipway_client::{Build, ClientError, Job};
use uuid::Uuid;

use self::pending::PendingNotes;
use self::traces::Traces;
use crate::commands::logs::note_missing;
use crate::commands::{Outcome, Session};

/// How often the state of a followed build is read.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How many times in a row the state cannot be read before following fails.
const MAX_FAILURES: u32 = 30;

/// The end of a followed build, as JSON.
#[derive(Serialize)]
struct End<'a> {
    build: Uuid,
    state: &'a str,
}

/// Follows a build until it finishes, including jobs that are created meanwhile. The traces of jobs
/// that run at the same time are printed in turns.
pub(crate) async fn follow_build(session: &Session, id: Uuid) -> Result<Outcome> {
    let mut traces = Traces::new(session);
    let mut notes = PendingNotes::default();
    let mut failures = Failures::default();
    let mut looked = session.client.build(id).await.map(Some)?;
    loop {
        if let Some(build) = &looked {
            // One trace needs no title.
            traces.start(&build.jobs, build.jobs.len() > 1)?;
            notes.update(session, &build.jobs).await?;
            if build.is_done() && traces.is_empty() {
                end(session, build)?;
                return Ok(Outcome::of_state(&build.state));
            }
        }
        traces.print_for(LOOK_INTERVAL).await?;
        looked = failures.tolerate(session.client.build(id).await)?;
    }
}

/// Follows one job until it finishes.
pub(crate) async fn follow_job(session: &Session, id: i64) -> Result<Outcome> {
    let mut traces = Traces::new(session);
    let mut notes = PendingNotes::default();
    let mut failures = Failures::default();
    let mut job = session.client.job(id).await?;
    // Its events are awaited from the beginning, so that the end is noticed at once.
    traces.open(&job, false)?;
    loop {
        notes
            .update_with_unstarted(session, std::slice::from_ref(&job))
            .await?;
        if let Some(state) = traces.print_for(LOOK_INTERVAL).await? {
            if let Some(ended) = failures.tolerate(session.client.job(id).await)? {
                note_missing(session, &ended)?;
            }
            return Ok(Outcome::of_state(&state));
        }
        if pending::has_not_started(&job)
            && let Some(changed) = failures.tolerate(session.client.job(id).await)?
        {
            job = changed;
        }
    }
}

/// Tolerates failures of requests while the coordinator restarts.
#[derive(Default)]
struct Failures {
    in_a_row: u32,
}

impl Failures {
    /// The value, or `None` if the request failed and should be sent again later.
    fn tolerate<T>(&mut self, result: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
        match result {
            Ok(value) => {
                self.in_a_row = 0;
                Ok(Some(value))
            }
            Err(error) if error.is_transient() && self.in_a_row < MAX_FAILURES => {
                self.in_a_row += 1;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn end(session: &Session, build: &Build) -> Result<()> {
    if session.output.is_json() {
        return session.output.json_line(&End {
            build: build.id,
            state: &build.state,
        });
    }
    for job in build.jobs.iter().filter(|job| !job.superseded) {
        note_missing(session, job)?;
    }
    let why = build
        .jobs
        .iter()
        .rev()
        .filter(|job| job.state == "failed")
        .find_map(Job::why);
    let why = why.filter(|_| build.state == "failed");
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    session
        .output
        .note(&format!("Build {} is {}{why}", build.id, build.state))?;
    let is_manual = |job: &&Job| job.state == "manual" && !job.superseded;
    for job in build.jobs.iter().filter(is_manual) {
        session.output.note(&format!(
            "Job {} ({}) is manual and was not started: run `slipway play {}`",
            job.name, job.id, job.id
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transient_failures_are_tolerated_and_not_forever() {
        let unavailable = || Err::<(), _>(ClientError::NotAFarm { status: 503 });
        let mut failures = Failures::default();
        for _ in 0..MAX_FAILURES {
            assert_eq!(failures.tolerate(unavailable()).unwrap(), None);
        }
        assert!(failures.tolerate(unavailable()).is_err());
        assert_eq!(failures.tolerate(Ok(())).unwrap(), Some(()));
        assert_eq!(failures.tolerate(unavailable()).unwrap(), None);
        let unauthorized = Err::<(), _>(ClientError::NotAFarm { status: 401 });
        assert!(failures.tolerate(unauthorized).is_err());
    }
}
