//! What the checks share: a farm with a project and people in it, and a client of the API.

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use slipway_domain::{CommitSha, JobId, Role, Slug};
use slipway_farm::{BuildRequest, ProjectAccess};
use slipway_testkit::farm::SHA;
use slipway_testkit::{Backend, TestFarm};

pub(crate) use crate::client::{ApiResponse, Claim};
use crate::client::{Runner, RunnerApi};

/// The project of a [`World`].
pub(crate) const P: &str = "/projects/1";

/// A farm whose project 1 is `grp/proj`, which is private, with a member in each role.
pub(crate) struct World {
    pub(crate) farm: TestFarm,
    /// The project, for an owner.
    pub(crate) project: ProjectAccess,
    pub(crate) guest: Client,
    pub(crate) reporter: Client,
    pub(crate) developer: Client,
    pub(crate) master: Client,
    /// An administrator.
    pub(crate) admin: Client,
    /// A user who is a member of nothing.
    pub(crate) outsider: Client,
}

impl World {
    pub(crate) async fn start(backend: Backend) -> Self {
        Self::of(TestFarm::start(backend).await).await
    }

    /// The same on a farm that runs already.
    pub(crate) async fn of(farm: TestFarm) -> Self {
        let project = farm.project("grp/proj").await;
        assert_eq!(project.id().0, 1);
        let client = async |name: &str, role: Option<Role>| {
            let token = farm.user(name).await;
            if let Some(role) = role {
                farm.member(&project, name, role).await;
            }
            Client::of(&farm, Some(&token))
        };
        Self {
            guest: client("gail", Some(Role::Guest)).await,
            reporter: client("rita", Some(Role::Reader)).await,
            developer: client("dora", Some(Role::Developer)).await,
            master: client("mona", Some(Role::Maintainer)).await,
            outsider: client("otto", None).await,
            admin: Client::of(&farm, Some(&farm.admin_token)),
            project,
            farm,
        }
    }

    /// A pending build of the job `unit` on `master`.
    pub(crate) async fn pending(&self) -> JobId {
        self.build_on("master", SHA).await
    }

    /// A pending build of the job `unit`, of any commit on any branch.
    pub(crate) async fn build_on(&self, git_ref: &str, sha: &str) -> JobId {
        let jobs = self.build_jobs(git_ref, sha, &[("unit", &[])]).await;
        jobs[0]
    }

    /// Builds of several jobs, each with those it needs, in the order they were made.
    pub(crate) async fn build_jobs(
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

    /// A stock runner.
    pub(crate) async fn runner(&self) -> Runner {
        RunnerApi::new(&self.farm).register_runner(&self.farm).await
    }

    /// A build that a runner has.
    pub(crate) async fn running(&self) -> Claim {
        let id = self.pending().await;
        let claim = self.runner().await.claim().await;
        assert_eq!(claim.id, id);
        claim
    }

    /// A build that ended, as `success` or `failed`.
    pub(crate) async fn ended(&self, state: &str) -> Claim {
        let claim = self.running().await;
        claim.put(json!({ "state": state })).await.is(200);
        claim
    }

    /// A build that ended well, with a trace and an archive.
    pub(crate) async fn rich(&self) -> Claim {
        let claim = self.running().await;
        claim.patch("0-5", "hello").await.is(202);
        claim.upload("", "artifacts.zip", b"PK zip").await.is(201);
        claim.succeed().await;
        claim
    }

    /// A client that has no token.
    pub(crate) fn nobody(&self) -> Client {
        Client::of(&self.farm, None)
    }

    /// A client with any token.
    pub(crate) fn holder_of(&self, token: &str) -> Client {
        Client::of(&self.farm, Some(token))
    }
}

/// A client of the API with a token, which it sends as `PRIVATE-TOKEN`.
#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    /// The token.
    pub(crate) token: String,
    http: reqwest::Client,
}

impl Client {
    fn of(farm: &TestFarm, token: Option<&str>) -> Self {
        Self {
            base: farm.url(""),
            token: token.unwrap_or_default().to_owned(),
            http: farm.http.clone(),
        }
    }

    /// A request without anything to tell who sends it. `path` is below `/api/v3`, or a whole URL.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        let url = match path.starts_with("http") {
            true => path.to_owned(),
            false => format!("{}/api/v3{path}", self.base),
        };
        self.http.request(method, url)
    }

    /// A request with the token in its usual place.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.bare(method, path);
        match self.token.is_empty() {
            true => request,
            false => request.header("PRIVATE-TOKEN", &self.token),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> ApiResponse {
        send(self.request(Method::GET, path)).await
    }

    /// A POST without a body and without a content type.
    pub(crate) async fn post(&self, path: &str) -> ApiResponse {
        send(self.request(Method::POST, path)).await
    }

    /// Sends a JSON body.
    pub(crate) async fn json(&self, method: Method, path: &str, body: &Value) -> ApiResponse {
        send(self.request(method, path).json(body)).await
    }
}

/// The path of a build, and of what is below it.
pub(crate) fn build_path(id: JobId, below: &str) -> String {
    format!("{P}/builds/{id}{below}")
}

/// Sends a request. Nothing of this API redirects.
pub(crate) async fn send(request: RequestBuilder) -> ApiResponse {
    let answer = ApiResponse::to(request).await;
    assert!(answer.headers.get(LOCATION).is_none(), "{answer:?}");
    answer
}

impl ApiResponse {
    /// The status is the one expected, and the body is this JSON.
    #[track_caller]
    pub(crate) fn shows(self, status: u16, body: &Value) -> Self {
        let answer = self.is(status);
        let kind = answer.headers.get(CONTENT_TYPE);
        assert_eq!(kind.unwrap(), "application/json");
        assert_eq!(&answer.json(), body);
        answer
    }

    /// The status is the one expected, and the body is `{"error": …}` alone.
    #[track_caller]
    pub(crate) fn errs(self, status: u16, error: &str) -> Self {
        self.shows(status, &json!({ "error": error }))
    }

    /// 200 with a list, whose items it gives.
    #[track_caller]
    pub(crate) fn items(self) -> Vec<Value> {
        let answer = self.is(200);
        match answer.json() {
            Value::Array(items) => items,
            other => panic!("no list: {other}"),
        }
    }

    /// 200 with a list, of whose items it gives the ids.
    #[track_caller]
    pub(crate) fn ids(self) -> Vec<i64> {
        let items = self.items();
        items
            .iter()
            .map(|item| item["id"].as_i64().unwrap())
            .collect()
    }
}
