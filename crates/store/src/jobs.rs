//! Jobs, and the one door through which a state is changed.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::graph;
use slipway_domain::{
    BuildId, Event, JobId, JobSpec, JobState, Lease, Outcome, Phase, ProjectId, QueueKeyId,
    RunnerId, UserId, When,
};

use crate::connection::Conn;
use crate::error::{OrMissing, StoreError};
use crate::literals::IsRunning;
use crate::page::Page;
use crate::schema::{job_needs, jobs, project_loads};
use crate::time::to_ms;
use crate::{builds, per_backend, phases, warm};

mod details;
mod needs;
mod row;

pub use details::{
    Details, details_of, details_of_builds, is_ending, note_build_steps, note_exit, note_stopped,
    note_taker, note_trace_incomplete, renew_ending,
};
use needs::as_need;
pub use needs::{dependents, needs, needs_of_build, settle};
pub use row::Job;
pub(crate) use row::JobRow;
use row::StateColumns;

/// What a new job is made of.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The build it belongs to.
    pub build: BuildId,
    /// The project it belongs to.
    pub project: ProjectId,
    /// What it asks of a runner.
    pub queue_key: QueueKeyId,
    /// Its name.
    pub name: String,
    /// Its stage.
    pub stage: String,
    /// What it does.
    pub spec: JobSpec,
    /// How long it may run, in seconds.
    pub timeout_s: i32,
    /// Whether the build succeeds even if it fails.
    pub allow_failure: bool,
    /// The jobs that must succeed first.
    pub needs: Vec<JobId>,
    /// Who caused it.
    pub created_by: Option<UserId>,
    /// When it runs, by what became of those it needs.
    pub when: When,
    /// What is known of few jobs.
    pub details: Details,
    /// The attempt it retries, with the runner that is passed over for a while.
    pub retries: Option<Retried>,
}

/// What a retry takes from the attempt before it.
#[derive(Clone, Copy, Debug)]
pub struct Retried {
    /// The attempt before.
    pub job: JobId,
    /// Its number.
    pub attempt: i32,
    /// Its priority.
    pub priority: i32,
    /// The runner that lost it, and until when that one is passed over.
    pub avoid: Option<(RunnerId, DateTime<Utc>)>,
}

/// What changed with a job, for the caller to act on after the commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Requirements for which a job became pending, or may now run.
    pub pending: Vec<QueueKeyId>,
    /// Requirements for which a job became pending that is kept for one runner for now.
    pub kept: Vec<QueueKeyId>,
    /// Jobs whose state changed.
    pub jobs: Vec<JobId>,
}

impl Changes {
    /// Adds what `other` holds.
    pub fn extend(&mut self, other: Changes) {
        self.pending.extend(other.pending);
        self.kept.extend(other.kept);
        self.jobs.extend(other.jobs);
    }
}

/// Makes a job, in the state that follows from the jobs it needs.
pub fn insert(conn: &mut Conn, new: &NewJob, now: DateTime<Utc>) -> Result<Job, StoreError> {
    let mut needs = Vec::with_capacity(new.needs.len());
    for need in &new.needs {
        needs.push(as_need(&get(conn, *need)?));
    }
    let state = match graph::next(new.when, &needs) {
        Some(event) => JobState::Waiting.after(event)?,
        None => JobState::Waiting,
    };
    let spec = serde_json::to_string(&new.spec).map_err(|_| StoreError::Corrupt("job spec"))?;
    let avoid = new.retries.and_then(|retried| retried.avoid);
    let id: i64 = diesel::insert_into(jobs::table)
        .values((
            (
                jobs::build_id.eq(new.build.0),
                jobs::project_id.eq(new.project.0),
                jobs::queue_key_id.eq(new.queue_key.0),
                jobs::name.eq(&new.name),
                jobs::stage.eq(&new.stage),
                jobs::spec.eq(spec),
                jobs::timeout_s.eq(new.timeout_s),
                jobs::allow_failure.eq(new.allow_failure),
                jobs::attempt.eq(new.retries.map_or(1, |retried| retried.attempt + 1)),
                jobs::retries_job_id.eq(new.retries.map(|retried| retried.job.0)),
            ),
            (
                jobs::superseded.eq(false),
                jobs::priority.eq(new.retries.map_or(0, |retried| retried.priority)),
                jobs::state.eq(state.name()),
                jobs::avoid_runner_id.eq(avoid.map(|(runner, _)| runner.0)),
                jobs::avoid_until.eq(avoid.map(|(_, until)| to_ms(until))),
                jobs::created_at.eq(to_ms(now)),
                jobs::queued_at.eq((state == JobState::Pending).then(|| to_ms(now))),
                jobs::finished_at.eq(state.is_done().then(|| to_ms(now))),
                jobs::rev.eq(0),
                jobs::created_by.eq(new.created_by.map(|user| user.0)),
                jobs::run_when.eq(new.when.as_str()),
            ),
        ))
        .returning(jobs::id)
        .get_result(conn)?;
    for need in &new.needs {
        diesel::insert_into(job_needs::table)
            .values((job_needs::job_id.eq(id), job_needs::needs_job_id.eq(need.0)))
            .execute(conn)?;
    }
    details::insert(conn, JobId(id), &new.details)?;
    get(conn, JobId(id))
}

