//! Reports commit statuses to GitHub.
//!
//! What to report follows from the rows of builds, so no status is lost. A coordinator takes a build
//! before it reports its status. When it crashes meanwhile, another one takes over and may report the
//! same status again.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use slipway_domain::{BuildState, FailureReason, JobState, Outcome};
use slipway_github::{CommitStatus, Github, GithubError, GithubRepository, State};
use slipway_store::builds::{self, Build};
use slipway_store::jobs::{self, Job};
use slipway_store::projects::{self, Project};
use slipway_store::statuses::{self, Due};
use slipway_store::{Conn, StoreError};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::queue::duties::skip;

/// The name under which GitHub shows the status.
const CONTEXT: &str = "container/docker";
/// How many builds one run handles.
const MAX_BUILDS: i64 = 100;
/// How many statuses are sent at the same time.
const CONCURRENCY: usize = 8;
/// For how long a coordinator takes a build, in seconds: longer than two requests may take.
const TAKEN_S: i64 = 60;
/// The wait after the first failure, in seconds; it doubles with each further one.
const FIRST_BACKOFF_S: i64 = 5;
/// The longest wait, in seconds.
const MAX_BACKOFF_S: i64 = 15 * 60;
/// For how long after a change its status is still sent.
const REPORT_WITHIN: TimeDelta = TimeDelta::days(1);
/// The characters that are escaped in the URL that a status links to.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// What the status of a build depends on.
struct Subject {
    build: Build,
    project: Project,
    jobs: Vec<Job>,
}

impl Farm {
    /// Whether commit statuses of a project are reported.
    pub(crate) fn reports_to(&self, project: &Project) -> bool {
        self.github_of(project).is_some()
    }

    fn github_of(&self, project: &Project) -> Option<(&Github, GithubRepository)> {
        let github = self.inner.settings.github.as_ref()?;
        let github = Some(github).filter(|github| github.has_token())?;
        Some((github, github.repository(&project.repo_url)?))
    }

    /// Reports the statuses that are due. Returns for how many builds statuses were sent.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn report_statuses(&self) -> Result<usize, FarmError> {
        let now = self.now();
        let look = move |conn: &mut Conn| statuses::due(conn, now, MAX_BUILDS);
        let due = self.read(look).await?;
        let reported: Vec<Result<bool, FarmError>> = stream::iter(due)
            .map(|due| self.report_status(due))
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        let mut count = 0;
        for reported in reported {
            match reported {
                Ok(was_sent) => count += usize::from(was_sent),
                Err(error) => skip("report the status of a build", error)?,
            }
        }
        Ok(count)
    }

    /// Reports the status of one build. Returns whether anything was sent.
    async fn report_status(&self, due: Due) -> Result<bool, FarmError> {
        let until = self.now() + TimeDelta::seconds(TAKEN_S);
        let take = move |conn: &mut Conn| statuses::begin_attempt(conn, &due, until);
        // Another coordinator was faster.
        if !self.write(take).await? {
            return Ok(false);
        }
        let id = due.build;
        let read = move |conn: &mut Conn| {
            let build = builds::get(conn, id)?;
            Ok(Subject {
                project: projects::get(conn, build.project)?,
                jobs: jobs::of_build(conn, id)?,
                build,
            })
        };
        let subject = self.read(read).await?;
        let build = &subject.build;
        let Some((github, repository)) = self.github_of(&subject.project) else {
            // The settings of the farm or the project changed in the meantime.
            return self.note_reported(build).await.map(|()| false);
        };
        let mut statuses = Vec::new();
        // For a build that has ended, the start is tried only once.
        let late = build.finished_at.is_some() && due.tries > 0;
        if build.started_at.is_some() && !due.start_reported && !late {
            statuses.push(started());
        }
        statuses.extend(ended(&subject));
        for mut status in statuses {
            status.target_url = self.link(&subject);
            let sent = github.set_status(&repository, &build.sha, &status).await;
            if let Err(error) = sent {
                return self.retry_later(due, build, &error).await.map(|()| false);
            }
        }
        self.note_reported(build).await.map(|()| true)
    }

    /// Notes that the present status is reported.
    async fn note_reported(&self, build: &Build) -> Result<(), FarmError> {
        let (id, finished, now) = (build.id, build.finished_at, self.now());
        let note = move |conn: &mut Conn| -> Result<(), StoreError> {
            match finished {
                Some(finished) => statuses::finish(conn, id, finished),
                None => statuses::record_start_reported(conn, id, now),
            }
        };
        self.write(note).await
    }

    /// Notes a failure and when to retry. Gives up on statuses that are too old.
    async fn retry_later(
        &self,
        due: Due,
        build: &Build,
        error: &GithubError,
    ) -> Result<(), FarmError> {
        let now = self.now();
        let since = build.finished_at.or(build.started_at).unwrap_or(now);
        let uuid = build.uuid;
        if now - since > REPORT_WITHIN {
            tracing::warn!(build.id = %uuid, error = %error, "Gave up reporting the status of build {uuid}");
            return self.note_reported(build).await;
        }
        let wait = backoff(due.tries);
        tracing::warn!(
            build.id = %uuid, error = %error, wait_s = wait.num_seconds(),
            "Could not report the status of build {uuid}; retrying later"
        );
        let (id, tries, at) = (due.build, due.tries + 1, now + wait);
        let note = move |conn: &mut Conn| statuses::schedule_retry(conn, id, tries, at);
        self.write(note).await
    }

    /// The URL that the status of a build links to.
    fn link(&self, subject: &Subject) -> Option<String> {
        let settings = &self.inner.settings;
        let page = || {
            let home = settings.public_url.as_ref()?;
            Some(format!("{}/builds/{{id}}", home.trim_end_matches('/')))
        };
        let template = settings.status_url.clone().or_else(page)?;
        let build = &subject.build;
        let branch = build.git_ref.as_ref().map(ToString::to_string);
        let values = [
            ("{id}", build.uuid.to_string()),
            ("{repository}", subject.project.path()),
            ("{branch}", branch.unwrap_or_default()),
            ("{sha}", build.sha.to_string()),
        ];
        let fill = |url: String, (name, value): &(&str, String)| {
            url.replace(name, &utf8_percent_encode(value, ESCAPED).to_string())
        };
        Some(values.iter().fold(template, fill))
    }
}

