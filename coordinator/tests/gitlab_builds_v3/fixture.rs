//! A farm with a project and users in every role.

use serde_json::{Value, json};
use slipway_domain::{CommitSha, JobId, Role, Slug};
use slipway_farm::{BuildRequest, ProjectAccess};
use slipway_testkit::farm::SHA;
use slipway_testkit::{Backend, TestFarm};

use crate::api_client::{ApiClient, build_path};
use crate::client::{Claim, Runner, RunnerApi};

/// A farm whose project 1 is the private `grp/proj`, with a member in each role.
pub(crate) struct Fixture {
    pub(crate) farm: TestFarm,
    /// `grp/proj`, as an owner sees it.
    pub(crate) project: ProjectAccess,
    pub(crate) guest: ApiClient,
    pub(crate) reporter: ApiClient,
    pub(crate) developer: ApiClient,
    pub(crate) master: ApiClient,
    /// An administrator.
    pub(crate) admin: ApiClient,
    /// A user without memberships.
    pub(crate) outsider: ApiClient,
}

impl Fixture {
    pub(crate) async fn start(backend: Backend) -> Self {
        Self::with_farm(TestFarm::start(backend).await).await
    }

    /// Like [`Fixture::start`], on a farm that runs already.
    pub(crate) async fn with_farm(farm: TestFarm) -> Self {
        let project = farm.project("grp/proj").await;
        assert_eq!(project.id().0, 1);
        let client = async |name: &str, role: Option<Role>| {
            let token = farm.user(name).await;
            if let Some(role) = role {
                farm.member(&project, name, role).await;
            }
            ApiClient::new(&farm, Some(&token))
        };
        Self {
            guest: client("gail", Some(Role::Guest)).await,
            reporter: client("rita", Some(Role::Reader)).await,
            developer: client("dora", Some(Role::Developer)).await,
            master: client("mona", Some(Role::Maintainer)).await,
            outsider: client("otto", None).await,
            admin: ApiClient::new(&farm, Some(&farm.admin_token)),
            project,
            farm,
        }
    }

    /// A client without a token.
    pub(crate) fn anonymous(&self) -> ApiClient {
        ApiClient::new(&self.farm, None)
    }

    pub(crate) fn client_with_token(&self, token: &str) -> ApiClient {
        ApiClient::new(&self.farm, Some(token))
    }

    /// Creates a pending build of the job `unit` on `master`.
    pub(crate) async fn pending_build(&self) -> JobId {
        self.pending_build_of("master", SHA).await
    }

    /// Creates a pending build of the job `unit` for any branch and commit.
    pub(crate) async fn pending_build_of(&self, git_ref: &str, sha: &str) -> JobId {
        self.build_with_jobs(git_ref, sha, &[("unit", &[])]).await[0]
    }

    /// Creates a pipeline of several jobs, each with the names of the jobs that it needs, and
    /// returns their ids in the same order.
    pub(crate) async fn build_with_jobs(
        &self,
        git_ref: &str,
        sha: &str,
        jobs: &[(&str, &[&str])],
    ) -> Vec<JobId> {
        let slug = Slug::default_pipeline();
        let definition = slipway_testkit::farm::jobs_named(jobs);
        let farm = self.farm.farm();
        let put = farm.put_pipeline(&self.project, &slug, definition).await;
        put.unwrap();
        let request = BuildRequest {
            pipeline: slug,
            sha: Some(sha.parse::<CommitSha>().unwrap()),
            git_ref: Some(git_ref.parse().unwrap()),
        };
        let root = self.farm.admin().await;
        let build = farm.create_build(&root, &self.project, request).await;
        let jobs = self.farm.jobs(&build.unwrap()).await;
        jobs.iter().map(|job| job.id).collect()
    }

    /// Registers a stock runner.
    pub(crate) async fn register_runner(&self) -> Runner {
        RunnerApi::new(&self.farm).register_runner(&self.farm).await
    }

    /// Creates a build that a runner claims.
    pub(crate) async fn running_build(&self) -> Claim {
        let id = self.pending_build().await;
        let claim = self.register_runner().await.claim().await;
        assert_eq!(claim.id, id);
        claim
    }

    /// Creates a build that finishes with `state`, `success` or `failed`.
    pub(crate) async fn finished_build(&self, state: &str) -> Claim {
        let claim = self.running_build().await;
        claim.put(json!({ "state": state })).await.is(200);
        claim
    }

    /// Creates a build that succeeds with the trace `hello` and an archive.
    pub(crate) async fn build_with_trace_and_archive(&self) -> Claim {
        let claim = self.running_build().await;
        claim.patch("0-5", "hello").await.is(202);
        claim.upload("", "artifacts.zip", b"PK zip").await.is(201);
        claim.succeed().await;
        claim
    }

    /// A build, as the developer sees it.
    pub(crate) async fn get_build(&self, id: JobId) -> Value {
        let response = self.developer.get(&build_path(id, "")).await;
        response.is(200).json()
    }

    /// Posts an action, such as `/cancel`, to a build as the developer, asserts the status, and
    /// returns the build in the response.
    pub(crate) async fn post_action(&self, id: JobId, action: &str, status: u16) -> Value {
        let response = self.developer.post(&build_path(id, action)).await;
        response.is(status).json()
    }
}
