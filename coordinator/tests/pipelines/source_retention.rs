//! Retention of sources and uploaded files that builds used.

use std::io;

use bytes::Bytes;
use reqwest::Method;
use serde_json::Value;
use slipway_domain::package::stored_location;
use slipway_domain::{ImageBuild, Slug, UploadId};
use slipway_farm::{
    Build, FarmError, PackageRequest, ProjectAccess, RequestedUpload, SourceRequest,
};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::scripted_runner::ScriptedRunner;

on_both_back_ends!(
    unused_sources_expire,
    sources_of_an_unfinished_job_do_not_expire,
    retry_and_another_build_extend_the_retention,
    retry_without_sources_is_refused_in_every_dialect,
    uploaded_package_expires_too,
    retention_of_zero_days_keeps_sources_forever,
);

const DAY: i64 = 24 * 3600;

/// A farm with a project and a runner of ours.
struct Fixture {
    farm: TestFarm,
    project: ProjectAccess,
    runner: ScriptedRunner,
}

impl Fixture {
    async fn new(backend: Backend) -> Self {
        Self::keeping(backend, 30).await
    }

    async fn keeping(backend: Backend, days: u32) -> Self {
        let farm = TestFarm::start_with(backend, |config| {
            config.limits.upload_keep_days = days;
            config.registry = Some("registry.test".to_owned());
        })
        .await;
        Self {
            project: farm.project("acme/api").await,
            runner: ScriptedRunner::on(&farm, "amd64").await,
            farm,
        }
    }

    async fn sent(&self) -> UploadId {
        let actor = self.farm.admin().await;
        let farm = self.farm.farm();
        let sent = farm.take_source(&actor, &self.project, bytes(b"packed"));
        sent.await.unwrap().id
    }

    async fn built(&self, source: UploadId) -> Build {
        let request = SourceRequest {
            pipeline: Slug::default_pipeline(),
            image: Box::new(ImageBuild::default()),
            push: Some(false),
        };
        let actor = self.farm.admin().await;
        let farm = self.farm.farm();
        let built = farm.build_source(&actor, &self.project, source, request);
        built.await.unwrap()
    }

    /// Claims the pending job and reports a failure.
    async fn fail(&self) {
        let claimed = self.runner.claim_named("image").await;
        self.runner.fail(claimed).await;
    }

    /// Moves the clock ahead by `days`; returns how many files expire.
    async fn expired_after(&self, days: i64) -> usize {
        self.farm.advance(days * DAY);
        self.farm.farm().expire_uploads().await.unwrap()
    }

    async fn retry(&self, build: &Build) -> Result<Build, FarmError> {
        let actor = self.farm.admin().await;
        let farm = self.farm.farm();
        farm.retry_build(&actor, &self.project, build).await
    }

    /// Sends a POST; returns the status and the body.
    async fn post(&self, path: &str) -> (u16, Value) {
        let request = reqwest::Client::new()
            .request(Method::POST, self.farm.url(path))
            .header("PRIVATE-TOKEN", &self.farm.admin_token);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap())
    }
}

fn bytes(
    content: &'static [u8],
) -> impl futures_util::Stream<Item = Result<Bytes, io::Error>> + Unpin {
    futures_util::stream::iter([Ok(Bytes::from_static(content))])
}

async fn unused_sources_expire(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let source = fixture.sent().await;
    fixture.built(source).await;
    fixture.fail().await;
    assert_eq!(fixture.farm.stored_blobs(), 1);
    assert_eq!(fixture.expired_after(29).await, 0);
    assert!(fixture.farm.farm().upload_content(source).await.is_ok());
    assert_eq!(fixture.expired_after(1).await, 1);
    assert_eq!(fixture.farm.stored_blobs(), 0);
    let asked = fixture.farm.farm().upload(source).await;
    assert!(matches!(asked, Err(FarmError::NotFound(_))), "{asked:?}");
    // Running the duty again changes nothing.
    assert_eq!(fixture.expired_after(0).await, 0);
}

