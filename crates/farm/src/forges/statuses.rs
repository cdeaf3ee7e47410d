//! Telling GitHub what commits came to.
//!
//! What there is to tell follows from the builds' rows, so nothing is lost between a build and its
//! status. One coordinator takes a build upon itself before it tells; one that dies in the midst is
//! followed by another, which may tell the same once more.

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

/// The name under which GitHub shows the status.
const CONTEXT: &str = "container/docker";
/// How many builds one pass tells of.
const PASS: i64 = 100;
/// How many are told of at a time.
const AT_A_TIME: usize = 8;
/// For how long who tells of a build keeps others from it: longer than two exchanges may take.
const TAKEN_S: i64 = 60;
/// The wait after the first failure; it doubles with each further one.
const FIRST_WAIT_S: i64 = 5;
/// The longest wait.
const LONGEST_WAIT_S: i64 = 15 * 60;
/// For how long something is news.
const NEWS_FOR: TimeDelta = TimeDelta::days(1);
/// What stands for itself in the address that a status links to.
const LINKED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// All that is to be known of a build to tell of it.
struct Subject {
    build: Build,
    project: Project,
    jobs: Vec<Job>,
}

impl Farm {
    /// Whether a forge is told how the builds of a project go.
    pub(crate) fn reports_to(&self, project: &Project) -> bool {
        self.listener(project).is_some()
    }

    fn listener(&self, project: &Project) -> Option<(&Github, GithubRepository)> {
        let github = self.inner.settings.github.as_ref()?;
        let github = Some(github).filter(|github| github.has_token())?;
        Some((github, github.repository(&project.repo_url)?))
    }

    /// Tells forges what their commits came to, as far as that is news. Returns how many builds
    /// were told of.
    ///
    /// # Errors
    /// `Unavailable` when the database is.
    pub async fn report_statuses(&self) -> Result<usize, FarmError> {
        let now = self.now();
        let look = move |conn: &mut Conn| statuses::due(conn, now, PASS);
        let due = self.read(look).await?;
        let told: Vec<Result<bool, FarmError>> = stream::iter(due)
            .map(|due| self.tell(due))
            .buffer_unordered(AT_A_TIME)
            .collect()
            .await;
        let mut count = 0;
        for told in told {
            count += usize::from(told?);
        }
        Ok(count)
    }

    /// Tells what there is to tell of one build; whether anything was told.
    async fn tell(&self, due: Due) -> Result<bool, FarmError> {
        let until = self.now() + TimeDelta::seconds(TAKEN_S);
        let take = move |conn: &mut Conn| statuses::begin_attempt(conn, &due, until);
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
        let Some((github, repository)) = self.listener(&subject.project) else {
            // The operator or the project's maintainers thought better of it.
            return self.pass_over(build).await.map(|()| false);
        };
        let mut news = Vec::new();
        // Of a build that is over, the beginning is told once and then left.
        let late = build.finished_at.is_some() && due.tries > 0;
        if build.started_at.is_some() && !due.start_reported && !late {
            news.push(begun());
        }
        news.extend(ended(&subject));
        for mut status in news {
            status.target_url = self.link(&subject);
            let told = github.set_status(&repository, &build.sha, &status).await;
            if let Err(error) = told {
                return self.failed(due, build, &error).await.map(|()| false);
            }
        }
        self.pass_over(build).await.map(|()| true)
    }

    /// Notes that there is nothing to tell but what may come.
    async fn pass_over(&self, build: &Build) -> Result<(), FarmError> {
        let (id, finished, now) = (build.id, build.finished_at, self.now());
        let note = move |conn: &mut Conn| -> Result<(), StoreError> {
            match finished {
                Some(finished) => statuses::finish(conn, id, finished),
                None => statuses::record_start_reported(conn, id, now),
            }
        };
        self.write(note).await
    }

