//! Explains why jobs wait: one job, and each queue key.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use slipway_domain::access::Action;
use slipway_domain::queue::{KeyQueue, PendingReason, RunnerView, explain_pending};
use slipway_domain::{JobId, JobState, ProjectId, TagSet};
use slipway_store::queue::Backlog;
use slipway_store::runners::Runner;
use slipway_store::{Conn, StoreError, jobs, projects, queue, reservations, runners};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::error::FarmError;
use crate::farm::Farm;

/// How many jobs under a new queue key are counted at once.
const MAX_NEW: i64 = 1000;

/// The pending jobs of one project that ask for the same tags.
#[derive(Clone, Debug)]
pub struct QueueLine {
    /// `namespace/name` of the project.
    pub project: String,
    /// The tags that a runner must have.
    pub tags: TagSet,
    /// If the queue is long, this and the next member may be some seconds old.
    pub count: i64,
    /// Since when the oldest of the jobs waits.
    pub oldest: Option<DateTime<Utc>>,
    pub reason: PendingReason,
}

/// Why a job has not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartBlocker {
    /// Nothing: the job has started.
    Started,
    /// It needs jobs with these names, which have not finished.
    Needs(Vec<String>),
    /// It waits to be started by hand.
    Manual,
    /// No runner has claimed it.
    Pending(PendingReason),
}

impl Farm {
    /// The pending jobs of the projects that the actor may see, and why they wait.
    ///
    /// # Errors
    /// `Forbidden` for tokens without the scope read.
    pub async fn queue(&self, actor: &Actor) -> Result<Vec<QueueLine>, FarmError> {
        actor.require(Action::ReadProjects)?;
        let (user, all, now) = (actor.user, actor.admin, self.now());
        let backlogs = self.backlogs().await?;
        let explain = move |conn: &mut Conn| {
            let visible: Option<BTreeSet<ProjectId>> = if all {
                None
            } else {
                Some(projects::readable_ids(conn, user)?)
            };
            let is_visible = |project| visible.as_ref().is_none_or(|ids| ids.contains(&project));
            // One snapshot of all runners serves all queue keys.
            let views = views(conn, now)?;
            let (lines, running) = queue::pending_queues(conn)?;
            let reserved = reservations::current(conn, now)?;
            let lines: Vec<KeyQueue> = lines
                .into_iter()
                .filter(|line| is_visible(line.requirement.project))
                .collect();
            let projects = lines.iter().map(|line| line.requirement.project);
            let paths = projects::paths(conn, &projects.collect())?;
            let mut shown = Vec::with_capacity(lines.len());
            for line in lines {
                let project = line.requirement.project;
                let running = running.get(&project).copied().unwrap_or(0);
                let Backlog { count, oldest } = match backlogs.get(&line.key) {
                    Some(backlog) => *backlog,
                    // The first job under this key became pending after the numbers were read.
                    None => queue::backlog(conn, line.key, MAX_NEW)?,
                };
                // One reserved job does not explain why the other jobs of its queue key wait.
                let reserved = reserved
                    .iter()
                    .find(|reserved| reserved.key == line.key && count == 1);
                let reserved = reserved.map(|reserved| (reserved.runner, reserved.until));
                shown.push(QueueLine {
                    project: paths.get(&project).cloned().unwrap_or_default(),
                    count,
                    oldest,
                    reason: explain_pending(
                        &line.requirement,
                        line.policy,
                        running,
                        reserved,
                        &views,
                    ),
                    tags: line.requirement.tags,
                });
            }
            Ok(shown)
        };
        self.read(explain).await
    }

    /// Whether the farm had contact with a runner lately.
    pub fn is_online(&self, runner: &Runner) -> bool {
        runner.is_online(self.now())
    }

    /// Why a job of the project has not started.
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
            // Jobs of other projects must look as if they did not exist.
            if job.project != project {
                return Err(StoreError::NotFound("job"));
            }
            match job.state {
                JobState::Running(..) | JobState::Done(_) => Ok(StartBlocker::Started),
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
                    let reserved = reservations::current(conn, now)?
                        .into_iter()
                        .find(|reserved| reserved.job == id);
                    let reserved = reserved.map(|reserved| (reserved.runner, reserved.until));
                    let reason = explain_pending(&requirement, policy, running, reserved, &views);
                    Ok(StartBlocker::Pending(reason))
                }
            }
        };
        self.read(explain).await
    }
}

/// All runners of the farm, as far as they explain which jobs run.
pub(crate) fn views(conn: &mut Conn, now: DateTime<Utc>) -> Result<Vec<RunnerView>, StoreError> {
    let runners = runners::all(conn)?;
    Ok(runners.into_iter().map(|runner| runner.view(now)).collect())
}