async fn sources_of_an_unfinished_job_do_not_expire(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let source = fixture.sent().await;
    fixture.built(source).await;
    assert_eq!(fixture.expired_after(40).await, 0);
    let claimed = fixture.runner.claim_named("image").await;
    assert_eq!(fixture.expired_after(40).await, 0);
    let farm = fixture.farm.farm();
    let found = farm.package_by_token(claimed.job.id, &claimed.token).await;
    assert_eq!(found.unwrap().1.size(), 6);
    fixture.runner.succeed(claimed).await;
    assert_eq!(fixture.expired_after(0).await, 1);
}

async fn retry_and_another_build_extend_the_retention(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let source = fixture.sent().await;
    let build = fixture.built(source).await;
    fixture.fail().await;
    assert_eq!(fixture.expired_after(20).await, 0);
    fixture.retry(&build).await.unwrap();
    fixture.fail().await;
    assert_eq!(fixture.expired_after(20).await, 0);
    let job = fixture.farm.jobs(&build).await.pop().unwrap();
    let actor = fixture.farm.admin().await;
    let farm = fixture.farm.farm();
    farm.retry_job(&actor, &fixture.project, &job)
        .await
        .unwrap();
    fixture.fail().await;
    assert_eq!(fixture.expired_after(20).await, 0);
    fixture.built(source).await;
    fixture.fail().await;
    assert_eq!(fixture.expired_after(20).await, 0);
    assert_eq!(fixture.expired_after(10).await, 1);
}

async fn retry_without_sources_is_refused_in_every_dialect(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let source = fixture.sent().await;
    let build = fixture.built(source).await;
    fixture.fail().await;
    assert_eq!(fixture.expired_after(30).await, 1);
    let why = "the sources are no longer stored; send them again";
    let refused = fixture.retry(&build).await.unwrap_err();
    assert!(matches!(refused, FarmError::SourcesGone), "{refused}");
    let (project, job) = (fixture.project.id(), fixture.farm.jobs(&build).await[0].id);
    for path in [
        format!("/v1/builds/{}/retry", build.uuid),
        format!("/v1/jobs/{job}/retry"),
    ] {
        let (status, answer) = fixture.post(&path).await;
        assert_eq!(status, 409, "{path}: {answer}");
        assert_eq!(answer["error"]["code"], "sources_gone", "{path}");
        assert_eq!(answer["error"]["message"], why, "{path}");
    }
    for path in [
        format!("/api/v3/projects/{project}/builds/{job}/retry"),
        format!("/api/v3/projects/{project}/pipelines/{}/retry", build.id),
    ] {
        let (status, answer) = fixture.post(&path).await;
        assert_eq!(status, 409, "{path}: {answer}");
        assert_eq!(answer["message"], format!("409 Conflict: {why}"), "{path}");
    }
    assert_eq!(fixture.farm.jobs(&build).await.len(), 1);
    assert!(fixture.runner.claim().await.is_none());
}

async fn uploaded_package_expires_too(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let (actor, farm) = (fixture.farm.admin().await, fixture.farm.farm());
    let place = farm.create_upload(&actor, "text/plain").await.unwrap();
    let filled = farm.fill_upload(place.id, bytes(b"FROM scratch\n")).await;
    filled.unwrap();
    let request = PackageRequest {
        url: None,
        upload: Some(RequestedUpload::Id(place.id)),
        location: stored_location(None, None, None),
        tags: vec!["latest".to_owned()],
        pull_robot: None,
    };
    let built = farm.create_package_build(&actor, &fixture.project, request);
    let build = built.await.unwrap();
    assert_eq!(fixture.expired_after(31).await, 0);
    fixture.fail().await;
    assert_eq!(fixture.expired_after(0).await, 1);
    assert_eq!(fixture.farm.stored_blobs(), 0);
    let refused = fixture.retry(&build).await.unwrap_err();
    assert!(matches!(refused, FarmError::SourcesGone), "{refused}");
}

async fn retention_of_zero_days_keeps_sources_forever(backend: Backend) {
    let fixture = Fixture::keeping(backend, 0).await;
    let build = fixture.built(fixture.sent().await).await;
    fixture.fail().await;
    assert_eq!(fixture.expired_after(3000).await, 0);
    fixture.retry(&build).await.unwrap();
}
