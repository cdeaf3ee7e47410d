//! Notes that say why jobs are pending: at once, and when the reason changes.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use slipway_client::{Job, PendingReason};

use crate::commands::Session;

/// For how many jobs the reason is asked for at a time.
const MAX_JOBS: usize = 20;
/// The codes of reasons that usually last for a moment only. They are printed if they last longer.
const MOMENTARY: [&str; 2] = ["all_busy", RESERVED];
/// The code of a reservation. Its message contains a time that changes with each reservation.
const RESERVED: &str = "kept_for_runner";

/// Why a job is pending, as JSON.
#[derive(Serialize)]
struct Line<'a> {
    job: i64,
    pending: &'a PendingReason,
}

/// The reasons that are known, by job.
#[derive(Default)]
pub(super) struct PendingNotes(BTreeMap<i64, Known>);

struct Known {
    reason: PendingReason,
    is_printed: bool,
}

impl PendingNotes {
    /// Asks why the jobs in the state pending are pending, and prints what is new.
    pub(super) async fn update(&mut self, session: &Session, jobs: &[Job]) -> Result<()> {
        self.look(session, jobs, |job| job.state == "pending").await
    }

    /// Like [`PendingNotes::update`], also for manual jobs and jobs that need others.
    pub(super) async fn update_with_unstarted(
        &mut self,
        session: &Session,
        jobs: &[Job],
    ) -> Result<()> {
        self.look(session, jobs, has_not_started).await
    }

    async fn look(
        &mut self,
        session: &Session,
        jobs: &[Job],
        is_explained: fn(&Job) -> bool,
    ) -> Result<()> {
        self.note_started(session, jobs)?;
        let mut news: Vec<(PendingReason, Vec<&Job>)> = Vec::new();
        let explained = jobs
            .iter()
            .filter(|job| !job.superseded && is_explained(job));
        for job in explained.take(MAX_JOBS) {
            // A reason that cannot be read now can be read the next time.
            let Ok(answer) = session.client.pending_reason(job.id).await else {
                continue;
            };
            let Some(reason) = answer.reason else {
                continue;
            };
            if !self.is_news(job.id, &reason) {
                continue;
            }
            match news.iter_mut().find(|(known, _)| is_same(known, &reason)) {
                Some((_, jobs)) => jobs.push(job),
                None => news.push((reason, vec![job])),
            }
        }
        for (reason, jobs) in news {
            if session.output.is_json() {
                for job in jobs {
                    session.output.json_line(&Line {
                        job: job.id,
                        pending: &reason,
                    })?;
                }
            } else {
                session.output.note(&text(&reason, &jobs))?;
            }
        }
        Ok(())
    }

    /// Stores the reason of a job. Returns whether it is to be printed.
    fn is_news(&mut self, job: i64, reason: &PendingReason) -> bool {
        let is_momentary = MOMENTARY.contains(&reason.code.as_str());
        match self.0.get_mut(&job) {
            Some(known) if is_same(&known.reason, reason) => {
                !std::mem::replace(&mut known.is_printed, true)
            }
            _ => {
                let known = Known {
                    reason: reason.clone(),
                    is_printed: !is_momentary,
                };
                self.0.insert(job, known);
                !is_momentary
            }
        }
    }

    /// Prints that jobs have started, if it was printed why they were pending.
    fn note_started(&mut self, session: &Session, jobs: &[Job]) -> Result<()> {
        for job in jobs.iter().filter(|job| !has_not_started(job)) {
            let was_printed = self.0.remove(&job.id).is_some_and(|known| known.is_printed);
            if was_printed && !session.output.is_json() {
                let note = format!("Job {} ({}) is {}", job.name, job.id, job.state);
                session.output.note(&note)?;
            }
        }
        Ok(())
    }
}

/// Whether no runner has claimed the job yet, and it may still start.
pub(super) fn has_not_started(job: &Job) -> bool {
    matches!(job.state.as_str(), "waiting" | "manual" | "pending")
}

fn is_same(one: &PendingReason, other: &PendingReason) -> bool {
    one.code == other.code && (one.message == other.message || one.code == RESERVED)
}

fn text(reason: &PendingReason, jobs: &[&Job]) -> String {
    let names: Vec<String> = jobs
        .iter()
        .map(|job| format!("{} ({})", job.name, job.id))
        .collect();
    let names = names.join(", ");
    let message = &reason.message;
    match jobs {
        [job] => format!("Job {names} is {}: {message}", job.state),
        _ => format!("Jobs {names} are pending: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_printed_once_and_when_it_changes() {
        let reason = |code: &str, message: &str| PendingReason {
            code: code.to_owned(),
            message: message.to_owned(),
        };
        let mut notes = PendingNotes::default();
        for (reason, is_printed) in [
            (reason("no_runner_for_project", "a"), true),
            (reason("no_runner_for_project", "a"), false),
            (reason("no_runner_has_tags", "lacks x"), true),
            (reason("no_runner_has_tags", "lacks y"), true),
            // Momentary reasons are printed when they are seen twice.
            (reason("all_busy", "b"), false),
            (reason("all_busy", "b"), true),
            (reason("all_busy", "b"), false),
            (reason(RESERVED, "until 1"), false),
            (reason(RESERVED, "until 2"), true),
            (reason(RESERVED, "until 3"), false),
        ] {
            assert_eq!(notes.is_news(7, &reason), is_printed, "{reason:?}");
        }
    }
}
