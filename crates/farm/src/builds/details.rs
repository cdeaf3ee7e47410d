//! Reads builds with the latest attempts of their jobs, and details of jobs.

use std::collections::HashMap;

use slipway_domain::{BuildId, JobId, Role};
use slipway_store::Conn;
use slipway_store::builds::{self, Build};
use slipway_store::jobs::{self, Details, Job};
use slipway_store::pipelines::Pipeline;

use crate::access::authorize::ProjectAccess;
use crate::error::FarmError;
use crate::farm::Farm;

/// A build with the jobs that determine its state.
#[derive(Clone, Debug)]
pub struct BuildDetails {
    pub build: Build,
    /// The latest attempts of the jobs, oldest first.
    pub jobs: Vec<DetailedJob>,
}

/// The latest attempt of a job, with its details.
#[derive(Clone, Debug)]
pub struct DetailedJob {
    pub job: Job,
    pub details: Details,
    /// Whether the job was canceled and its runner has not reported yet that it stopped.
    pub stopping: bool,
}

impl Farm {
    /// The build of a pipeline with this number.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden` when the actor may not see the builds.
    pub async fn numbered_build(
        &self,
        access: &ProjectAccess,
        pipeline: &Pipeline,
        number: i64,
    ) -> Result<Build, FarmError> {
        access.require_builds(Role::Reader)?;
        let id = pipeline.id;
        let find = move |conn: &mut Conn| builds::by_number(conn, id, number);
        self.read(find).await
    }

    /// Completes builds with the jobs that determine their states.
    pub async fn detailed_builds(
        &self,
        builds: Vec<Build>,
    ) -> Result<Vec<BuildDetails>, FarmError> {
        // Two queries for all builds together; one per build would make lists slow.
        let (ids, now): (Vec<BuildId>, _) = (builds.iter().map(|b| b.id).collect(), self.now());
        let look = move |conn: &mut Conn| {
            let jobs = jobs::latest_of_builds(conn, &ids)?;
            Ok((jobs, jobs::details_of_builds(conn, &ids)?))
        };
        let (jobs, mut details) = self.read(look).await?;
        let mut of_build: HashMap<BuildId, Vec<DetailedJob>> = HashMap::new();
        for job in jobs {
            let details = details.remove(&job.id).unwrap_or_default();
            let shown = DetailedJob {
                stopping: details.stopping_until.is_some_and(|until| now < until),
                details,
                job,
            };
            of_build.entry(shown.job.build).or_default().push(shown);
        }
        let with_jobs = |build: Build| BuildDetails {
            jobs: of_build.remove(&build.id).unwrap_or_default(),
            build,
        };
        Ok(builds.into_iter().map(with_jobs).collect())
    }

    /// The details of a job, which few jobs have.
    pub async fn job_details(&self, job: JobId) -> Result<Details, FarmError> {
        let find = move |conn: &mut Conn| jobs::details_of(conn, job);
        self.read(find).await
    }

    /// The details of all attempts of the jobs of a build, for those that have any.
    pub async fn details_of_jobs(
        &self,
        build: BuildId,
    ) -> Result<HashMap<JobId, Details>, FarmError> {
        let find = move |conn: &mut Conn| jobs::details_of_builds(conn, &[build]);
        self.read(find).await
    }

    /// A build with the jobs that determine its state.
    ///
    /// # Errors
    /// `NotFound` when the build was deleted.
    pub async fn detailed_build(&self, id: BuildId) -> Result<BuildDetails, FarmError> {
        let find = move |conn: &mut Conn| builds::get(conn, id);
        let build = self.read(find).await?;
        let shown = self.detailed_builds(vec![build]).await?.pop();
        shown.ok_or(FarmError::NotFound("build"))
    }

    /// Which of `jobs`, the latest attempts of a build, each of them needs.
    pub async fn needs_among(
        &self,
        build: BuildId,
        jobs: &[DetailedJob],
    ) -> Result<HashMap<JobId, Vec<JobId>>, FarmError> {
        let find = move |conn: &mut Conn| jobs::needs_of_build(conn, build);
        let needs = self.read(find).await?;
        // A job may have needed an earlier attempt, so needs are matched by name.
        let by_name: HashMap<&str, JobId> = jobs
            .iter()
            .map(|shown| (shown.job.name.as_str(), shown.job.id))
            .collect();
        let latest = |names: Vec<String>| {
            let ids = names.iter().filter_map(|name| by_name.get(name.as_str()));
            ids.copied().collect()
        };
        let needs = needs.into_iter();
        Ok(needs.map(|(job, names)| (job, latest(names))).collect())
    }
}