/// Reads one job.
pub fn get(conn: &mut Conn, id: JobId) -> Result<Job, StoreError> {
    jobs::table
        .find(id.0)
        .first::<JobRow>(conn)
        .or_missing("job")?
        .try_into()
}

/// Reads one job, and keeps others from changing it, its trace and its artifacts until the
/// transaction ends. A transaction that locks the job's build too does that first.
pub fn get_locked(conn: &mut Conn, id: JobId) -> Result<Job, StoreError> {
    per_backend::lock_job(conn, id)?;
    get(conn, id)
}

/// All attempts of a build's jobs, in the order they were made.
pub fn of_build(conn: &mut Conn, build: BuildId) -> Result<Vec<Job>, StoreError> {
    collect(
        jobs::table
            .filter(jobs::build_id.eq(build.0))
            .order(jobs::id)
            .load(conn)?,
    )
}

/// The latest attempts of the jobs of several builds, in the order they were made.
pub fn latest_of_builds(conn: &mut Conn, builds: &[BuildId]) -> Result<Vec<Job>, StoreError> {
    let builds = builds.iter().map(|build| build.0);
    collect(
        jobs::table
            .filter(jobs::build_id.eq_any(builds))
            .filter(jobs::superseded.eq(false))
            .order(jobs::id)
            .load(conn)?,
    )
}

/// The jobs of a project, newest first.
pub fn of_project(conn: &mut Conn, project: ProjectId, page: Page) -> Result<Vec<Job>, StoreError> {
    let rows = jobs::table
        .filter(
            jobs::project_id
                .eq(project.0)
                .and(jobs::id.lt(page.below())),
        )
        .order(jobs::id.desc())
        .limit(page.limit)
        .load(conn)?;
    collect(rows)
}

/// The running jobs whose lease lapsed before `now`, those first that lapsed first.
pub fn lapsed(conn: &mut Conn, now: DateTime<Utc>, limit: i64) -> Result<Vec<JobId>, StoreError> {
    let ids: Vec<i64> = jobs::table
        .filter(IsRunning)
        .filter(jobs::lease_expires_at.le(to_ms(now)))
        .order(jobs::lease_expires_at)
        .limit(limit)
        .select(jobs::id)
        .load(conn)?;
    Ok(ids.into_iter().map(JobId).collect())
}

/// Gives every running job at least until `until`, as after a start of the coordinator.
pub fn grant_grace(conn: &mut Conn, until: DateTime<Utc>) -> Result<usize, StoreError> {
    let changed = diesel::update(jobs::table)
        .filter(IsRunning)
        .filter(jobs::lease_expires_at.lt(to_ms(until)))
        .set((
            jobs::lease_expires_at.eq(to_ms(until)),
            jobs::rev.eq(jobs::rev + 1),
        ))
        .execute(conn)?;
    Ok(changed)
}

/// Ends the leases of a runner's jobs, which are lost at once.
pub fn end_leases_of(
    conn: &mut Conn,
    runner: RunnerId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::update(jobs::table)
        .filter(IsRunning)
        .filter(jobs::runner_id.eq(runner.0))
        .set((
            jobs::lease_expires_at.eq(to_ms(now)),
            jobs::rev.eq(jobs::rev + 1),
        ))
        .execute(conn)?;
    Ok(())
}

pub(crate) fn collect(rows: Vec<JobRow>) -> Result<Vec<Job>, StoreError> {
    rows.into_iter().map(Job::try_from).collect()
}

/// Renews the lease of a running job, and perhaps moves it to another phase.
///
/// # Errors
/// `Refused` when it is not running, or not with this runner.
pub fn renew(
    conn: &mut Conn,
    job: &Job,
    runner: RunnerId,
    phase: Option<Phase>,
    now: DateTime<Utc>,
) -> Result<JobState, StoreError> {
    let lease = Lease {
        runner,
        expires_at: now + job.lease_length,
    };
    advance(conn, job, Event::Renew(lease, phase), now)
}