    /// Notes a failure, and when it is tried again; what is no news any more is given up.
    async fn failed(&self, due: Due, build: &Build, error: &GithubError) -> Result<(), FarmError> {
        let now = self.now();
        let since = build.finished_at.or(build.started_at).unwrap_or(now);
        let uuid = build.uuid;
        if now - since > NEWS_FOR {
            tracing::warn!(build.id = %uuid, error = %error, "The status of build {uuid} is given up");
            return self.pass_over(build).await;
        }
        let wait = wait_after(due.tries);
        tracing::warn!(
            build.id = %uuid, error = %error, wait_s = wait.num_seconds(),
            "The status of build {uuid} was not taken, and is sent again"
        );
        let (id, tries, at) = (due.build, due.tries + 1, now + wait);
        let note = move |conn: &mut Conn| statuses::schedule_retry(conn, id, tries, at);
        self.write(note).await
    }

    /// What the status of a build links to.
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
            url.replace(name, &utf8_percent_encode(value, LINKED).to_string())
        };
        Some(values.iter().fold(template, fill))
    }
}

fn wait_after(tries: i32) -> TimeDelta {
    let doubled = FIRST_WAIT_S.checked_shl(u32::try_from(tries).unwrap_or(0).min(20));
    TimeDelta::seconds(doubled.unwrap_or(LONGEST_WAIT_S).min(LONGEST_WAIT_S))
}

fn status(state: State, description: String) -> CommitStatus {
    CommitStatus {
        state,
        context: CONTEXT,
        description,
        target_url: None,
    }
}

fn begun() -> CommitStatus {
    status(State::Pending, "Image building.".to_owned())
}

/// How the build ended, if it did.
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
            let why = subject.jobs.iter().find_map(reason_of);
            let why = why.map_or("it could not be built", in_words);
            status(State::Failure, format!("No image: {why}."))
        }
    })
}

/// Why a job failed, if that is why its build did.
fn reason_of(job: &Job) -> Option<FailureReason> {
    match job.state {
        JobState::Done(Outcome::Failed(reason)) if !job.superseded && !job.allow_failure => {
            Some(reason)
        }
        _ => None,
    }
}

/// What runners report in words of their own stays in the farm: everybody may read a status.
fn in_words(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::JobFailed => "a job of the build failed",
        FailureReason::SourceUnavailable => "the source could not be fetched",
        FailureReason::PackageUnavailable => "the package could not be fetched",
        FailureReason::PackageInvalid => "the package could not be unpacked",
        FailureReason::DockerfileMissing => "there is no Dockerfile",
        FailureReason::DockerfileInvalid => "the Dockerfile cannot be read",
        FailureReason::BaseImageUnavailable => "a base image could not be had",
        FailureReason::BuildFailed => "a step of the Dockerfile failed",
        FailureReason::PushRefused => "the registry did not take the image",
        FailureReason::DiskFull => "the disk of the build host is full",
        FailureReason::TimedOut => "the build took longer than it may",
        FailureReason::RunnerFault => "the build host could not do its part",
        FailureReason::RunnerLost => "the build host was lost",
        FailureReason::SecretMissing => "a secret of the build is not set",
        FailureReason::PlatformUnsupported => "the image cannot be built for this platform",
        FailureReason::Unsupported => "the build host cannot do this",
        FailureReason::Unknown => "the build failed for a reason that the farm does not know",
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
    fn a_duration_is_said_as_people_say_it() {
        let start = DateTime::UNIX_EPOCH;
        let said = |seconds| duration(start, start + TimeDelta::seconds(seconds));
        assert_eq!(said(0), "0 s");
        assert_eq!(said(83), "1 min 23 s");
        assert_eq!(said(3725), "1 h 2 min");
        assert_eq!(said(-5), "0 s");
    }

    #[test]
    fn waits_grow_up_to_a_limit() {
        let waits: Vec<i64> = (0..4)
            .map(|tries| wait_after(tries).num_seconds())
            .collect();
        assert_eq!(waits, [5, 10, 20, 40]);
        assert_eq!(wait_after(1000).num_seconds(), LONGEST_WAIT_S);
    }
}
