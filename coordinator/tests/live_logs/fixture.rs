//! A farm with a runner, and jobs whose traces grow.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, RequestBuilder};
use slipway_coordinator::Config;
use slipway_domain::JobUuid;
use slipway_farm::{Build, ProjectAccess};
use slipway_testkit::{Backend, TestFarm};
use tokio::time::timeout;

pub(crate) use crate::client::{ApiResponse, Claim};
use crate::client::{Runner, RunnerApi};
use crate::log_stream::{LIMIT, LogStream};

/// How long the end of a stream may take.
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A farm with a project and a runner.
pub(crate) struct Fixture {
    pub(crate) farm: TestFarm,
    pub(crate) project: ProjectAccess,
    runner: Runner,
}

/// A running job, with the trace that was sent so far.
#[derive(Clone)]
pub(crate) struct RunningJob {
    pub(crate) build: Build,
    pub(crate) claim: Claim,
    pub(crate) written: Vec<u8>,
    token: String,
}

impl Fixture {
    pub(crate) async fn new(backend: Backend) -> Self {
        Self::with(backend, |_| {}).await
    }

    /// Starts a farm with a configuration that `adjust` changes.
    pub(crate) async fn with(backend: Backend, adjust: impl FnOnce(&mut Config)) -> Self {
        let farm = TestFarm::start_with(backend, adjust).await;
        let project = farm.project("acme/web").await;
        let runner = RunnerApi::new(&farm).register_runner(&farm).await;
        Self {
            farm,
            project,
            runner,
        }
    }

    /// Creates a build, whose job the runner claims.
    pub(crate) async fn start_job(&self) -> RunningJob {
        let build = self.farm.build(&self.project).await;
        let claim = self.runner.claim().await;
        let token = self.create_token(&build).await;
        RunningJob {
            build,
            claim,
            written: Vec::new(),
            token,
        }
    }

    /// Creates a log token of a build.
    pub(crate) async fn create_token(&self, build: &Build) -> String {
        let token = self.farm.farm().log_token(build).await.unwrap();
        token.expose().to_owned()
    }

    /// A request for the log of a job, which may be any text.
    pub(crate) fn log_request(&self, job: impl std::fmt::Display, token: &str) -> RequestBuilder {
        let path = format!("/v0/jobs/{job}/logs");
        let request = self.farm.http.get(self.farm.url(&path));
        request.query(&[("token", token)])
    }

    /// A request for the log of a running job with its token.
    pub(crate) fn log_request_of(&self, job: &RunningJob) -> RequestBuilder {
        self.log_request(job.uuid(), &job.token)
    }

    /// Opens the log of a job from its beginning.
    pub(crate) async fn follow(&self, job: &RunningJob) -> LogStream {
        LogStream::open(self.log_request_of(job)).await
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn send(request: RequestBuilder) -> ApiResponse {
        let response = timeout(LIMIT, ApiResponse::to(request)).await;
        response.expect("the response did not end in time")
    }

    /// Calls the native API as the administrator.
    pub(crate) async fn native_api(&self, method: Method, path: &str) -> ApiResponse {
        let request = self.farm.http.request(method, self.farm.url(path));
        Self::send(request.header("PRIVATE-TOKEN", &self.farm.admin_token)).await
    }
}

impl RunningJob {
    /// The id of the job in this API.
    pub(crate) fn uuid(&self) -> JobUuid {
        JobUuid::of(self.build.uuid, self.claim.id)
    }

    /// The token that permits reading its log.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Appends to the trace.
    pub(crate) async fn append(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = Bytes::copy_from_slice(bytes.as_ref());
        let range = self.range(&bytes);
        self.written.extend_from_slice(&bytes);
        self.claim.patch(&range, bytes).await.is(202);
    }

    /// The `Content-Range` of bytes that are appended next.
    pub(crate) fn range(&self, bytes: &[u8]) -> String {
        let start = self.written.len();
        format!("{start}-{}", start + bytes.len() - 1)
    }

    /// Reports success.
    pub(crate) async fn succeed(&self) {
        self.claim.succeed().await;
    }
}