fn backoff(tries: i32) -> TimeDelta {
    let doubled = FIRST_BACKOFF_S.checked_shl(u32::try_from(tries).unwrap_or(0).min(20));
    TimeDelta::seconds(doubled.unwrap_or(MAX_BACKOFF_S).min(MAX_BACKOFF_S))
}

fn status(state: State, description: String) -> CommitStatus {
    CommitStatus {
        state,
        context: CONTEXT,
        description,
        target_url: None,
    }
}

fn started() -> CommitStatus {
    status(State::Pending, "Image building.".to_owned())
}

/// The status of a build that has ended.
fn ended(subject: &Subject) -> Option<CommitStatus> {
    let build = &subject.build;
    let finished = build.finished_at?;
    Some(match build.state {
        BuildState::Succeeded => {
            let took = duration(build.started_at.unwrap_or(finished), finished);
            status(State::Success, format!("Image built in {took}."))
        }
        BuildState::Canceled => status(State::Failure, "The build was canceled.".to_owned()),
        BuildState::Skipped => status(State::Failure, "The build was skipped.".to_owned()),
        BuildState::Failed | BuildState::Pending | BuildState::Running => {
            let why = subject.jobs.iter().find_map(failure_of);
            let why = why.map_or("it could not be built", describe);
            status(State::Failure, format!("No image: {why}."))
        }
    })
}

/// Why a job failed, if its failure failed the build.
fn failure_of(job: &Job) -> Option<FailureReason> {
    match job.state {
        JobState::Done(Outcome::Failed(reason)) if !job.superseded && !job.allow_failure => {
            Some(reason)
        }
        _ => None,
    }
}

/// A failure reason for everybody: messages of runners may contain internal details.
fn describe(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::JobFailed => "a job of the build failed",
        FailureReason::SourceUnavailable => "the source could not be fetched",
        FailureReason::PackageUnavailable => "the package could not be fetched",
        FailureReason::PackageInvalid => "the package could not be unpacked",
        FailureReason::DockerfileMissing => "the Dockerfile is missing",
        FailureReason::DockerfileInvalid => "the Dockerfile cannot be read",
        FailureReason::BaseImageUnavailable => "a base image could not be pulled",
        FailureReason::BuildFailed => "a step of the Dockerfile failed",
        FailureReason::PushRefused => "the registry refused the image",
        FailureReason::DiskFull => "the disk of the build host is full",
        FailureReason::TimedOut => "the build exceeded its time limit",
        FailureReason::RunnerFault => "the build host had an error",
        FailureReason::RunnerLost => "the build host was lost",
        FailureReason::SecretMissing => "a secret of the build is not set",
        FailureReason::PlatformUnsupported => "the image cannot be built for this platform",
        FailureReason::NeedMissing => "something that a needed job was to leave is missing",
        FailureReason::Unsupported => "the build host does not support this build",
        FailureReason::Unknown => "the build failed for an unknown reason",
    }
}

fn duration(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let took = (to - from).to_std().unwrap_or(Duration::ZERO).as_secs();
    match (took / 3600, took / 60 % 60, took % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_in_their_two_largest_units() {
        let start = DateTime::UNIX_EPOCH;
        let shown = |seconds| duration(start, start + TimeDelta::seconds(seconds));
        assert_eq!(shown(0), "0 s");
        assert_eq!(shown(83), "1 min 23 s");
        assert_eq!(shown(3725), "1 h 2 min");
        assert_eq!(shown(-5), "0 s");
    }

    #[test]
    fn the_backoff_doubles_up_to_its_maximum() {
        let waits: Vec<i64> = (0..4).map(|tries| backoff(tries).num_seconds()).collect();
        assert_eq!(waits, [5, 10, 20, 40]);
        assert_eq!(backoff(1000).num_seconds(), MAX_BACKOFF_S);
    }
}