/// Ends a job, or lets it go on when the event says so, and carries what follows from it through
/// its build: who may start now, who is skipped, and the build's own state.
///
/// # Errors
/// `Refused` when the job's state does not take the event.
pub fn apply(
    conn: &mut Conn,
    id: JobId,
    event: Event,
    message: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(JobState, Changes), StoreError> {
    // The build's row is always locked before its jobs': two jobs that end together take turns.
    let build = get(conn, id)?.build;
    per_backend::lock_build(conn, build)?;
    let job = get(conn, id)?;
    let state = advance(conn, &job, event, now)?;
    if let Some(message) = message {
        diesel::update(jobs::table.find(id.0))
            .set(jobs::failure_message.eq(message))
            .execute(conn)?;
    }
    let mut changes = Changes {
        jobs: vec![id],
        ..Changes::default()
    };
    if job.state.is_running() && state.is_done() {
        changes
            .pending
            .extend(crate::queue::held_back_by_limit(conn, job.project)?);
    }
    Ok((state, changes))
}

/// Puts a job that waits for somebody to start it into the queue, in the name of who does; it is
/// kept up to `warm_wait` for a runner that built the project lately.
///
/// # Errors
/// `Refused` when it does not wait for that.
pub fn play(
    conn: &mut Conn,
    id: JobId,
    by: UserId,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Changes, StoreError> {
    let build = get(conn, id)?.build;
    per_backend::lock_build(conn, build)?;
    let job = get(conn, id)?;
    advance(conn, &job, Event::Play, now)?;
    diesel::update(jobs::table.find(id.0))
        .set(jobs::created_by.eq(by.0))
        .execute(conn)?;
    builds::reopen(conn, build, now)?;
    let mut changes = Changes {
        jobs: vec![id],
        ..Changes::default()
    };
    warm::note_pending(conn, &mut changes, &job, warm_wait, now)?;
    Ok(changes)
}

/// Moves the job that was read as `seen` on by `event`: the one door to the state columns, but
/// for the claim of a whole batch, which takes the same transition.
///
/// # Errors
/// `Stale` when the row changed since it was read: read it again and decide again.
fn advance(
    conn: &mut Conn,
    seen: &Job,
    event: Event,
    now: DateTime<Utc>,
) -> Result<JobState, StoreError> {
    let next = seen.state.after(event)?;
    let now = to_ms(now);
    let target = jobs::table.find(seen.id.0).filter(jobs::rev.eq(seen.rev));
    let columns = (StateColumns::from(next), jobs::rev.eq(seen.rev + 1));
    let changed = match (seen.state, next) {
        (_, JobState::Pending) => diesel::update(target)
            .set((columns, jobs::queued_at.eq(now)))
            .execute(conn)?,
        (_, JobState::Done(_)) => diesel::update(target)
            .set((columns, jobs::finished_at.eq(now)))
            .execute(conn)?,
        _ => diesel::update(target).set(columns).execute(conn)?,
    };
    if changed == 0 {
        return Err(StoreError::Stale);
    }
    match (seen.state, next) {
        (JobState::Running(_, before), JobState::Running(_, phase)) if before != phase => {
            phases::note(conn, seen.id, Some(phase), now)?;
        }
        (JobState::Running(..), JobState::Done(_)) => phases::note(conn, seen.id, None, now)?,
        _ => {}
    }
    if let (JobState::Running(lease, _), JobState::Done(Outcome::Canceled)) = (seen.state, next) {
        details::note_stopping(conn, seen.id, lease.expires_at)?;
    }
    if seen.state.is_running() && next.is_done() {
        diesel::update(project_loads::table.find(seen.project.0))
            .set(project_loads::running.eq(project_loads::running - 1))
            .execute(conn)?;
    }
    if next.is_done() {
        tracing::info!(job.id = %seen.id, state = next.name(), "Job {} is {}", seen.id, next.name());
    }
    Ok(next)
}

/// Marks a job whose trace and artifacts are gone; from now on it takes neither.
///
/// # Errors
/// `Conflict` when it is not over, or erased already.
pub fn mark_erased(
    conn: &mut Conn,
    id: JobId,
    by: UserId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let job = get(conn, id)?;
    if !job.state.is_done() {
        return Err(StoreError::Conflict("the job is not over"));
    }
    let changed = diesel::update(jobs::table.find(id.0).filter(jobs::erased_at.is_null()))
        .set((
            jobs::erased_at.eq(to_ms(now)),
            jobs::erased_by.eq(by.0),
            jobs::rev.eq(jobs::rev + 1),
        ))
        .execute(conn)?;
    if changed == 0 {
        Err(StoreError::Conflict("the job is erased already"))
    } else {
        Ok(())
    }
}
