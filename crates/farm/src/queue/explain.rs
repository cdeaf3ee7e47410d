//! Why jobs wait: for one job, and for every line of the queue.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use slipway_domain::queue::{PendingReason, RunnerView, explain_pending};
use slipway_domain::{JobId, JobState, ProjectId, Scope, TagSet};
use slipway_store::runners::Runner;
use slipway_store::{Conn, StoreError, jobs, projects, queue, reservations, runners};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::error::FarmError;
use crate::farm::Farm;

/// The jobs of one project that ask for the same tags.
#[derive(Clone, Debug)]
pub struct QueueLine {
    /// `namespace/name` of the project.
    pub project: String,
    /// The tags a runner must have.
    pub tags: TagSet,
    /// How many jobs wait.
    pub count: i64,
    /// Since when the first of them does.
    pub oldest: Option<DateTime<Utc>>,
    /// Why.
    pub reason: PendingReason,
}

/// Why a job has not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartBlocker {
    /// It has.
    Begun,
    /// Jobs that it needs have not finished; these are their names.
    Needs(Vec<String>),
    /// Somebody has to start it.
    Manual,
    /// No runner has claimed it.
    Pending(PendingReason),
}

impl Farm {
    /// What waits in the queue and why, as far as the actor may see the projects.
    ///
    /// # Errors
    /// None of its own.
    pub async fn queue(&self, actor: &Actor) -> Result<Vec<QueueLine>, FarmError> {
        actor.require_scope(Scope::Read)?;
        let (user, all, now) = (actor.user, actor.admin, self.now());
        let explain = move |conn: &mut Conn| {
            let visible: Option<BTreeSet<ProjectId>> = match all {
                true => None,
                false => Some(projects::readable_ids(conn, user)?),
            };
            let views = views(conn, now)?;
            let (lines, running) = queue::pending_queues(conn)?;
            let kept = reservations::current(conn, now)?;
            let mut shown = Vec::new();
            for line in lines {
                let project = line.requirement.project;
                if visible.as_ref().is_some_and(|ids| !ids.contains(&project)) {
                    continue;
                }
                let running = running.get(&project).copied().unwrap_or(0);
                let (count, oldest) = queue::backlog(conn, line.key)?;
                // Those that stand with one that is kept wait for what others wait for.
                let kept = kept.iter().find(|kept| kept.key == line.key && count == 1);
                let kept = kept.map(|kept| (kept.runner, kept.until));
                shown.push(QueueLine {
                    project: projects::get(conn, project)?.path(),
                    count,
                    oldest,
                    reason: explain_pending(&line.requirement, line.policy, running, kept, &views),
                    tags: line.requirement.tags,
                });
            }
            Ok(shown)
        };
        self.read(explain).await
    }

    /// Whether a runner was heard of lately.
    pub fn is_online(&self, runner: &Runner) -> bool {
        runner.is_online(self.now())
    }

    /// Why a job of the project has not begun.
    ///
    /// # Errors
    /// `NotFound` when the project has no such job.
    pub async fn pending_reason(
        &self,
        access: &ProjectAccess,
        id: JobId,
    ) -> Result<StartBlocker, FarmError> {
        let (project, now) = (access.id(), self.now());
        let explain = move |conn: &mut Conn| {
            let job = jobs::get(conn, id)?;
            if job.project != project {
                return Err(StoreError::NotFound("job"));
            }
            match job.state {
                JobState::Running(..) | JobState::Done(_) => Ok(StartBlocker::Begun),
                JobState::Waiting => {
                    let needs = jobs::needs(conn, id)?;
                    let unfinished = needs.into_iter().filter(|need| !need.state.is_done());
                    Ok(StartBlocker::Needs(
                        unfinished.map(|need| need.name).collect(),
                    ))
                }
                JobState::Manual => Ok(StartBlocker::Manual),
                JobState::Pending => {
                    let (requirement, policy) = queue::requirement(conn, job.queue_key)?;
                    let running = queue::running(conn, project)?;
                    let views = views(conn, now)?;
                    let kept = reservations::current(conn, now)?
                        .into_iter()
                        .find(|kept| kept.job == id);
                    let kept = kept.map(|kept| (kept.runner, kept.until));
                    let reason = explain_pending(&requirement, policy, running, kept, &views);
                    Ok(StartBlocker::Pending(reason))
                }
            }
        };
        self.read(explain).await
    }
}

fn views(conn: &mut Conn, now: DateTime<Utc>) -> Result<Vec<RunnerView>, StoreError> {
    let runners = runners::all(conn)?;
    Ok(runners.into_iter().map(|runner| runner.view(now)).collect())
}
